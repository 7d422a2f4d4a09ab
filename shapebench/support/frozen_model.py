"""The base of models of files that people write."""

from pydantic import BaseModel, ConfigDict


class FrozenModel(BaseModel):
    """A model that cannot be changed, and that takes no unknown fields."""

    model_config = ConfigDict(frozen=True, extra="forbid")
