"""Texts and token ids for clients that count or send tokens, with the paths and fields of vLLM."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar

from pydantic import Field

from pasctl.errors import PasctlError
from pasctl.generation.engine import Engine
from pasctl.models.transformers_compat import tokenize
from pasctl.serving.api_error import APIError, api_error_of
from pasctl.serving.fields import Strict
from pasctl.serving.prompts import chat_prompt
from pasctl.serving.protocol import Ids, Message, Prefill, TemplateSwitches, parse


class _Named(Strict):
    model: str | None = Field(default=None, min_length=1, max_length=1024, description="the model's name, or left out")


class TokenizeRequest(_Named, Prefill):
    """Body of /tokenize: a prompt, as /v1/completions takes it, or messages, as chats do."""

    path: ClassVar[str] = "/tokenize"

    prompt: str | None = None
    messages: Annotated[list[Message], Field(fail_fast=True)] | None = Field(default=None, min_length=1)
    add_special_tokens: bool | None = Field(default=None, description="of a prompt; false leaves out what begins it")
    return_token_strs: bool | None = Field(
        default=None, description="give the vocabulary's names of the tokens as well"
    )
    chat_template_kwargs: TemplateSwitches | None = None


class DetokenizeRequest(_Named):
    """Body of /detokenize."""

    path: ClassVar[str] = "/detokenize"

    tokens: Ids


def tokenizer_info(engine: Engine) -> dict[str, Any]:
    """What a client needs to know of the tokenizer that it uses from afar."""
    tokenizer = engine.model.tokenizer
    template = engine.model.chat.template
    names = {name: getattr(tokenizer, name) for name in ("bos_token", "eos_token", "pad_token", "unk_token")}
    return {"tokenizer_class": type(tokenizer).__name__, **names, "chat_template": template}


def tokenized(engine: Engine, body: bytes) -> tuple[str | None, dict[str, Any]]:
    """The model that a body names, and the tokens of its prompt or messages.

    Raises:
        APIError: 400, it cannot be tokenized.
    """
    asked = parse(TokenizeRequest, body)
    tokenizer = engine.model.tokenizer
    try:
        if (asked.prompt is None) == (asked.messages is None):
            raise APIError(400, "expected either a prompt or messages", "prompt")
        if asked.messages is not None:
            if asked.add_special_tokens:
                raise APIError(
                    400, "add_special_tokens goes with a prompt: a template writes its own", "add_special_tokens"
                )
            think = bool(asked.chat_template_kwargs and asked.chat_template_kwargs.enable_thinking)
            ids = chat_prompt(engine.model.chat, asked.messages, think=think, prefill=asked.prefill).ids
        else:
            ids = tokenize(tokenizer, asked.prompt or "", add_special_tokens=asked.add_special_tokens is not False)
    except PasctlError as error:
        raise api_error_of(error, "messages" if asked.messages else "prompt") from error
    names = {"token_strs": tokenizer.convert_ids_to_tokens(ids)} if asked.return_token_strs else {}
    return asked.model, {"count": len(ids), "max_model_len": engine.context, "tokens": list(ids), **names}


def detokenized(engine: Engine, body: bytes) -> tuple[str | None, dict[str, Any]]:
    """The model that a body names, and the text of its tokens, special ones by their names.

    Raises:
        APIError: 400, a token is none of the model's.
    """
    asked = parse(DetokenizeRequest, body)
    known = engine.model.vocabulary
    if not all(0 <= token < known for token in asked.tokens):
        raise APIError(400, f"tokens has one outside 0 to {known - 1}, which the model does not know", "tokens")
    text = engine.model.tokenizer.decode(asked.tokens, skip_special_tokens=False, clean_up_tokenization_spaces=False)
    return asked.model, {"prompt": str(text)}
