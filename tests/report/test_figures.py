"""Drawing: nothing leaves the sheet, thinning keeps extremes, and texts stay texts."""

from __future__ import annotations

import re
from xml.etree import ElementTree

import numpy as np
import pytest

from pasctl.report.blocks import Cell, Content, Detail, Drawn, Exchange, Section, Table
from pasctl.report.figures.bars import bars
from pasctl.report.figures.forest import Mark, forest
from pasctl.report.figures.graph import Node, graph
from pasctl.report.figures.heatmap import Heat, heatmap, heatmaps
from pasctl.report.figures.lines import Axes, Series, lines
from pasctl.report.page import Page, render
from pasctl.report.scale import Scale, apart, bounds
from pasctl.report.svg import NARROW, WIDE, Drawing, Figure, box, element, escape, fit, text_width, words
from pasctl.report.theme import STEPS, figure_css, standalone, step
from pasctl.report.thin import thin
from tests.report.conftest import Page as Parsed

HOSTILE = "<script>alert('x')</script> & \"y\" \x00\x1b"


@pytest.mark.parametrize(("count", "buckets"), [(1, 5), (7, 7), (100, 7), (101, 400)])
def test_thinning_keeps_every_extreme_and_the_mean(count: int, buckets: int) -> None:
    values = np.random.default_rng(count).normal(size=count)
    found = thin(values, buckets)
    parts = np.split(values, found.edges[1:-1])
    assert len(parts) == min(count, buckets)
    np.testing.assert_allclose(found.low, [part.min() for part in parts])
    np.testing.assert_allclose(found.high, [part.max() for part in parts])
    np.testing.assert_allclose(found.mean @ np.diff(found.edges) / count, values.mean())


@pytest.mark.parametrize("span", [(0.0, 1.0), (-3.7, 12.2), (1e-4, 3e-4), (0, 250_000), (4.9, 5.1), (0.0, 2.5)])
def test_ticks_lie_on_the_scale_and_are_written_as_they_are(span: tuple[float, float]) -> None:
    ticks = Scale(*span, 0.0, 100.0).ticks(5)
    assert 3 <= len(ticks) <= 8
    for value, told in ticks:
        assert span[0] - 1e-9 <= value <= span[1] + 1e-9
        assert float(told.replace(",", "")) == pytest.approx(value, abs=1e-9)


def test_bounds_hold_all_values_and_never_nothing() -> None:
    low, high = bounds([3.0, None, float("nan"), 5.0])
    assert low < 3.0
    assert high > 5.0
    for values in ([], [None], [2.0], [0.0, 0.0]):
        low, high = bounds(values)
        assert low < high


def test_labels_are_moved_apart_in_their_order() -> None:
    rng = np.random.default_rng(0)
    for _ in range(50):
        places = rng.uniform(0, 100, 6)
        moved = apart(places.tolist(), 12, 0, 100)
        order = np.argsort(places)
        assert (np.diff(np.array(moved)[order]) >= 12 - 1e-9).all()
        assert min(moved) >= 0
        assert max(moved) <= 100
    assert apart([10.0, 50.0], 12, 0, 100) == [10.0, 50.0]


def test_a_text_is_cut_to_its_room_and_only_then() -> None:
    assert fit("short", 100) == "short"
    cut = fit("a long text " * 9, 100)
    assert cut.endswith("…")
    assert text_width(cut) <= 100
    assert text_width("漢字") > text_width("ab")


def test_elements_escape_what_they_are_given() -> None:
    drawn = element("g", words(0, 0, HOSTILE), box(0, 0, 1, 1, 'a"><b', tip=HOSTILE))
    root = ElementTree.fromstring(drawn)  # noqa: S314 - just written here
    assert [each.tag for each in root.iter()] == ["g", "text", "rect", "title"]
    assert root[0].text == HOSTILE.replace("\x00", "\ufffd").replace("\x1b", "\ufffd")
    assert "<" not in escape(HOSTILE)


