"""The command line that makes an artifact again, from its manifest and the declaration of its stage."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import PurePath
from typing import Any

from pasctl.commands import declarations
from pasctl.declaration import StageDeclaration
from pasctl.models.layout import BUNDLED
from pasctl.option import Parameter, parameters
from pasctl.printable import shell_words
from pasctl.stages.runner import Artifact

PLACE = "PATH/TO"
"""Stands in a command for a folder of the machine that it ran on, which a page does not name."""
_KINDS = ("hub", "folder", "gguf")  # models that a command line can name
_ALWAYS = frozenset(("wording",))  # of a key document, and no option: the wording of the questions
_NUMERICS = frozenset(("dtype", "attn", "seed", "answer_form", "quantize"))


@dataclass(frozen=True)
class Made:
    """What a manifest says about the making of an artifact.

    Attributes:
        stage: the stage.
        params: of the key document, and numerics.
        inputs: role -> name of the artifact.
        model_kind: hub, folder, gguf or memory; "" if it is not known.
        facts: options that the key has only by digest, or not at all: name -> value, local paths as PATH/TO/name.
    """

    stage: str
    params: Mapping[str, Any]
    numerics: Mapping[str, Any]
    inputs: Mapping[str, str]
    model_kind: str
    facts: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def of(cls, artifact: Artifact) -> Made:
        """Read a manifest."""
        stored, document = artifact.provenance, artifact.document
        numerics = dict(document.get("numerics") or {})
        model, kind = stored.get("model") or {}, (document.get("model") or {}).get("kind", "")
        spec = str(model.get("spec", ""))
        if "dtype" in numerics and "quantize" in model:  # also "none", against the weights that an input was made with
            numerics["quantize"] = model["quantize"]
        texts = stored.get("texts") or [stored.get("text")]
        return cls(
            stage=artifact.stage,
            params=artifact.params,
            numerics=numerics,
            inputs={role: source.name for role, source in artifact.inputs.items()},
            model_kind=kind,
            facts={
                **{name: _public(value) for name, value in stored.items() if isinstance(value, str)},
                "model": spec if kind == "hub" or spec in BUNDLED else f"{PLACE}/{PurePath(spec).name}",
                "glob": stored.get("glob"),
                "revision": model.get("revision") if kind == "hub" else None,
                "texts": tuple(f"{PLACE}/{PurePath(text).name}" for text in texts if text),
                "tasks": tuple(_public(task) for task in stored.get("tasks") or ()),
                "text": next((f"{PLACE}/{PurePath(text).name}" for text in texts if text), None),
                "label": artifact.label,
            },
        )


def reproduce(made: Made) -> str:
    """The command, or "" where the manifest does not say everything, or says more than today's command knows of."""
    stage = next((each for each in declarations() if each.command == made.stage), None)
    if stage is None or not issubclass(stage, StageDeclaration) or made.model_kind not in _KINDS:
        return ""
    options = [each for each in parameters(stage) if not (each.option.python_only or each.option.cli_only)]
    covered = {root for each in options for root in (each.recorded.split(".")[0], *each.option.digest)}
    if not set(made.params) <= covered | _ALWAYS | stage.implied or not set(made.numerics) <= _NUMERICS:
        return ""
    if not set(made.inputs) <= {each.name for each in options if each.option.record == "inputs"} | stage.derived:
        return ""
    if any(each.option.record == "numerics" and each.name == "seed" for each in options) and _several_seeds(made):
        return ""
    words: list[str] = []
    arguments: list[str] = []
    for each in options:
        other, excluded = stage.against.get(each.name, ("", None))
        left_out = each.name in stage.unrecorded or (bool(other) and made.params.get(other) == excluded)
        value = None if left_out else _recorded(each, made)
        if value is _UNKNOWN and each.name in stage.sometimes:
            continue
        if value is _UNKNOWN:
            return ""
        (arguments if each.option.argument else words).extend(_words(each, value))
    return shell_words(["pasctl", made.stage, *words, *(["--", *arguments] if arguments else [])])


_UNKNOWN = object()


def _several_seeds(made: Made) -> bool:
    """Whether groups of options, in Python, had seeds of their own, which a command has one of."""
    mappings = (made.params, *(value for value in made.params.values() if isinstance(value, Mapping)))
    return any(each.get("seed", made.numerics.get("seed")) != made.numerics.get("seed") for each in mappings)


def _recorded(option: Parameter, made: Made) -> Any:
    """What an option was set to, None for its default; or that the manifest does not say it."""
    record = option.option.record
    digest = next((name for name in option.option.digest if name in made.params), "")
    if record == "params":
        return _at(option, made.params)
    if record == "numerics":
        value = made.numerics.get(option.name)
        return None if value == "memory" else value
    if record == "inputs":
        return made.inputs.get(option.name)
    if record == "nowhere":
        return None
    if digest and made.params[digest] is None:
        return option.option.off or None
    value = made.facts.get(option.name)
    return _UNKNOWN if digest and not value else value


def _at(option: Parameter, params: Mapping[str, Any]) -> Any:
    """The value in a key document; a part of it that is None or absent was not asked for."""
    value: Any = params
    for name in option.recorded.split("."):
        if value is None:
            return None
        if name not in value:
            return None if option.option.when_set else _UNKNOWN
        value = value[name]
    return option.option.off or None if value is None else value


def _words(option: Parameter, value: Any) -> list[str]:
    if value is None or value is False or (isinstance(value, list | tuple) and not value):
        return []
    if option.option.argument:
        return [str(each) for each in value] if isinstance(value, list | tuple) else [str(value)]
    if value is True:
        return [option.flag]
    if option.repeats:
        return [word for each in value for word in (option.flag, str(each))]
    if isinstance(value, list | tuple):
        return [option.flag, option.option.joint.join(str(each) for each in value)]
    return [option.flag, str(value)]


def _public(spec: str) -> str:
    """A spec such as papi:FOLDER:0-20 or FILE.parquet:0-20, its folders by their last name only."""
    parts = (f"{PLACE}/{PurePath(part).name}" if "/" in part else part for part in spec.split(":"))
    return ":".join(parts)
