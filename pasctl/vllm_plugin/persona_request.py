"""What a request says about its persona, and what vLLM is told to do: the same text gives the same steering."""

from __future__ import annotations

import difflib
import hashlib
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pasctl.errors import InputError
from pasctl.vllm_plugin.persona_table import POSITIONS, Persona

PERSONA, ALPHA, STEERED = "persona", "alpha", "positions"
"""What `vllm_xargs` of a request may say."""
RESOLVED = "pasctl_steering"
"""The name under which the engine gets what it was resolved to; never taken from a request."""
_NEAR = 3


@dataclass(frozen=True)
class RequestSteering:
    """What is added to the outputs of o_proj for a request.

    Attributes:
        parts: digest of a persona's vectors, and what they are multiplied by; sorted, none of them 0.
        positions: "all", or "answer", or the place of the first token that is steered.
    """

    parts: tuple[tuple[str, float], ...]
    positions: str | int

    def document(self) -> dict[str, Any]:
        """It as vLLM sends it between processes."""
        return {"parts": [list(part) for part in self.parts], "positions": self.positions}

    @classmethod
    def of_document(cls, document: Mapping[str, Any]) -> RequestSteering:
        """What `document` wrote."""
        return cls(tuple((str(digest), float(weight)) for digest, weight in document["parts"]), document["positions"])

    def salt(self, prompt_tokens: int) -> str:
        """What keeps its keys and values apart from those of other requests in the prefix cache.

        From the answer on, the length of the prompt says which tokens are steered.
        """
        said = [*self.document().values(), *([prompt_tokens] if self.positions == "answer" else [])]
        return f"pasctl:{hashlib.sha256(json.dumps(said).encode()).hexdigest()}"

    def first(self, prompt_tokens: int) -> int:
        """The first token that is steered."""
        if isinstance(self.positions, int):
            return self.positions
        return prompt_tokens - 1 if self.positions == "answer" else 0


def resolve(said: Mapping[str, Any], personas: Mapping[str, Persona]) -> RequestSteering | None:
    """What a request asks for; None if it is not steered.

    Args:
        said: the request's `vllm_xargs`: "persona", a name or a blend such as "E+*0.5 N-*1", and "alpha", which
            multiplies all of it, and "positions"; by default each persona has its own. Positions may be a number as
            well: the place of the first token that is steered, as where an answer begins within the prompt.
        personas: those that there are.

    Raises:
        InputError: an unknown persona, a weight or alpha that is no finite number, alpha or positions without a
            persona, unknown positions, or a blend of personas that are steered at different ones.
    """
    name, alpha = said.get(PERSONA), said.get(ALPHA)
    if name is None:
        for each in (ALPHA, STEERED):
            if each in said:
                raise InputError(
                    f"{each} {said[each]!r} without a persona", hint=f"give persona too, or leave {each} out"
                )
        return None
    if not isinstance(name, str) or not name.strip():
        raise InputError(f'persona {name!r} is no name, expected for example "E+" or "E+*0.5 N-*1"')
    strength = None if alpha is None else _number(alpha, "alpha")
    total: dict[str, float] = {}
    chosen = _parse(name, personas)
    for persona, weight in chosen:
        scale = weight * (persona.alpha if strength is None else strength)
        total[persona.digest] = total.get(persona.digest, 0.0) + scale
    positions = {_places(said[STEERED]) if STEERED in said else persona.positions for persona, _ in chosen}
    if len(positions) > 1:
        raise InputError(
            f"{name} blends personas that are steered at all positions with others from the answer on",
            hint='give positions, "all" or "answer"',
        )
    parts = tuple(sorted((digest, weight) for digest, weight in total.items() if weight))
    return RequestSteering(parts, positions.pop()) if parts else None


def _places(value: Any) -> str | int:
    """Which tokens are steered.

    Raises:
        InputError: no word for positions, and no place of a token.
    """
    if value in POSITIONS:
        return str(value)
    if isinstance(value, int) and not isinstance(value, bool) and value >= 0:
        return value
    raise InputError(f"positions {value!r} is unknown, expected {', '.join(POSITIONS)} or the place of a token")


def _parse(text: str, personas: Mapping[str, Persona]) -> list[tuple[Persona, float]]:
    """The personas of a name or a blend, each with its weight; a name may hold spaces and stars itself."""
    if text in personas:
        return [(personas[text], 1.0)]
    chosen = []
    for part in text.split():
        name, star, weight = part.rpartition("*")
        if part in personas or not star:
            name, weight = part, "1"
        if name not in personas:
            raise InputError(f"there is no persona {name!r}", hint=_hint(name, personas))
        chosen.append((personas[name], _number(weight, f"the weight of {name}")))
    return chosen


def _hint(name: str, personas: Mapping[str, Persona]) -> str:
    if not personas:
        return "the export has no table of personas"
    near = difflib.get_close_matches(name, personas, n=_NEAR, cutoff=0.5) if len(personas) < 10_000 else []
    shown = near or list(personas)[:_NEAR]
    return f"there is, for example, {', '.join(shown)}"


def _number(value: Any, what: str) -> float:
    """A finite number, as such or as text.

    Raises:
        InputError: it is none.
    """
    try:
        number = math.nan if isinstance(value, bool) else float(value)
    except (TypeError, ValueError, OverflowError):
        number = math.nan
    if not math.isfinite(number):
        raise InputError(f"{what} is {value!r}, expected a finite number")
    return number
