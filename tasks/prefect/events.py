"""Prefect events of an endpoint, which automations react to."""

import logging

from prefect.events import emit_event

from shapebench.support.endpoint_id import endpoint_id
from shapebench.support.redact import one_line, redact_mapping
from shapebench.support.run_log import milestone

LONGEST_LABEL = 300


def emit_endpoint_event(
    event: str, endpoint: tuple[str, str, str], labels: dict[str, str], payload: dict[str, object]
) -> None:
    """Emit an event of an endpoint (url, model, shape); a failure is logged, not raised.

    Automations can match labels, as shapebench.NAME, and use the payload in their actions.
    """
    url, model, shape = endpoint
    about = {"url": url, "model": model, "shape": shape, **labels}
    resource = {
        "prefect.resource.id": f"shapebench.endpoint.{endpoint_id(*endpoint)}",
        "prefect.resource.name": one_line(f"{model} on {shape}", LONGEST_LABEL),
        **{f"shapebench.{name}": one_line(value, LONGEST_LABEL) for name, value in about.items()},
    }
    try:
        emit_event(event, resource, payload=redact_mapping({**about, **payload}))
    except Exception as error:  # noqa: BLE001 - whatever is wrong with the Prefect server
        milestone("notify", "the event {event} was not sent: {error}", logging.WARNING, event=event, error=str(error))
