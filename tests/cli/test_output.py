"""What people and programs read on stdout."""

from __future__ import annotations

import json
import os
import pty
import subprocess
import sys

import pytest

from pasctl.cli.columns import align
from pasctl.cli.output import print_json
from pasctl.cli.personal_table import personal_table
from pasctl.cli.tables import baselines_table, results_table
from tests.evaluation.tables import PERSONAL

ROW = {
    "condition": "pas",
    "alpha": 4.0,
    "mae": {"O": 1.0, "C": 0.5, "E": 0.25, "A": None, "N": 2.0},
    "composite": None,
    "composite_interval": [1.25, 2.5],
    "composite_argmax": 4.25,
    "item_correlation": 0.125,
    "rank_correlation_mean": 0.625,
    "acquiescence": 3.5,
    "acquiescence_person": 3.1,
    "option_mass": 0.75,
    "traits": ["O", "C", "E", "N"],
    "personas": 2,
    "items": 30,
}


def test_columns_line_up() -> None:
    lines = align([["name", "n"], ["a", "100"], ["longer", "7"]], left=1).splitlines()
    assert lines == ["name      n", "a       100", "longer    7"]


def test_the_table_has_every_figure_and_says_what_is_missing() -> None:
    baseline = {**ROW, "condition": "constant-3", "alpha": 0.0, "option_mass": None}
    table = results_table({"coding": "agreement", "conditions": [ROW, baseline]})
    header, first, second = table.splitlines()[:3]
    cells = dict(zip(words(header), first.split(), strict=True))
    assert cells["alpha"] == "4"
    assert (cells["C"], cells["A"], cells["composite"]) == ("0.500", "-", "-")
    assert (cells["item_r"], cells["rank_r"], cells["acqu."], cells["mass"]) == ("0.125", "0.625", "3.500", "0.750")
    assert cells["95%"] == "1.25..2.50"
    assert second.split()[0] == "constant-3"
    assert "2 personas, 30 items; the personas' own acquiescence is 3.100" in table
    assert "Coding" not in table


def words(header: str) -> list[str]:
    return header.replace("item r", "item_r").replace("rank r", "rank_r").split()


def test_the_table_fits_a_terminal_of_120_columns() -> None:
    long = {**ROW, "condition": "own-facet-mean-rounded", "composite": 12.125, "composite_interval": [11.25, 12.5]}
    median = {**long, "condition": "item-median-loo"}
    tables = [
        results_table({"coding": "as-published", "conditions": [ROW, long, median]}),
        baselines_table({"coding": "as-published", "conditions": [long, median], "left_out": {}}),
    ]
    for table in tables:
        assert max(map(len, table.splitlines())) <= 120


def test_results_of_earlier_versions_have_no_rank_correlation_and_print() -> None:
    earlier = {name: value for name, value in ROW.items() if name not in ("rank_correlation_mean", "composite_argmax")}
    header, first = results_table({"coding": "agreement", "conditions": [earlier]}).splitlines()[:2]
    assert dict(zip(words(header), first.split(), strict=True))["rank_r"] == "-"


def test_baselines_alone_say_which_are_left_out_and_that_ranks_of_the_others_median_mean_nothing() -> None:
    constant, median = ({**ROW, "condition": name, "alpha": 0.0} for name in ("constant-3", "item-median-loo"))
    left_out = {"ridge": "needs more"}
    table = baselines_table({"coding": "agreement", "conditions": [constant, median], "left_out": left_out})
    header, first = table.splitlines()[:2]
    assert dict(zip(words(header), first.split(), strict=True))["rounded"] == "4.250"
    assert "ridge is left out: it needs more" in table
    assert "rank r means nothing" in table
    assert "rank r means nothing" not in results_table({"coding": "agreement", "conditions": [ROW, constant]})


