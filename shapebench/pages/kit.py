"""What all pages are made of: figures, one style, the scripts that draw, and a policy that lets nothing else in."""

import base64
import hashlib
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Any

import altair as alt
import vl_convert
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from platformdirs import user_cache_path

from shapebench.charts.theme import PALETTES, Plot
from shapebench.whole import written_whole

_TEMPLATES = Path(__file__).parent / "templates"


def warm_up() -> None:
    """Do ahead of time what each report needs and what takes a second or two: starting Vega, and bundling it."""
    _vega()
    vl_convert.vegalite_to_svg({"data": {"values": []}, "mark": "point"})


@dataclass(frozen=True)
class Figure:
    """A plot on the page: a still picture, which prints and needs no script, and the chart that takes its place."""

    plot: Plot
    still: str
    vega_lite: dict[str, Any]


def figure(plot: Plot, folder: Path) -> Figure:
    """Write a plot's pictures, NAME.svg and NAME.png, to the folder."""
    chart = plot.chart.properties(description=plot.description)
    svg = folder / f"{plot.name}.svg"
    chart.save(str(svg))
    chart.save(str(folder / f"{plot.name}.png"), scale_factor=2)
    still = base64.b64encode(svg.read_bytes()).decode("ascii")
    return Figure(plot, f"data:image/svg+xml;base64,{still}", _for_page(chart))


def _for_page(chart: alt.LayerChart) -> dict[str, Any]:
    """The chart as wide as its place on the page, whose headings take the part of the chart's title."""
    spec = {key: value for key, value in chart.to_dict().items() if key != "title"}
    return {**spec, "width": "container", "padding": 4, "autosize": {"type": "fit-x", "contains": "padding"}}


def render(template: str, figures: list[Figure], **content: Any) -> str:
    """A whole page, with all that it needs inside it; the template gets the figures and the content."""
    templates = _environment()
    style = templates.get_template("page.css").render(palettes=PALETTES)
    scripts = [_vega(), (_TEMPLATES / "page.js").read_text(encoding="utf-8")]
    return templates.get_template(template).render(
        figures=figures,
        charts={"palettes": PALETTES, "specs": {figure.plot.name: figure.vega_lite for figure in figures}},
        style=style,
        scripts=scripts,
        policy=_policy(style, scripts),
        **content,
    )


def _environment() -> Environment:
    loader = FileSystemLoader(_TEMPLATES)
    return Environment(loader=loader, autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)


def _policy(style: str, scripts: list[str]) -> str:
    """The Content-Security-Policy: this page's own style and scripts, pictures inside it, and nothing else."""
    sources = " ".join(map(_hash, scripts))
    return (
        f"default-src 'none'; script-src {sources}; style-src {_hash(style)}; img-src data:; "
        "base-uri 'none'; form-action 'none'"
    )


def _hash(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode('ascii')}'"


@cache
def _vega() -> str:
    """Vega, Vega-Lite and Vega-Embed in one script, of the version that altair writes for.

    Bundling takes a second or two, and gives the same for the same versions: it is kept in the user's cache.
    """
    schema = ".".join(alt.SCHEMA_VERSION.removeprefix("v").split(".")[:2])
    cached = user_cache_path("shapebench") / f"vega-lite-{schema}-vl-convert-{version('vl-convert-python')}.js"
    if cached.exists():
        return cached.read_text(encoding="utf-8")
    bundle: str = vl_convert.javascript_bundle("window.vegaEmbed = vegaEmbed;", vl_version=schema)
    with suppress(OSError):  # a cache that cannot be written costs time, nothing else
        cached.parent.mkdir(parents=True, exist_ok=True)
        with written_whole(cached) as unfinished:
            unfinished.write_text(bundle, encoding="utf-8")
    return bundle
