"""Defaults of the deployments in prefect.yaml: a step of `prefect deploy`."""

from pathlib import Path

from shapebench.spec.model import Search, parse, read

VARIABLE = "shapebench_defaults"
USUAL_SPEC = Path(__file__).parents[2] / "examples" / "a10.yaml"


def usual(variable: dict[str, object] | str) -> dict[str, object]:
    """Read and check the spec in the Prefect variable; where there is none, and Prefect passes '', the article's.

    A search is added where the spec has none, for the deployment that does one.
    """
    given = checked(variable if isinstance(variable, dict) else read(USUAL_SPEC))
    return {"search": Search().model_dump(), **given}


def checked(content: dict[str, object]) -> dict[str, object]:
    """Check a spec and return it as plain JSON values; raises SpecError with all that is wrong."""
    return parse(content).model_dump(mode="json", exclude_unset=True, exclude_none=True)
