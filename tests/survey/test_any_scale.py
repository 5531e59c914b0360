"""A survey of any inventory: keys and labels of 2 to 11 points, items with options of their own, other languages."""

from __future__ import annotations

import io
import json
import shlex
from pathlib import Path

import numpy as np
import pytest
from pasctl.survey.text import asked_of, profile_text, question
from rich.console import Console
from typer.testing import CliRunner, Result

from pasctl.cli.app import app
from pasctl.inventory import Inventory, Item, load_inventory, read_answers
from pasctl.inventory.norms import Norm, PublishedNorms
from pasctl.inventory.scale import Scale
from pasctl.inventory.wording import ENGLISH, Wording
from pasctl.survey.keys import choices, keys_of, score_of
from pasctl.survey.profile import agreements_of, population_of, profile
from pasctl.survey.session import Session, question_order


def counting(points: int, first: int = 1) -> Scale:
    scores = tuple(range(first + points - 1, first - 1, -1))
    return Scale(tuple(f"option {score}" for score in scores), scores)


def scenario(key: int = 1) -> Item:
    scale = Scale(("I answer it.", "I let it ring.", "I look who it is.", "I hide."), (2, 1, 1, 0))
    return Item("s1", "Your phone rings at night.", "Reach", "", key, "fit", scale=scale, scenario=True)


def inventory(
    points: int, first: int = 1, wording: Wording = ENGLISH, norms: PublishedNorms | None = None
) -> Inventory:
    items = [Item(f"r{n}", f"Statement {n}.", "Reach", "far", 1 if n % 2 else -1, "fit") for n in range(1, 5)]
    scale = counting(points, first)
    rest = {} if norms is None else {"norms": norms}
    return Inventory("any", (*items, scenario()), scale.labels, scale.scores, wording=wording, **rest)


def shown(asked: Inventory, entries: dict[str, int | None], item: str) -> str:
    order = question_order(asked)
    stream = io.StringIO()
    console = Console(file=stream, width=100)
    console.print(question(Session(order, entries, order.index(item)), asked))
    return stream.getvalue()


# ----- keys


@pytest.mark.parametrize("first", [0, 1, -3])
@pytest.mark.parametrize("points", range(2, 12))
def test_each_option_has_one_key_and_each_key_its_score(points: int, first: int) -> None:
    scale = counting(points, first)
    offered = choices(scale)
    keys = [choice.key for choice in offered]
    assert len(set(keys)) == points
    assert all(len(key) == 1 for key in keys), "a terminal gives one key at a time"
    assert not set(keys) & set("bsq")
    assert [choice.score for choice in offered] == list(range(first, first + points))
    assert [score_of(scale, key) for key in keys] == [choice.score for choice in offered]
    assert all(choice.label == scale.label_of(choice.score) for choice in offered)
    if first in (0, 1):
        assert all(int(choice.key) == choice.score for choice in offered if choice.score < 10)
    for other in ("x", "", "forward", "12", "100", *(key for key in "1234567890-" if key not in keys)):
        assert score_of(scale, other) is None


@pytest.mark.parametrize(
    ("points", "first", "words"),
    [
        (2, 1, "1 and 2"),
        (5, 1, "1-5"),
        (7, 1, "1-7"),
        (9, 1, "1-9"),
        (10, 1, "1-9 and 0"),
        (11, 1, "1-9, 0 and -"),
        (11, 0, "0-9 and -"),
        (4, 0, "0-3"),
    ],
)
def test_the_keys_in_words(points: int, first: int, words: str) -> None:
    assert keys_of(counting(points, first), "-") == words


def test_a_line_may_spell_a_score_of_two_digits_where_keys_are_scores() -> None:
    assert score_of(counting(11, 0), "10") == 10
    assert score_of(counting(11), "10") == 10
    assert score_of(counting(11), "11") == 11
    assert score_of(counting(10), "11") is None
    assert score_of(counting(11, 5), "10") is None, "there the keys are places, not scores"


