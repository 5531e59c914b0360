"""Push, pull and fetch: folders, fsspec's file systems, and a web server."""

from __future__ import annotations

import contextlib
import errno
import functools
import http.server
import json
import shutil
import subprocess
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, ClassVar
from urllib.parse import quote

import numpy as np
import pytest

from pasctl.errors import InputError, IntegrityError, MissingError, PasctlError, RemoteError, StoreError
from pasctl.store import Artifact, Store, make_key
from pasctl.store.departure import leave
from pasctl.store.disk import TEMPORARY
from pasctl.store.find_remote import find_remote, open_remote
from pasctl.store.remote import Remote, in_parallel
from pasctl.store.remote_folder import FolderRemote
from pasctl.store.remote_fsspec import FsspecRemote
from pasctl.store.remote_store import RemoteStore
from pasctl.store.transfer import Pull, Push, Pushed
from tests.store.conftest import lines
from tests.store.disk_calls import Disk, fail_at, refuse
from tests.store.light_stage import document, run
from tests.store.trees import digests, lineage, state

WORKER = Path(__file__).with_name("transfer_worker.py")


def push(store: Store, remote: Remote, *refs: str, tags: bool = False, with_inputs: bool = True) -> Pushed:
    leaving = leave(store, refs or ["best"], with_inputs=with_inputs)
    return Push(leaving, remote).run(tags=tags, moved=lambda size: None)


def pull(store: Store, remote: Remote, *refs: str, tags: bool = False, with_inputs: bool = True) -> Any:
    return Pull(store, remote, refs or ["best"], with_inputs=with_inputs).run(tags=tags, moved=lambda size: None)


def fetch(store: Store, remote: Remote, **only: str) -> Any:
    return Pull(store, remote, None, **only).run(tags=False, moved=lambda size: None)


@pytest.fixture
def made(store: Store) -> list[Artifact]:
    return run(store)


@pytest.fixture(params=["folder", "file://", "memory://", "local://"])
def remote(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Remote]:
    """A place of each kind, the last of them one where files are written under another name first."""
    folder = tmp_path / "remote"
    if request.param == "memory://":
        found = open_remote("memory://lab/one")
        yield found
        found._fs.rm("/lab", recursive=True)  # type: ignore[attr-defined]
    else:
        yield open_remote(str(folder) if request.param == "folder" else f"{request.param}{folder}")


@pytest.fixture
def served(tmp_path: Path) -> Iterator[str]:
    """The URL of a web server of the folder `remote`."""
    with serving(Quiet, tmp_path / "remote") as address:
        yield f"http://{address}"


@contextlib.contextmanager
def serving(handler: Any, folder: Path) -> Iterator[str]:
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(handler, directory=str(folder)))
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


class Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *words: Any) -> None:
        """Say nothing."""


def test_what_is_pushed_can_be_pulled(store: Store, made: list[Artifact], remote: Remote, tmp_path: Path) -> None:
    pushed = push(store, remote, tags=True)
    assert (pushed.files, pushed.bytes) == (4, sum(each.size for each in made))
    assert sorted(pushed.names.values()) == ["export/tiny/first@v1", "export/tiny/second@v1"]
    assert pushed.tags == ["best", "moved"]
    other = Store(tmp_path / "other")
    arrived = pull(other, remote, "export/tiny/second@v1", tags=True)
    assert (arrived.files, arrived.shared, arrived.bytes) == (3, 1, pushed.bytes - made[0].size)
    assert (made[0].path / "linked.safetensors").stat().st_nlink == 2  # as it is in the first store
    assert (other.resolve("best").path / "linked.safetensors").stat().st_nlink == 2
    assert digests(other.root / "objects") == digests(store.root / "objects")
    assert lineage(other, other.resolve("best")) == lineage(store, made[1])
    assert other.resolve("latest") == made[1]
    assert other.tags() == store.tags()
    assert other.verify(deep=True) == []


