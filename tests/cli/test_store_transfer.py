"""`pasctl store export`, `import`, `push`, `pull`, `fetch` and `remote-ls`: what they print, and how they refuse."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from pasctl.cli.app import app
from pasctl.store import Artifact, Store
from tests.store.trees import digests, state


def run(store: Store, *words: str, code: int = 0) -> str:
    result = CliRunner().invoke(app, ["store", *words, "--store", str(store.root)])
    assert result.exit_code == code, result.output
    if code:
        assert sum(line.startswith("error: ") for line in result.output.splitlines()) == 1
        assert "Traceback" not in result.output
    return result.output


def tell(store: Store, *words: str) -> Any:
    result = CliRunner().invoke(app, ["store", *words, "--store", str(store.root), "--json"])
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


@pytest.fixture
def other(tmp_path: Path) -> Store:
    return Store(tmp_path / "other")


@pytest.fixture
def shared(tmp_path: Path) -> str:
    return str(tmp_path / "shared")


def test_a_bundle_from_one_store_to_another(
    store: Store, made: tuple[Artifact, Artifact], other: Store, tmp_path: Path
) -> None:
    source, probes = made
    path = str(tmp_path / "b.tar.zst")
    store.tag(probes, "best")
    planned = run(store, "export", "best", "--with-inputs", "-o", path, "--dry-run")
    assert f"would write {path}: 2 artifacts, 3 files" in planned
    assert not Path(path).exists()
    document = tell(store, "export", "best", "--with-inputs", "-o", path, "--tags")
    assert [each["name"] for each in document["artifacts"]] == [source.name, probes.name]
    assert document["bundle_bytes"] == Path(path).stat().st_size
    assert (document["files"], document["bytes"], document["tags"]) == (3, source.size + probes.size, ["best"])
    assert "would take in 2 new artifacts" in run(other, "import", path, "--dry-run")
    assert not other.root.exists()
    arrived = tell(other, "import", path, "--tags")
    assert (arrived["named"], arrived["files"], arrived["bytes"]) == ([probes.name], 3, source.size + probes.size)
    assert arrived["tags"] == ["best"]
    assert digests(other.root / "objects") == digests(store.root / "objects")
    assert run(other, "import", path).endswith("0 new artifacts, 0 files moved, 0 B\n")
    assert "is sound" in run(other, "verify", "--deep")


def test_a_bundle_without_inputs_says_so(
    store: Store, made: tuple[Artifact, Artifact], other: Store, tmp_path: Path
) -> None:
    source, probes = made
    path = str(tmp_path / "b.tar")
    run(store, "export", probes.name, "-o", path)
    said = run(other, "import", path)
    assert f"note: 1 input ({source.name}) is neither in {path} nor in the store" in said
    assert tell(other, "import", path)["absent"] == []  # of what is new


def test_bundles_that_cannot_be_used(
    store: Store, made: tuple[Artifact, Artifact], other: Store, tmp_path: Path
) -> None:
    path = tmp_path / "b.tar"
    assert "ends in .tar.zst, .tar.gz, .tgz, .tar" in run(store, "export", "latest", "-o", "b.zip", code=2)
    assert "no artifact matches 'nothing'" in run(store, "export", "nothing", "-o", str(path), code=3)
    assert "there is no bundle" in run(other, "import", str(path), code=3)
    run(store, "export", "latest", "-o", str(path))
    data = path.read_bytes()
    path.write_bytes(data[:-2000] + b"x" + data[-1999:])
    before = state(other)
    assert "nothing of it was taken in" in run(other, "import", str(path), code=4)
    assert state(other) == before


def test_push_and_pull(store: Store, made: tuple[Artifact, Artifact], other: Store, shared: str) -> None:
    source, probes = made
    store.tag(probes, "best")
    assert "would push 2 new artifacts, 3 files" in run(store, "push", "best", "--remote", shared, "--dry-run")
    assert not Path(shared).exists()
    pushed = tell(store, "push", "best", "--remote", shared, "--tags")
    assert [each["there"] for each in pushed["artifacts"]] == [source.name, probes.name]
    assert (pushed["files"], pushed["bytes"], pushed["missing_bytes"]) == (3, *[source.size + probes.size] * 2)
    again = tell(store, "push", "best", "--remote", shared)
    assert (again["artifacts"], again["files"], again["missing_bytes"]) == ([], 0, 0)
    [first, second] = tell(other, "remote-ls", "--remote", shared)
    assert (first["name"], first["tags"], first["here"]) == (probes.name, ["best"], False)
    assert tell(other, "remote-ls", "--remote", shared, "--kind", "activations") == [second]
    table = run(other, "remote-ls", "--remote", shared).splitlines()
    assert table[0].split() == ["name", "key", "size", "made", "here", "tags"]
    assert "would take in 2 new artifacts" in run(other, "pull", probes.name, "--remote", shared, "--dry-run")
    assert not other.root.exists()
    pulled = tell(other, "pull", "best", "--remote", shared, "--tags")
    assert (pulled["named"], pulled["files"], pulled["tags"]) == ([probes.name], 3, ["best"])
    assert digests(other.root / "objects") == digests(store.root / "objects")
    assert [each["here"] for each in tell(other, "remote-ls", "--remote", shared)] == [True, True]


def test_fetch(store: Store, made: tuple[Artifact, Artifact], other: Store, shared: str) -> None:
    run(store, "push", made[1].name, "--remote", shared)
    assert "would take in 1 new artifact," in run(
        other, "fetch", "--remote", shared, "--kind", "activations", "--dry-run"
    )
    assert len(tell(other, "fetch", "--remote", shared)["artifacts"]) == 2
    assert tell(other, "fetch", "--remote", shared)["artifacts"] == []
    assert "--kind 'nothing' is unknown" in run(other, "fetch", "--remote", shared, "--kind", "nothing", code=2)


def test_remotes_have_names(
    store: Store, made: tuple[Artifact, Artifact], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert "there is no remote 'lab': pasctl.toml names none" in run(store, "push", "latest", "--remote", "lab", code=2)
    (tmp_path / "pasctl.toml").write_text('[remotes]\nlab = "./lab folder"\n[store.ls]\nkind = "probes"\n')
    assert "to lab folder" in run(store, "push", "latest", "--remote", "lab")
    monkeypatch.setenv("PASCTL_REMOTE", "lab")
    assert len(tell(store, "remote-ls")) == 2
    assert "known are lab" in run(store, "remote-ls", "--remote", "lob", code=2)
    for wrong in ('[remotes]\nlab = ""', "[remotes]\nlab = 3", "[remotes.lab]\nurl = 'x'", 'remotes = "x"'):
        (tmp_path / "pasctl.toml").write_text(wrong)
        assert "pasctl.toml" in run(store, "remote-ls", code=2)


def test_a_file_of_others_sends_nothing_away(
    store: Store, made: tuple[Artifact, Artifact], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "pasctl.toml").write_text('[store.push]\nremote = "./elsewhere"\n')
    assert "which a file may not set" in run(store, "push", "latest", code=2)
    assert not (tmp_path / "elsewhere").exists()


@pytest.mark.parametrize(
    ("remote", "code", "words"),
    [
        ("nothing://x", 2, "nothing is known of nothing://"),
        ("http://127.0.0.1:1/x", 1, "cannot be reached"),
        ("./not/there", 3, "there is no not/there"),
        ("gs://bucket/x", 3, "pasctl[gcs]"),
    ],
)
def test_remotes_that_cannot_be_used(
    store: Store, made: tuple[Artifact, Artifact], tmp_path: Path, remote: str, code: int, words: str
) -> None:
    before = state(store)
    assert words in run(store, "pull", "latest", "--remote", remote, code=code)
    assert state(store) == before


def test_a_tampered_remote(store: Store, made: tuple[Artifact, Artifact], other: Store, shared: str) -> None:
    run(store, "push", made[1].name, "--remote", shared)
    [path] = Path(shared).glob("objects/probes/*/*/x.json")
    path.write_text("6\n")
    assert "x.json is damaged: expected sha256" in run(other, "pull", made[1].name, "--remote", shared, code=4)
    assert other.keys() == []
    assert "did you mean" in run(other, "pull", "probes/tiny/papy", "--remote", shared, code=3)
    [manifest] = Path(shared).glob("objects/probes/*/*/manifest.json")
    manifest.write_text("{")
    listed = run(other, "remote-ls", "--remote", shared)
    assert "warning: " in listed
    assert made[0].name in listed