def test_differences_stand_under_the_table_and_those_beyond_chance_are_marked() -> None:
    pas = {"condition": "pas", "setting": "4"}
    differences = [
        {
            **pas,
            "against": "no-change",
            "against_setting": "",
            "composite": [-0.5, -0.75, -0.25],
            "item_correlation": None,
        },
        {
            **pas,
            "against": "random-direction",
            "against_setting": "4",
            "composite": [-0.25, -0.5, 0.125],
            "item_correlation": [0.25, 0.125, 0.5],
        },
    ]
    table = results_table({"coding": "agreement", "conditions": [ROW], "differences": differences})
    first, second = (line for line in table.splitlines() if line.startswith("pas 4 - "))
    assert first.split() == ["pas", "4", "-", "no-change", "-0.500*", "-0.750..-0.250", "-", "-"]
    assert second.split()[4:] == ["4", "-0.250", "-0.500..+0.125", "+0.250*", "+0.125..+0.500"]
    assert "* the interval excludes 0" in table


def test_how_alpha_was_chosen_is_told_and_an_oracle_is_called_one() -> None:
    auto = {**ROW, "setting": "auto", "alpha": None, "alphas": {"0": 2, "16": 1, "4": 3}}
    oracle = {**ROW, "setting": "oracle", "alpha": None, "alphas": {"4": 6}}
    choice = {"scope": "persona", "alphas": [0.0, 4.0, 16.0], "folds": 4, "budget_kl": 0.5}
    table = results_table({"coding": "agreement", "conditions": [auto, oracle], "choice": choice})
    assert "alpha of 0,4,16 chosen for each persona on held-out fit items, 4 folds, within 0.5 nats" in table
    assert "alpha 0 for 2, alpha 4 for 3, alpha 16 for 1" in table
    assert "oracle: ALPHA CHOSEN ON THE REPORTED ITEMS" in table
    assert "oracle" not in results_table({"coding": "agreement", "conditions": [auto]})


def test_what_stands_beside_the_results_is_printed_below_them_within_120_columns() -> None:
    effects = {
        "text": "builtin",
        "tokens": 256,
        "unsteered": {"perplexity": 19.5, "repetition": 0.25},
        "rows": [
            {
                "condition": "random-direction",
                "setting": "16",
                "kl": [0.5, 0.25, 0.75],
                "perplexity": [21.0, 20.5, 22.25],
                "repetition": [None, None, None],
            }
        ],
    }
    shift = {"persona": "E+", "condition": "pas", "setting": "16", "alpha": 16.0, "low": -0.25}
    shifts = [{**shift, "trait": trait, "shift": 1.25, "high": 1.0, "p_holm": 0.2} for trait in "OCEAN"]
    shifts[0] |= {"low": 0.25, "p_holm": 0.06}  # its own interval excludes 0, but it is one of many
    shifts[2] |= {"low": 0.5, "high": 2.0, "p_holm": 0.01}
    audit = [
        {"condition": "pas", "setting": "16", "answers": 8, "unparsed": 2, "mismatched": 1, "mae_worst": 1.5},
        {"condition": "no-change", "setting": "", "answers": 7, "unparsed": 0, "mismatched": 0, "mae_worst": None},
    ]
    found = {"side_effects": effects, "trait_shifts": shifts, "audit": audit, "notes": ["1 persona: a note"]}
    table = results_table({"coding": "agreement", "conditions": [ROW], **found})
    lines = {line.split("  ")[0].strip(): line for line in table.splitlines()}
    assert lines["random-direction 16"].split()[2:] == ["0.500", "0.250..0.750", "21.000", "20.500..22.250", "-"]
    assert lines["no-change"].split() == ["no-change", "7", "0", "0", "-"]
    assert lines["E+"].split()[1:] == [
        *("+1.25", "+0.25..+1.00", "+1.25", "-0.25..+1.00"),
        *("[+1.25*", "+0.50..+2.00]"),
        *("+1.25", "-0.25..+1.00", "+1.25", "-0.25..+1.00"),
    ]
    assert lines["pas 16"].split() == ["pas", "16", "8", "2", "1", "1.500"]
    assert "1 persona: a note" in table
    assert max(map(len, table.splitlines())) <= 120


def test_a_table_of_misread_answers_says_so() -> None:
    assert "as-published" in results_table({"coding": "as-published", "conditions": [ROW]})