def test_nothing_moves_twice(store: Store, made: list[Artifact], remote: Remote, tmp_path: Path) -> None:
    push(store, remote)
    again = push(store, remote)
    assert (again.files, again.new) == (0, [])
    other = Store(tmp_path / "other")
    assert pull(other, remote, "export/tiny/first", with_inputs=False).files == 1
    arrived = pull(other, remote, "export/tiny/second")
    assert (arrived.files, arrived.shared) == (2, 1)
    assert pull(other, remote, "export/tiny/second").files == 0
    assert fetch(other, remote).files == 0


def test_refs_mean_what_they_mean_there(store: Store, made: list[Artifact], remote: Remote, tmp_path: Path) -> None:
    push(store, remote, tags=True)
    there = RemoteStore(remote)
    for ref in ("best", "export/tiny/second", "export/tiny/second@v1", made[1].key, made[1].short_key, "latest"):
        assert there.resolve(ref).key == made[1].key, ref
    with pytest.raises(MissingError, match="did you mean export/tiny/second") as missing:
        there.resolve("export/tiny/secnd")
    assert "remote-ls" in str(missing.value.hint)
    with pytest.raises(MissingError, match="no version v2"):
        there.resolve("export/tiny/second@v2")
    with pytest.raises(InputError, match="matches 2 artifacts"):
        there.resolve("export")
    assert sorted(there.keys()) == sorted(each.key for each in made)


def test_a_folder_that_was_pushed_to_is_a_store(store: Store, made: list[Artifact], tmp_path: Path) -> None:
    push(store, FolderRemote(tmp_path / "remote"), tags=True)
    there = Store(tmp_path / "remote")
    assert digests(there.root / "objects") == digests(store.root / "objects")
    assert there.resolve("best") == made[1]
    assert there.verify(deep=True) == []


def test_versions_are_counted_there(store: Store, made: list[Artifact], remote: Remote, tmp_path: Path) -> None:
    """Two stores that each have a first version of a name, and one remote."""
    other = Store(tmp_path / "other")
    made_from = document("first", {"another": "0" * 64})
    staging = other.stage(make_key(made_from))
    staging.write_json("x.json", 1)
    mine = staging.commit(
        kind="export", stage="light", stage_version=1, model="tiny", label="first", document=made_from
    )
    push(store, remote, "export/tiny/first")
    assert push(other, remote, mine.key).names == {mine.key: "export/tiny/first@v2"}
    assert push(other, remote, mine.key).names == {mine.key: "export/tiny/first@v2"}
    assert RemoteStore(remote).resolve("export/tiny/first").key == mine.key
    assert RemoteStore(remote).resolve("export/tiny/first@v1").key == made[0].key


def test_fetch_brings_all_of_a_kind_and_what_it_was_made_from(
    store: Store, made: list[Artifact], remote: Remote, tmp_path: Path
) -> None:
    push(store, remote)
    with pytest.raises(MissingError, match="did you mean"):
        pull(Store(tmp_path / "none"), remote, "export/tiny/third")
    assert fetch(Store(tmp_path / "none"), remote, kind="probes").new == []
    other = Store(tmp_path / "other")
    assert len(fetch(other, remote, kind="export", model="tiny").new) == 2
    assert digests(other.root / "objects") == digests(store.root / "objects")


def test_other_content_under_the_same_key_stays(
    store: Store, made: list[Artifact], remote: Remote, tmp_path: Path
) -> None:
    other = Store(tmp_path / "other")
    staging = other.stage(make_key(document("first")))
    staging.write_tensors("linked.safetensors", {"x": np.zeros(3)})
    mine = staging.commit(
        kind="export", stage="light", stage_version=1, model="tiny", label="first", document=document("first")
    )
    push(store, remote)
    before = RemoteStore(remote).resolve("export/tiny/first").content_digest
    assert push(other, remote, "export/tiny/first").other == ["export/tiny/first"]
    assert RemoteStore(remote).resolve("export/tiny/first").content_digest == before
    assert pull(other, remote, "export/tiny/second").other == [mine.name]
    assert other.lookup(mine.key).content_digest == mine.content_digest  # type: ignore[union-attr]


