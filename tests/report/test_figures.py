"""Drawing: values are drawn as they are given, no two texts touch, and texts stay texts."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable
from xml.etree import ElementTree

import numpy as np
import pytest
from matplotlib.figure import Figure
from matplotlib.patches import FancyArrowPatch, FancyBboxPatch, Rectangle

from pasctl.report.blocks import NARROW, WIDE, Cell, Content, Detail, Drawn, Exchange, Section, Table
from pasctl.report.encode import pdf, png, standalone, svg
from pasctl.report.figures.bars import bars, histogram
from pasctl.report.figures.forest import Mark, forest
from pasctl.report.figures.graph import Node, graph
from pasctl.report.figures.heatmap import Heat, heatmap, heatmaps
from pasctl.report.figures.lines import Chart, Series, lines
from pasctl.report.figures.panels import Panel, Spread, panels
from pasctl.report.figures.recall import Fetched, recall_map
from pasctl.report.figures.style import apart, fit, style, text_width
from pasctl.report.figures.timeline import timeline
from pasctl.report.page import Page, render
from pasctl.report.theme import DARK, LIGHT, STEPS, figure_css, on_shades, pairs, shades, step
from pasctl.report.thin import thin
from tests.report import drawings
from tests.report.conftest import Page as Parsed

HOSTILE = "<script>alert('x')</script> & \"y\" $a_b$ \x00\x1b"
LONG = "a long name that goes on " * 9
LABELS = ("no-change", "own-facet-mean-rounded", "random-direction, α 2.5")


@pytest.mark.parametrize(("count", "buckets"), [(1, 5), (7, 7), (100, 7), (101, 400)])
def test_thinning_keeps_every_extreme_and_the_mean(count: int, buckets: int) -> None:
    values = np.random.default_rng(count).normal(size=count)
    found = thin(values, buckets)
    parts = np.split(values, found.edges[1:-1])
    assert len(parts) == min(count, buckets)
    np.testing.assert_allclose(found.low, [part.min() for part in parts])
    np.testing.assert_allclose(found.high, [part.max() for part in parts])
    np.testing.assert_allclose(found.mean @ np.diff(found.edges) / count, values.mean())


def test_labels_are_moved_apart_in_their_order() -> None:
    rng = np.random.default_rng(0)
    for _ in range(50):
        places = rng.uniform(-5, 105, 6)
        moved = apart(places.tolist(), 12, 0, 100)
        order = np.argsort(places)
        assert (np.diff(np.array(moved)[order]) >= 12 - 1e-9).all()
        assert min(moved) >= 0
        assert max(moved) <= 100
    assert apart([10.0, 50.0], 12, 0, 100) == [10.0, 50.0]


def test_a_text_is_cut_to_its_room_and_only_then() -> None:
    assert fit("short", 100) == "short"
    cut = fit(LONG, 100)
    assert cut.endswith("…")
    assert text_width(cut) <= 100
    assert text_width(fit(LONG, 200)) > 150
    with style():
        assert text_width("漢字") > text_width("ab")


def _heat(rows: int, columns: int, name: str = "{}", **more: object) -> Heat:
    values = np.linspace(-1, 1, rows * columns).reshape(rows, columns)
    names = [[name.format(place) for place in range(count)] for count in (rows, columns)]
    return Heat(values, *names, "layer", "head", -1.0, 1.0, "cosine", lambda value: f"{value:.2f}", **more)  # type: ignore[arg-type]


def _many() -> dict[str, Callable[[int], Figure]]:
    """Every kind of figure, with long names, many rows, and things that lie near each other."""
    rng = np.random.default_rng(0)
    marks = [Mark(label, 3.0 + n, (2.5 + n, 3.5 + n), "told", (3.0, 3.1)) for n, label in enumerate(LABELS)]
    grouped = [Mark(LONG, 3.0 + n, (2.5, 13.5), "oracle", group=f"{n // 5} {LONG}") for n in range(30)]
    alphas = (0.0, 0.1, 0.2, 4.0, 32.0)
    swept = [Series(label, "steered", tuple((x, x + n) for x in alphas)) for n, label in enumerate((*LABELS, LONG))]
    ticks = tuple((alpha, f"{alpha:g}") for alpha in alphas)
    level, flag = (("no-change", 1.5), (LONG, 1.6)), (("chosen for all: 8", 8.0),)
    chart = Chart(swept, "α, " + LONG, LONG, ticks, level, flags=flag)
    spread = tuple(Spread(level, 3.0, (2.5, 3.5), (1.0, 5.0)) for level in (1.0, 3.0, 5.0))
    shown = [
        Panel(label, strength, "told", spread)
        for label, strength in ((LABELS[1], ""), ("pas", "α oracle"), (LONG, LONG))
    ]
    nodes = [
        Node("a", "probes/m/l@v1", "0123456789ab train-probes", ()),
        Node("b", "x/" + "m" * 90, "0 y" * 30, ("a",), "given"),
        Node("c", LONG, LONG, ("a", "b"), "gone"),
    ]
    surprise = rng.exponential(2.0, 3000)
    flags = [5, 6, 7, 2990, 2995]
    note = "oracle: α chosen on the reported items: upper bound"
    fetched = [Fetched(layer, event, 0.5, 1.0) for layer in range(30) for event in (0, 3, 99)]
    return {
        "forest": lambda width: forest(marks, axis="error", reference=("no change", 2.9), note=note, width=width),
        "forest, long": lambda width: forest(grouped, axis=LONG, reference=(LONG, 2.5), width=width),
        "lines": lambda width: lines(chart, width=width),
        "lines, two": lambda width: lines(chart, chart, width=width),
        "map": lambda width: heatmap(_heat(3, 5, LONG), width=width),
        "map, large": lambda width: heatmap(_heat(60, 60, "s{:02}"), width=width),
        "map, of a model": lambda width: heatmap(_heat(36, 32), width=width),
        "map, one row": lambda width: heatmap(_heat(1, 4), width=width),
        "maps": lambda width: heatmaps([(LONG, _heat(10, 5, "{}+"))] * 5, note=note, width=width),
        "bars": lambda width: bars([(LONG, 3), ("b", 0)] * 6, unit="personas", axis=LONG, width=width),
        "histogram": lambda width: histogram(
            [5, 9, 31, 31, 32], unit="tokens", flags=[("mean", 31.9), ("least", 4), ("most", 32)], width=width
        ),
        "panels": lambda width: panels(shown * 3, (1, 5), note=note, width=width),
        "recall": lambda width: recall_map(fetched, layers=range(30), events=100_000, width=width),
        "timeline": lambda width: timeline(surprise, range(0, 3000, 7), flags=flags, width=width),
        "timeline, close": lambda width: timeline(surprise[:200], [3, 90], flags=flags, width=width),
        "graph": lambda width: graph(nodes, width=width),
    }


@pytest.mark.parametrize("width", [WIDE, NARROW])
@pytest.mark.parametrize("name", _many())
def test_no_texts_lie_on_each_other_or_leave_the_sheet(name: str, width: int) -> None:
    assert drawings.faults(_many()[name](width)) == []


def test_what_the_check_of_texts_looks_for_it_would_find() -> None:
    figure = Figure(figsize=(2, 2), dpi=96)
    for x, text in ((0.2, "one"), (0.25, "two"), (0.9, "too long for it")):
        figure.text(x, 0.5, text)
    assert drawings.faults(figure) == ["'too long for it' leaves the sheet", "'one' on 'two'"]


def test_marks_stand_at_their_values_and_intervals_at_theirs() -> None:
    marks = [
        Mark("a", 2.0, (1.5, 3.0), "told"),
        Mark("b", 4.0, None, "control", (3.0, 5.0)),
        Mark("c", None, None, "told"),
    ]
    for width in (WIDE, NARROW):
        figure = forest(marks, axis="x", reference=("r", 2.5), width=width)
        means = drawings.values(figure, "mean")
        assert [x for x, _ in means] == [2.0, 4.0]
        assert means[0][1] < means[1][1]
        assert drawings.values(figure, "interval") == [(1.5, means[0][1]), (3.0, means[0][1])]
        assert drawings.values(figure, "draws") == [(3.0, means[1][1]), (5.0, means[1][1])]
        assert {x for x, _ in drawings.values(figure, "reference")} == {2.5}
        assert {"2.00", "1.50 to 3.00", "4.00", "none"} <= set(drawings.words(figure))
        low, high = figure.axes[0].get_xlim()
        assert low < 1.5
        assert high > 5.0


def test_groups_stand_under_their_heading_once_each() -> None:
    marks = [Mark(f"m{n % 3}", float(n), None, "told", group=f"condition {n // 3}") for n in range(9)]
    for width in (WIDE, NARROW):
        figure = forest(marks, axis="x", width=width)
        heights = {text: box.y1 for text, box in drawings.boxes(figure) if text.startswith("condition")}
        assert list(heights) == ["condition 0", "condition 1", "condition 2"]
        to_pixels = figure.axes[0].transData.transform
        centres = [to_pixels(point)[1] for point in drawings.values(figure, "mean")]
        assert centres == sorted(centres, reverse=True)
        for number, start in enumerate(heights.values()):
            assert [centre < start for centre in centres] == [place >= 3 * number for place in range(9)]


def test_a_tall_forest_has_its_scale_at_both_ends() -> None:
    for rows, times in ((4, 1), (60, 2)):
        figure = forest([Mark("m", 3.0, (2.0, 4.0), "told")] * rows, axis="x")
        ticks = [text for text, _ in drawings.boxes(figure) if re.fullmatch(r"[\d.]{1,3}", text)]
        assert {ticks.count(tick) for tick in ticks} == {times}


def test_lines_bands_levels_and_flags_are_where_they_are_given() -> None:
    points = ((0.0, 1.0), (2.0, 3.0), (4.0, 2.0))
    ends = ((0.5, 1.5), None, (1.5, 2.5))
    ticks, level, flags = ((0.0, "0"), (4.0, "4")), (("level", 0.25),), (("flag", 2.0),)
    for whiskers in (False, True):
        figure = lines(
            Chart(
                [Series("s", "steered", points, ends, aside=7.0)], "α", "y", ticks, level, (0.0, 9.0), flags, whiskers
            )
        )
        assert tuple(drawings.values(figure, "series")) == points
        assert {y for _, y in drawings.values(figure, "level")} == {0.25}
        assert {x for x, _ in drawings.values(figure, "flag")} == {2.0}
        low, high = figure.axes[0].get_ylim()
        assert low < 0
        assert high > 9
        bands = [np.concatenate([path.vertices for path in drawn.get_paths()]) for drawn in figure.axes[0].collections]
        assert len(bands) == 1
        assert {tuple(point) for point in bands[0].tolist()} == {(0.0, 0.5), (0.0, 1.5), (4.0, 1.5), (4.0, 2.5)}
        assert {"s", "level", "flag"} <= set(drawings.words(figure))


def test_names_of_ticks_that_are_too_near_are_left_out_and_their_marks_stay() -> None:
    alphas = (0.0, 0.1, 0.2, 4.0, 32.0)
    series = [Series("s", "steered", tuple((alpha, 1.0) for alpha in alphas))]
    figure = lines(Chart(series, "α", "y", tuple((alpha, f"{alpha:g}") for alpha in alphas)))
    plane = figure.axes[0]
    assert [label.get_text() for label in plane.get_xticklabels()] == ["0", "", "", "4", "32"]
    assert tuple(plane.get_xticks()) == alphas


def test_bars_are_as_high_as_what_they_count() -> None:
    figure = bars([("0", 2), ("4", 6), ("8", 0)], unit="personas", axis="α")
    assert [patch.get_height() for patch in figure.axes[0].patches] == [2, 6, 0]
    lengths = [3, 3, 70, 41]
    figure = histogram(lengths, unit="tokens", flags=[("mean", 29.25)])
    drawn = [patch for patch in figure.axes[0].patches if isinstance(patch, Rectangle)]
    assert sum(patch.get_height() for patch in drawn) == len(lengths)
    for length in lengths:
        assert any(patch.get_x() <= length < patch.get_x() + 3 and patch.get_height() for patch in drawn)
    assert {x for x, _ in drawings.values(figure, "flag")} == {29.25}


def test_maps_side_by_side_are_whole_and_share_one_scale() -> None:
    for width, beside in ((WIDE, 3), (NARROW, 1)):
        figure = heatmaps([(f"map {n}", _heat(5, 5, colours="d")) for n in range(4)], width=width)
        assert len(drawings.cells(figure, "d")) == 100
        assert drawings.words(figure).count("cosine") == 1
        drawings.boxes(figure)
        assert len({round(axes.get_position().x0, 3) for axes in figure.axes[:4]}) == beside


def test_heat_map_leaves_gaps_blank_and_shades_by_value() -> None:
    values = np.array([[0.0, 0.5], [1.0, np.nan]])
    heat = Heat(values, ["0", "1"], ["0", "1"], "layer", "head", 0.0, 1.0, "x", lambda value: f"{value:.1f}")
    assert drawings.cells(heatmap(heat)) == [
        (0, "layer 0, head 0: 0.0"),
        (5, "layer 0, head 1: 0.5"),
        (10, "layer 1, head 0: 1.0"),
    ]
    assert [step(share) for share in (-1, 0, 1, 2)] == [0, 0, STEPS, STEPS]
    flat = Heat(np.ones((1, 1)), ["0"], ["0"], "layer", "head", 1.0, 1.0, "x", str)
    assert drawings.cells(heatmap(flat)) == [(STEPS, "layer 0, head 0: 1.0")]


def test_panels_hold_their_spreads() -> None:
    spreads = (Spread(1.0, 2.0, (1.5, 2.5), (1.0, 4.0)), Spread(5.0, 4.0, (3.5, 4.5), (2.0, 5.0)))
    [axes] = panels([Panel("a", "α 4", "steered", spreads)], (1, 5)).axes
    drawn = {each.get_gid(): [path.vertices.tolist() for path in each.get_paths()] for each in axes.collections}
    assert drawn["middle"] == [[[1.0, 1.5], [1.0, 2.5]], [[5.0, 3.5], [5.0, 4.5]]]
    assert drawn["most"] == [[[1.0, 1.0], [1.0, 4.0]], [[5.0, 2.0], [5.0, 5.0]]]
    assert drawings.values(axes.figure, "mean") == [(1.0, 2.0), (5.0, 4.0)]


def test_a_timeline_has_every_token_or_every_extreme() -> None:
    surprise = np.random.default_rng(0).exponential(2.0, 100)
    upper = timeline(surprise, [3, 50], first=1000).axes[0]
    heights = {round(patch.get_x()): patch.get_height() for patch in upper.patches}
    assert heights == {1000 + token: value for token, value in enumerate(surprise)}
    long = np.random.default_rng(1).exponential(2.0, 50_000)
    upper, lower = timeline(long, range(0, 50_000, 40)).axes
    [band] = [each for each in upper.collections if each.get_gid() == "range"]
    heights = np.concatenate([path.vertices[:, 1] for path in band.get_paths()])
    assert heights.max() == long.max()
    assert heights.min() == long.min()
    assert len(lower.collections[0].get_paths()) == (WIDE - 60) // 6


def test_graph_has_an_arrow_an_input_and_groups_what_hangs_together() -> None:
    names = {"a": (), "b": ("a",), "c": ("a", "b"), "d": ("c", "a"), "e": (), "f": ("e",), "g": ("f", "d")}
    nodes = [Node(key, f"kind/{key}/x", "told", inputs) for key, inputs in names.items()]
    for width in (WIDE, NARROW):
        figure = graph(nodes[:6], width=width)
        assert len(figure.findobj(FancyArrowPatch)) == 6
        assert len(figure.findobj(FancyBboxPatch)) == 6
    for part, columns, arrows in ((nodes[:6], 2, 6), (nodes, 1, 8)):
        figure = graph(part)
        assert len({box.get_x() for box in figure.findobj(FancyBboxPatch)}) == columns
        assert len(figure.findobj(FancyArrowPatch)) == arrows


def test_page_escapes_every_text() -> None:
    def draw(width: int) -> Figure:
        return forest([Mark(HOSTILE, 1.0, None, "told", group=HOSTILE)], axis=HOSTILE, note=HOSTILE, width=width)

    figure = Drawn("f", HOSTILE, HOSTILE, draw)
    table = Table(HOSTILE, (HOSTILE, "n"), ((Cell(HOSTILE, HOSTILE), Cell("1", mark=True)),), caption=HOSTILE)
    content = Content((HOSTILE,), ((HOSTILE, HOSTILE),), (figure, table, Exchange(HOSTILE, HOSTILE, HOSTILE)))
    detail = Detail(HOSTILE, "s1:0", ((HOSTILE, ((HOSTILE, HOSTILE),)),), HOSTILE, HOSTILE)
    sections = (Section("a", HOSTILE, HOSTILE, content), Section("b", "odd", "x", Content()))
    page = render(Page(HOSTILE, sections, figure, (detail,), "1"))
    parsed = Parsed(page)
    assert parsed.open == []
    assert "script" not in parsed.names()
    assert parsed.text.count("<script>") > 20
    assert "$a_b$" in standalone(draw(WIDE), HOSTILE, HOSTILE), "what looks like a formula is text"


def test_ids_of_a_page_are_unique_and_all_that_is_pointed_to_is_there() -> None:
    figure = Drawn("f", "t", "c", lambda width: forest([Mark("a", 1.0, (0.0, 2.0), "told")], axis="x", width=width))
    page = render(Page("p", (Section("a", "k", "n", Content(blocks=(figure, figure))),), figure, (), "1"))
    ids = re.findall(r' id="([^"]+)"', page)
    assert len(set(ids)) == len(ids) > 6
    assert set(re.findall(r'(?:xlink:)?href="#([^"]+)"|url\(#([^)]+)\)', page)) <= {
        pair for name in ids for pair in ((name, ""), ("", name))
    }


def test_the_same_figure_gives_the_same_bytes_in_any_thread_and_under_any_settings() -> None:
    import matplotlib as mpl

    def encoded() -> tuple[str, str, bytes, bytes]:
        drawn = [forest([Mark("a", 1.0, (0.0, 2.0), "told")], axis="x") for _ in range(4)]
        return svg(drawn[0], "t", prefix="p"), standalone(drawn[1], "t"), png(drawn[2]), pdf(drawn[3])

    first = encoded()
    found = []
    with mpl.rc_context({"font.size": 30, "axes.grid": True, "svg.hashsalt": "x", "text.color": "red"}):
        threads = [threading.Thread(target=lambda: found.append(encoded())) for _ in range(3)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert mpl.rcParams["font.size"] == 30
    assert found == [first] * 3


def test_figures_need_no_display_and_leave_pyplot_alone() -> None:
    import sys

    forest([Mark("a", 1.0, None, "told")], axis="x")
    assert "matplotlib.pyplot" not in sys.modules or not sys.modules["matplotlib.pyplot"].get_fignums()


def test_a_file_of_its_own_has_its_colours_a_name_and_words_for_those_who_hear_it() -> None:
    written = standalone(heatmap(_heat(2, 2)), "the title", "about it")
    root = ElementTree.fromstring(written)  # noqa: S314 - just written here
    assert root.attrib["role"] == "img"
    told = {child.tag.rpartition("}")[2]: child.text for child in root}
    assert told["title"] == "the title"
    assert told["desc"] == "about it"
    assert f"fill: {LIGHT['paper']}" in written
    assert f"fill:{DARK['paper']} !important" in written
    assert written.count("<title>layer") == 4
    assert "<metadata" not in written


def test_every_colour_of_every_figure_has_one_for_the_dark() -> None:
    known = dict(pairs())
    assert len(known) == len(pairs()), "each light colour stands for one thing"
    for name, draw in _many().items():
        colours = set(re.findall(r"(?:fill|stroke): (#[0-9a-f]{6})", svg(draw(WIDE), name)))
        assert colours
        assert colours <= known.keys(), name


def luminance(colour: str) -> float:
    channels = [int(colour[place : place + 2], 16) / 255 for place in (1, 3, 5)]
    linear = [each / 12.92 if each <= 0.04045 else ((each + 0.055) / 1.055) ** 2.4 for each in channels]
    return float(np.dot((0.2126, 0.7152, 0.0722), linear))


@pytest.mark.parametrize("dark", [False, True])
@pytest.mark.parametrize("scale", ["s", "d"])
def test_numbers_on_cells_can_be_read_in_both_modes(scale: str, dark: bool) -> None:
    """WCAG asks for a contrast of 4.5 for text; no cell's number has less than that, but for a trace."""
    for shade, ink in zip(shades(scale, dark=dark), on_shades(scale, dark=dark), strict=True):
        pair = sorted((luminance(shade), luminance(ink)))
        assert (pair[1] + 0.05) / (pair[0] + 0.05) >= 4.45


def test_the_rules_of_style_change_colours_for_the_dark_alone() -> None:
    assert figure_css().startswith("@media screen and (prefers-color-scheme: dark) {")
