"""Sections: what is there is shown, what is not there is said, and the figures' numbers are those of the data."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from pasctl.inventory import PersonaSet, builtin_inventory
from pasctl.memory.benchmarks.metrics import wilson
from pasctl.memory.stored_text import KeptText
from pasctl.report.blocks import NARROW, WIDE, Content, Exchange, Table, interval, number, size
from pasctl.report.sections.answers import answers
from pasctl.report.sections.directions import MOST_PERSONAS, Fitted, directions, layer_run, similarity, trait_groups
from pasctl.report.sections.memory import CLOSE, memory
from pasctl.report.sections.probes import probes
from pasctl.report.sections.trials import short, trials
from pasctl.stages.memory_eval import trial_figures
from pasctl.stages.runner import Store
from tests.report import drawings
from tests.report.drawings import figures


def tables(content: Content) -> list[Table]:
    return [block for block in content.blocks if isinstance(block, Table)]


def fitted(personas: int, layers: int = 3, heads: int = 4, top_k: int = 5, size: int = 6) -> Fitted:
    rng = np.random.default_rng(0)
    places = np.stack([rng.permutation(layers * heads)[:top_k] for _ in range(personas)])
    theta = rng.normal(size=(personas, top_k, size))
    theta /= np.linalg.norm(theta, axis=2, keepdims=True)
    inventory = builtin_inventory()
    agreements = rng.integers(1, 6, (personas, len(inventory.items))).astype(np.float64)
    ids = tuple(f"p{each}" for each in range(personas))
    found = np.stack([places // heads, places % heads], axis=2)
    sigma = np.ones((personas, top_k))
    return Fitted(found, theta, sigma, layers, heads, PersonaSet("made", ids, agreements), inventory)


def test_similarity_is_the_cosine_over_common_heads() -> None:
    given = fitted(6, top_k=3)
    found = similarity(given)
    for a in range(6):
        for b in range(6):
            mine, other = (
                {tuple(head): theta for head, theta in zip(given.heads[each].tolist(), given.theta[each], strict=True)}
                for each in (a, b)
            )
            common = sorted(mine.keys() & other.keys())
            if not common:
                assert np.isnan(found[a, b])
                continue
            u, v = (np.concatenate([each[head] for head in common]) for each in (mine, other))
            assert found[a, b] == pytest.approx(u @ v / np.linalg.norm(u) / np.linalg.norm(v))


def test_opposite_personas_have_opposite_groups() -> None:
    """Where a direction is nothing but the trait score's sign, the high and the low third are opposite."""
    given = fitted(90, top_k=12)
    extravert = np.array([item.trait == "E" for item in given.inventory.items])
    keys = np.array([item.key for item in given.inventory.items])
    sign = np.where(np.arange(90) % 2, 1, -1)
    answers = given.personas.agreements.copy()
    answers[:, extravert] = 3 + 2 * sign[:, None] * keys[extravert]
    heads = np.tile(np.stack(np.divmod(np.arange(12), 4), axis=1), (90, 1, 1))
    theta = np.tile(given.theta[:1], (90, 1, 1)) * sign[:, None, None]
    personas = PersonaSet("made", given.personas.ids, answers)
    names, cosines = trait_groups(Fitted(heads, theta, given.sigma, 3, 4, personas, given.inventory))
    assert cosines[names.index("E+"), names.index("E−")] == pytest.approx(-1)
    np.testing.assert_allclose(np.diag(cosines), 1)


@pytest.mark.parametrize("personas", [1, 3, MOST_PERSONAS + 1])
def test_directions_of_any_number_of_personas(personas: int) -> None:
    content = directions(fitted(personas), {"method": "mass-mean"}, None)
    drawn = figures(content)
    assert ("similarity" in drawn) is (personas > 1)
    assert "heads" in drawn
    if personas > MOST_PERSONAS:
        assert "the third of personas highest" in drawn["similarity"].caption
    assert ("centred on", "not told") in content.facts


SELECTION: dict[str, Any] = {
    "layers": [1, 2],
    "alpha": 4.0,
    "positions": "answer",
    "validation": ["E03", "E04"],
    "no_change": {"mae": 1.2, "item_correlation": 0.0},
    "tried": [
        {"layers": [0, 1], "alpha": 2.0, "mae": 1.1, "item_correlation": 0.1},
        {"layers": [1, 2], "alpha": 4.0, "mae": 0.9, "item_correlation": 0.3},
        {"layers": [1, 2], "alpha": 2.0, "mae": None, "item_correlation": None},
    ],
}


