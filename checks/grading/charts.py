"""Plots as inline SVG: no script, no library; each with a title, a description and its table.

Lengths are percentages and texts keep their size, so that a plot fits a phone as it fits a wall.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape

_ROW, _BAR = 44, 14  # pixels: a row of a bar chart, a bar in it
_COLUMNS = 130  # pixels: the height of a histogram's tallest column


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
