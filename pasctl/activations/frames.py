"""Activations as DataFrames."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pasctl.store import Artifact

if TYPE_CHECKING:
    import pandas as pd


class Activations(Artifact):
    """Head outputs of an inventory's items, or of a contrast's pairs."""

    def items(self) -> pd.DataFrame:
        """The items that were extracted: id, trait, facet, key, split, text; of a contrast its pairs."""
        import pandas as pd

        described = self.read_json("items.json")
        if "inventory" not in described:
            return self.pairs()
        items = described["inventory"]["items"]
        return pd.DataFrame([items[place] for place in described["rows"]])

    def pairs(self) -> pd.DataFrame:
        """The pairs of a contrast: axis, group, and of either side its system text, user's turn, text and place."""
        import pandas as pd

        return pd.json_normalize(self.read_json("contrast.json")["pairs"], sep="_")

    frame = items
