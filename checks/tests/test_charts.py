"""Plots: that what is drawn is what was measured, for eyes, screen readers and plain text."""

from __future__ import annotations

import re
from xml.etree import ElementTree

import pytest

from checks import charts
from checks.authoring import volatile
from checks.charts import Plot, plot


def measured(log_x: bool = False, log_y: bool = False) -> Plot:
    """A plot as a lesson makes one."""
    return plot(
        "Throughput",
        [1, 10, 100],
        {"sync": [10, 80.25, 150], "async": [12, None, 157]},
        x_label="requests at once",
        y_label="requests per second",
        log_x=log_x,
        log_y=log_y,
    )


def drawn(shown: Plot) -> ElementTree.Element:
    """A plot's own drawing, the legend's samples aside."""
    html = re.sub("<style>.*?</style>", "", shown._repr_html_())
    found = ElementTree.fromstring(html).find(".//svg[@role='img']")
    assert found is not None
    return found


def points(shown: Plot, look: int) -> list[tuple[str, str]]:
    """Where the markers of a line stand, from the left."""
    return [
        (one.attrib["x"], one.attrib["y"])
        for one in drawn(shown).findall("svg")
        if one.findall(f"path[@class='s{look}']")
    ]


def test_a_plot_in_plain_text_is_its_table() -> None:
    assert repr(measured()) == (
        "Throughput (requests per second)\n"
        "requests at once │     sync │    async\n"
        "               1 │       10 │       12\n"
        "              10 │     80.2 │        –\n"
        "             100 │      150 │      157"
    )


def test_points_stand_where_their_numbers_are() -> None:
    even = measured()
    assert points(even, 0) == [("12.00%", "227"), ("19.64%", "149.7"), ("96.00%", "73")]
    assert points(even, 1) == [("12.00%", "224.8"), ("96.00%", "65.3")]  # and none for None
    assert points(measured(log_x=True), 0)[1][0] == "54.00%"  # 10 is half-way from 1 to 100
    assert points(measured(log_y=True), 0)[0][1] == "238"  # on the ground: the axis begins at 10


def test_a_line_has_a_gap_where_there_is_no_value() -> None:
    segments = drawn(measured()).findall("line")
    assert [one.attrib["class"] for one in segments].count("s0") == 2
    assert [one.attrib["class"] for one in segments].count("s1") == 0


def test_lines_differ_by_more_than_colour() -> None:
    many = plot("Many", [1, 2], {str(n): [n, n] for n in range(5)})
    style = re.findall(
        r"\.s(\d)\{stroke:var\(--(\w+)\);stroke-dasharray:([^}]+)\}", str(many._repr_html_())
    )
    shapes = {one.attrib["d"] for one in drawn(many).findall("svg/path")}
    assert len({dashes for _, _, dashes in style}) == len({ink for _, ink, _ in style}) == 5
    assert len(shapes) == 5


def test_it_says_what_it_shows() -> None:
    svg = drawn(measured())
    said = (
        "Requests per second, against requests at once. "
        "sync: 10 at 1, 150 at 100. async: 12 at 1, 157 at 100."
    )
    assert (svg.findtext("title"), svg.findtext("desc")) == ("Throughput", said)
    html = measured()._repr_html_()
    assert "<summary>The same as a table</summary>" in html
    assert '<th scope="row">10</th><td class="number">80.2</td><td class="number">–</td>' in html


@pytest.mark.parametrize(
    ("values", "log", "ticks"),
    [
        ([3, 17], False, ["0", "5", "10", "15", "20"]),
        ([0.0021, 0.0079], False, ["0", "0.002", "0.004", "0.006", "0.008"]),
        ([-5, 12], False, ["-5", "0", "5", "10", "15"]),
        ([7, 7], False, ["0", "2", "4", "6", "8"]),
        ([0, 0], False, ["0", "0.5", "1"]),
        ([60, 3145], True, ["50", "100", "200", "500", "1,000", "2,000", "5,000"]),
        ([0.5, 20_000], True, ["0.1", "1", "10", "100", "1,000", "10,000", "100,000"]),
    ],
)
def test_the_axis_has_round_numbers(values: list[float], log: bool, ticks: list[str]) -> None:
    texts = drawn(plot("Ticks", [1, 2], {"one": values}, log_y=log)).findall("text")
    assert [one.text for one in texts if one.attrib["x"] == "0"] == ticks


def test_texts_are_no_markup() -> None:
    html = plot("<b>", [1], {"<i>&": [1]}, x_label="<u>", y_label='"<s>')._repr_html_()
    assert not re.search("<[bius]>", html)


@pytest.mark.parametrize(
    ("x", "lines", "log", "said"),
    [
        ([1, 2], {"sync": [1]}, False, "'sync' has 1 values for 2 places"),
        ([], {"sync": []}, False, "nothing to plot"),
        ([1], {}, False, "nothing to plot"),
        ([1], {str(n): [1.0] for n in range(6)}, False, "6 lines cannot be told apart"),
        ([0, 1], {"sync": [1, 1]}, True, "leave out log_x=True"),
    ],
)
def test_what_cannot_be_plotted(
    x: list[float], lines: dict[str, list[float]], log: bool, said: str
) -> None:
    with pytest.raises(ValueError, match=re.escape(said)):
        plot("Wrong", x, lines, log_x=log)


def test_two_measurements_are_the_same_output() -> None:
    """The build and nbval compare outputs: of a plot, everything but what was measured."""

    def stored(title: str, *values: float) -> object:
        one = plot(title, [1, 2], {"sync": list(values)}, x_label="at once", log_y=True)
        data = {"text/plain": repr(one), "text/html": one._repr_html_()}
        return volatile.sanitised([{"output_type": "execute_result", "data": data}])

    assert stored("Speed", 1, 10.5) == stored("Speed", 12_345, 0.25)
    assert stored("Speed", 1, 10.5) != stored("Latency", 1, 10.5)


def test_a_drawn_bar_is_as_long_as_its_number() -> None:
    rows = [charts.Row("Half", "1 of 2", {"passed": 25, "failed": 75})]
    kinds = [charts.Kind("passed", "passed"), charts.Kind("failed", "failed")]
    drawn = charts.bars("Title", "What it says", rows, kinds, whole=100)
    assert 'class="passed" x="0.000%" y="22" width="25.000%"' in drawn
    assert 'class="failed" x="25.000%" y="22" width="75.000%"' in drawn
    assert "<title>Title</title><desc>What it says</desc>" in drawn
