"""Directions as DataFrames."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from pasctl.models.geometry import layer_numbers
from pasctl.probes.frames import persona_ids
from pasctl.store import Artifact

if TYPE_CHECKING:
    import pandas as pd


class Directions(Artifact):
    """Where heads are shifted to, per persona."""

    def heads(self) -> pd.DataFrame:
        """One row per persona and head that is shifted: rank (0 is best), layer, head, and sigma of alpha 1."""
        import pandas as pd

        shards = [self.read_arrays(name, ("heads", "sigma")) for name in self.files("directions")]
        heads, sigma = (np.concatenate([shard[name] for shard in shards]) for name in ("heads", "sigma"))
        personas, count = sigma.shape
        numbers = np.array(layer_numbers(self.read_json("items.json")["geometry"]))
        return pd.DataFrame(
            {
                "persona": np.repeat(persona_ids(self), count),
                "rank": np.tile(np.arange(count), personas),
                "layer": numbers[heads[..., 0].ravel()],
                "head": heads[..., 1].ravel(),
                "sigma": sigma.ravel(),
            }
        )

    def trials(self) -> pd.DataFrame:
        """What a selection by steering tried: layers, heads (missing: all), alpha, mae, item_correlation."""
        import pandas as pd

        tried = self.read_json("selection.json")["tried"] if "selection.json" in self.files() else []
        return pd.DataFrame(tried, columns=["layers", "heads", "alpha", "mae", "item_correlation"])

    frame = heads
