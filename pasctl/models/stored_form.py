"""What stands before an answer, from a model's files alone: it enters keys, for which no tokenizer is loaded."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

from pasctl.json_file import read_json
from pasctl.models.answer_form import RENDERING_ERRORS, Message, answer_form
from pasctl.models.template_guard import check_template
from pasctl.models.template_trial import environment

_VARIABLES = {"bos_token": "<s>", "eos_token": "</s>", "enable_thinking": False}


def form_digest(folder: Path) -> str | None:
    """A short digest of a model folder's answer form; None where nothing stands between prompt and answer.

    Earlier versions added nothing before an answer, so where a template wants something, their artifacts are others.

    Raises:
        InputError: the template is refused, see `template_guard` and `answer_form`.
    """
    template = _template(folder)
    return None if template is None else _of_template(template)


@lru_cache(maxsize=16)
def _of_template(template: str) -> str | None:
    check_template(template, _VARIABLES)
    try:
        compiled = environment().from_string(template)

        def render(messages: Sequence[Message], prompt: bool) -> str:
            text = compiled.render(
                messages=messages, tools=None, documents=None, add_generation_prompt=prompt, **_VARIABLES
            )
            return str(text)

        form = answer_form(render, template, ()).text
    except RENDERING_ERRORS:  # loading the model says what is wrong with it
        return None
    return hashlib.sha256(form.encode()).hexdigest()[:16] if form else None


def _template(folder: Path) -> str | None:
    """The template that transformers would take; None where there is none, or the files are not those of a model."""
    try:
        if (folder / "chat_template.jinja").is_file():
            return (folder / "chat_template.jinja").read_text(encoding="utf-8")
        return _named(read_json(folder / "tokenizer_config.json"))
    except (OSError, ValueError):
        return None


def _named(config: Any) -> str | None:
    told = config.get("chat_template") if isinstance(config, dict) else None
    if isinstance(told, list):  # several by name
        named = {str(part.get("name")): part.get("template") for part in told if isinstance(part, dict)}
        told = named.get("default")
    return told if isinstance(told, str) else None
