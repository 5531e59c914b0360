"""Answers of one model, from the engine: as it is or steered, behind turns or a memory."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from typing import Any

from pasctl.chat.history import Prompted
from pasctl.chat.session import NOBODY, Stop, Turn
from pasctl.generation.engine import Engine
from pasctl.generation.request import Request
from pasctl.generation.sampling_params import SamplingParams
from pasctl.generation.stream import Stream
from pasctl.memory.event_text import EventTexts
from pasctl.stages.steering import ResolvedTarget

MOST_RECALLED = 3


@dataclass(eq=False)
class PendingAnswer:
    """An answer while it is written: iterate for its pieces.

    Attributes:
        stream: the engine's.
        how: it is written.
        target: who answers; None is the model as it is.
        prompted: what it follows.
        parts: what was taken of it so far.
    """

    stream: Stream
    how: SamplingParams
    target: ResolvedTarget | None
    prompted: Prompted
    parts: list[str] = field(default_factory=list)

    def __iter__(self) -> Iterator[str]:
        """Wait for pieces."""
        for piece in self.stream:
            self.parts.append(piece)
            yield piece

    @property
    def who(self) -> str:
        """Who answers, in words."""
        return str(self.target) if self.target else NOBODY

    def turn(self, user: str, *, model: str, memory: str | None, seconds: float, stopped: bool) -> Turn:
        """The turn that it makes with the user's words."""
        stop: Stop = "stopped" if stopped else "length" if self.stream.finish_reason == "length" else "end"
        target = self.target
        return Turn(
            user=user,
            answer="".join(self.parts),
            model=model,
            persona=target.persona if target else None,
            alpha=target.alpha if target else 0.0,
            directions=target.directions.name if target else None,
            memory=memory,
            seed=self.how.seed,
            temperature=self.how.temperature,
            top_p=self.how.top_p,
            tokens=len(self.stream.tokens),
            seconds=round(seconds, 3),
            stop=stop,
            left_out=self.prompted.left_out,
            at=round(time.time(), 3),
        )

    def recalled(self) -> list[dict[str, Any]]:
        """The events recalled most for it: event, the share of steps and layers that recalled it, and its text."""
        memory, log = self.prompted.memory, self.stream.recalled
        if memory is None or not log:
            return []
        reader = memory.reader
        starts = [start for start in reader.past.events.starts if start < len(reader.ids)]
        texts = EventTexts(memory.model.tokenizer, reader.ids, starts)
        times = Counter(event for each in log for event in each.events)
        return [
            {"event": event, "share": round(count / len(log), 4), "text": texts.text(event)}
            for event, count in times.most_common(MOST_RECALLED)
        ]


def submit(
    engine: Engine,
    prompted: Prompted,
    target: ResolvedTarget | None,
    how: SamplingParams,
    *,
    seed: int,
    recalled: bool = False,
) -> PendingAnswer:
    """Begin an answer.

    Args:
        engine: writes it.
        prompted: what it follows.
        target: who answers; None is the model as it is.
        how: how it is written.
        seed: in place of the seed there.
        recalled: keep what is recalled.

    Raises:
        InputError: the model cannot write it.
    """
    how = replace(how, seed=seed)
    # a memory that was read steered has its displacement at all positions, and answers with it
    own = prompted.memory is not None and prompted.memory.intervention is not None
    steered = None if own else target
    request = Request(
        prompted.ids,
        how,
        intervention=steered.intervention(engine.model.geometry) if steered else None,
        positions=steered.positions if steered else "all",
        memory=prompted.memory,
        strip=True,
        keep_recalled=recalled,
    )
    return PendingAnswer(engine.submit(request), how, target, prompted)


def run_in(engine: Engine) -> Callable[[Callable[[], None]], None]:
    """Runs functions in the engine's thread and waits; an interruption waits until the function is done."""

    def run(function: Callable[[], None]) -> None:
        future, interrupted = engine.call(function), False
        while True:
            try:
                future.result()
                break
            except KeyboardInterrupt:
                interrupted = True
        if interrupted:
            raise KeyboardInterrupt

    return run


def wait_until_idle(engine: Engine) -> None:
    """Wait until the engine's model is as it was: answers that were cancelled have ended."""
    run_in(engine)(lambda: None)
