"""A store with one artifact of every kind, made by the stages from a tiny model."""

from __future__ import annotations

from collections.abc import Mapping
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from pasctl.generation.sampling_params import SamplingParams
from pasctl.memory.params import MemoryParams
from pasctl.models.options import ModelOptions
from pasctl.stages.evaluate import evaluate
from pasctl.stages.extract import extract
from pasctl.stages.fit_directions import fit_directions
from pasctl.stages.job import Job, Stage
from pasctl.stages.memory import memory_run
from pasctl.stages.memory_ask import memory_ask
from pasctl.stages.memory_eval import TrialPlan, memory_eval
from pasctl.stages.runner import Artifact, Store, run_job
from pasctl.stages.text import Text
from pasctl.stages.train_probes import train_probes

KINDS = ("results", "strengths", "directions", "probes", "activations", "memory", "answers", "trials")
DIRECTIONS = "directions/tiny-a/builtin~top-k-6~select-probe"
REFS = tuple(DIRECTIONS if kind == "directions" else kind for kind in KINDS)
QUESTION = "Is <script>alert(1)</script> there?"
SENTENCES = "I am the life of the party. I worry about things. <script>alert(2)</script> I get stressed out easily. "
SMALL = MemoryParams(n_init=8, n_local=128, n_mem=64, chunk=32, min_block=4, max_block=32)


class Page(HTMLParser):
    """The tags of a page, and whether they are balanced; `text` is all that stands between them."""

    EMPTY = ("meta", "br", "hr", "img", "link", "input")

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.text = ""
        self.feed(page)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in self.EMPTY:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data

    def names(self) -> set[str]:
        return {tag for tag, _ in self.tags}


def made(outcome: Any) -> Artifact:
    assert outcome.artifact is not None
    return outcome.artifact  # type: ignore[no-any-return]


def put(
    store: Store, kind: str, payload: Mapping[str, Any], label: str = "made", stage: str = "by-hand", **provenance: Any
) -> Artifact:
    """An artifact with this payload, committed as any other."""
    job = Job(
        stage=Stage(stage, kind, 1),
        model="tiny",
        label=label,
        params={"label": label},
        inputs={},
        identity=None,
        numerics={},
        compute=lambda work: payload,
        provenance=provenance,
    )
    return made(run_job(store, job))


@pytest.fixture(scope="session")
def text_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("texts") / "party.txt"
    path.write_text(SENTENCES * 40, encoding="utf-8")
    return path


@pytest.fixture(scope="session")
def store(tiny_folder: Path, text_file: Path, tmp_path_factory: pytest.TempPathFactory) -> Store:
    """Nobody writes to it but a test whose commands are to find everything done."""
    opened, model = Store(tmp_path_factory.mktemp("report") / "artifacts"), str(tiny_folder)
    options = ModelOptions(dtype="float32")
    extract(model, store=opened, options=options)
    train_probes(personas="builtin:0-5", store=opened)
    fit_directions(store=opened, select="steering", alphas="1,2.5", positions="answer", options=options)
    fit_directions(store=opened, top_k=6)
    modes = "no-change,few-shot,pas,random-direction,shuffled-answers"
    tried = {"alpha": "0,2.5,auto,oracle", "alphas": "0,2.5", "folds": 2, "reading": "letters"}
    evaluate(modes=modes, **tried, positions="answer", option_orders=2, control_draws=2, audit=2, store=opened)
    memory_run(model, [Text.load(str(text_file))], params=SMALL, store=opened, options=options)
    memory_ask(None, ["What is it?", QUESTION], SamplingParams(max_new_tokens=3), store=opened)
    plan = TrialPlan(("passkey", "nll"), (256, 512), trials=2, compare=("window", "full"), max_new_tokens=2)
    memory_eval(model, plan, text=Text.load(str(text_file)), params=SMALL, store=opened, options=options)
    return opened
