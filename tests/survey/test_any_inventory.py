"""`pasctl survey` of inventory files of any scale, language and kind, answered in lines."""

from __future__ import annotations

import json
import shlex
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from rich.cells import cell_len
from scipy.stats import norm
from typer.testing import CliRunner, Result

from pasctl.cli.app import app
from pasctl.inventory import Inventory, load_inventory, load_personas, read_answers
from pasctl.inventory.wording import ENGLISH
from tests.inventory.instruments import INSTRUMENTS, write_instrument


@pytest.fixture(autouse=True)
def _in_a_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("PASCTL_INVENTORY", "PASCTL_SEED", "PASCTL_CONFIG", "COLUMNS"):
        monkeypatch.delenv(name, raising=False)


def survey(lines: list[str], *words: object) -> Result:
    typed = "".join(f"{line}\n" for line in lines)
    return CliRunner().invoke(app, ["survey", *map(str, words)], input=typed)


def next_words(result: Result) -> list[str]:
    """The words of the command that the last line names."""
    last = result.stderr.splitlines()[-1]
    assert last.startswith("next: pasctl run --model MODEL ")
    return shlex.split(last.removeprefix("next: "))


def drawn(inventory: Inventory, seed: int = 4) -> dict[str, int]:
    """A score for each item, drawn among its options."""
    rng = np.random.default_rng(seed)
    return {item.id: int(rng.choice(inventory.scale_of(item).scores)) for item in inventory.items}


def typed(inventory: Inventory, scores: dict[str, int]) -> list[str]:
    """What to type for them: the score, or the place of the option where two score the same."""
    lines = []
    for item in inventory.items:
        up = inventory.scale_of(item).scores[::-1]
        lines.append(str(scores[item.id] if len(set(up)) == len(up) else up.index(scores[item.id]) + 1))
    return lines


def trait_mean(inventory: Inventory, scores: dict[str, int], trait: str) -> Fraction:
    """Weighted mean keyed score in fractions, each item as a share of its own range brought to the inventory's."""
    total, weight = Fraction(0), Fraction(0)
    low, high = inventory.scale.low, inventory.scale.high
    for item in inventory.items:
        if item.trait == trait:
            scale = inventory.scale_of(item)
            share = Fraction(scores[item.id] - scale.low, scale.high - scale.low)
            share = share if item.key > 0 else 1 - share
            total += (low + share * (high - low)) * Fraction(item.weight)
            weight += Fraction(item.weight)
    return total / weight


@pytest.mark.parametrize("name", INSTRUMENTS)
def test_scores_are_kept_and_the_profile_has_their_means(name: str, tmp_path: Path) -> None:
    path = write_instrument(tmp_path, name)
    inventory = load_inventory(path.name)
    scores = drawn(inventory)
    result = survey(typed(inventory, scores), "--inventory", path.name, "--json")
    assert result.exit_code == 0, result.output
    assert json.loads(Path("answers.json").read_text()) == scores
    profile = json.loads(result.stdout)
    means = {row["trait"]: row["mean"] for row in profile["scores"] if row["facet"] is None}
    assert means == pytest.approx(
        {trait: float(trait_mean(inventory, scores, trait)) for trait in inventory.trait_codes}
    )
    names = {row["name"] for row in profile["scores"] if row["facet"] is None}
    assert names == {trait.name for trait in inventory.known_traits}
    words = next_words(result)
    options = dict(zip(words[2::2], words[3::2], strict=True))
    people = load_personas(options["--personas"], load_inventory(options["--inventory"]))
    assert people.agreements.tolist() == [[scores[item.id] for item in inventory.items]]


