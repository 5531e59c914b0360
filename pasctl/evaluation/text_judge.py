"""A judge of texts: any OpenAI-compatible chat endpoint, asked twice which of two descriptions fits, in both orders."""

from __future__ import annotations

import json
import os
import re
import urllib.error
import urllib.request
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from pasctl.errors import InputError, PasctlError
from pasctl.json_file import MOST_BYTES, parse_json

KEY_VARIABLE = "PASCTL_JUDGE_KEY"
"""Environment variable with the endpoint's key, where it wants one."""
_SECONDS = 120
_LETTER = re.compile(r"\b([AB])\b")
_QUESTION = """Somebody was asked: {prompt}
They answered: {text}

Which description fits the person who wrote this answer better?
(A) {first}
(B) {second}

Reply with the letter A or B and nothing else."""


@dataclass(frozen=True)
class TextJudge:
    """An endpoint that judges texts.

    Attributes:
        url: base of the API, such as http://127.0.0.1:8000/v1.
        model: its name there; "" takes the first that the endpoint lists.
    """

    url: str
    model: str = ""

    def __post_init__(self) -> None:
        if not self.url.startswith(("http://", "https://")):
            raise InputError(f"judge {self.url!r} is no URL", hint="such as http://127.0.0.1:8000/v1")

    @cached_property
    def name(self) -> str:
        """The model that judges.

        Raises:
            PasctlError: the endpoint does not answer, or lists none.
        """
        if self.model:
            return self.model
        listed = self._ask("/models", None)
        try:
            return str(listed["data"][0]["id"])
        except (KeyError, IndexError, TypeError) as error:
            raise PasctlError(f"judge {self.url} lists no model", hint="name one with --judge-model") from error

    def p_plus(self, prompt: str, text: str, plus: str, minus: str) -> float | None:
        """1 where both orders of the descriptions say +, 0 where both say -, .5 where they contradict each other.

        None where an answer has no letter.

        Raises:
            PasctlError: the endpoint does not answer, or not with a chat completion.
        """
        forward = self._letter(_QUESTION.format(prompt=prompt, text=text, first=plus, second=minus))
        swapped = self._letter(_QUESTION.format(prompt=prompt, text=text, first=minus, second=plus))
        if forward is None or swapped is None:
            return None
        return ((forward == "A") + (swapped == "B")) / 2

    def _letter(self, question: str) -> str | None:
        body = {
            "model": self.name,
            "messages": [{"role": "user", "content": question}],
            "temperature": 0,
            "max_tokens": 8,
        }
        reply = self._ask("/chat/completions", body)
        try:
            content = str(reply["choices"][0]["message"]["content"])
        except (KeyError, IndexError, TypeError) as error:
            raise PasctlError(f"judge {self.url} answered with something else than a chat completion") from error
        letter = _LETTER.search(content)
        return None if letter is None else letter[1]

    def _ask(self, path: str, body: dict[str, Any] | None) -> Any:
        """The JSON document that the endpoint answers with."""
        headers = {"Content-Type": "application/json"}
        if key := os.environ.get(KEY_VARIABLE):
            headers["Authorization"] = f"Bearer {key}"
        data = None if body is None else json.dumps(body).encode()
        # the scheme was checked when the judge was made
        request = urllib.request.Request(self.url.rstrip("/") + path, data, headers)  # noqa: S310
        try:
            with urllib.request.urlopen(request, timeout=_SECONDS) as response:  # noqa: S310
                return parse_json(response.read(MOST_BYTES))
        except (OSError, ValueError) as error:
            reason = getattr(error, "reason", None) or error
            raise PasctlError(
                f"judge {self.url} does not answer: {reason}", hint="is it an OpenAI-compatible endpoint, with /v1?"
            ) from error
