"""The memory-ask stage: a memory that was made earlier is asked; answers are kept, with what was recalled for them."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any

from pasctl.commands.memory_ask import MemoryAsk
from pasctl.errors import InputError
from pasctl.generation.sampling_params import SamplingParams
from pasctl.memory.prompt import require_words
from pasctl.memory.text_bounds import FACTS
from pasctl.stages.job import Job, Payload, Stage, StageContext
from pasctl.stages.memory import find_memory, model_of, open_memory
from pasctl.stages.memory_checks import check_questions, plain_attention
from pasctl.stages.model import ModelHandle
from pasctl.stages.progress import Reporter
from pasctl.stages.run import Run, function_of
from pasctl.stages.runner import Artifact, InputRef
from pasctl.stages.several_memories import open_several, refuse_memory_as_question, require_like

if TYPE_CHECKING:
    import pyarrow as pa

    from pasctl.memory.asking import Answer
    from pasctl.memory.episodic import EpisodicMemory
    from pasctl.memory.params import Representatives

SOURCES = "sources.json"
"""Of answers, the file that says where they come from; answers from before that have none."""
# of recall.parquet, which has a row an event recalled
_COLUMNS = {"question": "int32", "step": "int32", "layer": "int32", "event": "int32", "score": "float32"}


@dataclass(frozen=True, eq=False)
class _Round:
    """Questions that are asked together.

    Attributes:
        handle: gives the model, which is not looked for before it is wanted.
        on_piece: called with each piece of an answer as it is written, where there is only one.
    """

    memories: tuple[Artifact, ...]
    questions: tuple[str, ...]
    how: SamplingParams
    recent: float
    representatives: Representatives
    handle: Callable[[], ModelHandle]
    on_piece: Callable[[str], None] | None


def plan(declared: MemoryAsk, run: Run) -> Job:
    """Ask a memory, in one batch; questions that were asked before are answered from the store, without a model.

    Raises:
        InputError: there is no question, or one is empty; the memory was made with another model; or the model cannot
            be asked to think.
        MissingError: there is no such memory, or the model is gone.
        IntegrityError: a segment is damaged.
    """
    require_words(declared.questions)
    plain_attention(declared.options)
    refuse_memory_as_question(run.store, declared.questions)
    memory, questions = find_memory(run.store, declared.memory), tuple(declared.questions)
    memories = (memory, *(find_memory(run.store, other) for other in declared.others))
    require_like(memories)
    if not 0 <= declared.recent < math.inf:
        raise InputError(f"recent is {declared.recent}, expected a number of at least 0")
    # when files were changed is no part of a memory's content
    times = [[fact["modified"] for fact in each.provenance.get(FACTS) or ()] for each in memories]
    how = replace(declared.how, seed=declared.how.seed or declared.seed)
    handle = partial(model_of, memory, declared.model, declared.options, run)
    if declared.model is not None:  # another model is refused even if the answer is there
        handle()
    asked = _Round(
        memories,
        questions,
        how,
        declared.recent,
        declared.representatives,
        handle,
        declared.on_piece if len(questions) == 1 else None,
    )
    return Job(
        stage=Stage.of(MemoryAsk),
        model=memory.model,
        label=memory.label,
        params=declared.key(questions=list(questions), **asdict(how)) | ({"times": times} if declared.recent else {}),
        inputs={role_of(number): each for number, each in enumerate(memories)},
        identity=memory.document["model"],
        numerics=memory.document["numerics"],
        compute=partial(_compute, asked=asked),
        estimate=partial(_estimate, asked),
    )


memory_ask = function_of(MemoryAsk)


def role_of(number: int) -> str:
    """What memory `number` of those that are asked together is to the answers."""
    return "memory" if number == 0 else f"memory-{number + 1}"


def asked_memories(answers: Artifact) -> list[InputRef]:
    """The memories that answers were made from."""
    return [source for role, source in answers.inputs.items() if role.partition("-")[0] == "memory"]


def read_answers(answers: Artifact) -> list[dict[str, Any]]:
    """Questions and answers of an artifact.

    Returns:
        For each question `question`, `answer`, `tokens` (their number), `stop` ("end", or "length" if it was cut off),
        `first_step`, the step that the answer's first token follows, and `recalled`: step, layer, events, and their
        scores, a row a step and layer that recalled any. Also `sources` and `sentences` as JSON (see
        `pasctl.memory.sources`); None for answers that were made before these were kept.

    Raises:
        IntegrityError: a file is not what its digest says.
    """
    columns = answers.read_table("recall.parquet").to_pydict()
    rows: list[dict[str, Any]] = [{**each, "recalled": []} for each in answers.read_json("answers.json")]
    located = answers.read_json(SOURCES) if SOURCES in answers.files() else [None] * len(rows)
    for row, sources in zip(rows, located, strict=True):
        row.update(sources or {"sources": None, "sentences": None})
    place = None
    for question, step, layer, event, score in zip(*(columns[name] for name in _COLUMNS), strict=True):
        recalled = rows[question]["recalled"]
        if place != (question, step, layer):
            place = (question, step, layer)
            recalled.append({"step": step, "layer": layer, "events": [], "scores": []})
        recalled[-1]["events"].append(event)
        recalled[-1]["scores"].append(score)
    return rows


def _compute(work: StageContext, *, asked: _Round) -> Payload:
    handle = asked.handle()
    check_questions(handle, asked.questions, asked.how)
    if len(asked.memories) == 1:
        kept = asked.representatives
        memory = open_memory(asked.memories[0], handle, representatives=kept, reporter=work.reporter)
    else:
        memory = open_several(asked.memories, handle, asked.representatives, work.reporter)
    if asked.recent:
        memory.prefer_recent(asked.recent)
    answers = _write(memory, asked, work.reporter)
    table = _recall_table(answers)
    work.provenance["model"] = handle.provenance()
    work.provenance["counts"] = {
        "questions": len(answers),
        "tokens_made": sum(len(answer.tokens) for answer in answers),
        "recalled_events": table.num_rows,
        "tokens_of_proof": memory.proof.tokens,
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
        SOURCES: [answer.located.to_json() for answer in answers],
    }


def _write(memory: EpisodicMemory, asked: _Round, reporter: Reporter) -> list[Answer]:
    """The answers; an only one goes out as it is written, of several their progress."""
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


def _estimate(asked: _Round) -> dict[str, Any]:
    """Tokens of the questions, from the tokenizer, and of their answers at most; no weights are loaded."""
    from pasctl.memory.prompt import Prompt

    prompt = Prompt(asked.handle().chat())
    tokens = sum(len(prompt.question(question, asked.how.think)) for question in asked.questions)
    most = len(asked.questions) * asked.how.max_new_tokens
    return {"questions": len(asked.questions), "question_tokens": tokens, "answer_tokens_at_most": most}