def test_page_escapes_every_text() -> None:
    figure = Figure.of("f", HOSTILE, HOSTILE, lambda width: Drawing(width, 9, [words(0, 0, HOSTILE)]))
    table = Table(HOSTILE, (HOSTILE, "n"), ((Cell(HOSTILE, HOSTILE), Cell("1", mark=True)),), caption=HOSTILE)
    content = Content((HOSTILE,), ((HOSTILE, HOSTILE),), (Drawn(figure), table, Exchange(HOSTILE, HOSTILE, HOSTILE)))
    detail = Detail(HOSTILE, "s1:0", ((HOSTILE, ((HOSTILE, HOSTILE),)),), HOSTILE, HOSTILE)
    sections = (Section("a", HOSTILE, HOSTILE, content), Section("b", "odd", "x", Content()))
    page = render(Page(HOSTILE, sections, figure, (detail,), "1"))
    parsed = Parsed(page)
    assert parsed.open == []
    assert "script" not in parsed.names()
    assert parsed.text.count("<script>") > 20


def right_edges(svg: str) -> list[float]:
    """Where texts end, about: start anchored texts from x on, others left of x."""
    found = []
    for anchor, x, text in _texts(svg):
        wide = text_width(text, 10)
        found.append(x + {"start": wide, "middle": wide / 2, "end": 0.0}[anchor])
    return found


def _texts(svg: str) -> list[tuple[str, float, str]]:
    """Anchor, place across, and words of each text, what moves its groups counted in."""
    found = []

    def visit(element: ElementTree.Element, aside: float) -> None:
        moved = re.match(r"translate\(([-\d.]+)", element.attrib.get("transform", ""))
        aside += float(moved[1]) if moved else 0.0
        if element.tag.endswith("}text"):
            anchor = element.attrib.get("text-anchor", "start")
            found.append((anchor, float(element.attrib["x"]) + aside, element.text or ""))
        for child in element:
            visit(child, aside)

    visit(ElementTree.fromstring(svg), 0.0)  # noqa: S314 - just written here
    return found


LABELS = ("no-change", "own-facet-mean-rounded", "random-direction, α 2.5")


@pytest.mark.parametrize("width", [WIDE, NARROW])
def test_words_stay_on_the_sheet(width: int) -> None:
    marks = [Mark(label, 3.0 + n, (2.5 + n, 3.5 + n), "told") for n, label in enumerate(LABELS)]
    series = [Series(label, "steered", ((0.0, 1.0), (8.0, 1.0 + n))) for n, label in enumerate(LABELS)]
    axes = Axes("α", "error, lower is better", ((0.0, "0"), (8.0, "8")), (("no-change", 1.5),))
    long = ["case=172481"] * 3
    heat = Heat(np.eye(3), long, long, "persona", "persona", -1.0, 1.0, "cosine", lambda value: f"{value:.2f}", "d")
    nodes = [Node("a", "probes/m/l@v1", "0123456789ab train-probes", ()), Node("b", "x/" + "m" * 90, "0 y", ("a",))]
    grouped = [Mark("m" * 60, 3.0, (2.5, 3.5), "oracle", group="a long condition " * 9) for _ in range(30)]
    flagged = Axes("α", "error", ((0.0, "0"), (8.0, "8")), flags=(("chosen for all: 8", 8.0), ("0", 0.0)))
    for drawing in (
        forest(marks, axis="composite error", reference=("no change", 2.9), width=width),
        forest(grouped, axis="composite error", reference=None, width=width),
        lines(series, axes, width=width),
        lines(series, flagged, width=width),
        heatmap(heat, width=width),
        heatmaps([("a long title " * 9, heat)] * 5, width=width),
        bars([("a long name " * 9, 3), ("b", 0)] * 4, unit="personas", axis="α", width=width),
        graph(nodes, width=width),
    ):
        assert max(right_edges(drawing.to_svg("t"))) <= width + 1