def test_selection_frames_the_chosen_cell_and_gives_it_the_strongest_colour() -> None:
    content = directions(fitted(2), {}, SELECTION)
    drawn = figures(content)["selection"]
    assert "layers 1–2, α 4, positions answer" in content.lead[0]
    assert "1.20" in drawn.caption
    for width in (WIDE, NARROW):
        figure = drawn.draw(width)
        assert drawings.frames(figure) == [(1, 1)], "layers 1–2 at α 4"
        assert drawings.cells(figure) == [(0, "layers 0–1, α 2: 1.10"), (10, "layers 1–2, α 4: 0.90")]


def test_selection_without_trials_or_a_choice_is_only_told() -> None:
    content = directions(fitted(2), {}, {"layers": [], "tried": []})
    assert "selection" not in figures(content)
    assert "layers none" in content.lead[0]


def test_probes_leave_out_what_has_no_accuracy() -> None:
    accuracy = np.full((2, 2, 3), 0.6)
    accuracy[:, 0, 1], accuracy[0, 1, 2], accuracy[1, 1, 2] = np.nan, np.nan, 0.9
    content = probes(accuracy, np.array([8, 9]), "logistic")
    cells = dict(reversed(each[1].split(": ")) for each in drawings.cells(figures(content)["accuracy"].draw(WIDE)))
    assert sorted(cells) == ["0.60", "0.90"]
    assert cells["0.90"] == "layer 1, head 2"
    assert len(drawings.cells(figures(content)["accuracy"].draw(WIDE))) == 5
    assert [cell.text for cell in tables(content)[0].rows[0]][:3] == ["1", "2", "0.900"]
    assert ("held-out items per persona", "8 to 9") in content.facts
    assert figures(probes(np.full((1, 2, 2), np.nan), np.array([0]), "logistic")) == {}


DESCRIBED: dict[str, Any] = {
    "events_outside_window": 1,
    "mean_surprise": 2.0,
    "params": {"min_block": 4, "max_block": 32, "segmenter": "surprise"},
}


@pytest.mark.parametrize("tokens", [0, 1, 2, 30, 2 * CLOSE + 1, 5000])
def test_memory_of_any_length(tokens: int) -> None:
    surprise = np.random.default_rng(0).exponential(2.0, tokens)
    text = KeptText([7] * tokens, surprise.tolist(), list(range(3, tokens, 11)))
    boundaries = [{"token": 3, "surprise": 9.0, "text": "<b>"}] if tokens > 3 else []
    content = memory({**DESCRIBED, "boundaries": boundaries}, text, 1000)
    drawn = figures(content)
    assert ("surprise" in drawn) is (tokens > 1)
    assert ("surprise-close" in drawn) is (tokens > 2 * CLOSE)
    assert ("event-lengths" in drawn) is (tokens > 3)
    if tokens > 3:
        assert f"Mean {(tokens - 3) / len(text.starts):.1f} tokens" in drawn["event-lengths"].caption


@pytest.mark.parametrize(("segmenter", "peaks"), [("surprise", True), ("fixed", False)])
def test_events_that_surprise_did_not_cut_are_not_said_to_be_at_peaks(segmenter: str, peaks: bool) -> None:
    text = KeptText([7] * 3 * CLOSE, [1.0] * 3 * CLOSE, list(range(0, 3 * CLOSE, 16)))
    described = {**DESCRIBED, "params": {**DESCRIBED["params"], "segmenter": segmenter}}
    caption = figures(memory(described, text, 1000))["surprise-close"].caption
    assert ("Events begin at peaks" in caption) is peaks


def test_long_and_short_events_are_both_seen() -> None:
    text = KeptText([7] * 120, [1.0] * 120, [0, 5, 60])
    upper, lower = figures(memory({**DESCRIBED, "boundaries": []}, text, 9))["surprise"].draw(WIDE).axes
    [events] = lower.collections
    assert [path.vertices[0, 0] for path in events.get_paths()] == [0, 5, 60]
    strong = next(bars for bars in upper.containers if bars.get_label() == "starts")
    assert [patch.get_x() for patch in strong] == [0, 5, 60], "a strong bar where an event begins"


def asked(question: str, recalled: list[dict[str, Any]]) -> dict[str, Any]:
    return {"question": question, "answer": "", "tokens": 2, "stop": "length", "first_step": 0, "recalled": recalled}


def test_recall_map_has_a_box_an_event_and_layer() -> None:
    recalled = [
        {"step": 0, "layer": 3, "events": [1, 4], "scores": [0.5, 0.25]},
        {"step": 1, "layer": 3, "events": [1], "scores": [0.75]},
        {"step": 0, "layer": 8, "events": [4], "scores": [1.0]},
    ]
    content = answers([asked("who?", recalled), asked("why?", [])], "memory/m/t@v1", 10)
    drawn = figures(content)["recall-1"]
    figure = drawn.draw(WIDE)
    assert {tip for _, tip in drawings.cells(figure)} == {
        "layer 3, event 1: in 100% of steps, score 0.75 at best",
        "layer 3, event 4: in 50% of steps, score 0.25 at best",
        "layer 8, event 4: in 100% of steps, score 1.00 at best",
    }
    assert "2 of 10 events" in drawn.caption
    [axes] = figure.axes
    assert axes.get_xlim() == (0, 10)
    corners = [tuple(path.vertices[0]) for path in axes.collections[1].get_paths()]
    assert sorted(corners) == [(1, 0), (4, 0), (4, 1)]
    assert set(figures(content)) == {"recall-1"}
    assert [block.question for block in content.blocks if isinstance(block, Exchange)] == ["who?", "why?"]


