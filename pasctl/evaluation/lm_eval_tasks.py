"""lm-eval's tasks: found by name or file, with what they ask, and how answers become figures.

Needs lm-eval (`pasctl[lm-eval]`), whose code of tasks and figures is used as it is.
"""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, redirect_stderr
from dataclasses import dataclass
from difflib import get_close_matches
from functools import partial
from importlib.metadata import version
from io import StringIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lm_eval.api.metrics import mean
from lm_eval.api.registry import AGGREGATION_REGISTRY
from lm_eval.tasks import TaskManager
from lm_eval.tasks._yaml_loader import load_yaml

from pasctl.errors import InputError, MissingError, PasctlError
from pasctl.models.transformers_compat import first_line

if TYPE_CHECKING:
    from pasctl.evaluation.paired import Figure

HARNESS = f"lm-eval {version('lm_eval')}"
ROLLING = "loglikelihood_rolling"
Template = Callable[..., str]
"""Renders messages with a chat template, as lm-eval calls it."""
_PLACES = ("dataset_path", "dataset_name", "dataset_kwargs", "metadata", "task_alias", "tag")
"""What a task's config says of where its documents are, and of its place in lists: the documents count themselves."""


@dataclass(frozen=True)
class Asking:
    """How tasks are put to a model.

    Attributes:
        limit: documents per task; None is all.
        num_fewshot: solved examples before each; None is what the task says.
        seed: of the examples, and of texts that are sampled.
        template: the model's chat template; None asks in plain text.
    """

    limit: int | None = None
    num_fewshot: int | None = None
    seed: int = 0
    template: Template | None = None


@dataclass(frozen=True, eq=False)
class HarnessTask:
    """One of lm-eval's tasks, with its documents.

    Attributes:
        name: of the task.
        task: lm-eval's object.
        how: it is put to the model.
        digest: of all that it asks in plain text, and of how answers are scored.
        prompted: whether a system text can stand before what it asks.
    """

    name: str
    task: Any
    how: Asking
    digest: str
    prompted: bool

    def requests(self, system: str | None) -> list[Any]:
        """lm-eval's requests of all documents, in their order, with a system text before each or none."""
        with quiet(), own_errors(f"task {self.name}"):
            return _requests(self.task, self.how, system)

    def figure(self, metric: str) -> tuple[Figure, str]:
        """How values of documents become a figure, and lm-eval's name for that; "" for a task's own."""
        function = self.task.aggregation().get(metric, mean)
        names = [name for name, known in AGGREGATION_REGISTRY.items() if known is function]
        return function, names[0] if names else ""

    def higher_is_better(self, metric: str) -> bool | None:
        """Whether more of it is better; None where the task does not say."""
        known = self.task.higher_is_better().get(metric)
        return None if known is None else bool(known)


@dataclass(frozen=True)
class GroupFigure:
    """A figure of a group of tasks: the mean of theirs.

    Attributes:
        group: its name.
        metric: of its tasks.
        filters: names of filters; None is all that its tasks have.
        members: names of its tasks.
        weighted: by the tasks' documents.
    """

    group: str
    metric: str
    filters: tuple[str, ...] | None
    members: tuple[str, ...]
    weighted: bool


def load_tasks(names: Sequence[str], how: Asking) -> tuple[list[HarnessTask], list[GroupFigure]]:
    """Tasks by name or file, groups by their members, each once, in the order given; and the figures of the groups.

    Raises:
        MissingError: there is no such file, or the documents cannot be had.
        InputError: there is no such name, none at all, two tasks of one name, or a task that cannot be asked.
    """
    if not names:
        raise InputError("no task is named", hint="--tasks NAME or --tasks FILE.yaml")
    specs = {name: _group_in(name) if _is_file(name) else name for name in names}
    folders = sorted({str(Path(name).parent) for name, spec in specs.items() if spec and _is_file(name)})
    with quiet():
        # looking through lm-eval's own tasks takes seconds, and files of single tasks do without
        manager = TaskManager(include_path=folders, include_defaults=any(specs.values()))
    for name in specs:
        if not _is_file(name) and name not in manager.task_index:
            near = get_close_matches(name, manager.all_tasks, 3)
            raise InputError(
                f"task {name!r} is none of lm-eval's {len(manager.all_tasks):,} tasks and groups",
                hint=f"did you mean {', '.join(near)}?" if near else "`lm-eval ls tasks` lists them",
            )
    tasks: list[tuple[str, Any]] = []
    groups: dict[str, Any] = {}
    for name, spec in specs.items():
        with quiet(), own_errors(f"task {name}"):
            loaded = manager.load([spec or name])
            tasks += loaded["tasks"].items()
            groups |= loaded["groups"]
    prepared: dict[str, HarnessTask] = {}
    for name, task in tasks:
        found = _prepared(name, task, how)
        if prepared.setdefault(name, found).digest != found.digest:
            raise InputError(f"two different tasks are called {name!r}", hint="give one of them another name")
    return list(prepared.values()), [figure for group in groups.values() for figure in _group_figures(group)]


