"""The texts of every condition, written once: what is missing after an interruption is written, the rest is read."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

from pasctl.errors import InputError
from pasctl.evaluation.text_metrics import AS_IS, DOWN, PROMPTED, UP, text_title
from pasctl.generation.sampling_params import SamplingParams
from pasctl.stages.job import StageContext
from pasctl.stages.model import ModelHandle
from pasctl.stages.text_targets import TextTarget

if TYPE_CHECKING:
    from pasctl.generation.request import Request
    from pasctl.generation.stream import Stream
    from pasctl.models.load import LoadedModel

_POLL_SECONDS = 0.02

OnDelta = Callable[[str, str], None]


@dataclass(frozen=True)
class TextCase:
    """Texts that are written together: one per prompt under one condition.

    Attributes:
        condition: as-is, steered-up, steered-down or prompted.
        target: its place among the targets; None for the model as it is.
        setting: place of its strength.
        system: system text.
        prompts: what is answered.
    """

    condition: str
    prompts: tuple[str, ...]
    target: int | None = None
    setting: int = 0
    system: str | None = None


@dataclass(frozen=True)
class Text:
    """What was written for one prompt.

    Attributes:
        prompt: what the user said.
        text: the reply, without white space at its ends.
        ids: its tokens, without the one that ended it.
        finish: "stop", or "length" if it was cut off.
    """

    prompt: str
    text: str
    ids: tuple[int, ...]
    finish: str


@dataclass(eq=False)
class TextWriter:
    """Writes the texts of cases with one model.

    Attributes:
        targets: whom the model is steered to.
        how: texts are written.
        handle: the model; it is loaded when the first text is written.
        batch_tokens: peak number of tokens of texts that are written at the same time.
        counts: texts and tokens so far.
    """

    targets: tuple[TextTarget, ...]
    how: SamplingParams
    handle: ModelHandle
    batch_tokens: int
    counts: Counter[str] = field(default_factory=Counter)

    def cases(self, prompts: tuple[str, ...]) -> list[TextCase]:
        """All conditions, the model as it is first."""
        cases = [TextCase(AS_IS, prompts)]
        for place, target in enumerate(self.targets):
            for setting in range(len(target.settings)):
                cases += [TextCase(condition, prompts, place, setting) for condition in (UP, DOWN)]
            if target.words is not None:
                cases.append(TextCase(PROMPTED, prompts, place, system=target.words.prompts[0][0]))
        return cases

    def title(self, case: TextCase) -> str:
        """What its texts are called."""
        if case.target is None:
            return text_title("", case.condition, 0.0)
        target = self.targets[case.target]
        return text_title(target.name, case.condition, target.alphas[case.setting])

    def write(self, work: StageContext, name: str, cases: Sequence[TextCase]) -> list[list[Text]]:
        """The texts of each case; each is kept as it is done, under parts/NAME-..."""
        written = []
        with work.reporter.progress("say", sum(len(case.prompts) for case in cases), "texts") as advance:
            for number, case in enumerate(cases):
                part = f"parts/{name}-{number:03d}.json"
                if not work.has(part):
                    model = self._model(work)
                    streams = self._generate(model, case)
                    work.write(part, [_to_json(stream) for stream in streams])
                written.append(_texts(case, work.read_json(part)))
                advance(len(case.prompts))
        self.counts["texts"] += sum(map(len, written))
        return written

    def stream(self, work: StageContext, name: str, cases: Sequence[TextCase], on_delta: OnDelta) -> list[list[Text]]:
        """The same for cases of one prompt, written at the same time and shown as they are written."""
        parts = [f"parts/{name}-{number:03d}.json" for number in range(len(cases))]
        if not all(map(work.has, parts)):
            model = self._model(work)
            requests = [request for case in cases for request in self._requests(model, case)]
            titles = [self.title(case) for case in cases]
            for part, stream in zip(parts, _at_once(model, requests, titles, on_delta), strict=True):
                work.write(part, [_to_json(stream)])
        self.counts["texts"] += len(cases)
        return [_texts(case, work.read_json(part)) for case, part in zip(cases, parts, strict=True)]

    def _model(self, work: StageContext) -> LoadedModel:
        model = self.handle.load(work.reporter)
        work.ready()
        return model

    def _generate(self, model: LoadedModel, case: TextCase) -> list[Stream]:
        from pasctl.generation.loop import generate

        return generate(model, list(self._requests(model, case)), batch_tokens=self.batch_tokens)

    def _requests(self, model: LoadedModel, case: TextCase) -> Iterator[Request]:
        from pasctl.generation.request import Request

        intervention, positions = None, "all"
        if case.condition in (UP, DOWN) and case.target is not None:
            target = self.targets[case.target]
            intervention = target.intervention(model.geometry, case.setting, 1.0 if case.condition == UP else -1.0)
            positions = target.positions
        for prompt in case.prompts:
            ids = model.chat.encode(prompt, case.system)
            self.counts["prompt_tokens"] += len(ids)
            yield Request(ids, self.how, intervention, positions, strip=True)

    @cached_property
    def quiet(self) -> TextWriter:
        """The same for texts that only classifiers read: always the most likely tokens."""
        return replace(self, how=replace(self.how, temperature=0.0), counts=Counter())


def _at_once(model: LoadedModel, requests: Sequence[Request], titles: Sequence[str], on_delta: OnDelta) -> list[Stream]:
    """The ended streams of requests that are written at the same time; deltas are handed on as they come."""
    from pasctl.generation.engine import Engine
    from pasctl.generation.loop import generate

    try:
        # nothing is reused, so that a text does not depend on those before it, not even by rounding
        engine = Engine(model, max_batch=len(requests), queue=len(requests), prefix_cache=0)
    except InputError:  # a model whose texts cannot share a pass
        streams = generate(model, requests)
        for title, stream in zip(titles, streams, strict=True):
            on_delta(title, stream.written)
        return streams
    with engine:
        streams = [engine.submit(request) for request in requests]
        for title in titles:
            on_delta(title, "")
        going = True
        while going:
            going = any(stream.ended is None for stream in streams)
            deltas = [stream.take() for stream in streams]
            for title, delta in zip(titles, deltas, strict=True):
                if delta:
                    on_delta(title, delta)
            if going and not any(deltas):
                time.sleep(_POLL_SECONDS)
    for stream in streams:
        if stream.error is not None:
            raise stream.error
    return streams


def _to_json(stream: Stream) -> dict[str, Any]:
    return {"text": stream.written, "ids": list(stream.tokens), "finish": stream.finish_reason}


def _texts(case: TextCase, stored: Sequence[dict[str, Any]]) -> list[Text]:
    return [
        Text(prompt, each["text"], tuple(each["ids"]), each["finish"])
        for prompt, each in zip(case.prompts, stored, strict=True)
    ]
