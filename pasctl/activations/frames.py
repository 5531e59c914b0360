"""Activations as DataFrames."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pasctl.store import Artifact

if TYPE_CHECKING:
    import pandas as pd


class Activations(Artifact):
    """Head outputs of an inventory's items."""

    def items(self) -> pd.DataFrame:
        """The items that were extracted: id, trait, facet, key, split, text."""
        import pandas as pd

        described = self.read_json("items.json")
        items = described["inventory"]["items"]
        return pd.DataFrame([items[place] for place in described["rows"]])

    frame = items
