"""Which fields of a request are understood: others are refused by name, and what asks for nothing may be there."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest

from pasctl.serving.api_error import APIError
from pasctl.serving.fields import Metadata, NeutralChatFields, NeutralCompletionFields, NeutralMessageFields
from pasctl.serving.protocol import ChatExtras, ChatRequest, Common, CompletionRequest, StreamOptions, parse

HI = {"role": "user", "content": "Hi"}
BODIES: dict[type[Common], dict[str, Any]] = {
    ChatRequest: {"model": "m", "messages": [HI]},
    CompletionRequest: {"model": "m", "prompt": "Hi"},
}
KINDS = pytest.mark.parametrize("kind", list(BODIES))

# What clients send for "nothing", field by field, by the references of OpenAI, vLLM and llama.cpp.
NOTHING: dict[str, list[Any]] = {
    "annotations": [[]],
    "bad_words": [[]],
    "best_of": [1],
    "dry_multiplier": [0],
    "function_call": ["none", "auto"],
    "functions": [[]],
    "include_stop_str_in_output": [False],
    "length_penalty": [1],
    "lora": [[]],
    "mirostat": [0],
    "modalities": [["text"], []],
    "priority": [0],
    "reasoning_effort": ["none"],
    "return_token_ids": [False],
    "skip_special_tokens": [True],
    "store": [False],
    "suffix": [""],
    "typical_p": [1],
    "use_beam_search": [False],
    "verbosity": ["medium"],
    "xtc_probability": [0],
}
# Whatever these say, the answer is the right one without them.
ANYTHING = {
    "cache_prompt",
    "metadata",
    "prediction",
    "prompt_cache_key",
    "prompt_cache_retention",
    "safety_identifier",
    "service_tier",
    "user",
}
VALUES: list[Any] = [
    *[0, 1, 2, -1, 0.5, 1.1, True, False, "", "x", "low", "none", "auto", "medium", "required"],
    *[[], ["x"], [1], ["text"], ["text", "audio"], {}, {"a": 1}, {"5": 100}],
    *[{"type": "text"}, {"type": "json_object"}, {"choice": ["a"]}, [{"type": "function"}]],
]


def same(one: Any, other: Any) -> bool:
    """Equal, and no bool for a number."""
    return one == other and isinstance(one, bool) == isinstance(other, bool)


def refusal(kind: type[Common], body: Any) -> APIError:
    with pytest.raises(APIError) as refused:
        parse(kind, json.dumps(body).encode())
    assert refused.value.status == 400
    return refused.value


@KINDS
def test_fields_that_change_nothing_take_the_values_that_ask_for_nothing_and_no_others(kind: type[Common]) -> None:
    neutral = NeutralChatFields if kind is ChatRequest else NeutralCompletionFields
    for name in neutral.model_fields.keys() - ANYTHING:
        for value in [None, *VALUES]:
            body = {**BODIES[kind], name: value}
            if value is None or any(same(value, nothing) for nothing in NOTHING.get(name, [])):
                parse(kind, json.dumps(body).encode())
            else:
                error = refusal(kind, body)
                assert (error.param, error.code) == (name, "unsupported_parameter"), (name, value)


def test_fields_of_messages_that_change_nothing_likewise() -> None:
    for name in NeutralMessageFields.model_fields.keys() - {"function_call"}:  # null alone, but something else above
        for value in [None, *VALUES]:
            body = {"model": "m", "messages": [{**HI, name: value}]}
            if value is None or any(same(value, nothing) for nothing in NOTHING.get(name, [])):
                parse(ChatRequest, json.dumps(body).encode())
            else:
                assert refusal(ChatRequest, body).param == f"messages.0.{name}"


def test_whatever_says_nothing_of_the_answer_is_accepted() -> None:
    told = {"user": "u", "metadata": {"a": "b"}, "service_tier": "auto", "store": False, "cache_prompt": True}
    for kind, body in BODIES.items():
        assert parse(kind, json.dumps({**body, **told}).encode())
    assert Metadata.model_fields.keys() - ANYTHING == {"store", "priority"}


@KINDS
def test_a_slip_in_a_name_is_refused_with_the_name_that_was_meant(kind: type[Common]) -> None:
    for name in kind.model_fields:
        if len(name) > 4:
            slip = name[:2] + name[3:]
            error = refusal(kind, {**BODIES[kind], slip: 1})
            assert (error.param, error.code) == (slip, "unknown_parameter")
            assert f"did you mean {name!r}?" in error.message


@pytest.mark.parametrize(
    ("field", "words"),
    [
        ("persona", '{"pasctl": {"persona": ...}}'),
        ("alpha", '{"pasctl": {"alpha": ...}}'),
        ("memory", '{"pasctl": {"memory": ...}}'),
        ("think", '{"pasctl": {"think": ...}}'),
        ("personna", '{"pasctl": {"persona": ...}}'),
        ("extra_body", "sends the fields in it alongside the others"),
        ("prompt", "a field of /v1/completions"),
        ("foo", "expected one that /openapi.json describes"),
    ],
)
def test_a_field_in_the_wrong_place_is_refused_with_the_right_one(field: str, words: str) -> None:
    for value in ("s01", 1, None, {"pasctl": {"persona": "s01"}}):
        error = refusal(ChatRequest, {**BODIES[ChatRequest], field: value})
        assert (error.param, error.code) == (field, "unknown_parameter")
        assert words in error.message


@pytest.mark.parametrize(
    ("kind", "more", "param", "near"),
    [
        (ChatRequest, {"pasctl": {"person": "s01"}}, "pasctl.person", "persona"),
        (ChatRequest, {"pasctl": {"persona": "s01", "alfa": 1}}, "pasctl.alfa", "alpha"),
        (CompletionRequest, {"pasctl": {"think": True}}, "pasctl.think", None),
        (ChatRequest, {"stream_options": {"include_usge": True}}, "stream_options.include_usge", "include_usage"),
        (ChatRequest, {"chat_template_kwargs": {"enable_thinkin": True}}, None, "enable_thinking"),
        (ChatRequest, {"messages": [{**HI, "nam": "bob"}]}, "messages.0.nam", "name"),
        (ChatRequest, {"messages": [{"role": "user", "content": [{"type": "text", "text": "", "x": 1}]}]}, None, None),
        (ChatRequest, {"response_format": {"type": "text", "strict": True}}, "response_format.strict", None),
    ],
)
def test_fields_inside_others_are_refused_likewise(
    kind: type[Common], more: dict[str, Any], param: str | None, near: str | None
) -> None:
    error = refusal(kind, {**BODIES[kind], **more})
    assert error.code == "unknown_parameter"
    assert param in (error.param, None)
    assert (f"did you mean {near!r}?" in error.message) == (near is not None)


def test_a_part_that_is_no_text_is_told_by_its_place() -> None:
    image = {"type": "image_url", "image_url": {"url": "data:"}}
    error = refusal(ChatRequest, {"model": "m", "messages": [HI, {"role": "user", "content": [image]}]})
    assert error.param == "messages.1.content.0.type"


def test_thinking_goes_by_two_names_that_must_agree() -> None:
    def think(switch: bool | None, own: bool | None) -> bool:
        more = {"chat_template_kwargs": {"enable_thinking": switch}, "pasctl": {"think": own}}
        return parse(ChatRequest, json.dumps({**BODIES[ChatRequest], **more}).encode()).think

    assert [think(switch, own) for switch in (None, False, True) for own in (None, switch)] == [False] * 4 + [True] * 2
    for switch in (False, True):
        with pytest.raises(APIError, match="says otherwise"):
            think(switch, not switch)


def test_very_many_mistakes_are_refused_in_few_words_and_soon() -> None:
    began = time.monotonic()
    for body in (
        {**BODIES[ChatRequest], **{f"field{n}": n for n in range(30_000)}},
        {"model": "m", "messages": [{**HI, **{f"field{n}": n for n in range(30_000)}}]},
        {"model": "m", "messages": [3] * 100_000},
        {"model": "m", "messages": [{"role": "user", "content": [3] * 100_000}]},
        {"model": "m", "messages": [HI], "x" * 30_000: 1},
        {"model": "m", "messages": [HI], "modalities": [3] * 100_000},
    ):
        assert len(refusal(ChatRequest, body).message) < 300
    for prompt in ([{}] * 100_000, [[{}]] * 100_000, ["x", *[3] * 100_000]):
        assert len(refusal(CompletionRequest, {"model": "m", "prompt": prompt}).message) < 300
    assert time.monotonic() - began < 20


def test_all_that_is_documented_is_declared() -> None:
    assert ChatExtras.model_fields.keys() == {"persona", "alpha", "memory", "retrieve_every", "sources", "think"}
    assert StreamOptions.model_fields.keys() == {"include_usage", "include_obfuscation", "continuous_usage_stats"}
    assert set(NOTHING) <= {
        *NeutralChatFields.model_fields,
        *NeutralCompletionFields.model_fields,
        *NeutralMessageFields.model_fields,
    }
