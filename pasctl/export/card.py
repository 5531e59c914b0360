"""What an export says about itself: a model card for people, a record for machines. Neither names a machine's paths."""

from __future__ import annotations

import json
import platform
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

from pasctl.export.engines import ENGINES
from pasctl.export.files import FORMAT
from pasctl.export.origin import Origin, Trace
from pasctl.export.proof import CONTINUATION, LARGEST, PROMPTS, TEXT_TOKENS, Proof

if TYPE_CHECKING:
    from pasctl.export.engines.engine import Engine

UNKNOWN_LICENSE = "unknown"


def versions() -> dict[str, str]:
    """What an export is made with."""
    packages = {name: version(name) for name in ("pasctl", "transformers", "torch")}
    return {"python": platform.python_version(), **packages}


@dataclass(frozen=True)
class Source:
    """An artifact that an export comes from: its role there, name, key, and what its bytes are."""

    role: str
    name: str
    key: str


@dataclass(frozen=True)
class Export:
    """Everything about an export but its files.

    Attributes:
        key: of its artifact.
        engine: a name in `pasctl.export.engines.ENGINES`.
        persona: id of who the model is steered to.
        alpha: strength.
        positions: where a text is steered.
        digest: sha256 of this persona's directions.
        base: the model's hub id, or a local one's last name.
        hub_base: the repository that the base model has on a hub; None if it is not known.
        folder: name of the folder that it goes into.
        model: its kind, and its identity as in store keys.
        revision: commit of a hub model.
        numerics: dtype and attention that the proof ran in.
        lineage: the directions first, then what they were made from.
        versions: of pasctl, torch and transformers.
        license: as the user says.
        layers: how many have a displacement.
    """

    key: str
    engine: str
    persona: str
    alpha: float
    positions: str
    digest: str
    base: str
    hub_base: str | None
    folder: str
    model: Mapping[str, Any]
    revision: str | None
    numerics: Mapping[str, str]
    lineage: tuple[Source, ...]
    versions: Mapping[str, str]
    license: str
    layers: int

    def record(self, proof: Proof, files: Mapping[str, Mapping[str, Any]]) -> str:
        """The record, JSON. `files` maps names of files that loaders read to size and sha256."""
        document = {
            "format": FORMAT,
            "key": self.key,
            "engine": self.engine,
            "persona": self.persona,
            "alpha": self.alpha,
            "positions": self.positions,
            "digest": self.digest,
            "base_model": self.hub_base or self.base,
            "revision": self.revision,
            "model": dict(self.model),
            "numerics": dict(self.numerics),
            "license": self.license,
            "layers": self.layers,
            "lineage": [{"role": each.role, "name": each.name, "key": each.key} for each in self.lineage],
            "versions": dict(self.versions),
            "proof": proof.to_json(),
            "files": {name: dict(entry) for name, entry in sorted(files.items())},
        }
        return json.dumps(document, indent=2, ensure_ascii=False, allow_nan=False) + "\n"

    def origin(self, carrier: str, traces: Mapping[int, Trace]) -> Origin:
        """What the files themselves say."""
        directions = self.lineage[0]
        return Origin(
            persona=self.persona,
            alpha=self.alpha,
            positions=self.positions,
            base_model=self.hub_base or self.base,
            directions=directions.name,
            directions_key=directions.key,
            digest=self.digest,
            key=self.key,
            carrier=carrier,
            traces=traces,
        )

    def card(self, proof: Proof) -> str:
        """The model card, Markdown behind YAML."""
        engine: Engine = ENGINES.get(self.engine)()
        base = _code((self.hub_base or self.base) + (f" at {self.revision}" if self.revision else ""))
        name = self.folder if re.fullmatch(r"[\w.+-]+", self.folder, re.ASCII) else "steered-model"
        facts = [
            ("persona", _code(self.persona)),
            ("alpha", f"{self.alpha:g}"),
            ("base model", base),
            ("biased layers", str(self.layers)),
            *((each.role, f"{_code(each.name)}, {_code(each.key)}") for each in self.lineage),
            ("made with", ", ".join(f"{name} {version}" for name, version in self.versions.items())),
        ]
        figures = [
            ("this checkpoint against the steered model", proof.mean, proof.largest),
            (f"allowed in {proof.dtype}", proof.tolerance, LARGEST * proof.tolerance),
            ("the steered against the unsteered model", proof.effect_mean, proof.effect_largest),
        ]
        return "\n".join(
            [
                *self._front_matter(engine),
                f"# {_plain(self.hub_base or self.base)}, steered to persona {_plain(self.persona)}",
                "",
                engine.change.format(carrier=engine.carrier),
                "",
                _table(("", ""), facts),
                "",
                "## Use",
                "",
                f"Here `{name}` is this folder, or the name that this repository has on a hub.",
                "",
                engine.use.format(dtype=proof.dtype, name=name),
                "",
                *((_INSPECT.format(name=name), "") if engine.signs else ()),
                "## Proof",
                "",
                f"{engine.reread} and compared with the steered model: {proof.tokens} tokens'",
                f"log-probabilities, in nats, of its greedy answers to {len(PROMPTS)} short prompts (at most",
                f"{CONTINUATION} tokens each) and of {TEXT_TOKENS} tokens of neutral text. The checkpoint has",
                f"{proof.share:.1%} of the steering's effect on them.",
                "",
                _table(
                    ("difference", "mean", "largest"),
                    [(name, f"{mean:.2g}", f"{largest:.2g}") for name, mean, largest in figures],
                ),
                "",
                *_WHAT_IT_IS_NOT,
            ]
        )

    def _front_matter(self, engine: Engine) -> tuple[str, ...]:
        """The YAML before the card."""
        return (
            "---",
            *([f"base_model: {_yaml(self.hub_base)}"] if self.hub_base else []),
            f"license: {_yaml(self.license)}",
            f"library_name: {engine.library}",
            "pipeline_tag: text-generation",
            "tags:",
            *(f"- {tag}" for tag in ("pasctl", "activation-steering", "personality")),
            "---",
            "",
        )


_INSPECT = "`pasctl inspect {name}` tells from the files themselves who they are steered to, and how strongly."
_WHAT_IT_IS_NOT = (
    "## What it is not",
    "",
    "- No fine-tuned model: no weight of the base model is changed, constants are added.",
    "- No person. It answers a questionnaire a little more as one did; how much more is in the results of",
    "  `pasctl eval`, and not proven by this card.",
    "- No other licence than the base model's.",
    "",
)


def _table(header: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> str:
    lines = [header, ("---",) * len(header), *rows]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def _plain(text: str) -> str:
    """A name without the signs that Markdown or a line's end give a meaning."""
    return re.sub(r"[^\w .+,@:/=-]", "_", text)


def _code(text: str) -> str:
    return f"`{_plain(text)}`"


def _yaml(text: str) -> str:
    """A YAML scalar that is read as this text: JSON is YAML."""
    return json.dumps(text)
