"""What directions were chosen and are shifted by: single heads, or the heads of a key-value group together."""

from __future__ import annotations

from collections.abc import Mapping

from pasctl.models.sites import HEADS
from pasctl.stages.runner import Artifact


def granularity_of(directions: Artifact) -> str:
    """A name in `pasctl.directions.GRANULARITIES`; keys of single heads do not mention it."""
    return str(directions.params.get("granularity", "head"))


def site_of(artifact: Artifact) -> str:
    """The kind of sites that activations, probes or directions are of."""
    return str(artifact.read_json("items.json")["geometry"].get("site", HEADS))


def is_imported(directions: Artifact) -> bool:
    """Whether they are vectors of another tool, which have no data of their own to choose a strength on."""
    return directions.stage == "import-vector"


def heads_a_unit(granularity: str, geometry: Mapping[str, int]) -> int:
    """How many heads are chosen and shifted as one: 1, or those of a key-value group of the model."""
    return geometry["heads"] // geometry["kv_heads"] if granularity == "kv-group" else 1


def unit_of(directions: Artifact) -> int:
    """How many heads are shifted as one in a directions artifact."""
    granularity = granularity_of(directions)
    return 1 if granularity == "head" else heads_a_unit(granularity, directions.read_json("items.json")["geometry"])
