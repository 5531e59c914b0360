"""Remotes at sftp://, against paramiko's server on this machine: `make test-remotes`."""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pasctl.errors import MissingError, RemoteError
from pasctl.store import Artifact, Store
from pasctl.store.find_remote import open_remote
from pasctl.store.remote_store import RemoteStore
from tests.store.light_stage import run
from tests.store.test_transfer import fetch, pull, push
from tests.store.trees import digests

paramiko = pytest.importorskip("paramiko", reason="run `make test-remotes`")
pytestmark = pytest.mark.integration
PASSWORD = "secret"  # noqa: S105


class Login(paramiko.ServerInterface):
    def check_auth_password(self, username: str, password: str) -> int:
        right = (username, password) == ("ada", PASSWORD)
        return int(paramiko.AUTH_SUCCESSFUL if right else paramiko.AUTH_FAILED)

    def check_channel_request(self, kind: str, chanid: int) -> int:
        return int(paramiko.OPEN_SUCCEEDED)

    def get_allowed_auths(self, username: str) -> str:
        return "password"


def answered(work: Any) -> Any:
    """What a call gives, or the code of its failure."""
    try:
        result = work()
    except OSError as error:
        return paramiko.SFTPServer.convert_errno(error.errno)
    return paramiko.SFTP_OK if result is None else result


class Files(paramiko.SFTPServerInterface):
    """The files of this machine."""

    def list_folder(self, path: str) -> Any:
        def listed() -> list[Any]:
            stats = ((name, os.stat(os.path.join(path, name))) for name in os.listdir(path))
            return [paramiko.SFTPAttributes.from_stat(stat, name) for name, stat in stats]

        return answered(listed)

    def stat(self, path: str) -> Any:
        return answered(lambda: paramiko.SFTPAttributes.from_stat(os.stat(path)))

    lstat = stat

    def open(self, path: str, flags: int, attr: Any) -> Any:
        def opened() -> Any:
            handle = paramiko.SFTPHandle(flags)
            descriptor = os.open(path, flags, 0o644)
            handle.readfile = handle.writefile = os.fdopen(descriptor, "wb" if flags & os.O_WRONLY else "rb")
            return handle

        return answered(opened)

    def remove(self, path: str) -> Any:
        return answered(lambda: os.remove(path))

    def posix_rename(self, oldpath: str, newpath: str) -> Any:
        return answered(lambda: os.replace(oldpath, newpath))

    def mkdir(self, path: str, attr: Any) -> Any:
        return answered(lambda: os.mkdir(path))


@pytest.fixture
def port(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[int]:
    key, listening, transports = paramiko.RSAKey.generate(2048), socket.create_server(("127.0.0.1", 0)), list[Any]()
    found = listening.getsockname()[1]

    def serve() -> None:
        while True:
            try:
                connection, _ = listening.accept()
            except OSError:
                return
            transport = paramiko.Transport(connection)
            transports.append(transport)
            transport.add_server_key(key)
            transport.set_subsystem_handler("sftp", paramiko.SFTPServer, Files)
            transport.start_server(server=Login())

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    home = tmp_path / "home"
    (home / ".ssh").mkdir(parents=True)
    (home / ".ssh" / "known_hosts").write_text(f"[127.0.0.1]:{found} {key.get_name()} {key.get_base64()}\n")
    monkeypatch.setenv("HOME", str(home))
    yield found
    listening.shutdown(socket.SHUT_RDWR)
    listening.close()
    thread.join()
    for transport in transports:
        transport.close()


@pytest.fixture
def made(store: Store) -> list[Artifact]:
    return run(store)


def test_what_is_pushed_can_be_pulled(store: Store, made: list[Artifact], port: int, tmp_path: Path) -> None:
    remote = open_remote(f"sftp://ada:{PASSWORD}@127.0.0.1:{port}{tmp_path}/remote")
    assert PASSWORD not in remote.url
    assert push(store, remote, tags=True).files == 4
    assert push(store, remote, tags=True).files == 0
    assert list((tmp_path / "remote" / "staging").iterdir()) == []
    assert RemoteStore(remote).resolve("latest").key == made[1].key
    other = Store(tmp_path / "other")
    assert pull(other, remote, "best", tags=True).files == 3
    assert digests(other.root / "objects") == digests(store.root / "objects")
    assert fetch(other, remote).files == 0
    there = Store(tmp_path / "remote")
    assert there.resolve("best") == made[1]
    assert there.verify(deep=True) == []


def test_a_machine_that_is_not_known_is_not_trusted(
    store: Store, made: list[Artifact], port: int, tmp_path: Path
) -> None:
    url = f"sftp://ada:{PASSWORD}@127.0.0.1:{port}{tmp_path}/remote"
    with pytest.raises(RemoteError, match="access is refused") as wrong:
        open_remote(url.replace(PASSWORD, "wrong"))
    assert "wrong" not in wrong.value.message
    (tmp_path / "home" / ".ssh" / "known_hosts").write_text("")
    with pytest.raises(RemoteError, match="not found in known_hosts"):
        open_remote(url)
    with pytest.raises(RemoteError, match="Unable to connect"):
        open_remote(f"sftp://ada:{PASSWORD}@127.0.0.1:1/x")
    assert not (tmp_path / "remote").exists()


def test_nothing_is_there(port: int, tmp_path: Path) -> None:
    remote = open_remote(f"sftp://ada:{PASSWORD}@127.0.0.1:{port}{tmp_path}/remote")
    with pytest.raises(MissingError, match="no artifact matches 'best'"):
        pull(Store(tmp_path / "other"), remote)
