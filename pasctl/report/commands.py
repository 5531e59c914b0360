"""The command line that makes an artifact again, where its manifest tells all of it."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

PLACE = "PATH/TO"
"""Stands in a command for a folder of the machine that it ran on, which a page does not tell."""
BUILTIN = "builtin"
"""The neutral text that comes with pasctl."""
_KINDS = ("hub", "folder", "gguf")  # models that a command line can name
_INVENTORIES = ("builtin", "papi")  # specs that are no paths


@dataclass(frozen=True)
class Made:
    """What a manifest tells about the making of an artifact.

    Attributes:
        stage: the stage.
        label: last part of the name.
        params: of the key document, and numerics.
        inputs: role -> name of the artifact.
        model_kind: hub, folder, gguf or memory; "" if it is not known.
        model: words that name it, a local one as PATH/TO/name.
        revision: of a hub model.
        inventory: spec, if one was kept.
        texts: names of the files that were read.
        neutral_text: "builtin", or what a user called the neutral text that side effects were measured on.
    """

    stage: str
    label: str
    params: Mapping[str, Any]
    numerics: Mapping[str, Any]
    inputs: Mapping[str, str]
    model_kind: str
    model: str
    revision: str | None
    inventory: str | None
    texts: tuple[str, ...]
    neutral_text: str | None = None

    def model_words(self) -> list[str]:
        """Options that name the model and how it is loaded."""
        revision = ["--revision", self.revision] if self.model_kind == "hub" and self.revision else []
        return ["--model", self.model, *revision, "--dtype", self.numerics["dtype"]]


def reproduce(made: Made) -> str:
    """The command, or "" where the manifest does not tell everything, or tells more than the command here knows of."""
    if made.model_kind not in _KINDS:
        return ""
    for recipe in _RECIPES.get(made.stage, ()):
        if recipe.fits(made) and (arguments := recipe.write(made)) is not None:
            return shlex.join(["pasctl", made.stage, *map(str, arguments)])
    return ""


@dataclass(frozen=True)
class _Recipe:
    """Names that a key document must have, exactly, and what writes the arguments from them."""

    params: frozenset[str]
    numerics: frozenset[str]
    inputs: frozenset[str]
    write: Callable[[Made], list[Any] | None]

    def fits(self, made: Made) -> bool:
        """Whether the names are those."""
        names = (frozenset(made.params), frozenset(made.numerics), frozenset(made.inputs))
        return names == (self.params, self.numerics, self.inputs)


def _extract(made: Made) -> list[Any] | None:
    if made.inventory not in _INVENTORIES:
        return None
    return [
        *made.model_words(),
        *("--attn", made.numerics["attn"], "--inventory", made.inventory),
        *("--answers", made.params["answers"], "--option-order", made.params["option_order"]),
        *("--items", made.params["items"], "--seed", made.numerics["seed"]),
    ]


def _fit_directions(made: Made) -> list[Any]:
    params = made.params
    return [
        *("--probes", made.inputs["probes"], "--activations", made.inputs["activations"]),
        *("--top-k", params["top_k"], "--method", params["method"], "--center", params["center"]),
        *(("--granularity", params["granularity"]) if "granularity" in params else ()),
        *("--seed", made.numerics["seed"]),
    ]


def _fit_by_steering(made: Made) -> list[Any] | None:
    """Here top-k is not given: all heads of the best layers are taken."""
    params, numerics = made.params, made.numerics
    return [
        *("--probes", made.inputs["probes"], "--activations", made.inputs["activations"]),
        *("--method", params["method"], "--center", params["center"], "--select", params["select"]),
        *(("--granularity", params["granularity"]) if "granularity" in params else ()),
        *("--alphas", _numbers(params["alphas"]), "--positions", params["positions"]),
        *("--dtype", numerics["dtype"], "--attn", numerics["attn"], "--seed", numerics["seed"]),
    ]


def _choose_alpha(made: Made) -> list[Any] | None:
    params, numerics = made.params, made.numerics
    if made.neutral_text not in (None, BUILTIN):
        return None
    return [
        *("--directions", made.inputs["directions"], "--alphas", _numbers(params["alphas"])),
        *("--folds", params["folds"], "--positions", params["positions"]),
        *("--dtype", numerics["dtype"], "--attn", numerics["attn"], "--seed", numerics["seed"]),
    ]


def _eval(made: Made) -> list[Any] | None:
    params, numerics = made.params, made.numerics
    choice, effects = params["choice"] or {}, params["side_effects"]
    if params["prose"] is not None or (effects is not None and made.neutral_text != BUILTIN):
        return None
    words = ["--directions", made.inputs["directions"], "--alpha", _numbers(params["alphas"])]
    words += ["--strengths", made.inputs["strengths"]] if "strengths" in made.inputs else []
    words += ["--alpha-scope", choice["scope"]] if choice else []
    words += ["--budget-kl", choice["budget_kl"]] if choice.get("budget_kl") is not None else []
    return [
        *words,
        *("--mode", ",".join(params["conditions"]), "--positions", params["positions"]),
        *("--option-orders", params["option_orders"], "--control-draws", params["control_draws"]),
        *("--audit", params["audit"]),
        *(("--shard", "/".join(map(str, params["shard"]))) if "shard" in params else ()),
        *(() if effects is not None else ("--neutral-text", "none")),
        *("--dtype", numerics["dtype"], "--attn", numerics["attn"], "--seed", numerics["seed"]),
    ]


def _memory_run(made: Made) -> list[Any] | None:
    if made.params["steering"] is not None or not made.texts:
        return None
    texts = [f"{PLACE}/{name}" for name in made.texts]
    return [*texts, *made.model_words(), *_memory_words(made.params["memory"]), "--label", made.label]


def _memory_ask(made: Made) -> list[Any]:
    params = made.params
    options = ["--max-new-tokens", params["max_new_tokens"], "--temperature", params["temperature"]]
    options += ["--top-p", params["top_p"], "--retrieve-every", params["retrieve_every"], "--seed", params["seed"]]
    options += ["--think"] if params["think"] else []
    return [*options, "--", made.inputs["memory"], *params["questions"]]


def _memory_eval(made: Made) -> list[Any] | None:
    params = made.params
    if params["seed"] != params["memory"]["seed"] or (params["text"] is not None) != bool(made.texts):
        return None
    return [
        *made.model_words(),
        *("--tasks", ",".join(params["tasks"]), "--lengths", ",".join(map(str, params["lengths"]))),
        *("--trials", params["trials"]),
        *(("--compare", ",".join(params["compare"])) if params["compare"] else ()),
        *(("--text", f"{PLACE}/{made.texts[0]}") if made.texts else ()),
        *_memory_words(params["memory"]),
        *("--max-new-tokens", params["max_new_tokens"]),
    ]


def _numbers(values: Sequence[float | str]) -> str:
    """Strengths, and words such as auto that stand for some."""
    return ",".join(value if isinstance(value, str) else repr(value) for value in values)


def _memory_words(params: Mapping[str, Any]) -> list[Any]:
    """Options of a memory; its seed is --seed."""
    words: list[Any] = []
    for name, value in params.items():
        if name == "refine_layers" and value is not None:
            words += ["--refine-layers", ",".join(map(str, value))]
        elif value is not None:
            words += [f"--{name.replace('_', '-')}", value]
    return words


_RUN = frozenset(("dtype", "attn", "seed"))
_SEED = frozenset(("seed",))
_FITTED = frozenset(("top_k", "method", "center"))
_BOTH = frozenset(("activations", "probes"))
_EVALUATED = frozenset(("alphas", "conditions", "positions", "option_orders", "control_draws", "choice"))
_EVALUATED |= {"side_effects", "audit", "prose", "wording"}
_RECIPES: dict[str, tuple[_Recipe, ...]] = {
    "extract": (
        _Recipe(frozenset(("answers", "inventory", "items", "option_order", "wording")), _RUN, frozenset(), _extract),
    ),
    "fit-directions": (
        _Recipe(_FITTED, _SEED, _BOTH, _fit_directions),
        _Recipe(_FITTED | {"granularity"}, _SEED, _BOTH, _fit_directions),
        _Recipe(_FITTED | {"select", "alphas", "positions"}, _RUN, _BOTH, _fit_by_steering),
        _Recipe(_FITTED | {"select", "alphas", "positions", "granularity"}, _RUN, _BOTH, _fit_by_steering),
    ),
    "choose-alpha": (
        _Recipe(
            frozenset(("alphas", "folds", "positions", "text", "wording")), _RUN, _BOTH | {"directions"}, _choose_alpha
        ),
    ),
    "eval": tuple(
        _Recipe(_EVALUATED | shard, _RUN, frozenset(("directions",)) | strengths, _eval)
        for shard in (frozenset(), frozenset(("shard",)))
        for strengths in (frozenset(), frozenset(("strengths",)))
    ),
    "memory-run": (_Recipe(frozenset(("memory", "texts", "steering")), _RUN, frozenset(), _memory_run),),
    "memory-ask": (
        _Recipe(
            frozenset(("questions", "max_new_tokens", "temperature", "top_p", "seed", "retrieve_every", "think")),
            _RUN,
            frozenset(("memory",)),
            _memory_ask,
        ),
    ),
    "memory-eval": (
        _Recipe(
            frozenset(("tasks", "lengths", "trials", "compare", "seed", "max_new_tokens", "memory", "text")),
            _RUN,
            frozenset(),
            _memory_eval,
        ),
    ),
}