def test_json_is_one_line_and_refuses_nan(capsys: pytest.CaptureFixture[str]) -> None:
    print_json({"text": "ein Wort\nzwei", "value": 1.5})
    assert json.loads(capsys.readouterr().out) == {"text": "ein Wort\nzwei", "value": 1.5}
    with pytest.raises(ValueError, match="JSON"):
        print_json(float("nan"))


PROGRESS = """
import time
from pasctl.cli import output
output.BAR_AFTER_SECONDS = 0.2
with output.Terminal().progress("extract", 4, "items") as advance:
    for _ in range(4):
        time.sleep(0.15)
        advance(1)
"""


def shown(*, terminal: bool) -> str:
    if not terminal:
        return subprocess.run([sys.executable, "-c", PROGRESS], capture_output=True, text=True, check=True).stderr
    master, slave = pty.openpty()
    process = subprocess.Popen([sys.executable, "-c", PROGRESS], stderr=slave, stdout=subprocess.DEVNULL)
    os.close(slave)
    seen = b""
    while True:
        try:
            chunk = os.read(master, 4096)
        except OSError:
            break
        if not chunk:
            break
        seen += chunk
    assert process.wait() == 0
    os.close(master)
    return seen.decode()


def test_a_long_work_shows_a_bar_in_a_terminal_and_nothing_in_a_pipe() -> None:
    seen = shown(terminal=True)
    assert "extract" in seen
    assert "items" in seen
    assert "/s" in seen
    assert shown(terminal=False) == ""


def test_differences_that_nothing_is_known_of_are_not_printed() -> None:
    nothing = {"condition": "pas", "setting": "4", "against": "no-change", "against_setting": ""}
    nothing |= {"composite": None, "item_correlation": None}
    table = results_table({"coding": "agreement", "conditions": [ROW], "differences": [nothing]})
    assert "paired difference" not in table
    assert table == results_table({"coding": "agreement", "conditions": [ROW], "differences": []})


def test_each_reading_has_a_table_and_whether_answers_are_the_persons_stands_below() -> None:
    letters = {**ROW, "reading": "letters", "setting": "4"}
    statements = {**letters, **PERSONAL, "reading": "statements", "option_mass": None, "dlp_size": 1.5}
    statements |= {"dlp_spread": 0.25, "personas": 24}
    baseline = {**ROW, "reading": "", "condition": "own-facet-mean-rounded", "setting": "", "option_mass": None}
    difference = {"condition": "pas", "setting": "4", "against": "no-change", "against_setting": ""}
    difference |= {"composite": [-1.0, -1.5, -0.5], "item_correlation": None}
    differences = [{**difference, "reading": reading} for reading in ("letters", "statements")]
    table = results_table(
        {"coding": "agreement", "conditions": [letters, statements, baseline], "differences": differences}
    )
    first, second = table.split("reading: statements")
    assert first.startswith("reading: letters")
    for part in (first, second):
        assert part.count("own-facet-mean-rounded") == 1
        assert part.count("pas 4 - no-change") == 1
    assert "place" not in first
    [header] = [line for line in second.splitlines() if line.startswith("condition")]
    assert header.split()[-2:] == ["dlp", "spread"]
    [row] = [line for line in second.splitlines() if line.startswith("pas 4  ") and "12.5" in line]
    assert row.split() == [
        *("pas", "4", "24", "0.124", "0.09..0.16", "-0.004", "-0.01..0.01", "7.1", "(12.5)", "5.50..8.70", "38%")
    ]
    assert max(map(len, table.splitlines())) <= 120


def test_the_personal_table_fits_a_terminal_of_120_columns() -> None:
    row = {**ROW, **PERSONAL, "condition": "random-direction", "setting": "oracle", "personas": 1000}
    row |= {"distinctive_r_interval": [-0.12, -0.1], "own_place": 512.5, "own_place_interval": [400.25, 600.25]}
    row |= {"own_place_chance": 500.5, "wrong_person_r_interval": [-0.12, -0.1]}
    assert max(map(len, personal_table([row]).splitlines())) <= 120
