"""Texts are measured: log-odds of descriptions, sentence embeddings, a judge, perplexity, repetition."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain
from typing import TYPE_CHECKING, Any

import numpy as np

from pasctl.errors import InputError
from pasctl.evaluation.text_metrics import COLUMNS, DOWN, UP
from pasctl.stages.job import StageContext
from pasctl.stages.neutral import Neutral
from pasctl.stages.runner import part_key
from pasctl.stages.text_targets import TextTarget
from pasctl.stages.text_writing import Text, TextCase, TextWriter

if TYPE_CHECKING:
    import pandas as pd

    from pasctl.evaluation.embeddings import DescriptionAxis, TextEmbedder
    from pasctl.evaluation.text_classifier import TextClassifier
    from pasctl.evaluation.text_judge import TextJudge
    from pasctl.evaluation.texts import Floats, Reader

CALIBRATION = "calibration.json"
TUNING_TEXTS = 20
"""Texts of each side that classifiers are fitted on, at least: the wordings take turns."""


@dataclass(frozen=True)
class Measures:
    """How texts are measured, beside perplexity and repetition.

    Attributes:
        classified: whether classifiers are fitted on prompted texts.
        embedder: makes the sentence embeddings; None for none.
        judge: an endpoint that is asked as well; None for none.
        neutral: the text that side effects are measured on.
    """

    classified: bool
    embedder: TextEmbedder | None
    judge: TextJudge | None
    neutral: Neutral

    @property
    def params(self) -> dict[str, Any]:
        """What enters the key."""
        return {
            "classified": self.classified,
            "embeddings": self.embedder and self.embedder.digest,
            "judge": self.judge and self.judge.name,
            "text": self.neutral.digest,
        }


@dataclass(frozen=True, eq=False)
class Calibrated:
    """What classifies one target's texts.

    Attributes:
        odds: log-odds, fitted on prompted, unsteered texts.
        embeddings: how much nearer a sentence embedding is to the descriptions + than to those -; None for none.
    """

    odds: TextClassifier
    embeddings: DescriptionAxis | None


@dataclass(eq=False)
class TextScorer:
    """Measures what a writer has written.

    Attributes:
        writer: whose model reads the texts again, unsteered.
        measures: how.
        tuning: prompts of the texts that classifiers are fitted on.
        calibrations: target -> what is known of its classifiers; filled by `table`.
        stored: part key -> the prompted texts and their log-odds, for the artifact; filled by `table`.
    """

    writer: TextWriter
    measures: Measures
    tuning: tuple[str, ...]
    calibrations: dict[str, dict[str, Any]] = field(default_factory=dict)
    stored: dict[str, list[dict[str, Any]]] = field(default_factory=dict)

    def parts(self) -> tuple[str, ...]:
        """Keys of the calibrations that the texts' artifact holds."""
        return tuple(map(self._part, self._judged)) if self.measures.classified else ()

    def table(self, work: StageContext, cases: Sequence[TextCase], texts: Sequence[Sequence[Text]]) -> pd.DataFrame:
        """One row per target and text, columns `COLUMNS`; the model's own texts stand there for each target."""
        import pandas as pd

        frames = []
        for place, target in enumerate(self.writer.targets):
            own = {number: texts[number] for number, case in enumerate(cases) if case.target in (None, place)}
            rows = [self._row(target, cases[number], text) for number, of_case in own.items() for text in of_case]
            frames.append(pd.DataFrame(rows).assign(**self._scores(work, place, own)))
        return pd.concat(frames, ignore_index=True)[list(COLUMNS)]

    def side_effects(self, work: StageContext) -> list[list[dict[str, float]]]:
        """KL(unsteered || steered) on neutral text in nats/token, by target, setting and direction up or down."""
        part = "parts/side-effects.json"
        if not work.has(part):
            from pasctl.evaluation.side_effects import measure

            model = self.writer.handle.load(work.reporter)
            signs = {UP: 1.0, DOWN: -1.0}
            moved = [
                target.intervention(model.geometry, setting, sign)
                for target in self.writer.targets
                for setting in range(len(target.settings))
                for sign in signs.values()
            ]
            text = self.measures.neutral.unsteered(model)
            kl = iter(measure(model, text, moved, batch_tokens=self.writer.batch_tokens).kl.tolist())
            work.write(
                part, [[{name: next(kl) for name in signs} for _ in each.settings] for each in self.writer.targets]
            )
        stored: list[list[dict[str, float]]] = work.read_json(part)
        return stored

    def _row(self, target: TextTarget, case: TextCase, text: Text) -> dict[str, Any]:
        from pasctl.evaluation.side_effects import repetition

        repeated = repetition(text.ids)
        return {
            "target": target.name,
            "condition": case.condition,
            "alpha": target.alphas[case.setting] if case.condition in (UP, DOWN) else 0.0,
            "prompt": text.prompt,
            "text": text.text,
            "tokens": len(text.ids),
            "finish": text.finish,
            "repetition": np.nan if repeated is None else repeated,
        }

    def _scores(self, work: StageContext, place: int, own: Mapping[int, Sequence[Text]]) -> dict[str, Floats]:
        """The measures of one target's texts, which are given by the number of their case; each [N]."""
        target, texts = self.writer.targets[place], list(chain.from_iterable(own.values()))
        columns = dict.fromkeys(("log_odds", "p_plus", "embedding_score", "judge"), np.full(len(texts), np.nan))
        odds, columns["perplexity"] = self._model_scores(work, place, own)
        if target.words is None:
            return columns
        columns["log_odds"] = odds
        if self.measures.judge is not None:
            columns["judge"] = self._judged_by(work, place, self.measures.judge, texts)
        if self.measures.classified:
            calibrated = self._calibrated(work, target)
            columns["p_plus"] = calibrated.odds.p_plus(odds)
            if calibrated.embeddings is not None:
                columns["embedding_score"] = calibrated.embeddings.score([text.text for text in texts])
        return columns

    def _model_scores(self, work: StageContext, place: int, own: Mapping[int, Sequence[Text]]) -> tuple[Floats, Floats]:
        """Log-odds per token, and perplexity, of texts; kept case by case for a run that goes on."""
        scores: dict[str, list[float | None]] = {"log_odds": [], "perplexity": []}
        with work.reporter.progress("measure", sum(map(len, own.values())), "texts") as advance:
            for number, texts in own.items():
                part = f"parts/scores-{place:03d}-{number:03d}.json"
                if not work.has(part):
                    work.write(part, self._read(work, place, texts))
                for name, values in work.read_json(part).items():
                    scores[name] += values
                advance(len(texts))
        return np.array(scores["log_odds"], dtype=np.float64), np.array(scores["perplexity"], dtype=np.float64)

    def _read(self, work: StageContext, place: int, texts: Sequence[Text]) -> dict[str, list[float | None]]:
        from pasctl.evaluation.texts import perplexities

        reader, words = self._reader(work), self.writer.targets[place].words
        odds = np.full(len(texts), np.nan) if words is None else self._odds(reader, texts, words.judges)
        return {"log_odds": _plain(odds), "perplexity": _plain(perplexities(reader, _written(texts)))}

    def _odds(self, reader: Reader, texts: Sequence[Text], judges: Sequence[tuple[str, str]]) -> Floats:
        from pasctl.evaluation.texts import log_odds

        return log_odds(reader, _written(texts), judges)

    def _reader(self, work: StageContext) -> Reader:
        from pasctl.evaluation.texts import Reader

        return Reader(self.writer.handle.load(work.reporter), self.writer.batch_tokens, self.writer.counts)

    def _judged_by(self, work: StageContext, place: int, judge: TextJudge, texts: Sequence[Text]) -> Floats:
        part, words = f"parts/judge-{place:03d}.json", self.writer.targets[place].words
        if words is None:
            raise InputError("a judge needs descriptions")
        plus, minus = words.judges[0]
        if not work.has(part):
            with work.reporter.progress("judge", len(texts), "texts") as advance:
                said = []
                for text in texts:
                    said.append(judge.p_plus(text.prompt, text.text, plus, minus))
                    advance(1)
            work.write(part, said)
        return np.array(work.read_json(part), dtype=np.float64)

    def _calibrated(self, work: StageContext, target: TextTarget) -> Calibrated:
        """The classifiers of a target's texts, and how they tell its prompted ones apart."""
        from pasctl.evaluation.auc import paired_auc
        from pasctl.evaluation.embeddings import DescriptionAxis
        from pasctl.evaluation.text_classifier import TextClassifier

        rows = self.stored[self._part(target)] = self._prompted(work, target)
        odds = np.array([row["log_odds"] for row in rows], dtype=np.float64)
        plus = np.array([row["plus"] for row in rows], dtype=np.bool_)
        facts = self.calibrations[target.name] = {"auc": paired_auc(odds[plus], odds[~plus])}
        classifier = TextClassifier.fit(odds, plus)
        facts["log_odds"] = classifier.to_json()
        embedder, words = self.measures.embedder, target.words
        if embedder is None or words is None:
            return Calibrated(classifier, None)
        axis = DescriptionAxis.of(embedder, (*words.prompts, *words.judges))
        scores = axis.score([row["text"] for row in rows])
        facts["embedding_auc"] = paired_auc(scores[plus], scores[~plus])
        return Calibrated(classifier, axis)

    def _prompted(self, work: StageContext, target: TextTarget) -> list[dict[str, Any]]:
        """Texts of the model prompted with either side's words, with their log-odds; from the store if it has them.

        The sides take turns, so that every second text is of the same prompt and wording as the one before.
        """
        key = self._part(target)
        for artifact in work.find_parts([key]).values():
            stored: list[dict[str, Any]] = artifact.read_json(CALIBRATION)[key]
            return stored
        words = target.words
        if words is None:
            raise InputError("classifiers need descriptions")
        part = f"parts/calibration-{key[:16]}"
        if not work.has(f"{part}.json"):
            wordings = [
                words.prompts[place % len(words.prompts)] for place in range(-(-TUNING_TEXTS // len(self.tuning)))
            ]
            cases = [TextCase("tuning", self.tuning, system=side) for pair in wordings for side in pair]
            texts = self.writer.quiet.write(work, f"calibration-{key[:16]}", cases)
            both = [(text, plus) for pair in zip(texts[::2], texts[1::2], strict=True) for text, plus in _turns(pair)]
            odds = self._odds(self._reader(work), [text for text, _ in both], words.judges)
            rows = [
                {"prompt": text.prompt, "text": text.text, "plus": plus, "log_odds": value}
                for (text, plus), value in zip(both, _plain(odds), strict=True)
            ]
            work.write(f"{part}.json", rows)
        prompted: list[dict[str, Any]] = work.read_json(f"{part}.json")
        return prompted

    @property
    def _judged(self) -> list[TextTarget]:
        return [target for target in self.writer.targets if target.words is not None]

    def _part(self, target: TextTarget) -> str:
        """The key of a target's calibration: all that its texts and their log-odds depend on."""
        handle, how = self.writer.handle, self.writer.quiet.how
        words = target.words
        return part_key(
            {
                "texts": "calibration-1",
                "model": handle.identity,
                "numerics": handle.numerics(0, writes=True),
                "prompts": [list(pair) for pair in words.prompts] if words else None,
                "judges": [list(pair) for pair in words.judges] if words else None,
                "tuning": list(self.tuning),
                "max_new_tokens": how.max_new_tokens,
            }
        )


def _turns(pair: tuple[Sequence[Text], Sequence[Text]]) -> list[tuple[Text, bool]]:
    return [each for plus, minus in zip(*pair, strict=True) for each in ((plus, True), (minus, False))]


def _written(texts: Sequence[Text]) -> list[Any]:
    from pasctl.evaluation.texts import WrittenText

    return [WrittenText(text.prompt, text.ids) for text in texts]


def _plain(values: Floats) -> list[float | None]:
    return [float(value) if np.isfinite(value) else None for value in values]