@pytest.mark.parametrize("name", ["yes-no", "six-traits-of-seven-ends", "one-trait-from-0-to-10", "scenarios"])
def test_a_bar_is_empty_at_the_lowest_score_and_full_at_the_highest(name: str, tmp_path: Path) -> None:
    path = write_instrument(tmp_path, name)
    inventory = load_inventory(path.name)
    for sign, bar in ((1, "#"), (-1, ".")):
        scores = {
            item.id: inventory.scale_of(item).high if item.key == sign else inventory.scale_of(item).low
            for item in inventory.items
        }
        output = f"{'high' if sign > 0 else 'low'}.json"
        result = survey(typed(inventory, scores), "--inventory", path.name, "--output", output)
        shown = result.stdout.splitlines()
        low, high = inventory.scale.low, inventory.scale.high
        assert shown[2].split()[:3] == ["mean", str(low), str(high)]
        rows = [line for line in shown if "[" in line]
        assert len(rows) == len(inventory.trait_codes)
        for row in rows:
            assert row.split("[")[1].split("]")[0].strip(bar) == ""
            assert f" {float(high if sign > 0 else low):.2f} " in row
            assert row.split()[-1] == "-"
        assert f"{low} low to {high} high" in " ".join(result.stdout.split())
        assert "No percentiles: the inventory has neither norms nor respondents" in " ".join(result.stdout.split())


def test_zero_is_an_answer(tmp_path: Path) -> None:
    path = write_instrument(tmp_path, "one-trait-from-0-to-10")
    items = load_inventory(path.name).items
    half = ["0"] * 3
    assert survey(half, "--inventory", path.name).exit_code == 0
    assert list(json.loads(Path("answers.json").read_text()).values()) == [0, 0, 0]
    resumed = survey(["10"] * (len(items) - 3))
    assert resumed.exit_code == 0, resumed.output
    assert f"answers: {len(items)} of {len(items)} items answered" in resumed.stdout
    assert list(read_answers("answers.json", load_inventory(path.name)).agreements[0]) == [0.0] * 3 + [10.0] * 3


def test_wrong_keys_name_the_right_ones_of_the_item(tmp_path: Path) -> None:
    path = write_instrument(tmp_path, "one-trait-from-0-to-10")
    told = survey(["11", "-", "05", "1.0", "q"], "--inventory", path.name).stderr
    for key in ("11", "-", "05", "1.0"):
        assert f"'{key}' is no key here. Keys: 0 to 10, b for back, s for skip, q for leave." in told.splitlines()
    assert not Path("answers.json").exists()
    mixed = write_instrument(tmp_path, "mixed-scales")
    inventory = load_inventory(mixed.name)
    told = survey([*["4"] * len(inventory), "q"], "--inventory", mixed.name, "-o", "mixed.json").stderr
    assert "'4' is no key here. Keys: 1 to 3, b" in told


def test_a_scenario_asks_what_one_would_do_and_numbers_its_options(tmp_path: Path) -> None:
    path = write_instrument(tmp_path, "scenarios")
    shown = survey(["2", "b", "q"], "--inventory", path.name).stderr
    assert "What would you do?" in shown
    assert "describe" not in shown
    assert "1 to 4 answer" in shown
    for option in (
        "1 I look for somebody else who might.",
        "2 I refuse and leave at once.",
        "3 I join in after a while.",
        "4 I begin before they have finished asking.",
    ):
        assert option in shown
    assert shown.count(" (your score)") == 2
    assert list(json.loads(Path("answers.json").read_text()).values()) == [1]


