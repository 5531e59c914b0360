"""The activations of an inventory's fit items, which probes and directions are fitted on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pasctl.inventory import Inventory, signs
from pasctl.models.sites import HEADS

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from torch import Tensor

    from pasctl.stages.runner import Artifact


@dataclass(frozen=True, eq=False)
class FitItems:
    """The activations of an inventory's fit items, with what the maths needs.

    Attributes:
        inventory: the questionnaire.
        head_outputs: [I, A, L, H, D].
        columns: int [I], the items' places in the inventory.
        pairs: (agree, disagree) answer columns.
        site: kind of the sites that were read.
    """

    inventory: Inventory
    head_outputs: Tensor
    columns: NDArray[np.int64]
    pairs: list[tuple[int, int]]
    site: str = HEADS

    def signs(self, agreements: NDArray[np.float64]) -> NDArray[np.int8]:
        """Whether answers [P, I] to these items agree: +1, -1, or 0 for the middle of the scale and no answer."""
        return signs(agreements, self.inventory.middle[self.columns])

    @property
    def traits(self) -> list[str]:
        """The trait of each item."""
        return [self.inventory.items[column].trait for column in self.columns]


def fit_columns(inventory: Inventory, described: dict[str, Any]) -> NDArray[np.int64]:
    """The fit items that were extracted, as places in the inventory; report items are never fitted on."""
    import numpy as np

    return np.intersect1d(inventory.indices("fit"), np.array(described["rows"], np.int64))


def read_fit_items(activations: Artifact) -> FitItems:
    """Read activations and keep the fit items."""
    import numpy as np

    from pasctl.stages.extract import read_head_outputs

    values, described = read_head_outputs(activations)
    inventory = Inventory.from_json(described["inventory"])
    columns = fit_columns(inventory, described)
    kept = np.searchsorted(np.array(described["rows"], np.int64), columns)
    pairs = [(int(agree), int(disagree)) for agree, disagree in described["pairs"]]
    return FitItems(inventory, values[kept], columns, pairs, described["geometry"].get("site", HEADS))