def test_tags_there_stay(store: Store, made: list[Artifact], remote: Remote) -> None:
    push(store, remote, tags=True)
    store.tag(made[0], "best", force=True)
    pushed = push(store, remote, "best", "export/tiny/second", tags=True)
    assert (pushed.tags, pushed.kept_tags) == (["moved"], ["best"])
    assert RemoteStore(remote).resolve("best").key == made[1].key


def test_a_web_server_is_read(store: Store, made: list[Artifact], served: str, tmp_path: Path) -> None:
    push(store, FolderRemote(tmp_path / "remote"), tags=True)
    remote = open_remote(served)
    there = RemoteStore(remote)
    for ref in ("best", "export/tiny/second", made[1].key, made[1].short_key, "latest"):
        assert there.resolve(ref).key == made[1].key, ref
    folder = FolderRemote(tmp_path / "remote")
    assert remote.paths("objects") == [path for path in folder.paths("objects") if path.endswith("manifest.json")]
    assert remote.paths("refs") == folder.paths("refs")
    other = Store(tmp_path / "other")
    assert pull(other, remote, "best", tags=True).files == 3
    assert digests(other.root / "objects") == digests(store.root / "objects")
    assert len(fetch(Store(tmp_path / "all"), remote).new) == 2
    with pytest.raises(InputError, match="can only be read"):
        push(store, remote)


def test_a_web_server_without_pages_gives_artifacts_by_key(
    store: Store, made: list[Artifact], served: str, tmp_path: Path
) -> None:
    push(store, FolderRemote(tmp_path / "remote"), tags=True)
    for folder in ("objects", "refs/names", "refs/tags"):
        (tmp_path / "remote" / folder / "index.html").write_text("<h1>Welcome</h1>")
    other = Store(tmp_path / "other")
    assert pull(other, open_remote(served), made[1].key).files == 3
    assert pull(other, open_remote(served), "best").files == 0  # a tag is a file as well


def test_names_on_a_page_that_lead_elsewhere_are_left_out(served: str, tmp_path: Path) -> None:
    names = ["right", "a folder/", "über"]
    wrong = ["../up", "/root", "deep/down", "//host/x", "http://127.0.0.1/x", "x?y", "x#y", "..", "./", "javascript:x"]
    (tmp_path / "remote").mkdir()
    links = "".join(f'<a href="{quote(name) if name in names else name}">x</a>' for name in names + wrong)
    (tmp_path / "remote" / "index.html").write_text(
        links + "<a name='x'>x</a>" + f"<a href='{quote('../x', safe='')}'>"
    )
    assert open_remote(served).names("") == sorted(["right", "a folder", "über"])


def test_a_tampered_object_is_refused(store: Store, made: list[Artifact], tmp_path: Path) -> None:
    """Bytes of every file changed, one at a time, and files cut or longer: nothing comes in."""
    folder = tmp_path / "remote"
    push(store, FolderRemote(folder))
    draw = np.random.default_rng(0)
    for artifact, name in (
        (made[0], "linked.safetensors"),
        (made[1], "x.safetensors"),
        (made[1], "nested/values.json"),
    ):
        place = folder / artifact.path.relative_to(store.root)
        data = (place / name).read_bytes()
        flips = [data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :] for at in draw.integers(len(data), size=4).tolist()]
        for number, wrong in enumerate([*flips, data[:-1], data + b"x", b""]):
            (place / name).write_bytes(wrong)
            other = Store(tmp_path / f"{Path(name).name}-{number}")
            with pytest.raises(IntegrityError) as caught:
                pull(other, FolderRemote(folder), made[1].key)
            assert "\n" not in caught.value.message
            assert name in caught.value.message
            assert (other.keys(), list(other.refs.names())) == ([], [])
            (place / name).write_bytes(data)
            assert pull(other, FolderRemote(folder), made[1].key).artifacts == made
            assert other.verify(deep=True) == []


