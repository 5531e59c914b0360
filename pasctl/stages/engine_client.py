"""Log-probabilities of tokens from a server with a persona per request: vLLM with pasctl's plugin, or `pasctl serve`.

Both speak OpenAI's /v1/completions with prompts of token ids, vLLM's `prompt_logprobs`, and name the persona in
`vllm_xargs`.
"""

from __future__ import annotations

import json
import math
import os
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from http.client import HTTPException
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from pasctl.errors import InputError, PasctlError
from pasctl.json_file import MOST_BYTES, parse_json
from pasctl.vllm_plugin.persona_request import ALPHA, PERSONA, STEERED

KEY_VARIABLE = "PASCTL_ENGINE_KEY"
"""Environment variable with the server's key, where it wants one."""
TOP = 20
"""Most likely tokens that are asked for: the most that a server of vLLM tells where nobody says otherwise."""
_SECONDS = 600
_PROMPTS, _AT_ONCE = 16, 4  # of a request, and requests in flight: as many as `pasctl serve` takes in
_BUSY = (429, 503)
_TRIES, _PAUSE = 8, 0.5  # seconds, doubled each time
_QUOTED = 400  # characters of what a server says

R = TypeVar("R")


@dataclass(frozen=True)
class EngineSteering:
    """How a request is steered.

    Attributes:
        persona: its name in the server.
        alpha: strength.
        positions: "all", "answer" for the prompt's last token and all after it, or the place of the first token.
    """

    persona: str
    alpha: float
    positions: str | int

    def words(self) -> dict[str, Any]:
        """What a request says in `vllm_xargs`."""
        return {PERSONA: self.persona, ALPHA: self.alpha, STEERED: self.positions}


@dataclass(frozen=True)
class EnginePrompt:
    """Tokens that are read, and how they are steered; None leaves the model as it is."""

    ids: tuple[int, ...]
    steering: EngineSteering | None = None


