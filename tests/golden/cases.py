"""The cases of the golden list: every kind of artifact, with several sets of options, on a tiny model."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pasctl
from pasctl.stages.runner import Artifact
from pasctl.stages.text import Text
from tests.tiny import save_tiny

FP32 = pasctl.ModelOptions(dtype="float32", device="cpu")
PEOPLE = "builtin:0-3"
SMALL = {"n_init": 8, "n_local": 96, "n_mem": 64, "chunk": 32, "min_block": 4, "max_block": 32}
STORY = Text("story.txt", "Nobody knew who had hidden the letter. The life of the party had a vivid imagination. " * 12)
MORE = Text("more.txt", "The letter lay under the stair, and nobody worried about things. " * 6)
QUESTIONS = ("Where is the letter?", "Who had hidden it?")


@dataclass(frozen=True)
class Case:
    """One artifact.

    Attributes:
        stage: name of the Python function.
        inputs: parameter -> the case whose artifact it is.
        options: the other parameters.
        arguments: those by position; "MODEL" is the tiny model's folder, "case:NAME" a case's artifact.
    """

    stage: str
    inputs: Mapping[str, str] = field(default_factory=dict)
    options: Mapping[str, Any] = field(default_factory=dict)
    arguments: tuple[Any, ...] = ()


def _extract(**options: Any) -> Case:
    return Case("extract", options={"options": FP32, "option_order": "forward", **options}, arguments=("MODEL",))


def _probes(activations: str, **options: Any) -> Case:
    return Case("train_probes", {"activations": activations}, {"personas": PEOPLE, **options})


def _fit(probes: str, **options: Any) -> Case:
    return Case("fit_directions", {"probes": probes}, {"center": "none", **options})


def _eval(directions: str, **options: Any) -> Case:
    return Case("evaluate", {"directions": directions}, {"alpha": 4.0, "reading": "letters", **options})


def _read(*texts: Text, inputs: Mapping[str, str] | None = None, **options: Any) -> Case:
    params = pasctl.MemoryParams(**{**SMALL, **options.pop("memory", {})})
    return Case("memory_run", inputs or {}, {"params": params, "options": FP32, **options}, ("MODEL", list(texts)))


def _ask(memory: str, *questions: str, **how: Any) -> Case:
    return Case("memory_ask", arguments=(f"case:{memory}", list(questions), pasctl.Decoding(max_new_tokens=8, **how)))


def _trials(plan: Mapping[str, Any], **options: Any) -> Case:
    params = pasctl.MemoryParams(**SMALL)
    made = pasctl.TrialPlan(**{"trials": 2, "max_new_tokens": 4, **plan})
    return Case("memory_eval", options={"params": params, "options": FP32, **options}, arguments=("MODEL", made))


CASES: dict[str, Case] = {
    "extract": _extract(),
    "extract-all": _extract(answers="all", option_order="both", items="all"),
    "extract-both": _extract(option_order="both", seed=1),
    "probes": _probes("extract"),
    "probes-poles": _probes("extract", personas="E+,N-"),
    "probes-ridge": _probes("extract-both", method="ridge", c=0.5, validation=0.4, weights=True, seed=3),
    "probes-weights": _probes("extract-all", weights=True),
    "directions": _fit("probes"),
    "directions-poles": _fit("probes-poles", top_k=4),
    "directions-probe-weight": _fit("probes-weights", method="probe-weight", center="population", top_k=5, seed=2),
    "directions-group": _fit("probes", granularity="kv-group", top_k=2),
    "directions-steering": _fit("probes", select="steering", alphas="2", positions="answer"),
    "directions-steering-group": _fit("probes", select="steering", alphas=(4.0,), granularity="kv-group"),
    "strengths": Case("choose_alpha", {"directions": "directions"}, {"alphas": "0,4"}),
    "strengths-steering": Case("choose_alpha", {"directions": "directions-steering"}, {"alphas": "0,2,8", "folds": 3}),
    "eval": _eval("directions"),
    "eval-every-default-but-alpha": _eval("directions-poles", alpha=(0.0, 4.0)),
    "eval-auto": _eval("directions", alpha="auto", alphas="0,4", modes="no-change,pas,random-direction", budget_kl=5.0),
    "eval-oracle": _eval("directions", alpha="oracle,0,4", modes="no-change,pas", neutral_text="none"),
    "eval-answer": _eval("directions-steering", alpha="2", modes="pas,shuffled-answers", control_draws=2, audit=4),
    "eval-orders": _eval("directions-group", modes="no-change,few-shot", option_orders=3, seed=5, neutral_text="none"),
    "eval-shard": _eval("directions", modes="no-change,pas", shard="2/3", neutral_text="none"),
    "eval-statements": _eval(
        "directions", modes="no-change,personality-prompt,pas,random-direction", reading="statements,letters", seed=3
    ),
    "memory": _read(STORY),
    "memory-paper": _read(STORY, memory={"positions": "paper", "kv_dtype": "int8", "gamma": 0.5}),
    "memory-refined": _read(STORY, memory={"refine": "modularity", "refine_layers": (0, 2), "contiguity": 0.0}),
    "memory-fixed": _read(STORY, MORE, memory={"segmenter": "fixed"}, label="two"),
    "memory-random": _read(STORY, memory={"segmenter": "random", "seed": 7, "repr_topk": 2}),
    "memory-steered": _read(STORY, steering=("directions", "s02", 2.0)),
    "memory-extended": Case("memory_run", {"extend": "memory"}, {"options": FP32}, ("MODEL", [MORE])),
    "answers": _ask("memory", QUESTIONS[0]),
    "answers-two": _ask("memory-extended", *QUESTIONS, retrieve_every=3),
    "answers-sampled": _ask("memory-steered", *QUESTIONS, temperature=0.8, top_p=0.9, seed=4),
    "trials": _trials({"tasks": ("passkey", "needle"), "lengths": (640,), "compare": ("window", "full")}),
    "trials-nll": _trials({"tasks": ("nll",), "lengths": (128,)}, text=STORY),
}


def make(name: str, model: Path, store: Path, made: Mapping[str, Artifact]) -> Artifact:
    """The artifact of a case."""
    case = CASES[name]
    arguments = [str(model) if each == "MODEL" else _resolved(each, made) for each in case.arguments]
    options = {each: made[source] for each, source in case.inputs.items()} | dict(case.options)
    if "steering" in options:
        directions, persona, alpha = options["steering"]
        options["steering"] = pasctl.Steering(alpha, made[directions], persona)
    stage: Callable[..., Any] = getattr(pasctl, case.stage)
    artifact = stage(*arguments, **options, store=store).artifact
    assert artifact is not None
    return artifact  # type: ignore[no-any-return]


def make_all(folder: Path, names: tuple[str, ...] = tuple(CASES)) -> dict[str, Artifact]:
    """The artifacts of all cases, in one store."""
    model = save_tiny(folder / "tiny", seed=0)
    made: dict[str, Artifact] = {}
    for name in names:
        made[name] = make(name, model, folder / "store", made)
    return made


def _resolved(value: Any, made: Mapping[str, Artifact]) -> Any:
    if isinstance(value, str) and value.startswith("case:"):
        return made[value.removeprefix("case:")]
    return value
