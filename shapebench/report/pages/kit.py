"""What all pages are made of: figures, one style, the scripts that draw, and a policy that lets nothing else in."""

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
from shapebench.report.pages.pictures import VEGA_LITE, Painters, painters
from shapebench.support.atomic_file import atomic_write

_KEPT = " /:;,=()+!$*@?"  # in the address of a picture, as it stands in an attribute
_TEMPLATES = Path(__file__).parent / "templates"


def warm_up() -> None:
    """Do ahead of time what each report needs, and what takes seconds the first time."""
    _vega()


@dataclass(frozen=True)
class Figure:
    """A plot on the page: a still picture, which prints and needs no script, and the chart that takes its place."""

    plot: Plot
    picture: Path  # as SVG
    vega_lite: dict[str, Any]

    @cached_property
    def svg(self) -> str:
        return self.picture.read_text(encoding="utf-8")

    @property
    def still(self) -> str:
        """The picture as an address, in few bytes: to a tenth of a pixel, and without words that its alt text has."""
        fewer_digits = re.sub(r"\d+\.\d{2,}", lambda found: f"{float(found[0]):.1f}", self.svg)
        bare = re.sub(r' (?:role|aria-[a-z]+|pointer-events)="[^"<]*"', "", fewer_digits)
        return f"data:image/svg+xml,{quote(bare, safe=_KEPT)}"


def figure(plot: Plot, hands: Painters) -> Figure:
    """A plot whose pictures are being drawn: they are there when the painters have ended."""
    spec = {**plot.chart.to_dict(validate=False), "description": plot.description}
    return Figure(plot, hands.draw(plot.name, spec), _for_page(plot, spec))


def _for_page(plot: Plot, spec: dict[str, Any]) -> dict[str, Any]:
    """The chart as wide as its place on the page, whose headings are its title, and whose buttons are its legend."""
    bare = {key: value for key, value in spec.items() if key != "title"} | {"padding": 4}
    if plot.legend:
        bare |= {name: _without_legends(bare[name]) for name in ("layer", "vconcat") if name in bare}
    if "vconcat" in bare:  # it cannot ask for the width of its place: the page's script tells it
        return bare
    return {**bare, "width": "container", "autosize": {"type": "fit-x", "contains": "padding"}}


def _without_legends(part: Any) -> Any:
    if isinstance(part, list):
        return [_without_legends(one) for one in part]
    if isinstance(part, dict):
        return {name: None if name == "legend" else _without_legends(value) for name, value in part.items()}
    return part


def write_page(template: str, plots: list[Plot], folder: Path, **content: Any) -> Path:
    """Write the plots, then the page that shows them; returns the page's path, `folder/index.html`."""
    with painters(folder) as hands:
        figures = [figure(plot, hands) for plot in plots]
    page = folder / "index.html"
    page.write_text(render(template, figures, **content), encoding="utf-8")
    return page


def render(template: str, figures: list[Figure], **content: Any) -> str:
    """A whole page, with all that it needs inside it; the template gets the figures and the content."""
    charts = {"palettes": PALETTES, "specs": {figure.plot.name: figure.vega_lite for figure in figures}}
    return _rendered(template, [_vega(), _script("page.js")], figures=figures, charts=charts, **content)


def render_without_plots(template: str, script: str, **content: Any) -> str:
    """A whole page that has no figures, with a script of its own."""
    return _rendered(template, [_script(script)], **content)


def _script(name: str) -> str:
    return (_TEMPLATES / name).read_text(encoding="utf-8")


def _rendered(template: str, scripts: list[str], **content: Any) -> str:
    templates = environment()
    style = templates.get_template("page.css").render(palettes=PALETTES)
    policy = _policy(style, scripts)
    return templates.get_template(template).render(style=style, scripts=scripts, policy=policy, **content)


def environment() -> Environment:
    """The templates; whatever goes into one is escaped."""
    loader = FileSystemLoader(_TEMPLATES)
    templates = Environment(
        loader=loader, autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    templates.globals["marks"] = MARKS
    return templates


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
    cached = user_cache_path("shapebench") / f"vega-lite-{VEGA_LITE}-vl-convert-{version('vl-convert-python')}.js"
    if cached.exists():
        return cached.read_text(encoding="utf-8")
    bundle: str = vl_convert.javascript_bundle("window.vegaEmbed = vegaEmbed;", vl_version=VEGA_LITE)
    with suppress(OSError):  # a cache that cannot be written costs time, nothing else
        cached.parent.mkdir(parents=True, exist_ok=True)
        with atomic_write(cached) as unfinished:
            unfinished.write_text(bundle, encoding="utf-8")
    return bundle
