"""Remotes at s3://, against moto's server on this machine: `make test-remotes`."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pasctl.errors import IntegrityError, MissingError, RemoteError
from pasctl.store import Artifact, Store
from pasctl.store.find_remote import open_remote
from pasctl.store.remote import Remote
from pasctl.store.remote_store import RemoteStore
from tests.store.light_stage import run
from tests.store.test_transfer import fetch, pull, push
from tests.store.trees import digests, lineage

pytest.importorskip("moto.server", reason="run `make test-remotes`")
s3fs = pytest.importorskip("s3fs", reason="run `make test-remotes`")
pytestmark = pytest.mark.integration
WORKER = Path(__file__).with_name("transfer_worker.py")


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=environment)
    address = f"http://127.0.0.1:{port}"
    for _ in range(300):
        try:
            urllib.request.urlopen(f"{address}/moto-api/", timeout=5).close()  # noqa: S310
            break
        except OSError:
            assert process.poll() is None
            time.sleep(0.1)
    yield address
    process.kill()
    process.wait()


@pytest.fixture
def account(server: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {
        "AWS_ENDPOINT_URL": server,
        "AWS_ACCESS_KEY_ID": "a",
        "AWS_SECRET_ACCESS_KEY": "b",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_EC2_METADATA_DISABLED": "true",
    }.items():
        monkeypatch.setenv(name, value)
    s3fs.S3FileSystem.clear_instance_cache()


@pytest.fixture
def remote(account: None, tmp_path: Path) -> Remote:
    bucket = f"b{abs(hash(str(tmp_path)))}"
    s3fs.S3FileSystem().mkdir(bucket)
    return open_remote(f"s3://{bucket}/lab")


@pytest.fixture
def made(store: Store) -> list[Artifact]:
    return run(store)


def test_what_is_pushed_can_be_pulled(store: Store, made: list[Artifact], remote: Remote, tmp_path: Path) -> None:
    pushed = push(store, remote, tags=True)
    assert (pushed.files, pushed.bytes) == (4, sum(each.size for each in made))
    assert push(store, remote, tags=True).files == 0
    there = RemoteStore(remote)
    for ref in ("best", "export/tiny/second", "export/tiny/second@v1", made[1].key, made[1].short_key, "latest"):
        assert there.resolve(ref).key == made[1].key, ref
    other = Store(tmp_path / "other")
    assert pull(other, remote, "best", tags=True).files == 3
    assert digests(other.root / "objects") == digests(store.root / "objects")
    assert lineage(other, other.resolve("best")) == lineage(store, made[1])
    assert other.verify(deep=True) == []
    assert fetch(other, remote).files == 0


def test_one_of_several_creates_a_file(remote: Remote, tmp_path: Path) -> None:
    for number in range(5):
        with ThreadPoolExecutor(8) as pool:
            created = list(pool.map(lambda mine, n=number: remote.create(f"{n}", f"{mine}".encode()), range(8)))
        assert sum(created) == 1
        assert remote.read_whole(f"{number}", 10) == f"{created.index(True)}".encode()
        (tmp_path / "local").write_bytes(b"another")
        assert not remote.put(f"{number}", tmp_path / "local")


def test_a_tampered_object_and_a_newer_schema(
    store: Store, made: list[Artifact], remote: Remote, tmp_path: Path
) -> None:
    push(store, remote)
    other, files = Store(tmp_path / "other"), s3fs.S3FileSystem()
    place = f"{remote.url.removeprefix('s3://')}/{made[1].path.relative_to(store.root).as_posix()}"
    data = files.cat_file(f"{place}/x.safetensors")
    files.pipe_file(f"{place}/x.safetensors", data[:-1] + b"\1")
    with pytest.raises(IntegrityError, match=r"x\.safetensors is damaged"):
        pull(other, remote, "export/tiny/second")
    assert other.keys() == []
    files.pipe_file(f"{place}/x.safetensors", data)
    manifest = json.loads(files.cat_file(f"{place}/manifest.json"))
    files.pipe_file(f"{place}/manifest.json", json.dumps(manifest | {"schema": "pasctl-manifest/9"}).encode())
    with pytest.raises(IntegrityError, match="newer pasctl"):
        pull(other, remote, made[1].key)
    files.rm_file(f"{place}/manifest.json")
    assert len(push(store, remote).new) == 1
    assert pull(other, remote, "export/tiny/second").files >= 1  # the rest may have arrived before


def test_no_bucket_no_credentials_no_server(
    store: Store, made: list[Artifact], remote: Remote, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = digests(store.root)
    nowhere = open_remote("s3://not-a-bucket/lab")
    for work in (push, pull):
        with pytest.raises(MissingError, match="there is no s3://not-a-bucket/lab"):
            work(store, nowhere)
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    for name in ("AWS_SHARED_CREDENTIALS_FILE", "AWS_CONFIG_FILE"):
        monkeypatch.setenv(name, "/nowhere")
    s3fs.S3FileSystem.clear_instance_cache()
    with pytest.raises(RemoteError, match="access is refused: Unable to locate credentials"):
        push(store, open_remote(remote.url))
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:1")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "a")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "b")
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    s3fs.S3FileSystem.clear_instance_cache()
    with pytest.raises(RemoteError, match="Could not connect"):
        push(store, open_remote(remote.url))
    assert digests(store.root) == before


def test_killed_at_any_time(
    store: Store, made: list[Artifact], remote: Remote, tmp_path: Path, start: Callable[..., Any]
) -> None:
    """20 pushes and 20 pulls killed at random, each begun where the one before was killed."""
    draw = np.random.default_rng(0)
    for number in range(40):
        root = store.root if number < 20 else tmp_path / f"other{number // 30}"
        process = start("move", "push" if number < 20 else "pull", root, remote.url, worker=WORKER, stdin=-1)
        assert json.loads(process.stdout.readline()) == {"ready": True}
        process.stdin.write("\n")
        process.stdin.flush()
        time.sleep(float(draw.uniform(0.02, 0.5)))
        process.kill()
        process.wait()
        there = RemoteStore(remote)
        for parcel in there.parcels():
            sizes = remote.sizes(parcel.folder)
            assert all(sizes.get(each["name"]) == each["size"] for each in parcel.files)
            assert all(there.parcel(key) for key in parcel.inputs)
        assert [each for each in Store(root).verify(deep=True) if not each.note] == []
        if number == 19:
            push(store, remote)
    other = Store(tmp_path / "other1")
    pull(other, remote, "export/tiny/second")
    assert digests(other.root / "objects") == digests(store.root / "objects")
    assert other.verify(deep=True) == []