def test_marks_stand_where_the_axis_says() -> None:
    """Two ticks fix the scale; the marks must lie on it."""
    svg = forest(
        [Mark("a", 2.0, (1.5, 3.0), "told"), Mark("b", 4.0, None, "told")], axis="x", reference=None, width=WIDE
    ).to_svg("t")
    ticks = {float(text): x for anchor, x, text in _texts(svg) if anchor == "middle" and re.fullmatch(r"[\d.]+", text)}
    (low, high) = min(ticks), max(ticks)
    per = (ticks[high] - ticks[low]) / (high - low)
    centres = [float(x) for x in re.findall(r'<circle cx="([\d.]+)"', svg)]
    assert centres == pytest.approx([ticks[low] + per * (value - low) for value in (2.0, 4.0)], abs=0.1)


def test_a_row_without_a_number_says_none() -> None:
    svg = forest([Mark("a", None, None, "told"), Mark("b", 1.0, None, "told")], axis="x", reference=None, width=WIDE)
    assert ">none</text>" in svg.to_svg("t")


def test_groups_stand_under_their_heading_once_each() -> None:
    marks = [Mark(f"m{n % 3}", float(n), None, "told", group=f"condition {n // 3}") for n in range(9)]
    for width in (WIDE, NARROW):
        svg = forest(marks, axis="x", reference=None, width=width).to_svg("t")
        heights = {text: float(y) for y, text in re.findall(r'y="([\d.]+)" class="head halo">([^<]+)<', svg)}
        assert list(heights) == ["condition 0", "condition 1", "condition 2"]
        centres = [float(y) for y in re.findall(r'<circle [^>]*cy="([\d.]+)"', svg)]
        assert centres == sorted(centres)
        for number, start in enumerate(heights.values()):
            assert [centre > start for centre in centres] == [place >= 3 * number for place in range(9)]


def test_a_tall_forest_has_its_scale_at_both_ends() -> None:
    for rows, times in ((4, 1), (60, 2)):
        svg = forest([Mark("m", 3.0, (2.0, 4.0), "told")] * rows, axis="x", reference=None, width=WIDE).to_svg("t")
        ticks = [text for anchor, _, text in _texts(svg) if anchor == "middle" and re.fullmatch(r"[\d.]+", text)]
        assert {ticks.count(each) for each in ticks} == {times}


def test_single_draws_are_ticks_on_the_row_of_their_mean() -> None:
    svg = forest([Mark("a", 3.0, None, "control", (2.0, 4.0))], axis="x", reference=None, width=WIDE).to_svg("t")
    (centre,) = re.findall(r'<circle cx="([\d.]+)"', svg)
    ticks = [float(x) for x in re.findall(r'<line x1="([\d.]+)"[^>]*class="draw control"', svg)]
    assert sum(ticks) / 2 == pytest.approx(float(centre), abs=0.05)


def test_names_of_ticks_that_are_too_near_are_left_out_and_their_marks_stay() -> None:
    alphas = (0.0, 0.1, 0.2, 4.0, 32.0)
    series = [Series("s", "steered", tuple((alpha, 1.0) for alpha in alphas))]
    svg = lines(series, Axes("α", "y", tuple((alpha, f"{alpha:g}") for alpha in alphas)), width=WIDE).to_svg("t")
    told = [text for anchor, _, text in _texts(svg) if anchor == "middle"]
    assert [each for each in told if each in {"0", "0.1", "0.2", "4", "32"}] == ["0", "4", "32"]
    assert svg.count('class="axis"') == 1 + len(alphas)


def test_bars_are_as_high_as_what_they_count() -> None:
    svg = bars([("0", 2), ("4", 6), ("8", 0)], unit="personas", axis="α", width=WIDE).to_svg("t")
    heights = [float(each) for each in re.findall(r'height="([\d.]+)" class="bar"', svg)]
    assert len(heights) == 2
    assert heights[1] == pytest.approx(3 * heights[0], abs=0.05)
    assert [text for _, _, text in _texts(svg) if text in "260"] == ["2", "0", "6", "0"]


