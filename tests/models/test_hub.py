"""Hub models: from a cache laid out as the hub's, from a hub on 127.0.0.1, and with neither."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from tests.tiny import hub_cache_layout, save_tiny

REPO = "Some-Org/Tiny-Qwen3"
SHA = "0123456789abcdef0123456789abcdef01234567"

# Prints what resolve_model makes of its arguments; a process of its own, for huggingface_hub reads settings at import.
RESOLVE = """
import json, sys
from pasctl.errors import PasctlError
import pasctl.models.hub as hub
from pasctl.models.identity import resolve_model
hub.TIMEOUT_SECONDS = 0.5
try:
    source = resolve_model(sys.argv[1], revision=sys.argv[2] if len(sys.argv) > 2 else None)
    print(json.dumps({"identity": source.identity, "path": str(source.path), "slug": source.slug,
                      "family": source.family, "torch": "torch" in sys.modules}))
except PasctlError as error:
    print(json.dumps({"code": error.exit_code, "message": error.message, "hint": error.hint}))
"""


def run(code: str, *arguments: str, home: Path, **settings: str) -> Any:
    """Run `code` with a hub cache of its own below `home` and return the JSON it prints."""
    kept = {key: value for key, value in os.environ.items() if not key.startswith(("HF_", "HUGGING"))}
    environment = (
        kept | {"HF_HOME": str(home), "PASCTL_CACHE": str(home / "digests"), "NO_PROXY": "127.0.0.1"} | settings
    )
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments],
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    return json.loads(done.stdout.splitlines()[-1])


@pytest.fixture(scope="module")
def cached(tmp_path_factory) -> tuple[Path, str]:
    """(HF_HOME, sha) with a tiny Qwen3 in the cache."""
    home = tmp_path_factory.mktemp("hf")
    folder = save_tiny(tmp_path_factory.mktemp("tiny") / "m")
    return home, hub_cache_layout(home / "hub", REPO, folder)


class _Hub(BaseHTTPRequestHandler):
    """A hub with one model, one gated model, one with pickled weights, and one that never answers."""

    release = threading.Event()

    def do_GET(self) -> None:
        if "/never/" in self.path:
            self.release.wait(30)
            return
        status, headers, body = self._answer()
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        content = json.dumps(body).encode()
        self.send_header("Content-Length", str(len(content)))
        self.send_header("Content-Type", "application/json")
        self.end_headers()
        self.wfile.write(content)

    def _answer(self) -> tuple[int, dict[str, str], dict]:
        if self.path.endswith("/api/models?limit=1"):
            return 200, {}, {}
        if "/gated/" in self.path:
            return 403, {"X-Error-Code": "GatedRepo", "X-Error-Message": "ask"}, {"error": "ask"}
        files = ["config.json", "pytorch_model.bin" if "/pickled/" in self.path else "model.safetensors"]
        known = {"main": SHA, "v1": SHA[::-1]}
        if f"/api/models/{REPO}/revision/" not in self.path and "/pickled/" not in self.path:
            return 401, {"X-Error-Message": "Invalid username or password."}, {"error": "who"}
        revision = self.path.rsplit("/", 1)[-1]
        if revision not in known:
            return 404, {"X-Error-Code": "RevisionNotFound"}, {"error": "Invalid rev id"}
        model = {"id": REPO, "sha": known[revision], "config": {"model_type": "qwen3"}}
        return 200, {}, model | {"siblings": [{"rfilename": name} for name in files]}

    def log_message(self, *_: object) -> None:
        return


@pytest.fixture(scope="module")
def hub() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Hub)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    _Hub.release.set()
    server.shutdown()


def test_offline_the_cache_tells_the_commit(cached):
    home, sha = cached
    found = run(RESOLVE, REPO, home=home, HF_HUB_OFFLINE="1")
    assert found == {
        "identity": {"kind": "hub", "repo": REPO, "sha": sha},
        "path": str(home / "hub" / "models--Some-Org--Tiny-Qwen3" / "snapshots" / sha),
        "slug": "tiny-qwen3",
        "family": "qwen3",
        "torch": False,
    }
    assert run(RESOLVE, REPO, sha, home=home, HF_HUB_OFFLINE="1") == found


def test_a_dead_hub_falls_back_to_the_cache(cached):
    home, sha = cached
    assert run(RESOLVE, REPO, home=home, HF_ENDPOINT="http://127.0.0.1:9")["identity"]["sha"] == sha


@pytest.mark.parametrize("settings", [{"HF_HUB_OFFLINE": "1"}, {"HF_ENDPOINT": "http://127.0.0.1:9"}])
def test_neither_cache_nor_hub_is_one_line_that_says_what_to_do(tmp_path, settings):
    failure = run(RESOLVE, REPO, home=tmp_path, **settings)
    assert failure["code"] == 3
    assert REPO in failure["message"]
    assert "\n" not in failure["message"] + failure["hint"]
    assert all(word in failure["hint"] for word in ("hf download", "local folder", ".gguf"))


def test_a_revision_that_is_not_cached_is_missing_offline(cached):
    failure = run(RESOLVE, REPO, "v9", home=cached[0], HF_HUB_OFFLINE="1")
    assert (failure["code"], "v9" in failure["message"]) == (3, True)


def test_the_hub_tells_the_commit_of_a_revision(hub, cached, tmp_path):
    main = run(RESOLVE, REPO, home=tmp_path, HF_ENDPOINT=hub)
    assert main["identity"]["sha"] == SHA
    assert (main["path"], main["family"], main["torch"]) == ("None", "qwen3", False)
    assert run(RESOLVE, REPO, "v1", home=tmp_path, HF_ENDPOINT=hub)["identity"]["sha"] == SHA[::-1]
    # the hub's main has moved on: a cached older commit must not be taken for it
    assert run(RESOLVE, REPO, home=cached[0], HF_ENDPOINT=hub)["identity"]["sha"] == SHA


@pytest.mark.parametrize(
    ("repo", "revision", "code", "told"),
    [
        (REPO, "nope", 3, "no revision 'nope'"),
        ("some/typo", "main", 3, "no model 'some/typo'"),
        ("gated/model", "main", 3, "is gated"),
        ("pickled/model", "main", 2, r"no *.safetensors"),
        ("never/answers", "main", 3, "cannot be reached"),
    ],
)
def test_what_the_hub_refuses_is_told_by_name(hub, tmp_path, repo, revision, code, told):
    failure = run(RESOLVE, repo, revision, home=tmp_path, HF_ENDPOINT=hub)
    assert failure["code"] == code
    assert repo in failure["message"]
    assert told in failure["message"]
    assert "\n" not in failure["message"] + failure["hint"]


def test_whether_the_hub_can_be_reached_is_told_in_words(hub, tmp_path):
    code = "import json; from pasctl.models.hub import hub_reachable; print(json.dumps(hub_reachable()))"
    assert run(code, home=tmp_path, HF_ENDPOINT=hub) == [True, f"{hub} answers"]
    for settings in ({"HF_ENDPOINT": "http://127.0.0.1:9"}, {"HF_HUB_OFFLINE": "1", "HF_ENDPOINT": hub}):
        reachable, words = run(code, home=tmp_path, **settings)
        assert (reachable, "only cached models" in words) == (False, True)


@pytest.mark.integration
def test_a_cached_model_loads_without_network_and_an_incomplete_one_says_what_is_missing(cached):
    code = """
import json, sys
from pathlib import Path
from typing import Any
from pasctl.errors import PasctlError
from pasctl.models.load import load_model
loaded = load_model(sys.argv[1], dtype="float32")
first = {"sha": loaded.source.sha, "layers": loaded.geometry.layers}
(Path(loaded.source.path) / "model.safetensors").unlink()
try:
    load_model(sys.argv[1])
except PasctlError as error:
    first |= {"code": error.exit_code, "message": error.message}
print(json.dumps(first))
"""
    home, sha = cached
    snapshot = home / "hub" / "models--Some-Org--Tiny-Qwen3" / "snapshots" / sha
    link = (snapshot / "model.safetensors").readlink()
    try:
        found = run(code, REPO, home=home, HF_HUB_OFFLINE="1")
    finally:
        (snapshot / "model.safetensors").unlink(missing_ok=True)
        (snapshot / "model.safetensors").symlink_to(link)
    assert (found["sha"], found["layers"], found["code"]) == (sha, 3, 3)
    assert "model.safetensors is missing" in found["message"]
