"""Linear probes on head outputs: how well does one head tell a persona's agreeing answers from its disagreeing ones."""

from __future__ import annotations

from pasctl.registry import Registry

PROBES = Registry(
    "probe method",
    {
        "logistic": "pasctl.probes.logistic:LogisticProbe",
        "ridge": "pasctl.probes.ridge:RidgeProbe",
        "sklearn:LDA": "pasctl.probes.estimators:LDA",
        "sklearn:LinearSVC": "pasctl.probes.estimators:SVM",
        "sklearn:LogisticRegression": "pasctl.probes.estimators:Logistic",
        "sklearn:RidgeClassifier": "pasctl.probes.estimators:Ridge",
    },
    group="pasctl.probes",
)