@pytest.mark.parametrize("name", ["german", "chinese"])
def test_around_items_in_another_language_only_the_keys_are_english(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    path = write_instrument(tmp_path, name)
    inventory = load_inventory(path.name)
    shown = survey(["1", "s", "b", "b", "f", "q"], "--inventory", path.name).stderr
    own = {item.text for item in inventory.items} | set(inventory.labels) | {inventory.wording.statement.strip()}
    assert ENGLISH.statement.strip() not in shown
    lines = [line.strip() for line in shown.splitlines() if line.strip()]
    about_keys = ("1 to ", "'f' is no key here. Keys: ", "2 of ")
    for line in lines:
        label = line.removeprefix("> ").partition(" ")[2]
        progress = "/" in line and not line.strip("0123456789/ [#.]")
        assert line in own or label in own or progress or line.startswith(about_keys), line
    assert any(line.startswith("> 1 ") for line in lines)


def test_columns_stand_below_each_other_with_wide_characters(tmp_path: Path) -> None:
    path = write_instrument(tmp_path, "chinese")
    text = path.read_text(encoding="utf-8")
    path.write_text(text.replace('"园"', '"园艺之乐"'), encoding="utf-8")
    inventory = load_inventory(path.name)
    shown = survey(typed(inventory, drawn(inventory)), "--inventory", path.name).stdout.splitlines()
    rows = [line for line in shown if "[" in line]
    assert len({len(row.split("[")[0]) for row in rows}) == 2, "the names have different lengths"
    assert len({cell_len(row.split("[")[0]) for row in rows}) == 1


@pytest.mark.parametrize(("words", "group"), [([], ""), (["--group", "old"], "old")])
def test_percentiles_are_those_of_the_norms_of_a_group(words: list[str], group: str, tmp_path: Path) -> None:
    path = write_instrument(tmp_path, "weights-and-norms")
    path.write_text(
        path.read_text().replace('"sd": 0.7, "n": 400, "group": "old"', '"sd": 1.3, "n": 9, "group": "old"')
    )
    inventory = load_inventory(path.name)
    scores = drawn(inventory)
    result = survey(typed(inventory, scores), "--inventory", path.name, "--json", *words)
    profile = json.loads(result.stdout)
    assert profile["population"]["group"] == group
    assert profile["population"]["respondents"] == (9 if group else 400)
    for row in profile["scores"]:
        published = inventory.norms.of(row["trait"], group)
        assert published is not None
        mean = float(trait_mean(inventory, scores, row["trait"]))
        expected = 100 * norm.cdf(mean, published.mean, published.sd)
        assert row["percentile"] == pytest.approx(expected, abs=1e-9)
        assert 0 < row["percentile"] < 100
    told = " ".join(survey([], "--show", *words).stdout.split())
    assert f"mean and sd of the norms of weights-and-norms{', old (n = 9)' if group else ' (n = 400)'}." in told
    assert "less certain" not in told


def test_norms_of_groups_alone_wait_for_a_choice_and_unknown_groups_are_refused(tmp_path: Path) -> None:
    path = write_instrument(tmp_path, "weights-and-norms")
    path.write_text(path.read_text().replace('"group": ""', '"group": "young"'))
    inventory = load_inventory(path.name)
    result = survey(typed(inventory, drawn(inventory)), "--inventory", path.name)
    assert result.exit_code == 0, result.output
    assert "Choose one with --group: young, old." in " ".join(result.stdout.split())
    refused = survey([], "--show", "--group", "older")
    assert (refused.exit_code, refused.stdout) == (2, "")
    assert refused.stderr == (
        "error: --group: inventory weights-and-norms has no norms of group 'older'\nhint: its groups: young, old\n"
    )
    none = survey(["q"], "--output", "own.json", "--group", "old")
    assert none.exit_code == 2
    assert "it has no norms: leave --group out" in none.stderr


def test_a_skipped_item_makes_a_percentile_by_norms_less_certain(tmp_path: Path) -> None:
    path = write_instrument(tmp_path, "weights-and-norms")
    inventory = load_inventory(path.name)
    lines = ["s", *typed(inventory, drawn(inventory))[1:]]
    result = survey(lines, "--inventory", path.name)
    assert "a percentile from a part of the items is less certain" in " ".join(result.stdout.split())


def test_the_next_command_quotes_and_names_what_other_words_would_take_for_something_else(tmp_path: Path) -> None:
    path = write_instrument(tmp_path, "yes-no")
    spaced = path.rename(tmp_path / "my items.yaml")
    inventory = load_inventory(spaced.name)
    lines = typed(inventory, drawn(inventory))
    words = next_words(survey(lines, "--inventory", spaced.name, "--output", "papi:ada.json"))
    assert words[-4:] == ["--personas", "./papi:ada.json", "--inventory", "my items.yaml"]
    assert load_personas(words[-3], load_inventory(words[-1])).ids == ("papi:ada",)


def test_the_next_command_names_the_builtin_where_another_one_is_the_default(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PASCTL_INVENTORY", "papi:none")
    words = next_words(survey(["5"] * 60, "--inventory", "builtin"))
    assert words[-2:] == ["--inventory", "builtin"]


def test_answers_without_an_opinion_on_the_fit_items_name_no_command(tmp_path: Path) -> None:
    path = write_instrument(tmp_path, "facets-of-five-points")
    inventory = load_inventory(path.name)
    report = [item for item in inventory.items if item.split == "report"]
    result = survey(["5"] * len(report), "--inventory", path.name, "--split", "report")
    assert result.exit_code == 0
    last = result.stderr.splitlines()[-1]
    assert last.startswith("not enough to steer a model by: no usable answer from answers")