def _is_file(name: str) -> bool:
    return name.endswith((".yaml", ".yml"))


def _group_in(file: str) -> str:
    """The name of the group that a file describes, by which lm-eval finds it among those of its folder; "" for a task.

    Raises:
        MissingError: the file is not there.
    """
    if not Path(file).is_file():
        raise MissingError(f"task file {file} is not there", hint="a task is a name of lm-eval's, or a YAML file")
    with own_errors(f"task {file}"):
        return str(load_yaml(file, resolve_func=False).get("group") or "")


def _group_figures(group: Any) -> Iterator[GroupFigure]:
    members = tuple(dict.fromkeys(task.task_name for task in group.get_all_tasks()))
    for each in group.aggregate_metric_list or ():
        if each.aggregation == "mean":  # a function of the group's own is left to lm-eval
            filters = None if each.filter_list is None else tuple(each.filter_list)
            yield GroupFigure(group.name, each.metric, filters, members, bool(each.weight_by_size))


def _prepared(name: str, task: Any, how: Asking) -> HarnessTask:
    if getattr(task, "MULTIMODAL", False) or getattr(task, "UNSAFE_CODE", False):
        why = "has pictures or sounds" if getattr(task, "MULTIMODAL", False) else "runs code that a model writes"
        raise InputError(f"task {name} {why}, expected one of texts alone", hint="leave it out of --tasks")
    # as lm-eval does: a task that sets none is asked as it says
    if how.num_fewshot is not None and task.get_config("num_fewshot") != 0:
        task.set_config(key="num_fewshot", value=how.num_fewshot)
    with quiet(), own_errors(f"task {name}"):
        config = {key: value for key, value in task.dump_config().items() if key not in _PLACES}
        requests = _requests(task, Asking(how.limit, how.num_fewshot, how.seed), None)
        asked = [[each.request_type, each.args, each.idx, each.doc_id, each.repeats, each.doc] for each in requests]
        told = json.dumps([HARNESS, name, task.VERSION, config, asked], sort_keys=True, default=str)
    digest = hashlib.sha256(told.encode()).hexdigest()
    return HarnessTask(name, task, how, digest, all(each.request_type != ROLLING for each in requests))


def _requests(task: Any, how: Asking, system: str | None) -> list[Any]:
    task.set_fewshot_seed(how.seed)
    task.build_all_requests(
        limit=how.limit,
        system_instruction=system,
        apply_chat_template=how.template is not None,
        fewshot_as_multiturn=True,
        chat_template=how.template,
    )
    return list(task.instances)


def tokens_of(requests: Sequence[Any], encode: Callable[[str], list[int]]) -> int:
    """Tokens of what requests put to a model: contexts with their continuations; of texts to be written the prompt."""
    texts = ("".join(each.args[:2]) if each.request_type == "loglikelihood" else str(each.args[0]) for each in requests)
    return sum(len(encode(text)) for text in texts)


@contextmanager
def quiet() -> Iterator[None]:
    """Keep lm-eval's log and bars off stderr."""
    logger = logging.getLogger("lm_eval")
    level = logger.level
    logger.setLevel(logging.CRITICAL)
    try:
        with redirect_stderr(StringIO()):
            yield
    finally:
        logger.setLevel(level)


@contextmanager
def own_errors(what: str) -> Iterator[None]:
    """Tasks are code and data of others, and fail in any way."""
    try:
        yield
    except PasctlError:
        raise
    except (OSError, ConnectionError) as error:
        raise MissingError(f"{what}: its documents cannot be had: {first_line(error)}") from error
    except Exception as error:
        raise InputError(f"{what} cannot be run: {type(error).__name__}: {first_line(error)}") from error


def template_of(tokenizer: Any) -> Template:
    """A tokenizer's chat template, as lm-eval renders it."""
    return partial(_render, tokenizer)


def _render(tokenizer: Any, messages: list[dict[str, str]], add_generation_prompt: bool = True) -> str:
    return str(
        tokenizer.apply_chat_template(
            messages,
            tokenize=False,
            add_generation_prompt=add_generation_prompt,
            continue_final_message=not add_generation_prompt,
        )
    )