# ----- what is shown


def test_every_option_shows_its_key_and_the_one_chosen_is_marked() -> None:
    asked = inventory(11, 0)
    text = shown(asked, {"r1": 0}, "r1")
    assert "> 0 option 0 (your answer)" in text
    assert "  - option 10" in text
    assert "0-9 and - answer   b back" in text
    assert text.count("your answer") == 1


def test_a_situation_is_asked_what_one_would_do_with_its_own_options() -> None:
    text = shown(inventory(7), {}, "s1")
    assert "What would you do?" in text
    assert "describe you" not in text
    assert [line.split(maxsplit=1)[0] for line in text.splitlines() if line.rstrip().endswith(".")][1:] == list("1234")
    again = shown(inventory(7), {"s1": 1}, "s1")
    assert again.count("(your answer, or one that counts the same)") == 2


def test_another_language_has_no_english_around_the_item_but_the_keys() -> None:
    german = Wording(**{**ENGLISH.to_json(), "language": "de", "degrees": (), "self_reports": ()})
    for entries in ({}, {"r1": 3}, {"r1": None}):
        lines = shown(inventory(5, wording=german), entries, "r1").splitlines()
        words = " ".join(lines[:-1]).replace("option", "").replace("Statement 1.", "")
        assert not any(sign.isalpha() for sign in words.replace("> s", "")), lines
        assert "s skip" in lines[-1]
    own = Wording(**{**german.to_json(), "statement": "Ich bin jemand, der ", "degrees": (), "self_reports": ()})
    assert asked_of(inventory(5, wording=own).items[0], inventory(5, wording=own)) == "Ich bin jemand, der"


# ----- scores


def test_a_score_of_0_is_an_answer() -> None:
    asked = inventory(5, 0)
    assert agreements_of(asked, {"r1": 0, "r2": None})[:2].tolist()[0] == 0.0
    assert np.isnan(agreements_of(asked, {"r1": 0, "r2": None})[1])
    (trait, *_) = profile(asked, agreements_of(asked, {"r1": 0, "r2": 4}), None, np.arange(5))
    assert (trait.mean, trait.answered, trait.percentile) == (0.0, 2, None)


def test_weights_count_and_an_item_with_its_own_options_is_on_the_scale() -> None:
    heavy = Item("h", "Heavy.", "Reach", "far", 1, "fit", weight=3.0)
    asked = Inventory("any", (heavy, scenario(-1)), counting(5).labels)
    # 5 counts thrice; hiding (0 of 0..2, keyed -1) is the highest there is, and so 5; letting it ring is 3
    assert profile(asked, np.array([5.0, 0.0]), None, np.arange(2))[0].mean == 5.0
    assert profile(asked, np.array([1.0, 1.0]), None, np.arange(2))[0].mean == pytest.approx((3 * 1 + 3) / 4)


@pytest.mark.parametrize(("score", "percentile"), [(4, 50.0), (5, 84.1345), (3, 15.8655)])
def test_norms_give_percentiles_of_the_normal_distribution(score: int, percentile: float) -> None:
    asked = inventory(7, norms=PublishedNorms((Norm("Reach", 4.0, 1.0, 300),)))
    population = population_of("any.yaml", asked)
    entries: dict[str, int | None] = {"r1": score, "r3": score}
    trait, facet, *_ = profile(asked, agreements_of(asked, entries), None, np.arange(5), population.norms)
    assert (trait.percentile, trait.respondents) == (pytest.approx(percentile, abs=1e-3), 300)
    assert facet.percentile is None, "a norm is of a trait"
    assert "norms of any" in profile_text([trait, facet], population, asked, heading="a", width=100)


