"""A bound on what a chat template computes: it comes with a model and is a program.

Nested loops run for years, and `'a' * 20000000000` takes all memory. So a template is rendered for the first time in
a process of its own, within limits of time and memory. One whose form shows that its text grows with the conversation
alone needs no such trial, which spares most models the tenth of a second.
"""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

from pasctl.errors import InputError
from pasctl.models.template_shape import is_plain

SECONDS = 5
"""Of a processor; by the clock twice as many, since others may be at it."""
BYTES = (1 << 30) + (1 << 28)
"""Address space of the process: a gibibyte above what Python itself maps."""
MOST_CHARACTERS = 1_000_000
"""Of a sample conversation's text, which has a few hundred characters without the template."""

_CHILD = Path(__file__).with_name("template_child.py")
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

    Where a system has no limits of memory (Windows, macOS), the time is bounded alone.

    Args:
        template: its source.
        variables: what it is given besides the messages: special tokens and switches.

    Raises:
        InputError: a sample conversation takes more time or memory, or gives a longer text.
    """
    if not is_plain(template):
        _try(template, json.dumps(variables, sort_keys=True, default=str))


@lru_cache(maxsize=64)
def _try(template: str, variables: str) -> None:
    import jinja2
    import markupsafe

    task = {
        "path": sorted({str(Path(str(module.__file__)).parent.parent) for module in (jinja2, markupsafe)}),
        "bytes": BYTES,
        "seconds": SECONDS,
        "template": template,
        "variables": json.loads(variables),
        "conversations": _CONVERSATIONS,
    }
    try:
        done = subprocess.run(  # noqa: S603 - our own file
            [sys.executable, "-I", "-S", str(_CHILD)],
            input=json.dumps(task),
            capture_output=True,
            text=True,
            encoding="utf-8",
            timeout=2 * SECONDS,
        )
    except subprocess.TimeoutExpired:
        raise _refusal(f"takes more than {2 * SECONDS} s") from None
    if done.returncode < 0 and -done.returncode == getattr(signal, "SIGXCPU", 0):
        raise _refusal(f"takes more than {SECONDS} s")
    outcome, _, count = done.stdout.strip().partition(" ")
    if outcome == "memory":
        raise _refusal(f"takes more than {BYTES >> 20:,} MiB of memory")
    if outcome != "rendered":
        raise _refusal(f"ends the process that tries it (exit code {done.returncode})")
    if int(count) > MOST_CHARACTERS:
        raise _refusal(f"gives {int(count):,} characters, expected at most {MOST_CHARACTERS:,}")


def _refusal(what: str) -> InputError:
    return InputError(
        f"the model's chat template {what} for a conversation of a few words",
        hint="a template is a program that comes with the model: look at its chat_template before you use it",
    )
