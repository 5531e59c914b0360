"""Where settings come from: flag, then PASCTL_* variable, then pasctl.toml, then the default."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from pasctl.store import Store, make_key
from tests.integration.refusal import assert_refused
from tests.integration.warm import Warm


@pytest.fixture
def work(tmp_path: Path) -> Path:
    """A working folder with four stores, which hold one artifact each, labelled as the store is called."""
    for place in ("artifacts", "of-toml", "of-variable", "of-flag"):
        document = {"stage": "extract", "params": {"place": place}}
        staging = Store(tmp_path / place).stage(make_key(document))
        staging.write_json("items.json", {})
        staging.commit(
            kind="activations", stage="extract", stage_version=1, model="none", label=place, document=document
        )
    return tmp_path


def _listed(warm: Warm, work: Path, *flags: str, **variables: str) -> str:
    """The label of the one artifact in the store that `pasctl store ls` took."""
    done = warm.run("store", "ls", "--json", *flags, folder=work, env=variables)
    assert done.returncode == 0, done.stderr
    (found,) = done.document
    return str(found["name"].split("/")[2].partition("@")[0])


def test_flag_before_variable_before_file_before_default(warm: Warm, work: Path) -> None:
    assert _listed(warm, work) == "artifacts"
    (work / "pasctl.toml").write_text('store = "of-toml"\n')
    assert _listed(warm, work) == "of-toml"
    assert _listed(warm, work, PASCTL_STORE="of-variable") == "of-variable"
    assert _listed(warm, work, "--store", "of-flag", PASCTL_STORE="of-variable") == "of-flag"
    assert _listed(warm, work, "--store", "of-flag") == "of-flag"


def test_table_of_a_command_before_that_of_its_group(warm: Warm, work: Path) -> None:
    (work / "pasctl.toml").write_text('[store]\nstore = "of-toml"\n[store.ls]\nstore = "of-flag"\n')
    assert _listed(warm, work) == "of-flag"
    path = warm.run("store", "path", "latest", folder=work)
    assert path.stdout.startswith("of-toml/")


def test_another_file_by_variable(warm: Warm, work: Path) -> None:
    (work / "pasctl.toml").write_text('store = "of-toml"\n')
    (work / "other.toml").write_text('store = "of-flag"\n')
    assert _listed(warm, work, PASCTL_CONFIG="other.toml") == "of-flag"


def test_seed_enters_the_key_wherever_it_comes_from(warm: Warm, tiny_folder: Path, tmp_path: Path) -> None:
    def key(*flags: str, folder: Path = tmp_path, **variables: str) -> str:
        done = warm.run("extract", "--model", tiny_folder, "--dry-run", "--json", *flags, folder=folder, env=variables)
        assert done.returncode == 0, done.stderr
        return str(done.document["key"])

    keys = [key("--seed", str(seed)) for seed in range(4)]
    assert len(set(keys)) == 4
    assert key() == keys[0]
    configured = tmp_path / "configured"
    configured.mkdir()
    (configured / "pasctl.toml").write_text("seed = 1\n")
    assert key(folder=configured) == keys[1]
    assert key(folder=configured, PASCTL_SEED="2") == keys[2]
    assert key("--seed", "3", folder=configured, PASCTL_SEED="2") == keys[3]
    (configured / "pasctl.toml").write_text("seed = 1\n[extract]\nseed = 2\n")
    assert key(folder=configured) == keys[2]
    (configured / "pasctl.toml").write_text("seed = 1\n[eval]\nseed = 2\n")
    assert key(folder=configured) == keys[1]


def test_list_of_numbers_means_what_the_flag_means(warm: Warm, fitted_store: Path, tmp_path: Path) -> None:
    plan = ["eval", "--dry-run", "--json", "--store", fitted_store]
    by_flag = warm.run(*plan, "--alpha", "0,1,2.5", folder=tmp_path)
    assert by_flag.returncode == 0, by_flag.stderr
    (tmp_path / "pasctl.toml").write_text("[eval]\nalpha = [0, 1, 2.5]\n")
    by_file = warm.run(*plan, folder=tmp_path)
    assert by_file.returncode == 0, by_file.stderr
    assert by_file.document["key"] == by_flag.document["key"]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("sed = 1", ("sed",)),
        ('stor = "x"', ("stor",)),
        ("[extrakt]\nseed = 1", ("extrakt",)),
        ("[extract]\nalpha = 4", ("alpha", "extract")),
        ("[store.lss]\nstore = 'x'", ("lss",)),
        ("seed = = 1", ("TOML",)),
    ],
    ids=["key", "other key", "table", "option of another command", "inner table", "syntax"],
)
def test_wrong_file_is_refused(warm: Warm, tmp_path: Path, text: str, words: tuple[str, ...]) -> None:
    (tmp_path / "pasctl.toml").write_text(text + "\n")
    done = warm.run("store", "ls", folder=tmp_path)
    assert_refused(done, 2, "pasctl.toml", *words)


def test_config_that_does_not_exist_is_missing(warm: Warm, tmp_path: Path) -> None:
    """A file that was named and is not there was meant; only the default one may be absent."""
    done = warm.run("store", "ls", folder=tmp_path, env={"PASCTL_CONFIG": "none.toml"})
    assert_refused(done, 3, "none.toml")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("trust-remote-code = true", ("trust-remote-code", "may not set")),
        ("[extract]\ntrust_remote_code = true", ("trust-remote-code", "may not set")),
        ("[serve]\nhost = '0.0.0.0'", ("host", "may not set")),
        ("api-key = 'known'", ("api-key", "may not set")),
        ("[serve]\napi-key-file = 'keys'", ("api-key-file", "may not set")),
        ("[serve]\nallowed-host = ['evil.example.org']", ("allowed-host", "may not set")),
        ("[say]\njudge = 'http://evil.example.org'", ("judge", "may not set")),
        ("store = '../outside'", ("store", "../outside", "inside")),
        ("store = '/tmp/outside'", ("store", "/tmp/outside", "inside")),  # noqa: S108 - refused
        ("store = 'link/artifacts'", ("store", "link/artifacts", "inside")),
        ("[report]\noutput = 'a/../../page.html'", ("output", "inside")),
        ("[export.create]\noutput = '../model'", ("output", "inside")),
        ("[eval]\nreport = '../page.html'", ("report", "inside")),
        ('[demo]\noutput = "\\u0000"', ("output", "inside")),
    ],
)
def test_a_file_of_the_folder_opens_nothing_and_writes_nowhere_else(
    warm: Warm, tmp_path: Path, text: str, words: tuple[str, ...]
) -> None:
    folder = tmp_path / "theirs"
    folder.mkdir()
    (folder / "link").symlink_to(tmp_path)
    (folder / "pasctl.toml").write_text(text + "\n")
    # whatever the command is
    done = warm.run("store", "ls", folder=folder)
    assert_refused(done, 2, "pasctl.toml", *words)


def test_code_of_a_model_in_the_folder_does_not_run(warm: Warm, tiny_folder: Path, tmp_path: Path) -> None:
    """The model, its code and the file that trusts it come in one folder."""
    model = tmp_path / "model"
    shutil.copytree(tiny_folder, model)
    config = json.loads((model / "config.json").read_text())
    config |= {"model_type": "theirs", "auto_map": {"AutoConfig": "own.C", "AutoModelForCausalLM": "own.M"}}
    (model / "config.json").write_text(json.dumps(config))
    (model / "own.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w').close()\nC = M = None\n")
    for text in ("trust-remote-code = true\n", "[extract]\ntrust_remote_code = true\n", ""):
        (tmp_path / "pasctl.toml").write_text(text)
        done = warm.run("extract", "--model", "model", folder=tmp_path, env={"PASCTL_TRUST_REMOTE_CODE": "1"})
        assert done.returncode in (2, 3), done.stderr
        assert not (tmp_path / "ran").exists()


def test_a_file_that_its_user_names_may_say_where_things_are(warm: Warm, work: Path) -> None:
    folder = work / "project"
    folder.mkdir()
    (folder / "pasctl.toml").write_text('store = "."\n[demo]\noutput = "pages/demo.html"\n')
    assert warm.run("store", "ls", folder=folder).returncode in (0, 3)
    (work / "mine.toml").write_text(f'store = "{work / "of-flag"}"\n')
    assert _listed(warm, folder, PASCTL_CONFIG="../mine.toml") == "of-flag"
    (work / "mine.toml").write_text("trust-remote-code = true\n")
    done = warm.run("store", "ls", folder=folder, env={"PASCTL_CONFIG": "../mine.toml"})
    assert_refused(done, 2, "mine.toml", "trust-remote-code")