def test_a_tampered_manifest_is_refused(store: Store, made: list[Artifact], tmp_path: Path) -> None:
    """Lines of it changed, as far as anything is made from them: labels, times and provenance have no digest."""
    folder = tmp_path / "remote"
    push(store, FolderRemote(folder))
    place = folder / made[1].path.relative_to(store.root) / "manifest.json"
    data, begin, guarded = place.read_bytes(), 0, 0
    for number, line in enumerate(data.splitlines(keepends=True)):
        at, begin = begin + len(line) // 2, begin + len(line)
        place.write_bytes(data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :])
        other = Store(tmp_path / str(number))
        try:
            pull(other, FolderRemote(folder), made[1].key)
        except (IntegrityError, MissingError):
            guarded += 1
            assert other.lookup(made[1].key) is None
        else:
            assert [problem for problem in other.verify(deep=True) if not problem.note] == [], line
    assert guarded > 20


def test_a_file_that_is_gone_or_of_a_newer_schema(store: Store, made: list[Artifact], tmp_path: Path) -> None:
    folder, other = tmp_path / "remote", Store(tmp_path / "other")
    push(store, FolderRemote(folder))
    place = folder / made[1].path.relative_to(store.root)
    (place / "nested" / "values.json").rename(tmp_path / "values.json")
    with pytest.raises(MissingError, match=r"values\.json is not there"):
        pull(other, FolderRemote(folder), "export/tiny/second")
    assert other.keys() == []
    assert push(store, FolderRemote(folder)).files == 1  # which mends it
    manifest = json.loads((place / "manifest.json").read_bytes())
    (place / "manifest.json").write_text(json.dumps(manifest | {"schema": "pasctl-manifest/2"}))
    with pytest.raises(IntegrityError, match="a newer pasctl wrote it"):
        pull(other, FolderRemote(folder), "export/tiny/second")
    damaged: list[IntegrityError] = []
    assert [each.name for each in RemoteStore(FolderRemote(folder)).parcels(damaged=damaged)] == ["export/tiny/first"]
    assert len(damaged) == 1
    with pytest.raises(IntegrityError):
        fetch(other, FolderRemote(folder))
    assert pull(other, FolderRemote(folder), "export/tiny/first").files <= 1  # it may have arrived before


def test_what_another_push_has_left_is_compared(store: Store, made: list[Artifact], tmp_path: Path) -> None:
    folder = tmp_path / "remote"
    place = folder / made[1].path.relative_to(store.root)
    place.mkdir(parents=True)
    data = (made[1].path / "x.safetensors").read_bytes()
    (place / "x.safetensors").write_bytes(data)
    assert push(store, FolderRemote(folder)).files == 3
    (place / "manifest.json").unlink()
    (place / "x.safetensors").write_bytes(bytes(len(data)))
    with pytest.raises(IntegrityError, match="is not the file of export/tiny/second"):
        push(store, FolderRemote(folder))
    assert (place / "x.safetensors").read_bytes() == bytes(len(data))


def test_a_damaged_file_does_not_leave(store: Store, made: list[Artifact], tmp_path: Path) -> None:
    path = made[1].path / "x.safetensors"
    path.write_bytes(bytes(path.stat().st_size))
    with pytest.raises(IntegrityError, match=r"x\.safetensors is damaged"):
        push(store, FolderRemote(tmp_path / "remote"))
    assert RemoteStore(FolderRemote(tmp_path / "remote")).parcels() == []


