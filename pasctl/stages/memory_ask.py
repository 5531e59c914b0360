"""The memory-ask stage: a memory that was made earlier is asked; answers are kept, with what was recalled for them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pasctl.errors import InputError
from pasctl.generation.sampling_params import SamplingParams
from pasctl.models.identity import ModelSource
from pasctl.models.options import ModelOptions
from pasctl.stages.memory import find_memory, model_of, open_memory, params_of
from pasctl.stages.model import ModelHandle
from pasctl.stages.progress import Reporter
from pasctl.stages.runner import Artifact, Job, Outcome, Payload, Stage, Store, Work, open_store, run_job

if TYPE_CHECKING:
    import pyarrow as pa

    from pasctl.memory.asking import Answer
    from pasctl.memory.episodic import EpisodicMemory
    from pasctl.memory.params import MemoryParams
    from pasctl.models.load import LoadedModel

STAGE = Stage("memory-ask", "answers", 1)
_TEMPLATE = 64  # more tokens than a chat template puts around a question
# of recall.parquet, which has a row an event recalled
_COLUMNS = {"question": "int32", "step": "int32", "layer": "int32", "event": "int32", "score": "float32"}


@dataclass(frozen=True, eq=False)
class _Round:
    """Questions that are asked together.

    Attributes:
        handle: gives the model, which is not looked for before it is wanted.
        on_piece: called with what an only answer grows by.
    """

    memory: Artifact
    questions: tuple[str, ...]
    how: SamplingParams
    handle: Callable[[], ModelHandle]
    store: Store
    on_piece: Callable[[str], None] | None


def memory_ask(
    memory: str | Artifact | None,
    questions: Sequence[str],
    how: SamplingParams | None = None,
    *,
    model: str | ModelSource | LoadedModel | ModelHandle | None = None,
    options: ModelOptions | None = None,
    store: Store | Path | str = "artifacts",
    reporter: Reporter | None = None,
    dry_run: bool = False,
    on_piece: Callable[[str], None] | None = None,
) -> Outcome:
    """Ask a memory, in one batch; questions that were asked before are answered from the store, without a model.

    Args:
        memory: which; None takes the latest.
        questions: each is asked behind the text, as if it were the only one.
        how: how answers are written.
        model: where the model is now; None takes it from where it was.
        options: how to load it; the dtype is the one that the text was read in.
        store: the store or its folder.
        reporter: receives notes.
        dry_run: say what would be done and do nothing.
        on_piece: with one question, called with each piece of its answer as it is written; not for a stored answer.

    Raises:
        InputError: there is no question, one is empty or longer than the local window; the memory was made with another
            model; or the model cannot be asked to think.
        MissingError: there is no such memory, or the model is gone.
        IntegrityError: a segment is damaged.
    """
    _require_words(questions)
    opened, how = open_store(store), how or SamplingParams()
    found = find_memory(opened, memory)
    handle = partial(model_of, found, model, options)
    if model is not None:  # another model is refused even if the answer is there
        handle = partial(ModelHandle.of, handle())
    asked = _Round(found, tuple(questions), how, handle, opened, on_piece if len(questions) == 1 else None)
    job = Job(
        stage=STAGE,
        model=found.model,
        label=found.label,
        params={"questions": list(questions), **asdict(how)},
        inputs={"memory": found},
        identity=found.document["model"],
        numerics=found.document["numerics"],
        compute=partial(_compute, asked=asked),
        estimate=partial(_estimate, asked),
    )
    return run_job(opened, job, reporter=reporter, dry_run=dry_run)


def check_questions(handle: ModelHandle, params: MemoryParams, questions: Sequence[str], how: SamplingParams) -> None:
    """Refuse what cannot be asked before a text is read or weights are loaded.

    Raises:
        InputError: there is no question, one is empty or longer than the local window; or the model cannot be asked to
            think.
    """
    _require_words(questions)
    # a token is a byte or more: what is short for certain need not be counted, since tokenizers take seconds to load
    long = [each for each in questions if len(each.encode()) > params.n_local - _TEMPLATE]
    if not (long or how.think):
        return
    from pasctl.memory.prompt import Prompt

    prompt = Prompt(handle.chat())
    for question in long or questions[:1]:
        params.require_question(len(prompt.question(question, how.think)))


def read_answers(answers: Artifact) -> list[dict[str, Any]]:
    """Questions and answers of an artifact.

    Returns:
        For each question `question`, `answer`, `tokens` (their number), `stop` ("end", or "length" if it was cut off),
        `first_step`, the step that the answer's first token follows, and `recalled`: step, layer, events, and their
        scores, a row a step and layer that recalled any.

    Raises:
        IntegrityError: a file is not what its digest says.
    """
    columns = answers.read_table("recall.parquet").to_pydict()
    found: list[dict[str, Any]] = [{**each, "recalled": []} for each in answers.read_json("answers.json")]
    place = None
    for question, step, layer, event, score in zip(*(columns[name] for name in _COLUMNS), strict=True):
        recalled = found[question]["recalled"]
        if place != (question, step, layer):
            place = (question, step, layer)
            recalled.append({"step": step, "layer": layer, "events": [], "scores": []})
        recalled[-1]["events"].append(event)
        recalled[-1]["scores"].append(score)
    return found


def _compute(work: Work, *, asked: _Round) -> Payload:
    handle = asked.handle()
    check_questions(handle, params_of(asked.memory), asked.questions, asked.how)
    memory = open_memory(asked.memory, handle, store=asked.store, reporter=work.reporter)
    answers = _write(memory, asked, work.reporter)
    table = _recall_table(answers)
    work.provenance["model"] = handle.provenance()
    work.provenance["counts"] = {
        "questions": len(answers),
        "tokens_made": sum(len(answer.tokens) for answer in answers),
        "recalled_events": table.num_rows,
    }
    return {
        "answers.json": [
            {
                "question": answer.question,
                "answer": answer.text,
                "tokens": len(answer.tokens),
                "stop": answer.stop,
                "first_step": answer.first_step,
            }
            for answer in answers
        ],
        "recall.parquet": table,
    }


def _write(memory: EpisodicMemory, asked: _Round, reporter: Reporter) -> list[Answer]:
    """The answers; an only one is told as it is written, of several how far they are."""
    on_piece = asked.on_piece
    if on_piece is not None:
        return memory.ask_all(asked.questions, asked.how, on_piece=lambda _, piece: on_piece(piece))
    most = len(asked.questions) * asked.how.max_new_tokens
    with reporter.progress("answer", most, "pieces at most") as advance:
        return memory.ask_all(asked.questions, asked.how, on_piece=lambda row, piece: advance(1))


def _recall_table(answers: Sequence[Answer]) -> pa.Table:
    import pyarrow as pa

    rows = [
        (number, each.step, each.layer, event, score)
        for number, answer in enumerate(answers)
        for each in answer.recalled
        for event, score in zip(each.events, each.scores, strict=True)
    ]
    columns = list(zip(*rows, strict=True)) or [()] * len(_COLUMNS)
    types = [getattr(pa, name)() for name in _COLUMNS.values()]
    arrays = [pa.array(values, kind) for values, kind in zip(columns, types, strict=True)]
    return pa.table(dict(zip(_COLUMNS, arrays, strict=True)))


def _require_words(questions: Sequence[str]) -> None:
    if not questions:
        raise InputError("there is no question to ask, expected at least one")
    for number, question in enumerate(questions):
        if not question.strip():
            raise InputError(f"question {number + 1} of {len(questions)} is empty, expected words")


def _estimate(asked: _Round) -> dict[str, Any]:
    """Tokens of the questions, from the tokenizer, and of their answers at most; no weights are loaded."""
    from pasctl.memory.prompt import Prompt

    prompt = Prompt(asked.handle().chat())
    tokens = sum(len(prompt.question(question, asked.how.think)) for question in asked.questions)
    most = len(asked.questions) * asked.how.max_new_tokens
    return {"questions": len(asked.questions), "question_tokens": tokens, "answer_tokens_at_most": most}
