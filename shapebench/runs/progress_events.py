"""Progress of a run between processes: JSON lines, each an event of one of these types.

Their schema is docs/schemas/progress-events.schema.json.
"""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, JsonValue, TypeAdapter


class ProgressEvent(BaseModel):
    """A milestone of a run."""

    model_config = ConfigDict(title="progress")

    event: Literal["progress"] = "progress"
    stage: str = Field(description="The stage that reached it, such as probe, measure or validate.")
    message: str = Field(description="A line for people.")
    fields: dict[str, JsonValue] = Field({}, description="The facts in that line, for programs.")


class FinishedEvent(BaseModel):
    """The end of a run whose results are stored."""

    model_config = ConfigDict(title="finished")

    event: Literal["finished"] = "finished"
    run_id: str = Field(description="The run's id in results.duckdb.")
    verdict: Literal["valid", "suspect", "invalid"] = Field(description="The verdict on the whole run.")
    complaint: str | None = Field(None, description="Why a stored run counts as failed; null: it does not.")


class FailedEvent(BaseModel):
    """The end of a run that has no results."""

    model_config = ConfigDict(title="failed")

    event: Literal["failed"] = "failed"
    problem: str = Field(description="What went wrong.")
    remedy: str = Field(description="What to do about it.")


Event = Annotated[ProgressEvent | FinishedEvent | FailedEvent, Field(discriminator="event")]
EVENTS: TypeAdapter[ProgressEvent | FinishedEvent | FailedEvent] = TypeAdapter(Event)
