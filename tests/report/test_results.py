"""Results: settings told apart, upper bounds marked, and every block's numbers those of the data."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from pasctl.evaluation.intervals import interval as student
from pasctl.report.blocks import NARROW, WIDE, Content, Drawn, Table, interval, number
from pasctl.report.sections.labels import UPPER_BOUND, given, kind, label
from pasctl.report.sections.results import results
from pasctl.report.sections.shifts import MOST_MAPS
from pasctl.report.sections.strengths import strengths
from pasctl.stages.runner import Store
from tests.report import drawings, full
from tests.report.drawings import figures
from tests.report.full import baseline, condition


def tables(content: Content) -> dict[str, Table]:
    return {block.title.split()[0]: block for block in content.blocks if isinstance(block, Table)}


def bands(drawn: Drawn) -> int:
    """How many areas a figure of lines has."""
    return sum(len(axes.collections) for axes in drawn.draw(WIDE).axes)


def metrics(*rows: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"coding": "agreement", "conditions": list(rows), **more}


BASELINE = baseline("constant-3")
EARLIER = {"setting", "alphas", "draws", "draw_composites", "order_spread", "rank_correlation_mean"}


def earlier(row: dict[str, Any]) -> dict[str, Any]:
    """The row as results before version 4 have it."""
    return {name: value for name, value in row.items() if name not in EARLIER}


@pytest.mark.parametrize(
    ("row", "told", "of_kind", "number_given"),
    [
        (condition("no-change"), "no-change", "told", None),
        (condition("given-prose"), "given-prose", "told", None),
        (condition("pas", "4"), "pas, α 4", "steered", 4.0),
        (condition("pas", "0"), "pas, α 0", "steered", 0.0),
        (condition("pas+few-shot", "auto"), "pas+few-shot, α auto", "steered", None),
        (condition("pas", "oracle"), "pas, α oracle", "oracle", None),
        (condition("random-direction", "2.5"), "random-direction, α 2.5", "control", 2.5),
        (condition("shuffled-answers", "oracle"), "shuffled-answers, α oracle", "control", None),
        (BASELINE, "constant-3", "baseline", None),
        (earlier(condition("pas", "4")), "pas, α 4", "steered", 4.0),
        (earlier(condition("no-change")), "no-change", "told", None),
        (earlier(BASELINE), "constant-3", "baseline", None),
    ],
)
def test_rows_have_a_name_and_a_kind(row: dict[str, Any], told: str, of_kind: str, number_given: float | None) -> None:
    assert (label(row), kind(row), given(row)) == (told, of_kind, number_given)


def test_baselines_and_controls_are_marked_and_the_lowest_of_each_is_named() -> None:
    draws = {"draws": 3, "draw_composites": [4.2, 4.0, 4.4]}
    controls = [condition("random-direction", "4", 1.0, **draws), condition("shuffled-answers", "4", 1.0)]
    rows = [condition("no-change"), condition("pas", "4", 3.5), *controls, BASELINE]
    content = results(metrics(*rows), None)
    notes = {row[0].text: row[0].note for row in tables(content)["Conditions"].rows}
    assert notes == {
        "no-change": "",
        "pas": "",
        "random-direction": "control, mean of 3 draws",
        "shuffled-answers": "control",
        "constant-3": "baseline",
    }
    assert "of the model's 2 rows, picked after the fact: pas, α 4 with 3.50" in " ".join(content.lead)
    assert "constant-3 with 3.80" in " ".join(content.lead)
    drawn = figures(content)["composite"]
    figure = drawn.draw(WIDE)
    assert drawings.kinds(figure) == {"told": 1, "steered": 1, "control": 2, "baseline": 1}
    assert [x for x, _ in drawings.values(figure, "mean")] == [row["composite"] for row in rows]
    assert [x for x, _ in drawings.values(figure, "interval")] == [
        end for row in rows for end in row["composite_interval"]
    ]
    assert [x for x, _ in drawings.values(figure, "draws")] == [4.2, 4.0, 4.4]
    assert "single draws" in drawn.caption
    assert set(figures(content)) == {"composite"}


def test_an_oracle_is_an_upper_bound_wherever_it_is_shown_and_never_the_lowest_row() -> None:
    rows = [condition("no-change"), condition("pas", "auto", 3.5), condition("pas", "oracle", 2.0), BASELINE]
    differences = [{**condition("pas", "oracle"), "against": "no-change", "against_setting": "", "composite": None}]
    known = {**differences[0], "item_correlation": [0.5, 0.4, 0.6]}
    content = results(metrics(*rows, differences=[known]), full_rows(rows))
    assert "pas, α auto with 3.50" in " ".join(content.lead)
    assert any(UPPER_BOUND in sentence for sentence in content.lead)
    cells = {row[1].text: row for row in tables(content)["Conditions"].rows}
    assert UPPER_BOUND in cells["oracle"][0].note
    assert UPPER_BOUND not in cells["auto"][0].note
    assert UPPER_BOUND in tables(content)["Differences,"].caption
    drawn = figures(content)
    assert drawings.kinds(drawn["composite"].draw(WIDE))["oracle"] == 1
    assert f"blue rings: {UPPER_BOUND}" in drawn["composite"].caption
    assert UPPER_BOUND in drawn["items"].caption
    for name in ("composite", "items"):
        for width in (WIDE, NARROW):
            note = "a figure may go where its caption does not"
            assert UPPER_BOUND[:30] in "".join(drawings.words(drawn[name].draw(width))), note
    without = results(metrics(*rows[:2], BASELINE), full_rows(rows[:2]))
    assert "oracle" not in str(without)
    assert not [each for name in ("composite", "items") for each in shown(without, name) if "oracle" in each]


def shown(content: Content, name: str) -> list[str]:
    return drawings.words(figures(content)[name].draw(WIDE))


def full_rows(rows: list[dict[str, Any]]) -> dict[str, np.ndarray]:
    return full.rows({"conditions": rows})


def test_how_many_personas_have_which_strength_stands_beside_auto() -> None:
    alphas = {"4": 17, "0": 3, "12": 1}
    rows = [condition("pas", "auto", alphas=alphas), condition("pas", "4", alphas={"4": 21})]
    cells = {row[1].text: row[1].note for row in tables(results(metrics(*rows), None))["Conditions"].rows}
    assert {name: note.replace("\N{NO-BREAK SPACE}", " ") for name, note in cells.items()} == {
        "auto": "0 ×3, 4 ×17, 12 ×1",
        "4": "",
    }


def test_spread_over_orders_is_a_column_only_where_there_were_several() -> None:
    one = [condition("no-change", order_spread=None), BASELINE]
    several = [condition("no-change"), BASELINE]
    assert "spread" not in tables(results(metrics(*one), None))["Conditions"].head
    table = tables(results(metrics(*several), None))["Conditions"]
    assert table.head[-1] == "spread"
    assert [row[-1].text for row in table.rows] == ["0.31", "–"]
    assert {len(row) for row in table.rows} == {len(table.head)}


def test_rank_correlation_is_shown_and_the_others_median_explained() -> None:
    rows = [condition("no-change", rank_correlation_mean=-0.25), baseline("item-median-loo")]
    table = tables(results(metrics(*rows), None))["Conditions"]
    assert table.rows[0][table.head.index("rank r")].text == "−0.25"
    assert "rank r of item-median-loo means nothing" in table.caption
    assert "item-median-loo" not in tables(results(metrics(condition("no-change")), None))["Conditions"].caption


def test_strength_is_drawn_where_it_was_varied_from_numbers_alone() -> None:
    swept = [condition("pas", setting) for setting in ("4", "1", "2", "auto", "oracle")]
    bare = [{**row, "item_correlation_interval": None} for row in swept]
    drawn = figures(results(metrics(condition("no-change"), *bare, BASELINE), None))
    [line] = drawings.lines(drawn["alpha-composite"].draw(WIDE), "series")
    by_alpha = {row["alpha"]: row["composite"] for row in swept[:3]}
    assert dict(zip(line.get_xdata(), line.get_ydata(), strict=True)) == by_alpha
    assert drawings.kind(line) == "steered"
    assert bands(drawn["alpha-composite"]) == 1
    assert bands(drawn["alpha-correlation"]) == 0
    assert "No intervals were kept" in drawn["alpha-correlation"].caption
    banded = results(metrics(condition("no-change"), *swept, BASELINE), None)
    assert bands(figures(banded)["alpha-correlation"]) == 1
    for settings in (("4",), ("4", "auto"), ("auto", "oracle")):
        rows = [condition("pas", setting) for setting in settings]
        assert set(figures(results(metrics(*rows), None))) == {"composite"}


def test_results_of_earlier_versions_are_shown_by_their_alpha() -> None:
    rows = [earlier(condition(*each)) for each in (("no-change",), ("pas", "2"), ("pas", "4"))] + [earlier(BASELINE)]
    older = full_rows([condition(*each) for each in (("no-change",), ("pas", "2"), ("pas", "4"))])
    del older["setting"]
    each = {"condition": "pas", "alpha": 4.0, "against": "random-direction", "against_alpha": 4.0}
    differences = [{**each, "composite": [0.1, -0.1, 0.3], "item_correlation": None}]
    content = results(metrics(*rows, differences=differences), older)
    assert [row[1].text for row in tables(content)["Conditions"].rows] == ["", "2", "4", ""]
    assert [cell.text for cell in tables(content)["Differences,"].rows[0][:2]] == ["pas, α 4", "random-direction, α 4"]
    assert set(figures(content)) == {"composite", "alpha-composite", "alpha-correlation", "items"}
    assert len(figures(content)["items"].draw(WIDE).axes) == 3


@pytest.mark.parametrize(
    ("found", "marked"),
    [([-0.5, -0.7, -0.3], True), ([-0.5, -0.7, 0.1], False), ([0.2, 0.1, 0.3], True)],
)
def test_differences_are_marked_when_the_interval_excludes_zero(found: list[float], marked: bool) -> None:
    pas = {"condition": "pas", "setting": "auto", "alpha": None, "item_correlation": None, "composite": found}
    differences = [
        {**pas, "against": "no-change", "against_setting": "", "against_alpha": 0.0},
        {**pas, "against": "shuffled-answers", "against_setting": "auto", "against_alpha": None},
    ]
    first, second = tables(results(metrics(condition("no-change"), differences=differences), None))["Differences,"].rows
    assert [cell.text for cell in first[:2]] == ["pas, α auto", "no-change"]
    assert [cell.text for cell in second[:2]] == ["", "shuffled-answers, α auto"]
    assert first[2].mark is marked
    assert ("●" in first[2].text) is marked
    assert first[3].text == "–"


def test_differences_that_nothing_is_known_of_have_no_row_and_no_table() -> None:
    nothing = {"condition": "pas", "setting": "4", "against": "no-change", "against_setting": ""}
    nothing |= {"composite": None, "item_correlation": None}
    known = {**nothing, "against": "constant-3", "composite": [0.5, 0.1, 0.9]}
    shown = tables(results(metrics(condition("no-change"), differences=[nothing, known]), None))
    assert [row[1].text for row in shown["Differences,"].rows] == ["constant-3"]
    assert "Differences," not in tables(results(metrics(condition("no-change"), differences=[nothing]), None))


def test_the_section_begins_with_the_verdict_and_its_warnings() -> None:
    weak = [{**condition(name, alpha), "option_mass": 0.1} for name, alpha in (("no-change", ""), ("pas", "4"))]
    first, second, *_ = results(metrics(*weak), None).lead
    assert first.startswith("The model does not answer in letters: they hold .10 of the probability")
    assert "Whether steering has an effect is unknown: no control was run alongside" in first
    assert second == "Warning: letters hold .10 of the probability, below .50: their proportions say little."


def test_results_say_what_they_do_not_have() -> None:
    bare = {"composite_interval": None, "item_correlation": None, "acquiescence": None}
    said = " ".join(results(metrics(condition("no-change", **bare)), None).lead)
    assert "No intervals" in said
    note = "3 personas: no intervals, they need at least 5"
    told = results(metrics(condition("no-change", **bare), notes=[note]), None).lead
    assert told[-1] == note
    assert "too few personas" not in " ".join(told)
    partial = {**condition("no-change"), **bare, "composite": None, "mae": {"O": 1.0, "C": None}}
    content = results({**metrics(partial), "coding": "as-published"}, None)
    assert "No composite" in " ".join(content.lead)
    assert "do not measure personality" in " ".join(content.lead)
    assert figures(content) == {}
    assert tables(content)["Conditions"].head[:4] == ("condition", "α", "O", "composite")


@pytest.mark.parametrize(
    ("scope", "budget", "who", "within"),
    [("persona", 0.5, "each persona's own", "within a KL of 0.5 nats"), ("population", None, "one for all", "")],
)
def test_how_alpha_was_chosen_is_one_sentence(scope: str, budget: float | None, who: str, within: str) -> None:
    choice = {"scope": scope, "alphas": [0, 2.5], "folds": 4, "budget_kl": budget, "source": "strengths/m/p@v2"}
    (told,) = [each for each in results(metrics(condition("pas", "auto"), choice=choice), None).lead if "folds" in each]
    for words in (who, "among 0, 2.5 by", "4 folds", "strengths/m/p@v2", within):
        assert words in told
    assert ("KL" in told) is (budget is not None)


def test_side_effects_stand_beside_the_unsteered_model_and_rise_with_strength() -> None:
    found = full.metrics()["side_effects"]
    content = results(metrics(condition("no-change"), side_effects=found), None)
    table = tables(content)["Side"]
    assert [cell.text for cell in table.rows[0]] == ["unsteered", "", "", "0.000", "14.20", "0.031"]
    assert len(table.rows) == 1 + len(found["rows"])
    row = found["rows"][2]
    shown = table.rows[3]
    assert (shown[0].text, shown[1].text, shown[3].text) == ("pas", "4", number(row["kl"][0]))
    assert shown[3].note == interval(row["kl"][1:], 3)
    assert shown[5].note == "", "an end that is null is no interval"
    drawn = figures(content)["kl"]
    points = drawings.kinds(drawn.draw(WIDE), "series")
    assert points["steered"] == 8, "two conditions at four strengths that were given"
    assert bands(drawn) == 3
    one = {**found, "rows": [row for row in found["rows"] if row["setting"] in ("4", "auto")]}
    assert "kl" not in figures(results(metrics(condition("no-change"), side_effects=one), None))
    empty = {**found, "rows": [{**row, "kl": [None, None, None]} for row in found["rows"]]}
    assert "kl" not in figures(results(metrics(condition("no-change"), side_effects=empty), None))


def test_the_audit_has_counts_and_shares() -> None:
    told = {"condition": "pas", "setting": "4", "mae_worst": 1.25}
    rows = [{**told, "answers": 40, "unparsed": 10, "mismatched": 2}, {**told, "answers": 0, "unparsed": 0}]
    content = results(metrics(condition("no-change"), audit=[rows[0], {**rows[1], "mismatched": 0}]), None)
    first, second = tables(content)["Answers"].rows
    assert [cell.text for cell in first] == ["pas", "4", "40", "10", "2", "1.25"]
    assert [cell.note for cell in first[3:5]] == ["25%", "5%"]
    assert [cell.note for cell in second[3:5]] == ["", ""]


def test_trait_shifts_frame_what_was_meant_and_colour_by_sign() -> None:
    shifts = [
        {"persona": pole, "condition": "pas", "setting": "4", "alpha": 4.0, "trait": trait, **values}
        for pole, trait, values in (
            ("E+", "E", {"shift": 1.0, "low": 0.5, "high": 1.5, "p_holm": 0.0004}),
            ("E+", "N", {"shift": -0.5, "low": -0.9, "high": -0.1, "p_holm": 0.06}),
            ("N-", "E", {"shift": 0.0, "low": None, "high": None, "p_holm": None}),
            ("N-", "N", {"shift": -1.0, "low": -1.5, "high": -0.5, "p_holm": 0.04}),
        )
    ]
    content = results(metrics(condition("no-change"), trait_shifts=shifts), None)
    drawn = figures(content)["trait-shifts"]
    for width in (WIDE, NARROW):
        figure = drawn.draw(width)
        assert drawings.frames(figure) == [(0, 0), (1, 1)]
        assert drawings.cells(figure, "d") == [
            (10, "steered towards E+, trait E: +1.00"),
            (2, "steered towards E+, trait N: −0.50"),
            (5, "steered towards N-, trait E: 0.00"),
            (0, "steered towards N-, trait N: −1.00"),
        ]
    first, second = tables(content)["Shifts"].rows
    assert [cell.text for cell in first] == ["pas", "4", "E+", "● +1.00", "−0.50"]
    assert [cell.text for cell in second] == ["", "", "N-", "0.00", "● −1.00"]
    assert [cell.mark for cell in first[3:]] == [True, False]
    assert [cell.mark for cell in second[3:]] == [False, True]
    assert first[3].note == "0.50 to 1.50\np < 0.001"
    assert first[4].note.endswith("p = 0.060")


def test_more_trait_shifts_than_maps_are_all_in_the_table_and_those_that_steer_are_drawn_first() -> None:
    row = {"persona": "E+", "alpha": 4.0, "trait": "E", "shift": 0.5, "low": 0.1, "high": 0.9}
    names = [("few-shot", "")] + [("random-direction", str(n)) for n in range(MOST_MAPS)] + [("pas", "4")]
    shifts = [{**row, "condition": name, "setting": setting} for name, setting in names]
    content = results(metrics(condition("no-change"), trait_shifts=shifts), None)
    drawn = figures(content)["trait-shifts"]
    figure = drawn.draw(WIDE)
    assert len(drawings.frames(figure)) == MOST_MAPS
    assert f"The first {MOST_MAPS} of {MOST_MAPS + 2} conditions" in drawn.caption
    told = drawings.words(figure)
    assert told.index("pas, α 4") < told.index("few-shot") < told.index("random-direction, α 0")
    assert len(tables(content)["Shifts"].rows) == MOST_MAPS + 2


def test_item_panels_hold_the_mean_where_it_is(store: Store) -> None:
    from pasctl.evaluation.rows import from_table

    artifact = store.resolve("results")
    rows = from_table(artifact.read_table("rows.parquet"))
    content = results(artifact.read_json("metrics.json"), rows)
    levels = len(np.unique(rows["agreement"][np.isfinite(rows["agreement"])]))
    groups = len({(*pair,) for pair in zip(rows["condition"], rows["setting"], strict=True)})
    figure = figures(content)["items"].draw(WIDE)
    assert sum(drawings.kinds(figure).values()) == levels * groups
    here = (rows["condition"] == "no-change") & np.isfinite(rows["agreement"]) & np.isfinite(rows["expected"])
    means = [rows["expected"][here & (rows["agreement"] == level)].mean() for level in range(1, 6)]
    [line] = drawings.lines(figure.axes[0].get_figure(), "mean")[:1]
    known = dict(zip(line.get_xdata(), line.get_ydata(), strict=True))
    assert known == pytest.approx({float(n): mean for n, mean in enumerate(means, 1) if np.isfinite(mean)})


def test_results_of_the_stage_have_every_block(store: Store) -> None:
    content = results(store.resolve("results").read_json("metrics.json"), None)
    settings = {row[1].text for row in tables(content)["Conditions"].rows}
    assert settings == {"", "0", "2.5", "auto", "oracle"}
    assert {"Conditions", "Differences,", "Side", "Answers"} <= set(tables(content))
    assert {"composite", "alpha-composite", "kl"} <= set(figures(content))
    assert any("folds of the items" in sentence for sentence in content.lead)


def test_strengths_have_means_with_intervals_and_both_choices() -> None:
    curves = full.curves()
    content = strengths(curves)
    (table,) = tables(content).values()
    assert [row[0].text for row in table.rows] == ["0", "0.5", "1", "2", "4", "8"]
    at_two = np.array(curves["mae"][curves["alphas"].index(2.0)])
    row = table.rows[3]
    assert row[1].text == number(float(at_two.mean()))
    assert row[1].note == interval(student(at_two), 3)
    assert [each[0].note for each in table.rows] == ["", "", "", "chosen for all", "", ""]
    chosen = [curves["chosen"]["persona"].count(float(each[0].text)) for each in table.rows]
    assert [int(each[-1].text) for each in table.rows] == chosen
    assert sum(chosen) == len(curves["personas"])
    assert curves["rule"] in content.lead[0]
    assert ("chosen for all", "α 2") in content.facts
    drawn = figures(content)
    assert list(drawn) == ["error", "chosen", "kl"]
    for name in ("error", "kl"):
        figure = drawn[name].draw(WIDE)
        assert drawings.kinds(figure, "series") == {"steered": 6}
        assert bands(drawn[name]) == 1
        assert {x for x, _ in drawings.values(figure, "flag")} == {2.0}
    [error] = drawings.lines(drawn["error"].draw(WIDE), "series")
    at_alpha = [np.mean(curves["mae"][curves["alphas"].index(alpha)]) for alpha in sorted(curves["alphas"])]
    np.testing.assert_allclose(error.get_ydata(), at_alpha)
    [plane] = drawn["chosen"].draw(WIDE).axes
    assert [patch.get_height() for patch in plane.patches] == chosen
    assert [label.get_text() for label in plane.get_xticklabels()] == [each[0].text for each in table.rows]


def test_strengths_of_few_personas_have_no_band_and_what_is_missing_is_a_dash() -> None:
    curves = full.curves(personas=2)
    for row in curves["item_correlation"]:
        row[:] = [None, None]
    content = strengths(curves)
    (table,) = tables(content).values()
    assert {row[table.head.index("item r")].text for row in table.rows} == {"–"}
    assert bands(figures(content)["error"]) == 0
    assert "Band" not in figures(content)["error"].caption


def test_strengths_of_the_stage_are_shown(store: Store) -> None:
    content = strengths(store.resolve("strengths").read_json("curves.json"))
    assert list(figures(content)) == ["error", "chosen", "kl"]


def test_differences_on_each_trait_have_their_interval_and_holms_p() -> None:
    def of(p_holm: float) -> dict[str, float]:
        return {"mean": -0.25, "low": -0.5, "high": 0.125, "p": p_holm / 5, "p_holm": p_holm}

    pair = {"condition": "pas", "setting": "auto", "composite": None, "item_correlation": None}
    traits = {"O": of(0.04), "C": of(0.06), "E": None, "A": of(1.0), "N": of(0.0)}
    given = [
        {**pair, "against": "no-change", "against_setting": "", "traits": traits},
        {**pair, "against": "random-direction", "against_setting": "auto", "traits": traits},
        {**pair, "against": "constant-3", "against_setting": "", "traits": dict.fromkeys("OCEAN")},
    ]
    [table] = [
        block
        for block in results(metrics(condition("pas", "auto"), BASELINE, differences=given), None).blocks
        if isinstance(block, Table) and block.title == "Differences on each trait"
    ]
    [row] = table.rows  # controls have no row, and nothing is known against the constant
    assert [cell.text for cell in row[:2]] == ["pas, α auto", "no-change"]
    assert [cell.mark for cell in row[2:]] == [True, False, False, False, True]
    minus = "\N{MINUS SIGN}"
    assert row[2].text == f"● {minus}0.25"
    assert row[2].note == f"{minus}0.50 to 0.12\np = 0.040"
    assert row[4].text == "–"
    assert row[6].note.endswith("p < 0.001")  # never 0
    bare = [{**each, "traits": None} for each in given]
    shown = results(metrics(condition("pas", "auto"), BASELINE, differences=bare), None).blocks
    assert not [block for block in shown if isinstance(block, Table) and block.title == "Differences on each trait"]
