from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest

from pasctl.errors import MissingError
from pasctl.inventory import cached_papi, papi_personas, pull_papi
from pasctl.inventory.papi import PAPI_FILES
from pasctl.inventory.papi_hub import REPO

SHA = "0123456789abcdef0123456789abcdef01234567"


@contextmanager
def hub(files: dict[str, bytes]) -> Iterator[tuple[str, list[str]]]:
    """A hub on 127.0.0.1 with one dataset: its address, and the paths whose content was asked for."""
    fetched: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def log_message(self, *args: object) -> None:
            """Keeps the test's output clean."""

        def do_HEAD(self) -> None:
            self.answer(body=False)

        def do_GET(self) -> None:
            self.answer(body=True)

        def answer(self, body: bool) -> None:
            path = unquote(urlsplit(self.path).path)
            api, resolve = f"/api/datasets/{REPO}", f"/datasets/{REPO}/resolve/"
            if path.startswith(f"{api}/tree/"):
                tree = [
                    {"type": "file", "path": name, "size": len(content), "oid": hashlib.sha1(content).hexdigest()}  # noqa: S324
                    for name, content in files.items()
                ]
                self.send(json.dumps(tree).encode(), body)
            elif path in (api, f"{api}/revision/main", f"{api}/revision/{SHA}"):
                siblings = [{"rfilename": name} for name in files]
                self.send(json.dumps({"id": REPO, "sha": SHA, "siblings": siblings}).encode(), body)
            elif path.startswith(resolve) and (name := path.removeprefix(resolve).partition("/")[2]) in files:
                if body:
                    fetched.append(name)
                self.send(files[name], body)
            else:
                self.send(b"{}", body, status=404, error="RepoNotFound")

        def send(self, content: bytes, body: bool, status: int = 200, error: str | None = None) -> None:
            self.send_response(status)
            self.send_header("Content-Length", str(len(content)))
            self.send_header("ETag", f'"{hashlib.sha256(content).hexdigest()[:40]}"')
            self.send_header("X-Repo-Commit", SHA)
            if error:
                self.send_header("X-Error-Code", error)
            self.end_headers()
            if body:
                self.wfile.write(content)

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", fetched
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@pytest.fixture(autouse=True)
def online(monkeypatch: pytest.MonkeyPatch) -> None:
    """The hub client of this process may have been told to stay offline; 127.0.0.1 is no network."""
    import huggingface_hub.constants

    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", False)


def contents(folder: Path, below: str) -> dict[str, bytes]:
    return {f"{below}{name}": (folder / name).read_bytes() for name in PAPI_FILES}


@pytest.mark.parametrize("below", ["", "PAPI/", "data/v1/raw/en/"])
def test_pull_takes_the_known_files_and_finds_them_again_offline(small_papi: Path, tmp_path: Path, below: str) -> None:
    cache = tmp_path / "cache"
    with hub(contents(small_papi, below) | {"README.md": b"x", "train.json": b"[]"}) as (endpoint, fetched):
        pulled = pull_papi(endpoint=endpoint, cache_dir=cache)
    assert sorted(fetched) == sorted(f"{below}{name}" for name in PAPI_FILES)
    assert pulled.is_relative_to(cache)
    assert cached_papi(cache_dir=cache) == pulled  # the server is gone
    assert papi_personas(pulled).digest == papi_personas(small_papi).digest


def test_pull_of_a_commit_is_found_under_that_commit(small_papi: Path, tmp_path: Path) -> None:
    with hub(contents(small_papi, "")) as (endpoint, _):
        pulled = pull_papi(SHA, endpoint=endpoint, cache_dir=tmp_path)
    assert cached_papi(SHA, cache_dir=tmp_path) == pulled


def test_dataset_without_the_known_files_says_what_it_has(tmp_path: Path) -> None:
    with hub({f"part-{n}.parquet": b"x" for n in range(20)}) as (endpoint, fetched):
        with pytest.raises(MissingError, match=r"Test-set\.json; it has 20 files: part-0\.parquet, .* and 12 more"):
            pull_papi(endpoint=endpoint, cache_dir=tmp_path)
        assert fetched == []


def test_unknown_revision_and_refused_connection_are_one_line(small_papi: Path, tmp_path: Path) -> None:
    with hub(contents(small_papi, "")) as (endpoint, _), pytest.raises(MissingError, match=REPO) as unknown:
        pull_papi("no-such-branch", endpoint=endpoint, cache_dir=tmp_path)
    with pytest.raises(MissingError, match=REPO) as refused:
        pull_papi(endpoint=endpoint, cache_dir=tmp_path)  # the port is closed by now
    for error in (unknown.value, refused.value):
        assert "\n" not in str(error)
        assert "papi:DIR" in str(error.hint)


def test_empty_cache_says_how_to_fill_it(tmp_path: Path) -> None:
    with pytest.raises(MissingError, match="cache") as caught:
        cached_papi(cache_dir=tmp_path)
    assert "pasctl data pull papi" in str(caught.value.hint)
    assert "papi:DIR" in str(caught.value.hint)


@pytest.mark.hub
def test_real_hub(tmp_path: Path) -> None:
    """The dataset is either in the layout that the reader knows, or refused with a list of what it has."""
    from huggingface_hub.errors import HfHubHTTPError

    folder, refused = None, None
    try:
        folder = pull_papi(cache_dir=tmp_path)
    except MissingError as error:
        refused = error
    if refused is None:
        assert folder is not None
        assert len(papi_personas(folder)) > 0
        return
    if refused.__cause__ is not None and not isinstance(refused.__cause__, HfHubHTTPError):
        pytest.skip(f"the hub cannot be reached: {refused}")
    assert "it has" in str(refused)