def test_maps_side_by_side_are_whole_and_share_one_scale() -> None:
    heat = Heat(
        np.eye(5), list("ABCDE"), list("OCEAN"), "pole", "trait", -1.0, 1.0, "shift", str, "d", frame="intended"
    )
    one = heatmap(heat, width=WIDE, legend=False).to_svg("t")
    for width, beside in ((WIDE, 3), (NARROW, 1)):
        svg = heatmaps([(f"map {n}", heat) for n in range(4)], width=width).to_svg("t")
        assert svg.count("<title>pole") == 4 * one.count("<title>pole") == 100
        assert svg.count(">shift</text>") == 1
        assert len(set(re.findall(r'<g transform="translate\((\d[\d.]*) [\d.]+\)"><text', svg))) == beside


def test_heat_map_leaves_gaps_blank_and_shades_by_value() -> None:
    values = np.array([[0.0, 0.5], [1.0, np.nan]])
    heat = Heat(values, ["0", "1"], ["0", "1"], "layer", "head", 0.0, 1.0, "x", lambda value: f"{value:.1f}")
    svg = heatmap(heat, width=WIDE).to_svg("t")
    cells = re.findall(r'class="(s\d+)"><title>layer (\d), head (\d)', svg)
    assert cells == [("s0", "0", "0"), ("s5", "0", "1"), ("s10", "1", "0")]
    assert [step(each) for each in (-1, 0, 1, 2)] == [0, 0, STEPS, STEPS]
    flat = Heat(np.ones((1, 1)), ["0"], ["0"], "layer", "head", 1.0, 1.0, "x", str)
    assert flat.shade(1.0) == STEPS


def test_graph_has_an_arrow_an_input_and_groups_what_hangs_together() -> None:
    names = {"a": (), "b": ("a",), "c": ("a", "b"), "d": ("c", "a"), "e": (), "f": ("e",), "g": ("f", "d")}
    nodes = [Node(key, f"kind/{key}/x", "told", inputs) for key, inputs in names.items()]
    for width in (WIDE, NARROW):
        svg = graph(nodes[:6], width=width).to_svg("t")
        assert svg.count('class="arrow"') == 6
        assert svg.count("<rect") == 6
    lefts = {float(x) for x in re.findall(r'<rect x="([\d.]+)"', graph(nodes[:6], width=WIDE).to_svg("t"))}
    assert len(lefts) == 2
    together = graph(nodes, width=WIDE).to_svg("t")
    assert len(set(re.findall(r'<rect x="([\d.]+)"', together))) == 1
    assert together.count('class="arrow"') == 8


def test_a_file_of_its_own_has_its_colours() -> None:
    figure = Figure.of("f", "title", "", lambda width: Drawing(width, 9, [box(0, 0, 1, 1, "s3")]))
    root = ElementTree.fromstring(standalone(figure.wide))  # noqa: S314 - just written here
    assert ".figure .s3{fill:#" in (root[0].text or "")
    assert "prefers-color-scheme: dark" in standalone(figure.wide)
    assert "prefers-color-scheme: dark" not in standalone(figure.wide, dark=False)
    assert set(re.findall(r"#[0-9a-f]{6}", standalone(figure.wide, dark=False))) < set(
        re.findall(r"#[0-9a-f]{6}", figure_css())
    )


def luminance(colour: str) -> float:
    channels = [int(colour[place : place + 2], 16) / 255 for place in (1, 3, 5)]
    linear = [each / 12.92 if each <= 0.04045 else ((each + 0.055) / 1.055) ** 2.4 for each in channels]
    return float(np.dot((0.2126, 0.7152, 0.0722), linear))


def test_numbers_on_cells_can_be_read_in_both_modes() -> None:
    """WCAG asks for a contrast of 4.5 for text; no cell's number has less than that."""
    for rules in figure_css().split("@media"):
        found = dict(re.findall(r"\.figure \.((?:on-)?[sd]\d+)\{fill:(#[0-9a-f]{6})\}", rules))
        assert len(found) == 4 * (STEPS + 1)
        for name, colour in found.items():
            if not name.startswith("on-"):
                pair = sorted((luminance(colour), luminance(found[f"on-{name}"])))
                assert (pair[1] + 0.05) / (pair[0] + 0.05) >= 4.5, name
