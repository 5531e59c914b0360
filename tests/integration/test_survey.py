"""From keys in a terminal to probes: a survey's file is a persona, also half answered and after a kill."""

from __future__ import annotations

import json
import os
import shutil
import signal
from pathlib import Path

import pytest

from pasctl.inventory import builtin_inventory
from tests.integration.refusal import assert_refused
from tests.integration.warm import Warm
from tests.survey.typist import Typist

INVENTORY = builtin_inventory()


@pytest.fixture(scope="module")
def store(fitted_master: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store with activations of the tiny model."""
    return Path(shutil.copytree(fitted_master, tmp_path_factory.mktemp("survey") / "artifacts"))


@pytest.mark.integration
def test_answers_given_by_keys_and_after_a_kill_train_probes(
    clean_environment: dict[str, str], warm: Warm, store: Path, tmp_path: Path
) -> None:
    command = ["survey", "--split", "fit", "-o", "ada.json"]
    with Typist(command, clean_environment, tmp_path) as typist:
        typist.see("1/30", "q leave")
        typist.press("51s4")
        typist.see("5/30", "q leave")
        os.kill(typist.pid, signal.SIGKILL)
        assert typist.end() == -signal.SIGKILL
    with Typist(command, clean_environment, tmp_path) as typist:
        typist.see("5/30", "q leave")
        typist.press("15" * 13)
        typist.see("That was the last of 30 items.", "b back")
        typist.press("\r")
        assert typist.end() == 0
        typist.see("ada: 29 of 30 items answered, 1 skipped")
    given = list(json.loads((tmp_path / "ada.json").read_text()).values())
    assert given == [5, 1, None, 4, *[1, 5] * 13]
    done = warm.run("train-probes", "--personas", "ada.json", "--store", store, "--json", folder=tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.document["name"] == "probes/tiny-a/ada@v1"
    fitted = warm.run("fit-directions", "--probes", done.document["name"], "--store", store, "--json", folder=tmp_path)
    assert fitted.returncode == 0, fitted.stderr


@pytest.mark.integration
def test_two_people_in_one_file_are_two_personas_and_skips_alone_are_none(
    clean_environment: dict[str, str], warm: Warm, store: Path, tmp_path: Path
) -> None:
    for name, key in (("Ada L.", "5"), ("bob", "1")):
        with Typist(["survey", "-o", "two.json", "--name", name], clean_environment, tmp_path) as typist:
            typist.see("1/60", "q leave")
            typist.press(key * 60 + "\r")
            assert typist.end() == 0
    both = warm.run("train-probes", "--personas", "two.json", "--store", store, "--dry-run", "--json", folder=tmp_path)
    assert both.returncode == 0, both.stderr
    assert both.document["plan"]["personas"] == 2
    with Typist(["survey", "-o", "none.json"], clean_environment, tmp_path) as typist:
        typist.see("1/60", "q leave")
        typist.press("s" * 60 + "\r")
        assert typist.end() == 0
        typist.see("none: 0 of 60 items answered, 60 skipped")
    refused = warm.run("train-probes", "--personas", "none.json", "--store", store, folder=tmp_path)
    assert_refused(refused, 2, "none")
