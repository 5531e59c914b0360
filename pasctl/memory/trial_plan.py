"""Which trials of memory tasks are run; importable without torch."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, Literal, get_args

from pasctl.errors import InputError
from pasctl.generation.sampling_params import SamplingParams
from pasctl.memory.press_kinds import PRESSES
from pasctl.memory.results import SYSTEMS
from pasctl.memory.tasks import RULER, TASKS
from pasctl.option import check, option, same

Format = Literal["longbench", "infinitebench", "ruler", "babilong", "longmemeval", "mrcr", "beam"]
NLL = "nll"
COMPARED = SYSTEMS[1:]
DEFAULT_TASKS = ("passkey", "needle", "keyvalue", "tracking")
_OF_ITEMS: dict[str, Any] = {"record": "provenance"}  # the digest of the items, which --data has, covers them


@dataclass(frozen=True)
class TrialSpec:
    """One trial of one system, or one text whose surprise one system measures."""

    system: str
    task: str
    length: int
    depth: float
    seed: int


def parse_names(text: str) -> tuple[str, ...]:
    """Names from "passkey,needle", each once."""
    return tuple(dict.fromkeys(name.strip() for name in text.split(",") if name.strip()))


def parse_tokens(text: str) -> tuple[int, ...]:
    """Numbers of tokens from "512,4k,1m"; k is 1024 and m is 1024 * 1024.

    Raises:
        InputError: a part is no such number.
    """
    numbers = []
    for part in text.split(","):
        match = re.fullmatch(r"(\d{1,12})([km]?)", part.strip().lower())
        if not match or int(match[1]) == 0:
            raise InputError(f"lengths {text!r}: {part.strip()!r} is no number of tokens, expected for example 4k,16k")
        numbers.append(int(match[1]) * {"": 1, "k": 1024, "m": 1024 * 1024}[match[2]])
    return tuple(numbers)


@dataclass(frozen=True)
class ItemSpec:
    """One item of a benchmark's files on one system.

    Attributes:
        number: of the item in the files.
        digest: of all that the item says.
    """

    system: str
    task: str
    number: int
    digest: str


@dataclass(frozen=True)
class DataPlan:
    """Which items of benchmarks' files are run.

    Attributes:
        data: the files, JSON lines or JSON arrays.
        format: of all of them.
        limit: items per task; None is all.
        task_file: changes how tasks are asked.
        data_tokens: of an answer; None is what the task's shape says.
    """

    data: tuple[str, ...] = option(
        (),
        help="A benchmark's file: JSON lines or a JSON array; may be given several times.",
        metavar="FILE",
        record="provenance",
        digest=("items",),
    )
    format: Format | None = option(
        None, help="The benchmark that --data is of.", name="data_format", flag="--format", **_OF_ITEMS
    )
    limit: int | None = option(None, help="Items of --data per task.", minimum=1, metavar="N", **_OF_ITEMS)
    task_file: str | None = option(
        None,
        help="JSON, task -> instruction, question, answer_prefix, metric, max_new_tokens, think.",
        metavar="FILE",
        **_OF_ITEMS,
    )
    data_tokens: int | None = option(
        None, help="Most tokens per answer to an item. Default: the task's own.", minimum=1, metavar="N", **_OF_ITEMS
    )

    def __post_init__(self) -> None:
        check(self)
        if bool(self.data) != (self.format is not None):
            given, missing = ("--data", "--format") if self.data else ("--format", "--data")
            raise InputError(f"{given} needs {missing}", hint=f"formats: {', '.join(get_args(Format))}")
        if not self.data and (self.limit or self.task_file or self.data_tokens):
            raise InputError("--limit, --task-file and --data-tokens are for --data, which is not given")


@dataclass(frozen=True)
class TrialPlan:
    """Which trials are run.

    Attributes:
        tasks: names in `pasctl.memory.tasks.TASKS`, or "nll": mean surprise of a text, by position.
        lengths: tokens of the texts.
        trials: per task and length, their evidence spread over the text from its start to its end.
        compare: systems beside the memory (see `pasctl.memory.results.Result`).
        seed: trial n of a task and length has the seed `seed` + n; on the command line the command's --seed.
        max_new_tokens: of an answer.
    """

    tasks: tuple[str, ...] = option(
        DEFAULT_TASKS,
        help="Names of tasks (docs/benchmarks.md); ruler is 13 of them, nll is the surprise of --text.",
        metavar="NAME[,NAME...]",
        parse=parse_names,
    )
    lengths: tuple[int, ...] = option(
        (4096, 16384), help="Tokens of the texts, such as 4k,16k,64k.", metavar="N[,N...]", parse=parse_tokens
    )
    trials: int = option(
        10, help="Trials per task and length, their evidence spread over the text.", minimum=1, metavar="N"
    )
    compare: tuple[str, ...] = option(
        (),
        help="Also run: full (attention), window (no memory), bm25, fixed, random (events), random-retrieval, presses "
        "of the package kvpress such as press-snapkv (docs/benchmarks.md).",
        metavar="NAME[,NAME...]",
        parse=parse_names,
    )
    seed: int = 0
    max_new_tokens: int = same(SamplingParams, "max_new_tokens", 32)

    def __post_init__(self) -> None:
        check(self)
        listed = [name for task in self.tasks for name in (RULER if task == "ruler" else (task,))]
        object.__setattr__(self, "tasks", tuple(dict.fromkeys(listed)))
        for task in self.tasks:
            if task != NLL:
                TASKS.check(task)
        for system in self.compare:
            if system not in COMPARED:
                raise InputError(f"system {system!r} is unknown, expected one of {', '.join(COMPARED)}")
            if system in PRESSES and NLL in self.tasks:
                raise InputError(
                    f"the task {NLL!r} measures a text as it is read, and {system} drops keys only after that",
                    hint=f"leave {system} or {NLL} out",
                )
        if not self.tasks or not self.lengths:
            raise InputError("there is nothing to run, expected at least one task and one length")
        if min(self.lengths) < 1:
            raise InputError(f"length {min(self.lengths)} is too short, expected at least 1 token")

    def units(self) -> list[TrialSpec]:
        """All trials, short texts first."""
        systems = ("memory", *self.compare)
        units = []
        for length in sorted(self.lengths):
            for task in self.tasks:
                depths = [0.0] if task == NLL else spread_depths(self.trials)
                seeds = [0] if task == NLL else [self.seed + number for number in range(self.trials)]
                for depth, seed in zip(depths, seeds, strict=True):
                    units += [TrialSpec(system, task, length, depth, seed) for system in systems]
        return units


def spread_depths(count: int) -> list[float]:
    """`count` depths spread evenly over a text, none at its very ends."""
    return [round(0.02 + 0.96 * number / (count - 1), 4) for number in range(count)] if count > 1 else [0.5]