def test_answers_name_their_sources_where_these_were_kept() -> None:
    source = {"memory": None, "file": "a.md", "lines": [3, 3], "text": "The\nwords.", "share": 0.5}
    others = [{**source, "file": None, "lines": None, "text": "x" * 999, "share": 0.25}] * 7
    content = answers([{**asked("who?", []), "sources": [source, *others]}, asked("why?", [])], "memory/m/t@v1", 3)
    [table] = [block for block in content.blocks if isinstance(block, Table)]
    assert [cell.text for cell in table.rows[0]] == ["a.md", "The words.", "50%"]
    assert [row[0].note for row in table.rows[:2]] == ["line 3", ""]
    assert len(table.rows) == 5
    assert "3 more" in table.caption
    assert all(len(row[1].text) <= 160 for row in table.rows)


def test_answers_that_recalled_nothing_say_so() -> None:
    assert "Nothing was retrieved" in " ".join(answers([asked("who?", [])], "memory/m/t@v1", 3).lead)


def test_trials_without_costs_are_shown_without_them(store: Store) -> None:
    artifact = store.resolve("trials")
    document, costs = artifact.read_json("trials.json"), artifact.provenance["costs"]
    with_costs = trials(trial_figures(document, costs), costs_known=True)
    without = trials(trial_figures(document, costs), costs_known=False)
    assert tables(with_costs)[0].head[-2:] == ("tokens/s", "MiB")
    assert "tokens/s" not in tables(without)[0].head
    assert "not kept" in without.lead[0]
    assert set(figures(with_costs)) == {"right-passkey", "surprise-by-position"}


def test_no_trial_is_said() -> None:
    assert trials({"tasks": [], "nll": []}, costs_known=True).lead == ("There is no trial.",)


@pytest.mark.parametrize(("right", "count"), [(0.0, 4), (1.0, 10), (0.3, 10), (0.5, 1)])
def test_wilson_ends_are_where_the_score_test_turns(right: float, count: int) -> None:
    """At each end p: |share - p| = 1.96 * sqrt(p (1 - p) / n)."""
    for end in wilson(right, count):
        assert abs(right - end) == pytest.approx(1.96 * (end * (1 - end) / count) ** 0.5, abs=1e-9)


def test_numbers_as_text() -> None:
    assert [number(each, 2) for each in (None, -0.001, -0.5, 2.0)] == ["–", "0.00", "−0.50", "2.00"]
    assert interval(None) == ""
    assert interval([-1.0, 2.5]) == "−1.00 to 2.50"
    assert [size(each) for each in (12, 2048, 3 << 30)] == ["12 B", "2.0 KiB", "3.0 GiB"]
    assert [short(each) for each in (1024, 65536, 1000)] == ["1k", "64k", "1,000"]
    assert [layer_run(each) for each in ((), (4,), (3, 4, 5), (1, 4))] == ["none", "4", "3–5", "1, 4"]


def test_probes_stand_beside_what_shuffled_answers_reach() -> None:
    accuracy = np.array([[[0.5, 0.75], [0.625, 0.5]]])
    level = {
        **{"permutations": 20, "folds": 4, "top_k": 2, "heads": 4, "personas": 1},
        "top": {"accuracy": 0.7, "level": 0.6, "p": 0.25},
        "accuracy": [[0.5, 0.7], [0.6, 0.5]],
        "level": [[0.49, 0.51], [0.52, 0.5]],
        "highest_level": 0.61,
    }
    content = probes(accuracy, np.array([8]), "logistic", level=level)
    assert (
        content.lead[0] == "2 best heads: .70, .60 with shuffled answers: not above chance, p = 0.250 over 20 orders."
    )
    [table] = tables(content)
    assert table.head[-2:] == ("cross-validated", "shuffled answers")
    assert [cell.text for cell in table.rows[0]] == ["0", "1", "0.750", "0.75 to 0.75", "0.700", "0.510"]
    assert "20 other orders" in table.caption
    assert "the highest of all 4 heads then has 0.610" in table.caption
    [without] = tables(probes(accuracy, np.array([8]), "logistic"))
    assert without.head == ("layer", "head", "mean accuracy", "over personas")
