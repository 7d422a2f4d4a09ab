"""The catalogue's files: those of shapebench, and the user's own, which override them."""

import os
from collections.abc import Iterator, Mapping
from functools import cache
from importlib.resources import files
from pathlib import Path

import yaml
from platformdirs import user_config_path
from pydantic import ValidationError
from pydantic_core import ErrorDetails

from shapebench.errors import ShapebenchError
from shapebench.sizing.catalogue.schema import Catalogue, Entry

VARIABLE = "SHAPEBENCH_CATALOGUE"
BUILT_IN = ("processors.yaml", "oci.yaml")
REMEDY = "docs/shapes.md describes catalogue files."


class CatalogueError(ShapebenchError):
    """A catalogue file cannot be used."""


def catalogue() -> Catalogue:
    """Read the catalogue, the user's own files over those that come with shapebench; raises CatalogueError."""
    return _read((*_built_in(), *own_files()))


def built_in_catalogue() -> Catalogue:
    """Read the files that come with shapebench, without the user's own."""
    return _read(_built_in())


def own_folder() -> Path:
    """Return the folder of a user's catalogue files."""
    return user_config_path("shapebench") / "shapes"


def own_files() -> tuple[Path, ...]:
    """List the user's files, later ones over earlier: first the folder's, then those that the variable names."""
    named = [Path(name) for name in os.environ.get(VARIABLE, "").split(os.pathsep) if name]
    return tuple(file for path in (own_folder(), *named) for file in _files_in(path))


def _built_in() -> tuple[Path, ...]:
    return tuple(Path(str(files("shapebench"))) / "sizing" / "catalogue" / name for name in BUILT_IN)


def _files_in(path: Path) -> list[Path]:
    return sorted(path.glob("*.yaml")) if path.is_dir() or path == own_folder() else [path]


@cache
def _read(paths: tuple[Path, ...]) -> Catalogue:
    merged = Catalogue()
    for path in paths:
        merged = _over(merged, _file(path))
    if wrong := [*_missing(merged)]:
        raise CatalogueError("The catalogue is inconsistent:\n" + "\n".join(f"  {line}" for line in wrong), REMEDY)
    return merged


def _file(path: Path) -> Catalogue:
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8")) or {}
        return Catalogue.model_validate(content, context={"file": path})
    except OSError as error:
        raise CatalogueError(f"Cannot read {path}: {error.strerror}", f"Correct {VARIABLE}.") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise CatalogueError(f"{path} is not YAML: {error}", "Correct the line in the message.") from None
    except ValidationError as error:
        wrong = [f"  {'.'.join(map(str, e['loc'])) or 'file'}: {_plain(e)}" for e in error.errors()]
        raise CatalogueError(f"{path} cannot be used:\n" + "\n".join(wrong), REMEDY) from None


def _plain(error: ErrorDetails) -> str:
    if error["type"] == "extra_forbidden":
        return "there is no such field"
    return str(error["msg"]).removeprefix("Value error, ")


def _over(below: Catalogue, above: Catalogue) -> Catalogue:
    """Merge two catalogues field by field, and tables entry by entry."""
    return Catalogue(**{name: _merged(getattr(below, name), getattr(above, name)) for name in Catalogue.model_fields})


def _merged(below: Mapping[str, Entry], above: Mapping[str, Entry]) -> dict[str, Entry]:
    return {**below, **{name: _merged_entry(below.get(name), entry) for name, entry in above.items()}}


def _merged_entry(below: Entry | None, above: Entry) -> Entry:
    if below is None:
        return above
    changes = {name: getattr(above, name) for name in above.model_fields_set}
    tables = {name: {**getattr(below, name), **value} for name, value in changes.items() if isinstance(value, dict)}
    return below.model_copy(update={**changes, **tables})


def _missing(content: Catalogue) -> Iterator[str]:
    """Say what shapes need and no file has."""
    for name, gpu in content.gpus.items():
        for field in ("memory_gb", "memory_bandwidth_gb_per_s"):
            if getattr(gpu, field) is None:
                yield f"gpus.{name}: {field} is needed"
    for number, part in content.parts.items():
        if part.unit is None or part.price is None:
            yield f"parts.{number}: unit and price are needed"
    for name, shape in content.shapes.items():
        yield from (f"shapes.{name}: there is no part {part!r}" for part in shape.parts if part not in content.parts)
        if shape.gpu is None and shape.cpu is None:
            yield f"shapes.{name}: gpu or cpu is needed"
        elif shape.gpu and (shape.gpu not in content.gpus or not shape.gpus):
            yield f"shapes.{name}: there is no GPU {shape.gpu!r}, or the number of GPUs (gpus) is missing"
        elif shape.cpu and (shape.cpu not in content.cpus or not (shape.ocpus and shape.memory_gb)):
            yield f"shapes.{name}: there is no CPU {shape.cpu!r}, or ocpus and memory_gb are missing"