def test_one_group_of_norms_is_named_or_there_are_no_percentiles() -> None:
    from pasctl.errors import InputError

    norms = PublishedNorms((Norm("Reach", 4, 1, 9, "men"), Norm("Reach", 5, 1, 8, "women")))
    asked = inventory(7, norms=norms)
    assert not population_of("any.yaml", asked).norms
    assert "men, women" in population_of("any.yaml", asked).told
    assert population_of("any.yaml", asked, group="women").norms["Reach"].mean == 5
    for wrong in (asked, inventory(7)):
        with pytest.raises(InputError, match="no norms of group 'cats'"):
            population_of("any.yaml", wrong, group="cats")


@pytest.mark.parametrize(("points", "first"), [(2, 0), (7, 1), (11, 0), (10, 1)])
def test_the_bar_runs_from_one_end_of_the_scale_to_the_other(points: int, first: int) -> None:
    asked, last = inventory(points, first), first + points - 1
    for score, bar in ((first, "." * 32), (last, "#" * 32)):
        entries = {item.id: score if item.key > 0 else first + last - score for item in asked.items[:4]}
        scores = profile(asked, agreements_of(asked, entries), None, np.arange(4))
        lines = profile_text(scores, population_of("any.yaml", asked), asked, heading="a", width=100).splitlines()
        (row,) = (line for line in lines if line.startswith("Reach"))
        assert row.split()[1:3] == [f"{score}.00", f"[{bar}]"]
        ends = lines[2].split()
        assert ends[1:3] == [str(first), str(last)]
        assert len(lines[2]) == len(row)


# ----- the command

FILE = """\
name: reach
scale: {from: 0, points: 11, low: not at all, high: entirely}
traits:
  - {code: Rch, name: Reach}
norms: [{trait: Rch, mean: 6, sd: 2, n: 100}]
items:
  - {id: r1, text: "I answer letters at once.", trait: Rch, key: 1}
  - {id: r2, text: "I let the phone ring.", trait: Rch, key: -1}
  - {id: r3, text: "I write to old friends.", trait: Rch, key: 1}
  - {id: r4, text: "I forget whom I should call.", trait: Rch, key: -1}
"""


def survey(keys: str, *words: str) -> Result:
    return CliRunner().invoke(app, ["survey", *words], input="".join(f"{key}\n" for key in keys.split()))


def test_a_file_of_eleven_points_is_answered_kept_and_shown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("reach.yaml").write_text(FILE, encoding="utf-8")
    begun = survey("- 0 q", "--inventory", "reach.yaml", "-o", "ada.json")
    assert begun.exit_code == 0, begun.output
    assert json.loads(Path("ada.json").read_text()) == {"r1": 10, "r2": 0}
    done = survey("10 11 3", "-o", "ada.json")
    assert done.exit_code == 0, done.output
    assert "'11' is no key here. Keys: 0 to 9 and -, b for back" in done.stderr
    asked = load_inventory("reach.yaml")
    assert read_answers("ada.json", asked).agreements.tolist() == [[10, 0, 10, 3]]
    *_, last = done.stdout.splitlines()
    assert last == f"Next: pasctl run --model demo --personas ada.json --inventory {tmp_path / 'reach.yaml'}"
    shown_again = json.loads(survey("", "-o", "ada.json", "--show", "--json").stdout)
    (trait,) = shown_again["scores"]  # and no facets, where the file has none
    assert (trait["name"], trait["mean"]) == ("Reach", pytest.approx((10 + 10 + 10 + 7) / 4))
    assert trait["percentile"] == pytest.approx(94.792, abs=0.001)
    assert shlex.split(shown_again["next"])[:2] == ["pasctl", "run"]


def test_what_comes_next_is_the_rest_or_another_try(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("reach.yaml").write_text(FILE, encoding="utf-8")
    survey("5 5", "--inventory", "reach.yaml", "-o", "a b.json")
    assert survey("", "--show", "-o", "a b.json").stdout.endswith("Next: pasctl survey --output 'a b.json'\n")
    survey("5 5", "-o", "a b.json")  # the middle of the scale throughout: nothing to fit a direction on
    assert survey("", "--show", "-o", "a b.json").stdout.endswith("--output 'a b.json' --restart\n")
