"""A bound on what a chat template computes: it comes with a model and is a program.

Nested loops run for years, and `'a' * 20000000000` takes all memory. So a template is rendered for the first time in
a process of its own, within limits of time and memory. One whose form shows that its text grows with the conversation
alone needs no such trial, which spares most models the tenth of a second.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

from pasctl.bounded import Bounds, BoundsError, run_bounded
from pasctl.errors import InputError
from pasctl.models.template_shape import is_plain

MOST_CHARACTERS = 1_000_000
"""Of a sample conversation's text, which has a few hundred characters without the template."""

BOUNDS = Bounds(memory=(1 << 30) + (1 << 28), seconds=5)
"""Of the process: a gibibyte above what Python itself maps."""

_TRIAL = Path(__file__).with_name("template_trial.py")
_WHAT = "the model's chat template, given a conversation of a few words"
_HINT = "a template is a program that comes with the model: look at its chat_template before you use it"
_TEXT = "pasctl asks: how accurately does this describe you?"
_TURNS = [{"role": role, "content": _TEXT} for role in ("user", "assistant") * 3]
_SYSTEM = {"role": "system", "content": _TEXT}
_THOUGHT = {"role": "assistant", "content": _TEXT, "reasoning_content": _TEXT, "thinking": _TEXT}
_CONVERSATIONS = (
    (_TURNS[:1], True),
    ([_SYSTEM, _TURNS[0]], True),
    (_TURNS[:2], False),
    ([_TURNS[0], _THOUGHT], False),
    (_TURNS[:5], True),
    ([_SYSTEM, *_TURNS[:5]], True),
)


def check_template(template: str, variables: Mapping[str, Any]) -> None:
    """Refuse a template that cannot be rendered within the limits; what it refuses itself is no concern here.

    Args:
        template: its source.
        variables: what it is given besides the messages: special tokens and switches.

    Raises:
        InputError: a sample conversation takes more time or memory, or gives a longer text.
    """
    if not is_plain(template):
        task = {"template": template, "variables": dict(variables), "conversations": _CONVERSATIONS}
        _try(json.dumps(task, sort_keys=True, default=str))


@lru_cache(maxsize=64)
def _try(task: str) -> None:
    try:
        count = int(run_bounded(_TRIAL, given=task.encode(), bounds=BOUNDS))
    except BoundsError as error:
        raise InputError(f"{_WHAT}: {error}", hint=_HINT) from error
    if count > MOST_CHARACTERS:
        raise InputError(f"{_WHAT}: it gives {count:,} characters, expected at most {MOST_CHARACTERS:,}", hint=_HINT)
