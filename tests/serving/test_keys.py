"""API keys of a file: which are good, what they are called, and that they are never shown."""

from __future__ import annotations

import http.client
from pathlib import Path
from urllib.parse import urlsplit

import openai
import pytest

from pasctl.errors import InputError, MissingError
from pasctl.serving.keys import ApiKey, KeyCheck, read_keys
from pasctl.serving.settings import Settings
from tests.serving.conftest import Start
from tests.serving.test_server import chat


@pytest.fixture
def key_file(tmp_path: Path) -> Path:
    path = tmp_path / "keys"
    path.write_text("# ours\n\nfirst-key\n  second#key  # of the lab\n")
    path.chmod(0o600)
    return path


def test_every_key_of_a_file_is_good(serve: Start, key_file: Path) -> None:
    with serve(api_key="third", api_key_file=str(key_file)) as server:
        for key in ("first-key", "second#key", "third"):
            assert server.client(api_key=key).models.list().data
        for wrong in ("first-ke", "ours", "#", "second", "first-key,third"):
            with pytest.raises(openai.AuthenticationError):
                server.client(api_key=wrong).models.list()


def test_a_file_of_keys_is_read_with_care(key_file: Path) -> None:
    notes: list[str] = []
    assert [each.key for each in read_keys(key_file, notes.append)] == ["first-key", "second#key"]
    assert notes == []
    key_file.chmod(0o644)
    assert [each.key for each in read_keys(key_file, notes.append)] == ["first-key", "second#key"]
    [note] = notes
    assert "chmod 600" in note
    for content, words in (
        (b"", "has no key"),
        (b"# nothing\n", "has no key"),
        (b"good\nsecret words\n", "line 2"),
        (b"\xff\xfe\n", "line 1"),
        ("schlüssel".encode(), "line 1"),
        (b"x" * (1 << 21), "bytes"),
    ):
        key_file.write_bytes(content)
        with pytest.raises(InputError, match=words) as refused:
            read_keys(key_file)
        assert "secret" not in refused.value.message
    for missing in (key_file.parent, key_file.parent / "none", "a\0b"):
        with pytest.raises(MissingError, match="cannot be read"):
            read_keys(missing)


def test_keys_may_have_names(key_file: Path) -> None:
    key_file.write_text("lab:one:two\nlab:three\n# none\nfour\n:five\n")
    found = read_keys(key_file)
    assert [(each.name, each.key) for each in found] == [
        *(("lab", "one:two"), ("lab", "three"), ("unnamed", "four"), ("unnamed", ":five")),
    ]
    assert "three" not in repr(found)
    for content, words in (("a:key\nb:key\n", "line 2 .* each once"), ("lab:\n", "line 1 .* is empty")):
        key_file.write_text(content)
        with pytest.raises(InputError, match=words) as refused:
            read_keys(key_file)
        assert "key\n" not in refused.value.message


def test_a_keys_name_is_in_the_log_and_in_metrics_and_the_key_in_neither(
    serve: Start, key_file: Path, caplog: pytest.LogCaptureFixture
) -> None:
    key_file.write_text("lab:first-secret\nsecond-secret\n")
    with caplog.at_level("INFO", "pasctl.serving"), serve(api_key_file=str(key_file)) as server:
        with server.client(api_key="first-secret") as client:
            usage = client.chat.completions.create(**chat()).usage
            connection = http.client.HTTPConnection(urlsplit(server.url).netloc, timeout=30)
            connection.request("GET", "/metrics", headers={"authorization": "Bearer first-secret"})
            text = connection.getresponse().read().decode()
            connection.close()
        with server.client(api_key="second-secret") as client:
            client.models.list()
        with server.client(api_key="third-secret") as client, pytest.raises(openai.AuthenticationError):
            client.models.list()
    names = [record.getMessage().partition(" key=")[2] for record in caplog.records]
    assert names == ["lab", "lab", "unnamed", ""]
    assert 'pasctl_key_requests_total{key="lab"} 1' in text.splitlines()
    for kind, count in (("prompt", usage.prompt_tokens), ("completion", usage.completion_tokens)):
        assert f'pasctl_key_tokens_total{{key="lab",kind="{kind}"}} {count}' in text.splitlines()
    assert "secret" not in text + caplog.text


def test_keys_are_compared_in_full() -> None:
    good = KeyCheck([ApiKey("one", "first"), ApiKey("two")])
    assert good.name_of(b"one") == "first"
    assert good.name_of(b"two") == "unnamed"
    assert {good.name_of(each) for each in (b"", b"on", b"onetwo", b"One", "schlüssel".encode())} == {None}


def test_a_file_of_keys_opens_other_addresses(key_file: Path) -> None:
    keys = Settings(host="0.0.0.0", api_key_file=str(key_file)).keys()  # noqa: S104
    assert [each.key for each in keys] == ["first-key", "second#key"]