@pytest.mark.parametrize(
    ("url", "kind", "words"),
    [
        ("lab", InputError, "there is no remote 'lab'"),
        ("nothing://x", InputError, "nothing is known of nothing://"),
        ("simplecache::memory://x", InputError, "several joined by ::"),
        ("http://127.0.0.1:1", RemoteError, "cannot be reached"),
        ("./not/there/at/all", MissingError, "there is no"),
        ("", InputError, "there is no remote ''"),
    ],
)
def test_a_wrong_url(store: Store, made: list[Artifact], url: str, kind: type[PasctlError], words: str) -> None:
    before = state(store)
    with pytest.raises(kind) as caught:
        pull(store, find_remote(url, {}))
    assert words in caught.value.message
    assert caught.value.hint
    assert state(store) == before


def test_a_remote_by_name(tmp_path: Path) -> None:
    named = {"lab": str(tmp_path), "far": "https://user:secret@example.org/x/"}
    assert find_remote("lab", named).url == str(tmp_path)
    assert find_remote("far", named).url == "https://example.org/x"
    with pytest.raises(InputError, match="known are far, lab"):
        find_remote("lob", named)


def test_a_disk_without_room_is_known_before(
    store: Store, made: list[Artifact], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    push(store, FolderRemote(tmp_path / "remote"))
    usage = type("Usage", (), {"free": 100})
    monkeypatch.setattr("shutil.disk_usage", lambda path: usage)
    with pytest.raises(StoreError, match="100 B free, and this will write"):
        pull(Store(tmp_path / "other"), FolderRemote(tmp_path / "remote"), "export/tiny/second")
    assert not (tmp_path / "other").exists()


@pytest.mark.integration
def test_an_error_on_the_way_leaves_the_rest(in_memory: Path) -> None:
    """Every write of a push and of a pull refused once: it is said, and the same call goes on."""
    tmp_path, store = in_memory, Store(in_memory / "artifacts")
    run(store)
    tree = digests(store.root / "objects")
    for number in range(1, 400):
        folder, root = tmp_path / f"remote{number}", tmp_path / f"other{number}"
        code = (errno.ENOSPC, errno.EIO, errno.EACCES, errno.EROFS)[number % 4]
        before, seen = fail_at(number, refuse(code))
        try:
            with Disk(tmp_path, before).watch():
                push(store, one_by_one(folder))
                pull(Store(root), one_by_one(folder), "export/tiny/second")
        except (PasctlError, OSError):
            pass
        push(store, FolderRemote(folder))
        pull(Store(root), FolderRemote(folder), "export/tiny/second")
        held = {path: digest for path, digest in digests(root / "objects").items() if TEMPORARY not in path}
        assert held == tree, (number, seen[number - 1])
        assert Store(root).verify(deep=True) == [], (number, seen[number - 1])
        if len(seen) < number:
            break
    assert number > 60


def one_by_one(folder: Path) -> FolderRemote:
    remote = FolderRemote(folder)
    remote.workers = 1  # so that the n-th call is the same in each run
    return remote


@pytest.mark.integration
@pytest.mark.parametrize("what", ["pull", "push"])
def test_killed_at_every_call(
    store: Store, made: list[Artifact], tmp_path: Path, start: Callable[..., Any], what: str
) -> None:
    push(store, FolderRemote(tmp_path / "remote"), tags=True)
    origin = store.root if what == "push" else tmp_path / "remote"
    records = lines(start("kill", what, origin, tmp_path / "runs", worker=WORKER))
    assert len(records) > 40
    assert [record["killed"] for record in records] == [True] * (len(records) - 1) + [False]
    for record in records:
        assert record["problems"] == [], record
        assert record["left"] == [], record
        assert record["objects"] == digests(store.root / "objects"), record
        assert record["tags"] == store.tags(), record


@pytest.mark.integration
def test_several_push_at_once(store: Store, made: list[Artifact], tmp_path: Path, start: Callable[..., Any]) -> None:
    """The same artifacts from two stores, and other bytes under the same keys from a third: only one kind is there."""
    shutil.copytree(store.root, tmp_path / "copy")
    differing = Store(tmp_path / "differing")
    staging = differing.stage(make_key(document("first")))
    staging.write_tensors("linked.safetensors", {"x": np.zeros(300)})  # as many bytes, other ones
    staging.commit(
        kind="export", stage="light", stage_version=1, model="tiny", label="first", document=document("first")
    )
    differing.tag("latest", "best")
    for number in range(4):
        folder = tmp_path / f"remote{number}"
        roots = (store.root, tmp_path / "copy", differing.root)
        processes = [start("push", root, folder, worker=WORKER, stdin=subprocess.PIPE) for root in roots]
        for process in processes:
            assert json.loads(process.stdout.readline()) == {"ready": True}
        for process in processes:
            process.stdin.write("\n")
            process.stdin.flush()
        records = [lines(process)[0] for process in processes]
        assert any(record["error"] is None for record in records), records
        there = RemoteStore(FolderRemote(folder))
        for parcel in there.parcels():
            held = digests(folder / parcel.folder)
            assert {each["name"]: each["sha256"] for each in parcel.files}.items() <= held.items()


def test_a_name_of_its_own_is_left_out_of_what_is_there(store: Store, made: list[Artifact], tmp_path: Path) -> None:
    """A file that is being written by another push is not the file."""
    remote = FsspecRemote(f"local://{tmp_path / 'remote'}", "local")
    push(store, remote)
    place = tmp_path / "remote" / made[1].path.relative_to(store.root)
    (place / f"{TEMPORARY}1").write_text("half")
    assert list((tmp_path / "remote" / "staging").iterdir()) == []
    assert sorted(remote.sizes(made[1].path.relative_to(store.root).as_posix())) == [
        *("linked.safetensors", "manifest.json", "nested/values.json", "x.safetensors")
    ]
    assert f"{TEMPORARY}1" not in remote.names(made[1].path.relative_to(store.root).as_posix())


class Unsteady(Quiet):
    """Refuses each file twice, sends half of it once, and wants a password."""

    seen: ClassVar[dict[str, int]] = {}

    def do_GET(self) -> None:
        count = self.seen[self.path] = self.seen.get(self.path, 0) + 1
        if self.headers["Authorization"] != "Basic dXNlcjpwYXNz":
            self.send_error(401)
        elif count < 3:
            self.send_error(503)
        elif count == 3 and self.path.endswith("x.safetensors"):
            self.send_response(200)
            self.send_header("Content-Length", "80")
            self.end_headers()
            self.wfile.write(bytes(40))
            self.close_connection = True
        else:
            super().do_GET()


def test_a_web_server_that_is_busy_or_hangs_up(
    store: Store, made: list[Artifact], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pasctl.store.remote_http._PAUSE", 0.01)
    push(store, FolderRemote(tmp_path / "remote"), tags=True)
    other = Store(tmp_path / "other")
    Unsteady.seen.clear()
    with serving(Unsteady, tmp_path / "remote") as address:
        with pytest.raises(RemoteError, match="401") as refused:
            pull(other, open_remote(f"http://{address}"))
        assert "credentials" in str(refused.value.hint)
        remote = open_remote(f"http://user:pass@{address}")
        assert "pass" not in remote.url
        with pytest.raises(RemoteError, match="ended early") as early:
            pull(other, remote)
        assert "run the same command again" in str(early.value.hint)
        assert other.keys() == []
        assert pull(other, remote).files in (1, 2, 3, 4)
    assert digests(other.root / "objects") == digests(store.root / "objects")


def test_an_interrupt_ends_what_is_on_its_way() -> None:
    """What was asked for is dropped, and threads that are at work are told so."""
    stop, begun = threading.Event(), []

    def work(item: int) -> int:
        begun.append(item)
        if item == 0:
            raise KeyboardInterrupt
        assert stop.wait(30)
        return item

    with pytest.raises(KeyboardInterrupt):
        in_parallel(work, range(100), 2, stop=stop)
    assert len(begun) < 5
