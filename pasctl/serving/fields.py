"""Fields of requests that change nothing here: each is accepted only with values for which doing nothing is right."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field


def _exactly(expected: bool) -> AfterValidator:
    """No Literal, since pydantic takes 0 for False there."""

    def check(value: bool) -> bool:
        if value is not expected:
            raise ValueError(f"expected {str(expected).lower()}")
        return value

    return AfterValidator(check)


Off = Annotated[bool, _exactly(False), Field(json_schema_extra={"const": False})]
On = Annotated[bool, _exactly(True), Field(json_schema_extra={"const": True})]
IntZero = Annotated[int, Field(ge=0, le=0)]
IntOne = Annotated[int, Field(ge=1, le=1)]
Zero = Annotated[float, Field(ge=0, le=0)]
One = Annotated[float, Field(ge=1, le=1)]
NoList = Annotated[list[Any], Field(max_length=0)]

_FREE = "no other rule changes what a token's probability is"
_FUNCTIONS = "functions are named tools now; send tools and tool_choice"
_TEXT = "only text is read and written"
_SPECIAL = "special tokens end a text and are never part of it"
_HARDWARE = "a hint for speed; the server has its own"
_WINDOW = "the model's own context is used, and a prompt that is too long is refused"
_ELSEWHERE = "it counts otherwise than in /v1/chat/completions, which has it"
_READ = "the whole prompt is read, once"


class Strict(BaseModel):
    """What a request consists of: no other fields, no value of another type."""

    model_config = ConfigDict(strict=True, allow_inf_nan=False, extra="forbid")


def neutral(why: str) -> Any:
    """A field that may have the values of its type, under which it asks for nothing; `why` others are refused."""
    return Field(default=None, description=why)


class Metadata(Strict):
    """What says something about a request and nothing about its answer: who asks, for which bill, how urgently."""

    user: str | None = neutral("who asks; it is not kept")
    safety_identifier: str | None = neutral("who asks; it is not kept")
    metadata: dict[str, Any] | None = neutral("notes of the client's own; they are not kept")
    service_tier: str | None = neutral("all requests are served alike")
    prompt_cache_key: str | None = neutral("a hint for speed; no prompt is kept between requests")
    prompt_cache_retention: str | None = neutral("a hint for speed; no prompt is kept between requests")
    cache_prompt: bool | None = neutral("a hint for speed; no prompt is kept between requests")
    store: Off | None = neutral("no answer is kept")
    priority: IntZero | None = neutral("requests are answered in the order they come")


class NeutralFields(Metadata):
    """Fields that both kinds of requests have elsewhere, with the values that ask for nothing."""

    length_penalty: One | None = neutral(_FREE)
    typical_p: One | None = neutral(_FREE)
    mirostat: IntZero | None = neutral(_FREE)
    dry_multiplier: Zero | None = neutral(_FREE)
    xtc_probability: Zero | None = neutral(_FREE)
    use_beam_search: Off | None = neutral("answers are sampled, or greedy at temperature 0")
    bad_words: NoList | None = neutral(_FREE)
    include_stop_str_in_output: Off | None = neutral("a stop string is not part of the answer")
    skip_special_tokens: On | None = neutral(_SPECIAL)
    return_token_ids: Off | None = neutral("token ids are not given")
    truncate_prompt_tokens: None = neutral(f"{_READ}; a prompt that is too long is refused")
    lora: NoList | None = neutral("no adapters are served")


class NeutralChatFields(NeutralFields):
    """Those of conversations."""

    functions: NoList | None = neutral(_FUNCTIONS)
    function_call: Literal["none", "auto"] | None = neutral(_FUNCTIONS)
    web_search_options: None = neutral("nothing is searched for")
    modalities: Annotated[list[Literal["text"]], Field(max_length=1)] | None = neutral(_TEXT)
    audio: None = neutral(_TEXT)
    prediction: dict[str, Any] | None = neutral("a hint for speed, which changes no answer")
    reasoning_effort: Literal["none"] | None = neutral("pasctl.think lets the model think, without degrees")
    verbosity: Literal["medium"] | None = neutral("say in words how long the answer should be")


class NeutralCompletionFields(NeutralFields):
    """Those of texts."""

    best_of: IntOne | None = neutral("all n texts are given")
    suffix: Literal[""] | None = neutral("nothing can be written in front of a given end")


class NeutralMessageFields(Strict):
    """Those of messages."""

    name: None = neutral("a message has no name that the model could read; write it into the content")
    refusal: None = neutral("a message has words alone")
    function_call: None = neutral(_FUNCTIONS)
    audio: None = neutral(_TEXT)
    annotations: NoList | None = neutral("a message has words alone")
    reasoning: None = neutral("earlier thinking is not read; send the content alone")
    reasoning_content: None = neutral("earlier thinking is not read; send the content alone")


class NeutralStreamFields(Strict):
    """Those of `stream_options`."""

    include_obfuscation: Off | None = neutral("chunks are as long as their text")
    continuous_usage_stats: Off | None = neutral("the last chunk counts the tokens")


class NeutralOllamaFields(Strict):
    """Those of Ollama's chat."""

    keep_alive: str | float | int | None = neutral("the model stays loaded")
    think: Off | None = neutral("thinking is not told apart; pasctl.think lets the model think")


class NeutralOllamaMessageFields(Strict):
    """Those of its messages."""

    images: NoList | None = neutral(_TEXT)
    thinking: None = neutral("earlier thinking is not read; send the content alone")


class NeutralOllamaOptions(Strict):
    """Those of its `options`."""

    presence_penalty: Zero | None = neutral(_ELSEWHERE)
    frequency_penalty: Zero | None = neutral(_ELSEWHERE)
    typical_p: One | None = neutral(_FREE)
    tfs_z: One | None = neutral(_FREE)
    mirostat: IntZero | None = neutral(_FREE)
    num_ctx: int | None = neutral(_WINDOW)
    num_keep: int | None = neutral(_WINDOW)
    num_batch: int | None = neutral(_HARDWARE)
    num_gpu: int | None = neutral(_HARDWARE)
    main_gpu: int | None = neutral(_HARDWARE)
    num_thread: int | None = neutral(_HARDWARE)
    use_mmap: bool | None = neutral(_HARDWARE)


NEUTRAL = (
    Metadata,
    NeutralFields,
    NeutralChatFields,
    NeutralCompletionFields,
    NeutralMessageFields,
    NeutralStreamFields,
    NeutralOllamaFields,
    NeutralOllamaMessageFields,
    NeutralOllamaOptions,
)


def is_neutral(kind: type[BaseModel], name: str) -> bool:
    """Whether a field of a request is one of those that change nothing."""
    return any(issubclass(kind, fields) and name in fields.model_fields for fields in NEUTRAL)
