"""Linear probes on head outputs: how well does one head tell a persona's agreeing answers from its disagreeing ones."""

from __future__ import annotations

from pasctl.registry import Registry

PROBES = Registry(
    "probe",
    {"logistic": "pasctl.probes.logistic:LogisticProbe", "ridge": "pasctl.probes.ridge:RidgeProbe"},
)
