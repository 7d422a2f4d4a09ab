"""What all plots share: colours that a page can change while it is open, fonts, axes, and the marks of verdicts."""

from dataclasses import dataclass

import altair as alt

# The charts name their colours, so that a page can change them while it is open. The hues are close to Okabe and Ito's,
# which colour-blind people tell apart, with enough contrast for small marks; the points' shapes say the same.
PALETTES: dict[str, dict[str, str]] = {
    "light": {
        "paper": "#ffffff",
        "ink": "#1b1f24",
        "faint": "#57606a",
        "grid": "#e4e7eb",
        "valid": "#0072b2",
        "suspect": "#b85000",
        "invalid": "#8a3a72",
        "limit": "#946200",
    },
    "dark": {
        "paper": "#15191e",
        "ink": "#e8ebee",
        "faint": "#a3adb8",
        "grid": "#2c333b",
        "valid": "#56b4e9",
        "suspect": "#f09a3e",
        "invalid": "#e08fc4",
        "limit": "#e5b73b",
    },
}

CROSSED_BOX = "M-1,-1H1V1H-1ZM-1,-1L1,1M1,-1L-1,1"
MARKS = {  # verdict: shape, fill
    "valid": ("circle", "valid"),
    "suspect": ("circle", "paper"),
    "invalid": (CROSSED_BOX, "paper"),
}
LONGEST_TITLE = 200  # characters; what is too wide is cut at the plot's edge, but only after it was measured, slowly


@dataclass(frozen=True)
class Plot:
    """A chart with what goes around it on a page."""

    name: str  # of its files, less the ending
    title: str
    reading: str  # how to read it, in a line
    chart: alt.LayerChart
    description: str  # for those who cannot see it


def named(colour: str) -> alt.ExprRef:
    return alt.ExprRef(expr=colour)


def finish(layers: list[alt.Chart], title: str, subtitle: str) -> alt.LayerChart:
    heading = alt.TitleParams(
        text=title[:LONGEST_TITLE], subtitle=subtitle, anchor="start", limit=named("width"), offset=12
    )
    colours = [alt.param(name=name, value=value) for name, value in PALETTES["light"].items()]
    chart = alt.layer(*layers, title=heading, width=460, height=300, padding=12, background=named("paper"))
    finished: alt.LayerChart = (
        chart.add_params(*colours)
        .configure(font="Helvetica, Arial, sans-serif")
        .configure_view(stroke=None)
        .configure_title(color=named("ink"), subtitleColor=named("faint"), fontSize=14, subtitleFontSize=12)
        .configure_legend(labelColor=named("ink"), labelFontSize=12)
        .configure_axis(
            labelColor=named("faint"),
            titleColor=named("ink"),
            gridColor=named("grid"),
            domainColor=named("faint"),
            tickColor=named("faint"),
            labelFontSize=12,
            titleFontSize=12,
            titleFontWeight="normal",
            titlePadding=8,
        )
    )
    return finished
