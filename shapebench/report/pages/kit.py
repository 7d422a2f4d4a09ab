"""Rendering of self-contained pages: figures, style, scripts, and a strict Content-Security-Policy."""

import base64
import hashlib
import re
from contextlib import suppress
from dataclasses import dataclass
from functools import cache, cached_property
from importlib.metadata import version
from pathlib import Path
from typing import Any
from urllib.parse import quote

import vl_convert
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from platformdirs import user_cache_path

from shapebench.report.charts.theme import MARKS, PALETTES, Plot
from shapebench.report.pages.pictures import VEGA_LITE, Painters, start_painters
from shapebench.support.atomic_file import atomic_write

_UNQUOTED = " /:;,=()+!$*@?"  # in the data URL of a picture
_TEMPLATES = Path(__file__).parent / "templates"


def warm_up() -> None:
    """Load the chart library ahead of time, which takes seconds the first time."""
    _vega()


@dataclass(frozen=True)
class Figure:
    """A plot on a page: a still picture for print and for pages without scripts, and the interactive chart."""

    plot: Plot
    picture: Path  # as SVG
    vega_lite: dict[str, Any]

    @cached_property
    def svg(self) -> str:
        return self.picture.read_text(encoding="utf-8")

    @property
    def still(self) -> str:
        """The picture as a small data URL: rounded to a tenth of a pixel, without texts that the alt text has."""
        fewer_digits = re.sub(r"\d+\.\d{2,}", lambda number: f"{float(number[0]):.1f}", self.svg)
        bare = re.sub(r' (?:role|aria-[a-z]+|pointer-events)="[^"<]*"', "", fewer_digits)
        return f"data:image/svg+xml,{quote(bare, safe=_UNQUOTED)}"


def figure(plot: Plot, painters: Painters) -> Figure:
    """Start to draw the pictures of a plot; they exist once the painters have ended."""
    spec = {**plot.chart.to_dict(validate=False), "description": plot.description}
    return Figure(plot, painters.draw(plot.name, spec), _for_page(plot, spec))


def _for_page(plot: Plot, spec: dict[str, Any]) -> dict[str, Any]:
    """Return the chart for a page: as wide as its place, without the title and legend that are in HTML."""
    bare = {key: value for key, value in spec.items() if key != "title"} | {"padding": 4}
    if plot.legend:
        bare |= {name: _without_legends(bare[name]) for name in ("layer", "vconcat") if name in bare}
    if "vconcat" in bare:  # the page's script sets the width of a concatenated chart
        return bare
    return {**bare, "width": "container", "autosize": {"type": "fit-x", "contains": "padding"}}


def _without_legends(part: Any) -> Any:
    if isinstance(part, list):
        return [_without_legends(item) for item in part]
    if isinstance(part, dict):
        return {name: None if name == "legend" else _without_legends(value) for name, value in part.items()}
    return part


def write_page(template: str, plots: list[Plot], folder: Path, **content: Any) -> Path:
    """Write the pictures and the page; returns `folder/index.html`."""
    with start_painters(folder) as painters:
        figures = [figure(plot, painters) for plot in plots]
    page = folder / "index.html"
    page.write_text(render(template, figures, **content), encoding="utf-8")
    return page


def render(template: str, figures: list[Figure], **content: Any) -> str:
    """Render a self-contained page; the template gets the figures and the content."""
    charts = {"palettes": PALETTES, "specs": {figure.plot.name: figure.vega_lite for figure in figures}}
    return _rendered(template, [_vega(), _script("page.js")], figures=figures, charts=charts, **content)


def render_without_plots(template: str, script: str, **content: Any) -> str:
    """Render a self-contained page without figures, with its own script."""
    return _rendered(template, [_script(script)], **content)


def _script(name: str) -> str:
    return (_TEMPLATES / name).read_text(encoding="utf-8")


def _rendered(template: str, scripts: list[str], **content: Any) -> str:
    templates = environment()
    style = templates.get_template("page.css").render(palettes=PALETTES)
    policy = _policy(style, scripts)
    return templates.get_template(template).render(style=style, scripts=scripts, policy=policy, **content)


def environment() -> Environment:
    """Return the environment of the templates, with autoescape."""
    loader = FileSystemLoader(_TEMPLATES)
    templates = Environment(
        loader=loader, autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    templates.globals["marks"] = MARKS
    return templates


def _policy(style: str, scripts: list[str]) -> str:
    """Return a Content-Security-Policy that allows this style, these scripts and inline pictures only."""
    sources = " ".join(map(_hash, scripts))
    return (
        f"default-src 'none'; script-src {sources}; style-src {_hash(style)}; img-src data:; "
        "base-uri 'none'; form-action 'none'"
    )


def _hash(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode('ascii')}'"


@cache
def _vega() -> str:
    """Bundle Vega, Vega-Lite and Vega-Embed in the version that altair writes for.

    Bundling takes a second or two, so the bundle is kept in the user's cache.
    """
    cached = user_cache_path("shapebench") / f"vega-lite-{VEGA_LITE}-vl-convert-{version('vl-convert-python')}.js"
    if cached.exists():
        return cached.read_text(encoding="utf-8")
    bundle: str = vl_convert.javascript_bundle("window.vegaEmbed = vegaEmbed;", vl_version=VEGA_LITE)
    with suppress(OSError):  # the cache is optional
        cached.parent.mkdir(parents=True, exist_ok=True)
        with atomic_write(cached) as unfinished:
            unfinished.write_text(bundle, encoding="utf-8")
    return bundle
