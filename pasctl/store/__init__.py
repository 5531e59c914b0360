"""The store: immutable, versioned results of stages, found again by the key of what they were made from."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pasctl.store.artifact import Artifact, InputRef
from pasctl.store.keys import ABSENT, Difference, canonical_json, explain, file_digest, make_key
from pasctl.store.lineage import Lineage
from pasctl.store.payload import Bf16, Tensor
from pasctl.store.reindex import Counts
from pasctl.store.staging import Staging
from pasctl.store.store import Store
from pasctl.store.verify import Problem

if TYPE_CHECKING:
    from pasctl.store.leases import Holder

__all__ = [
    "ABSENT",
    "Artifact",
    "Bf16",
    "Counts",
    "Difference",
    "Holder",
    "InputRef",
    "Lineage",
    "Problem",
    "Staging",
    "Store",
    "Tensor",
    "canonical_json",
    "explain",
    "file_digest",
    "make_key",
]


def __getattr__(name: str) -> Any:
    if name == "Holder":  # its module loads SQLAlchemy
        from pasctl.store.leases import Holder

        return Holder
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
