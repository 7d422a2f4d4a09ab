"""What the deployments in prefect.yaml measure unless a run says otherwise: a step of `prefect deploy`."""

from pathlib import Path
from typing import Any

from shapebench.spec.model import Search, parse, read

VARIABLE = "shapebench_defaults"
USUAL_SPEC = Path(__file__).parents[2] / "examples" / "a10.yaml"


def usual(variable: dict[str, Any] | str) -> dict[str, Any]:
    """The spec in the Prefect variable, checked; where there is none, and Prefect gives '', the article's.

    With a search, for the deployment that does one, also where the spec has none.
    """
    given = checked(variable if isinstance(variable, dict) else read(USUAL_SPEC))
    return {"search": Search().model_dump(), **given}


def checked(content: dict[str, Any]) -> dict[str, Any]:
    """What was given, as JSON has it; raises SpecError with all that is wrong."""
    return parse(content).model_dump(mode="json", exclude_unset=True, exclude_none=True)
