"""`pasctl store rm`, `untag`, `gc` and `du`: what they print, and with which exit code they refuse."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from typer.testing import CliRunner

from pasctl.cli.app import app
from pasctl.store import Artifact, Store


def run(store: Store, *words: str, code: int = 0) -> str:
    result = CliRunner().invoke(app, ["store", *words, "--store", str(store.root)])
    assert result.exit_code == code, result.output
    return result.stdout if code == 0 else result.output


def tell(store: Store, *words: str) -> Any:
    return json.loads(run(store, *words, "--json"))


def test_rm_says_what_goes(store: Store, made: tuple[Artifact, Artifact]) -> None:
    source, probes = made
    refusal = run(store, "rm", source.name, code=2)
    assert probes.name in refusal
    assert "--cascade" in refusal
    planned = run(store, "rm", source.name, "--cascade", "--dry-run")
    assert [line.split()[0] for line in planned.splitlines()] == [probes.name, source.name, "would"]
    assert len(store.keys()) == 2
    document = tell(store, "rm", source.name, "--cascade")
    assert [each["name"] for each in document["removed"]] == [probes.name, source.name]
    assert document["bytes"] > source.size + probes.size  # the manifests too
    assert document["dry_run"] is False
    assert store.keys() == []
    assert run(store, "verify", "--deep").endswith("is sound\n")
    assert run(store, "rm", source.name, code=3)


def test_rm_takes_several(store: Store, made: tuple[Artifact, Artifact]) -> None:
    source, probes = made
    assert "removed 2 artifacts" in run(store, "rm", source.name, probes.short_key)


def test_untag(store: Store, made: tuple[Artifact, Artifact]) -> None:
    source, _ = made
    run(store, "tag", source.name, "best")
    assert "untag best" in run(store, "rm", "best", "--cascade", code=2)
    assert "did you mean best" in run(store, "untag", "bets", code=3)
    assert tell(store, "untag", "best") == {"tag": "best", "key": source.key}
    assert store.tags() == {}


def test_gc_says_what_goes_and_what_is_no_rule(store: Store, made: tuple[Artifact, Artifact]) -> None:
    (store.root / "chats" / "demo").mkdir(parents=True)
    left = store.root / "chats" / "demo" / f".tmp-{2**22 + 1}-{'0' * 16}"
    left.write_text("a whole conversation")
    assert tell(store, "gc", "--dry-run")["leftovers"] == []  # no older than an hour, and perhaps another machine's
    os.utime(left, (0, 0))
    planned = run(store, "gc", "--dry-run")
    assert planned.startswith(f"chats/demo/{left.name}")
    assert planned.endswith("would remove 0 artifacts and 1 leftover, 20 B\n")
    done = tell(store, "gc", "--older-than", "0s")
    assert done["removed"] == []  # made within the last hour
    assert [each["path"] for each in done["leftovers"]] == [str(left)]
    assert not left.exists()
    assert "expected one of" in run(store, "gc", "--kind", "probe", "--keep-latest", "1", code=2)
    assert "age 'soon'" in run(store, "gc", "--older-than", "soon", code=2)
    assert "equal to 1" in run(store, "gc", "--keep-latest", "0", code=2)
    assert "--kind alone" in run(store, "gc", "--kind", "probes", code=2)


def test_du(store: Store, made: tuple[Artifact, Artifact]) -> None:
    source, probes = made
    document = tell(store, "du", "--top", "1")
    assert document["kinds"]["probes"]["count"] == 1
    (largest,) = document["artifacts"]
    assert (largest["name"], largest["key"]) == (source.name, source.key)
    assert largest["bytes"] == sum(path.stat().st_size for path in source.path.iterdir())
    assert document["disk_bytes"] >= largest["bytes"] + document["kinds"]["probes"]["bytes"]
    text = run(store, "du")
    assert source.name in text
    assert probes.name in text
    assert "index" in text


def test_du_of_nothing(tmp_path: Path) -> None:
    assert run(Store(tmp_path / "none"), "du") == ""
    assert not (tmp_path / "none").exists()