@dataclass(frozen=True)
class EngineClient:
    """A server.

    Attributes:
        url: base of the API, such as http://127.0.0.1:8000/v1.
    """

    url: str

    def __post_init__(self) -> None:
        if not self.url.startswith(("http://", "https://")):
            raise InputError(f"engine URL {self.url!r} is no URL", hint="such as http://127.0.0.1:8000/v1")

    @cached_property
    def model(self) -> str:
        """The name of the model without a persona: the first that the server lists.

        Raises:
            PasctlError: the server does not answer, or lists none.
        """
        listed = self._ask("/models", None)
        try:
            return str(listed["data"][0]["id"])
        except (KeyError, IndexError, TypeError) as error:
            raise PasctlError(f"engine {self.url} lists no model", hint="is it an OpenAI-compatible server?") from error

    def read(self, prompts: Sequence[EnginePrompt], starts: Sequence[int]) -> list[NDArray[np.float32]]:
        """Log-probabilities of each prompt's tokens from its start on, which is at least 1: float32 [tokens].

        Raises:
            PasctlError: the server does not answer, refuses, or gives no finite log-probabilities.
        """
        told = self._choices(prompts, {"prompt_logprobs": 0})
        return [self._tokens(*each) for each in zip(told, prompts, starts, strict=True)]

    def following(self, prompts: Sequence[EnginePrompt]) -> list[dict[int, float]]:
        """Log-probabilities of the most likely tokens after each prompt, by their ids.

        Raises:
            PasctlError: as `read`.
        """
        told = self._choices(prompts, {"logprobs": TOP, "return_tokens_as_token_ids": True})
        return [self._understood(_likeliest, choice) for choice in told]

    def _choices(self, prompts: Sequence[EnginePrompt], asked: dict[str, Any]) -> list[Any]:
        """The server's answer to each prompt; prompts that are steered alike go together."""
        alike: dict[EngineSteering | None, list[int]] = {}
        for place, prompt in enumerate(prompts):
            alike.setdefault(prompt.steering, []).append(place)
        parts = [part for places in alike.values() for part in _cut(places)]

        def ask(places: list[int]) -> list[Any]:
            steering = prompts[places[0]].steering
            body = {
                "model": self.model,
                "prompt": [list(prompts[place].ids) for place in places],
                "max_tokens": 1,
                "temperature": 0,
                **asked,
                **({} if steering is None else {"vllm_xargs": steering.words()}),
            }
            answer = self._ask("/completions", body)
            return self._understood(lambda told: _in_order(told, len(places)), answer)

        _ = self.model  # asked for once, before there are threads
        found: list[Any] = [None] * len(prompts)
        with ThreadPoolExecutor(_AT_ONCE) as threads:
            for places, choices in zip(parts, threads.map(ask, parts), strict=True):
                for place, choice in zip(places, choices, strict=True):
                    found[place] = choice
        return found

    def _tokens(self, choice: Any, prompt: EnginePrompt, start: int) -> NDArray[np.float32]:
        def read(told: Any) -> list[float]:
            entries = told["prompt_logprobs"]
            if len(entries) != len(prompt.ids):
                raise ValueError(f"{len(entries)} tokens of a prompt that has {len(prompt.ids)}")
            return [
                _finite(entries[place][str(prompt.ids[place])]["logprob"]) for place in range(start, len(prompt.ids))
            ]

        return np.array(self._understood(read, choice), np.float32)

    def _understood(self, read: Callable[[Any], R], told: Any) -> R:
        try:
            return read(told)
        except (KeyError, IndexError, TypeError, ValueError, AttributeError) as error:
            raise PasctlError(
                f"engine {self.url} answered without finite log-probabilities: {type(error).__name__} {error}",
                hint="it must be vLLM with pasctl's plugin, or pasctl serve",
            ) from error

    def _ask(self, path: str, body: dict[str, Any] | None) -> Any:
        """The JSON document that the server answers with; one that is busy is asked again."""
        for tried in range(_TRIES):
            try:
                return self._answer(path, body)
            except urllib.error.HTTPError as error:
                if error.code in _BUSY and tried + 1 < _TRIES:
                    time.sleep(_PAUSE * 2**tried)
                    continue
                raise self._refused(error) from error
            except (OSError, ValueError, HTTPException) as error:
                reason = getattr(error, "reason", None) or error
                raise PasctlError(
                    f"engine {self.url} does not answer: {reason}",
                    hint="is the server of --engine-url running, and the URL one with /v1? Partial results are saved; "
                    "run the same command to resume",
                ) from error
        raise AssertionError  # the last try returns or raises

    def _answer(self, path: str, body: dict[str, Any] | None) -> Any:
        headers = {"Content-Type": "application/json"}
        if key := os.environ.get(KEY_VARIABLE):
            headers["Authorization"] = f"Bearer {key}"
        data = None if body is None else json.dumps(body).encode()
        # the scheme was checked when the client was made
        request = urllib.request.Request(self.url.rstrip("/") + path, data, headers)  # noqa: S310
        with urllib.request.urlopen(request, timeout=_SECONDS) as response:  # noqa: S310
            return parse_json(response.read(MOST_BYTES))

    def _refused(self, error: urllib.error.HTTPError) -> PasctlError:
        said = error.read(MOST_BYTES).decode(errors="replace")
        try:
            document = parse_json(said)
            said = str(document.get("error", document).get("message", said))
        except (ValueError, AttributeError):
            pass  # no document of OpenAI's form: what it says is quoted as it is
        hints = {
            401: f"set {KEY_VARIABLE} to the server's key",
            404: "the URL ends in /v1 as a rule",
        }
        usual = "serve an export of these directions: pasctl export REF --engine vllm-personas"
        return PasctlError(
            f"engine {self.url} refused with status {error.code}: {said[:_QUOTED]}", hint=hints.get(error.code, usual)
        )


def _cut(places: list[int]) -> Iterator[list[int]]:
    return (places[start : start + _PROMPTS] for start in range(0, len(places), _PROMPTS))


def _in_order(answer: Any, count: int) -> list[Any]:
    """The choices of an answer by the places of their prompts."""
    choices = {int(choice["index"]): choice for choice in answer["choices"]}
    return [choices[place] for place in range(count)]


def _likeliest(choice: Any) -> dict[int, float]:
    [told] = choice["logprobs"]["top_logprobs"]
    return {int(name.rpartition(":")[2]): _finite(logprob) for name, logprob in told.items()}


def _finite(value: Any) -> float:
    """A log-probability.

    Raises:
        ValueError: it is none.
    """
    number = float(value)
    if not math.isfinite(number):
        raise ValueError(f"log-probability {value!r}")
    return number
