"""Plots as inline SVG: no script, no library; each with a title, a description and its table.

Lengths are percentages and texts keep their size, so that a plot fits a phone as it fits a wall.
Lessons draw what they measured with `plot`; the class report, with `bars` and `histogram`.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from itertools import pairwise

from checks.observe import picture

_ROW, _BAR = 44, 14  # pixels: a row of a bar chart, a bar in it
_COLUMNS = 130  # pixels: the height of a histogram's tallest column
_PLANE, _ABOVE, _BELOW = 220, 18, 24  # pixels: the plane that lines run in, what is around it
_LEFT, _RIGHT = 12, 96  # % of the width: where the lines' first and last points may stand


# -- lines: what a lesson measured -----------------------------------------------------------------
def plot(
    title: str,
    x: Sequence[float],
    lines: Mapping[str, Sequence[float | None]],
    *,
    x_label: str = "",
    y_label: str = "",
    log_x: bool = False,
    log_y: bool = False,
) -> Plot:
    """Lines through measured points, one for each name; the last value of a cell draws itself.

    Each line has its own colour, dashes and marker, and the numbers stand in a table below.

    Args:
        title: What the plot shows.
        x: Where the points stand, from left to right.
        lines: The values of each line, one for each `x`; None where there is no value.
        x_label: What `x` counts, with its unit.
        y_label: What the values are, with their unit.
        log_x: Whether equal steps to the right multiply.
        log_y: Whether equal steps upward multiply.

    Raises:
        ValueError: a line has more or fewer values than there are `x`, there are more lines than
            can be told apart, or a logarithm is asked of 0 or less.
    """
    return Plot(
        title, tuple(x), {k: tuple(v) for k, v in lines.items()}, x_label, y_label, log_x, log_y
    )


@dataclass(frozen=True, slots=True, repr=False)
class Plot:
    """A plot as `plot` takes it: HTML in a notebook and a page, a table of numbers elsewhere."""

    title: str
    x: tuple[float, ...]
    lines: Mapping[str, tuple[float | None, ...]]
    x_label: str
    y_label: str
    log_x: bool
    log_y: bool

    def __post_init__(self) -> None:
        if not self.x or not self.lines:
            raise ValueError("There is nothing to plot: give it at least one x and one line.")
        if len(self.lines) > len(_LOOKS):
            raise ValueError(
                f"{len(self.lines)} lines cannot be told apart; plot {len(_LOOKS)} at most."
            )
        for name, values in self.lines.items():
            if len(values) != len(self.x):
                raise ValueError(
                    f"The line {name!r} has {len(values)} values for {len(self.x)} places on x: "
                    "give it one for each, and None where there is none."
                )
        for wanted, axis, on_it in (
            (self.log_x, "x", [*self.x]),
            (self.log_y, "y", self._values),
        ):
            if wanted and min(on_it, default=1) <= 0:
                raise ValueError(
                    f"A logarithmic axis begins above 0: leave out log_{axis}=True, or the values "
                    "that are 0 or less."
                )

    @property
    def _values(self) -> list[float]:
        return [one for values in self.lines.values() for one in values if one is not None]

    def __repr__(self) -> str:
        # The bar before each number tells the rules for stored outputs that it was measured.
        names = [name.rjust(8) for name in self.lines]
        first = [self.x_label, *map(_figure_of, self.x)]
        room = max(map(len, first))
        rows = [f"{first[0].rjust(room)} │ " + " │ ".join(names)]
        for place, at in enumerate(first[1:]):
            said = [_figure_of(values[place]) for values in self.lines.values()]
            cells = (one.rjust(len(name)) for one, name in zip(said, names, strict=True))
            rows.append(f"{at.rjust(room)} │ " + " │ ".join(cells))
        below = f"{self.title} ({self.y_label})" if self.y_label else self.title
        return "\n".join([below, *(row.rstrip() for row in rows)])

    def _repr_html_(self) -> str:
        across = _Axis.over(self.x, self.log_x, from_zero=False)
        up = _Axis.over(self._values or [0], self.log_y, from_zero=True)
        drawn = "".join([*_grid(across, up), *self._drawn(across, up)])
        height = _ABOVE + _PLANE + _BELOW
        legend = "".join(
            f'<li><svg width="34" height="14" aria-hidden="true">'
            f"{_segment(look, '0', 7, '34', 7)}{_marker(look, '17', 7)}</svg> {escape(name)}</li>"
            for look, name in enumerate(self.lines)
        )
        svg = _svg(self.title, self._description, height, drawn)
        middle = (
            f'<ul class="legend">{legend}</ul><p class="axis up">{escape(self.y_label)}</p>{svg}'
            f'<p class="axis">{escape(self.x_label)}</p>'
        )
        body = [
            [_figure_of(at), *(_figure_of(values[place]) for values in self.lines.values())]
            for place, at in enumerate(self.x)
        ]
        figure = _figure(self.title, middle, [self.x_label, *self.lines], body)
        return f'<div class="de-plot">{_LINE_STYLE}{figure}</div>'

    @property
    def _description(self) -> str:
        """What the lines do, for whoever cannot see them."""
        told = []
        for name, values in self.lines.items():
            points = [(at, one) for at, one in zip(self.x, values, strict=True) if one is not None]
            if points:
                (first, start), (last, end) = points[0], points[-1]
                told.append(
                    f"{name}: {_figure_of(start)} at {_figure_of(first)}, "
                    f"{_figure_of(end)} at {_figure_of(last)}."
                )
        axes = ", ".join(filter(None, (self.y_label, self.x_label and f"against {self.x_label}")))
        return " ".join([*([axes[0].upper() + axes[1:] + "."] if axes else []), *told])

    def _drawn(self, across: _Axis, up: _Axis) -> Iterable[str]:
        for look, (name, values) in enumerate(self.lines.items()):
            points = [
                (f"{_LEFT + across.share(at) * (_RIGHT - _LEFT):.2f}%", _height(up, value))
                if value is not None
                else None
                for at, value in zip(self.x, values, strict=True)
            ]
            for start, end in pairwise(points):
                if start and end:
                    yield _segment(look, *start, *end)
            for point, at, value in zip(points, self.x, values, strict=True):
                if point:
                    yield _marker(look, *point, f"{name} at {_figure_of(at)}: {_figure_of(value)}")


# Colour, dashes and marker of each line in turn: any two differ in all three.
_LOOKS = (
    ("key", "none", "M-4 0a4 4 0 1 0 8 0a4 4 0 1 0-8 0z"),
    ("good", "7 4", "M-4-4h8v8h-8z"),
    ("bad", "2 3", "M0-5.5L5 4H-5z"),
    ("odd", "11 3 2 3", "M0-5.5L5.5 0 0 5.5-5.5 0z"),
    ("soft", "5 2", "M-4-4L4 4M4-4L-4 4"),
)


def _segment(look: int, x1: str, y1: float, x2: str, y2: float) -> str:
    return f'<line class="s{look}" x1="{x1}" y1="{y1:g}" x2="{x2}" y2="{y2:g}"/>'


def _marker(look: int, x: str, y: float, says: str = "") -> str:
    """A point; inside its own `svg`, since a path knows no percentages."""
    title = f"<title>{escape(says)}</title>" if says else ""
    shape = f'<path class="s{look}" d="{_LOOKS[look][2]}"/>'
    return f'<svg x="{x}" y="{y:g}" overflow="visible">{title}{shape}</svg>'


def _height(up: _Axis, value: float) -> float:
    return round(_ABOVE + _PLANE * (1 - up.share(value)), 1)


def _grid(across: _Axis, up: _Axis) -> Iterable[str]:
    ground = _ABOVE + _PLANE
    for tick in up.ticks:
        y = _height(up, tick)
        base = " base" if y == ground else ""
        yield f'<line class="grid{base}" x1="0" y1="{y:g}" x2="100%" y2="{y:g}"/>'
        yield f'<text class="said" x="0" y="{y - 4:g}">{_figure_of(tick)}</text>'
    for tick in across.ticks:
        x = f"{_LEFT + across.share(tick) * (_RIGHT - _LEFT):.2f}%"
        yield f'<line class="grid base" x1="{x}" y1="{ground}" x2="{x}" y2="{ground + 5}"/>'
        yield (
            f'<text class="said" x="{x}" y="{ground + 20}" text-anchor="middle">'
            f"{_figure_of(tick)}</text>"
        )


@dataclass(frozen=True, slots=True)
class _Axis:
    """Where values stand between the two ends of an axis.

    Attributes:
        low: The value at its beginning.
        high: The value at its end.
        log: Whether equal steps multiply.
        ticks: The values that are written beside it.
    """

    low: float
    high: float
    log: bool
    ticks: tuple[float, ...]

    @classmethod
    def over(cls, values: Sequence[float], log: bool, from_zero: bool) -> _Axis:
        """An axis for these values: ending on round numbers upward, as they are across."""
        low, high = min(values), max(values)
        if from_zero and not log:
            low, high = min(0, low), max(0, high)
        if low == high:
            high = low * 2 if low > 0 else low + 1
        ticks = _powers(low, high) if log else _steps(low, high)
        if from_zero:
            low, high = ticks[0], ticks[-1]
        return cls(low, high, log, tuple(tick for tick in ticks if low <= tick <= high))

    def share(self, value: float) -> float:
        """How far along the axis a value stands, from 0 to 1."""
        if self.log:
            low = math.log(self.low)
            return (math.log(value) - low) / (math.log(self.high) - low)
        return (value - self.low) / (self.high - self.low)


def _steps(low: float, high: float) -> list[float]:
    """Three to six round numbers in equal steps, from at most `low` to at least `high`."""
    rough = (high - low) / 4
    power = 10 ** math.floor(math.log10(rough))
    step = next(one * power for one in (1, 2, 5, 10) if one * power >= rough)
    first, last = math.floor(low / step), math.ceil(high / step)
    return [number * step for number in range(first, last + 1)]


def _powers(low: float, high: float) -> list[float]:
    """Round numbers in equal factors, from at most `low` to at least `high`."""
    first, last = math.floor(math.log10(low)), math.ceil(math.log10(high))
    between = (1, 2, 5) if last - first <= 3 else (1,)
    ticks = [one * 10.0**power for power in range(first, last + 1) for one in between]
    start = max(place for place, tick in enumerate(ticks) if tick <= low)
    stop = min(place for place, tick in enumerate(ticks) if tick >= high)
    return ticks[start : stop + 1]


def _figure_of(value: float | None) -> str:
    """A number as a person writes it: three digits that count, and no more."""
    if value is None:
        return "–"
    if abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.3g}" if abs(value) >= 0.001 or value == 0 else f"{value:.1e}"


# -- bars and columns: a class at a glance ---------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Row:
    """One row of a bar chart.

    Attributes:
        label: What it is of.
        said: What it comes to, in a few words.
        parts: How much of each kind.
    """

    label: str
    said: str
    parts: Mapping[str, float]


@dataclass(frozen=True, slots=True)
class Kind:
    """One colour of a plot.

    Attributes:
        key: What the rows call it, and the CSS class of its colour.
        words: What people call it.
    """

    key: str
    words: str


def bars(
    title: str, description: str, rows: Sequence[Row], kinds: Sequence[Kind], whole: float = 0
) -> str:
    """Horizontal bars, each of one or more parts, as HTML. Texts need not be escaped.

    Args:
        title: What the plot shows.
        description: What it says, for whoever cannot see it.
        rows: The bars, from the top.
        kinds: The parts in their order; those that no row has are left out.
        whole: What a full bar stands for; the largest row's sum when 0.
    """
    shown = [kind for kind in kinds if any(row.parts.get(kind.key) for row in rows)]
    whole = whole or max((sum(row.parts.values()) for row in rows), default=0) or 1
    drawn = "".join(_bar(place, row, shown, whole) for place, row in enumerate(rows))
    legend = ""
    if len(kinds) > 1:
        legend = "".join(
            f'<li><svg width="12" height="12" aria-hidden="true"><rect class="{kind.key}" '
            f'width="12" height="12" rx="2"/></svg> {escape(kind.words)}</li>'
            for kind in shown
        )
        legend = f'<ul class="legend">{legend}</ul>'
    header = ["", *(kind.words for kind in shown)]
    body = [[row.label, *(f"{row.parts.get(kind.key, 0):g}" for kind in shown)] for row in rows]
    svg = _svg(title, description, len(rows) * _ROW, drawn)
    return _figure(title, legend + svg, header, body)


def _bar(place: int, row: Row, kinds: Sequence[Kind], whole: float) -> str:
    top = place * _ROW
    pieces = [
        f'<text x="0" y="{top + 15}">{escape(row.label)}</text>',
        f'<text class="said" x="100%" y="{top + 15}" text-anchor="end">{escape(row.said)}</text>',
        f'<rect class="ground" x="0" y="{top + 22}" width="100%" height="{_BAR}" rx="3"/>',
    ]
    start = 0.0
    for kind in kinds:
        amount = row.parts.get(kind.key, 0)
        if not amount:
            continue
        width = 100 * amount / whole
        pieces.append(
            f'<rect class="{kind.key}" x="{start:.3f}%" y="{top + 22}" width="{width:.3f}%" '
            f'height="{_BAR}"><title>{escape(row.label)}: {amount:g} {escape(kind.words)}</title>'
            "</rect>"
        )
        start += width
    return "".join(pieces)


def histogram(
    title: str, description: str, columns: Sequence[tuple[str, int]], axis: str, of: str
) -> str:
    """Columns side by side, as HTML. Texts need not be escaped.

    Args:
        title: What the plot shows.
        description: What it says, for whoever cannot see it.
        columns: What stands below each column, and its count.
        axis: What the columns stand on.
        of: What is counted.
    """
    tallest = max((count for _, count in columns), default=0) or 1
    step = 100 / max(1, len(columns))
    drawn = []
    for place, (label, count) in enumerate(columns):
        height = max(2, round(_COLUMNS * count / tallest)) if count else 0
        middle, top = (place + 0.5) * step, 20 + _COLUMNS - height
        said = f'<text x="{middle:.2f}%" y="{top - 5}" text-anchor="middle">{count}</text>'
        drawn.append(
            f'<rect class="count" x="{place * step + step * 0.08:.2f}%" y="{top}" '
            f'width="{step * 0.84:.2f}%" height="{height}">'
            f"<title>{escape(label)}: {count}</title></rect>{said if count else ''}"
            f'<text class="said" x="{middle:.2f}%" y="{_COLUMNS + 36}" text-anchor="middle">'
            f"{escape(label)}</text>"
        )
    ground = f'<rect class="line" x="0" y="{_COLUMNS + 20}" width="100%" height="1"/>'
    svg = _svg(title, description, _COLUMNS + 44, ground + "".join(drawn))
    below = f'<p class="axis">{escape(axis)}</p>'
    table = [[label, str(count)] for label, count in columns]
    return _figure(title, svg + below, [axis, of], table)


# -- what all of them are made of ------------------------------------------------------------------
def _svg(title: str, description: str, height: int, drawn: str) -> str:
    return (
        f'<svg class="plot" role="img" width="100%" height="{height}" '
        f'aria-label="{escape(title)}. {escape(description)}">'
        f"<title>{escape(title)}</title><desc>{escape(description)}</desc>{drawn}</svg>"
    )


def _figure(title: str, drawn: str, header: Sequence[str], body: Sequence[Sequence[str]]) -> str:
    head = "".join(f'<th scope="col">{escape(one)}</th>' for one in header)
    rows = "".join(
        f'<tr><th scope="row">{escape(row[0])}</th>'
        + "".join(f'<td class="number">{escape(one)}</td>' for one in row[1:])
        + "</tr>"
        for row in body
    )
    return (
        f"<figure><figcaption>{escape(title)}</figcaption>{drawn}"
        '<details class="table"><summary>The same as a table</summary><div class="wide"><table>'
        f"<thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table></div></details></figure>"
    )


# Each colour has 3:1 against the paper; neighbours in a bar differ in lightness as well.
LIGHT = {
    "passed": "#1a7f37",
    "failed": "#e5534b",
    "not_attempted": "#8c959f",
    "not_run": "#9a6700",
    "timed_out": "#6639ba",
    "died": "#24292f",
    "unreadable": "#0969da",
    "fault": "#bf3989",
    "count": "#0969da",
}
DARK = {
    "passed": "#3fb950",
    "failed": "#ff8a82",
    "not_attempted": "#6e7681",
    "not_run": "#d29922",
    "timed_out": "#a371f7",
    "died": "#e6edf3",
    "unreadable": "#58a6ff",
    "fault": "#f778ba",
    "count": "#58a6ff",
}

STYLE = (
    "".join(f".{key}{{fill:{colour}}}" for key, colour in LIGHT.items())
    + "@media(prefers-color-scheme:dark){"
    + "".join(f".{key}{{fill:{colour}}}" for key, colour in DARK.items())
    + "}"
    + (
        "figure{margin:0;min-width:0}"
        "figcaption{font-weight:600;margin-bottom:.4em}"
        ".plot{display:block;overflow:visible;font:13px system-ui,sans-serif}"
        ".plot text{fill:var(--ink)}.plot .said{fill:var(--soft)}"
        ".plot .ground{fill:var(--line);opacity:.45}.plot .line{fill:var(--soft)}"
        ".legend{list-style:none;display:flex;flex-wrap:wrap;gap:.1em 1em;padding:0;"
        "margin:.2em 0 .6em;font-size:.85rem}"
        ".axis{text-align:center;color:var(--soft);font-size:.85rem;margin:0!important}"
        "figure details{font-size:.85rem;margin-top:.4em}figure summary{color:var(--soft)}"
        "@media print{.plot rect{print-color-adjust:exact}}"
    )
)

_LINE_STYLE = (
    "<style>"
    + picture.themed(".de-plot")
    + ".de-plot{color:var(--ink);font:14px/1.5 system-ui,sans-serif;max-width:46em}"
    "div.de-plot figure{margin:.4em 0;width:auto;max-width:none;text-align:left}"
    ".de-plot figcaption{font-weight:700;font-style:normal;margin:0 0 .3em;max-width:none;"
    "text-align:left;color:var(--ink)}"
    ".de-plot .plot{display:block;overflow:visible;font:13px system-ui,sans-serif}"
    ".de-plot .said{fill:var(--soft);font-variant-numeric:tabular-nums}"
    ".de-plot line{fill:none;stroke-width:2}"
    ".de-plot path{stroke-width:2}"
    ".de-plot .grid{stroke:var(--line);stroke-width:1}.de-plot .base{stroke:var(--soft)}"
    + "".join(
        f".de-plot .s{look}{{stroke:var(--{colour});stroke-dasharray:{dashes}}}"
        f".de-plot path.s{look}{{fill:var(--{colour});stroke-dasharray:none}}"
        for look, (colour, dashes, _) in enumerate(_LOOKS)
    )
    + ".de-plot ul.legend{list-style:none;display:flex;flex-wrap:wrap;gap:.1em 1.2em;"
    "margin:0 0 .3em!important;padding:0!important}"
    ".de-plot .legend li{margin:0!important;white-space:nowrap}"
    ".de-plot .legend svg{vertical-align:middle}"
    ".de-plot .axis{margin:0!important;text-align:center;color:var(--soft);font-size:13px}"
    ".de-plot .up{text-align:left}"
    ".de-plot details{margin-top:.3em;font-size:13px}"
    ".de-plot summary{cursor:pointer;color:var(--soft)}"
    ".de-plot .wide{overflow-x:auto}"
    ".de-plot table{font-variant-numeric:tabular-nums}"
    ".de-plot .number{text-align:right}"
    "</style>"
)
