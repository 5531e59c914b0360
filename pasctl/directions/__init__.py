"""Directions to shift a head's output along, one per persona and head."""

from __future__ import annotations

from pasctl.registry import Registry

DIRECTIONS = Registry(
    "direction method",
    {
        "mass-mean": "pasctl.directions.mass_mean:MassMean",
        "pca": "pasctl.directions.pca:PrincipalComponent",
        "probe-weight": "pasctl.directions.probe_weight:ProbeWeight",
    },
    group="pasctl.directions",
)

CENTERS = ("none", "population", "letters")
GRANULARITIES = ("head", "kv-group")
