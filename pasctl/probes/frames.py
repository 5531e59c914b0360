"""Probes as DataFrames."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from pasctl.store import Artifact

if TYPE_CHECKING:
    import pandas as pd


SITES = "sites.json"
"""Of probes on a hybrid's sites: the numbers of their layers."""


def layers_of_probes(artifact: Artifact, layers: int) -> list[int]:
    """Number of the layer of each of so many sites."""
    return list(artifact.read_json(SITES)["numbers"]) if artifact.files(SITES) else list(range(layers))


def persona_ids(artifact: Artifact) -> list[str]:
    """The names of an artifact's personas, in the order of its tensors' rows; a large set has them in shards."""
    stored = artifact.read_json("personas.json")
    if "ids" in stored:
        return list(stored["ids"])
    return [name for file in artifact.files("personas/") for name in artifact.read_table(file).column(0).to_pylist()]


class Probes(Artifact):
    """Scores of a probe per persona, layer and head."""

    def heads(self) -> pd.DataFrame:
        """One row per persona, layer and head: accuracy and log_loss on n_validation examples, fitted on n_train."""
        import pandas as pd

        shards = [self.read_arrays(name) for name in self.files("scores")]
        scores = {name: np.concatenate([shard[name] for shard in shards]) for name in shards[0]}
        personas, layers, heads = scores["accuracy"].shape
        numbers = layers_of_probes(self, layers)
        index = pd.MultiIndex.from_product(
            [persona_ids(self), numbers, range(heads)], names=["persona", "layer", "head"]
        )
        values = {
            name: np.broadcast_to(
                value.reshape(personas, *value.shape[1:3], *[1] * (3 - value.ndim)), (personas, layers, heads)
            )
            for name, value in scores.items()
        }
        return pd.DataFrame({name: value.ravel() for name, value in values.items()}, index=index).reset_index()

    frame = heads
