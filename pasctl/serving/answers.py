"""What is answered, as classes: `/openapi.json` describes them."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field
from pydantic.json_schema import SkipJsonSchema

_ANSWERED = Literal["stop", "length"]


class Answer(BaseModel):
    """A JSON object without other fields."""

    model_config = ConfigDict(extra="forbid")


class ErrorDetail(Answer):
    """What went wrong."""

    message: str
    type: str
    param: str | None
    code: str | None
    request_id: str | None = Field(description="as in the header X-Request-Id and in the server's log")


class ErrorBody(Answer):
    """The body of every answer that is none of 200."""

    error: ErrorDetail


class PromptTokens(Answer):
    """Of the prompts' tokens."""

    cached_tokens: int = Field(description="not read again, as a prompt before began alike")


class Usage(Answer):
    """Tokens read and written."""

    prompt_tokens: int
    completion_tokens: int
    total_tokens: int
    prompt_tokens_details: PromptTokens


class SourceNote(Answer):
    """A part of a memory's text that was retrieved for an answer."""

    event: int
    token: int
    tokens: int
    file: str | None
    lines: list[int] | None = Field(description="first and last, counted from 1")
    characters: list[int] | None = Field(description="slice of the file's text")
    text: str
    share: float = Field(description="of layers, averaged over the answer's tokens")
    first_share: float = Field(description="of layers, for the answer's first token")
    memory: str | None
    modified: float | None


class SentenceSource(Answer):
    """A source of a sentence: its place in the list of the answer's sources."""

    source: int
    share: float


class SentenceNote(Answer):
    """A sentence of an answer."""

    text: str
    characters: list[int]
    sources: list[SentenceSource]


class Note(Answer):
    """Who answered, and from which memory."""

    persona: str | None
    alpha: float | None
    memory: str | None
    sources: list[SourceNote] = Field(default=[], description="with a memory, what was retrieved most")
    sentences: list[SentenceNote] = Field(default=[], description="with a memory, the sources of each sentence")


class AnsweredFunction(Answer):
    """Which tool is called, and with what."""

    name: str
    arguments: str = Field(description="JSON object as text")


class AnsweredCall(Answer):
    """A call of a tool."""

    id: str
    type: Literal["function"]
    function: AnsweredFunction


class AnswerMessage(Answer):
    """The words of a chat's answer, and the tools that it calls."""

    role: Literal["assistant"]
    content: str | None = Field(description="null where there are calls alone")
    refusal: None
    tool_calls: list[AnsweredCall] | SkipJsonSchema[None] = Field(default=None)


class LikelyToken(Answer):
    """A token, how likely it is, and its bytes."""

    token: str
    logprob: float
    bytes: list[int]


class AnswerToken(LikelyToken):
    """A token of an answer."""

    top_logprobs: list[LikelyToken]


class AnswerLogprobs(Answer):
    """How likely each token of a chat's answer is."""

    content: list[AnswerToken]
    refusal: None


class TextLogprobs(Answer):
    """How likely each token of a text is; nothing stands before a prompt's first."""

    tokens: list[str]
    token_logprobs: list[float | None]
    top_logprobs: list[dict[str, float] | None]
    text_offset: list[int] = Field(description="the character of the text at which the token begins")


class PromptToken(Answer):
    """How likely a token is in its place of a prompt, 1 being the most likely one's rank."""

    logprob: float
    rank: int
    decoded_token: str


PromptLogprobs = Annotated[
    list[dict[str, PromptToken] | None] | SkipJsonSchema[None],
    Field(default=None, description="of each token of the prompt, by id, itself and the most likely"),
]


class ChoiceNote(Answer):
    """Of one of several texts, with a memory."""

    sources: list[SourceNote]
    sentences: list[SentenceNote]


class _Choice(Answer):
    index: int
    pasctl: ChoiceNote | SkipJsonSchema[None] = Field(default=None, description="of one of several texts")


class ChatChoice(_Choice):
    """An answer of a chat."""

    finish_reason: Literal["stop", "length", "tool_calls"]
    message: AnswerMessage
    logprobs: AnswerLogprobs | None


class TextChoice(_Choice):
    """A text of a completion."""

    finish_reason: _ANSWERED
    text: str
    logprobs: TextLogprobs | None
    prompt_logprobs: PromptLogprobs


class _Written(Answer):
    id: str
    created: int
    model: str
    usage: Usage
    pasctl: Note


class ChatCompletion(_Written):
    """An answer to /v1/chat/completions; with `stream`, events of chat.completion.chunk, then [DONE]."""

    object: Literal["chat.completion"]
    choices: list[ChatChoice] = Field(min_length=1)
    prompt_logprobs: PromptLogprobs


class Completion(_Written):
    """An answer to /v1/completions; with `stream`, events of text_completion, then [DONE]."""

    object: Literal["text_completion"]
    choices: list[TextChoice] = Field(min_length=1)


class ModelCard(Answer):
    """A model, or it as one of the personas."""

    id: str
    object: Literal["model"]
    created: int
    owned_by: Literal["pasctl"]


class Served(Answer):
    """How many personas and which memories there are."""

    personas: int
    listed: int
    memories: list[str]


class ModelList(Answer):
    """The models."""

    object: Literal["list"]
    data: list[ModelCard]
    pasctl: Served


class Tokenized(Answer):
    """The tokens of a text or of messages."""

    count: int
    max_model_len: int | None = Field(description="tokens of the model's context")
    tokens: list[int]
    token_strs: list[str] | SkipJsonSchema[None] = Field(default=None, description="names in the vocabulary")


class Detokenized(Answer):
    """The text of tokens."""

    prompt: str


class TokenizerInfo(Answer):
    """Special tokens and template of the model's tokenizer."""

    tokenizer_class: str
    bos_token: str | None
    eos_token: str | None
    pad_token: str | None
    unk_token: str | None
    chat_template: str | None
