"""Every option that names a place says whether a `pasctl.toml`, which may be somebody else's, can set it."""

from __future__ import annotations

from pasctl.commands import declarations
from pasctl.commands.running import RunOptions
from pasctl.option import Parameter, parameters

PLACES = {"ADDR", "DIR", "FILE", "KEY", "PATH", "URL"}
# Read, and sent nowhere.
READ = {"data", "file", "folder", "judge_embeddings", "map_file", "neutral_text", "prompts", "task_file", "text"}


def all_parameters() -> list[Parameter]:
    return [each for kind in (*declarations(), RunOptions) for each in parameters(kind) if not each.option.python_only]


def test_an_option_that_names_a_place_is_read_only_or_guarded() -> None:
    open_to_files = {each.name for each in all_parameters() if each.option.from_file is True}
    assert {each.name for each in all_parameters() if each.option.metavar in PLACES} & open_to_files <= READ


def test_what_only_its_user_says() -> None:
    never = {each.name for each in all_parameters() if each.option.from_file is False}
    assert never == {
        *("add_from", "allowed_host", "api_key", "api_key_file", "engine_url", "host", "judge", "trust_remote_code"),
        *("tasks", "tls_cert", "tls_key"),
        *("cascade", "keep_latest", "older_than"),
        "remote",
    }
