"""The shape of a model's sites, read from the loaded model itself and never from a table of sizes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

from pasctl.errors import InputError
from pasctl.models.sites import HEADS, Site, find_sites, site_kinds, text_config, usual_sites

if TYPE_CHECKING:
    from pasctl.models.adapters import Adapter

_STORED = ("layers", "heads", "kv_heads", "head_dim", "hidden")


@dataclass(frozen=True)
class Geometry:
    """L sites of one kind, H heads each, G key-value heads, D = head_dim, and the width of the residual stream.

    H * D is the width of `o_proj`'s input, which is *not* `hidden` on, for example, Qwen3-0.6B (16 * 128 and 1024).
    Unless another kind is asked for, sites are heads of full attention. In most models every layer has one, and a
    site's place among them is its layer's number; in a hybrid some layers have none.

    Attributes:
        layers: sites, each in a layer of its own.
        heads: heads of each.
        kv_heads: heads of keys and values.
        head_dim: components of a head.
        hidden: width of the residual stream.
        kind: of the sites.
        numbers: of the sites' decoder layers; () where every layer has one.
        others: the model's sites of other kinds.
    """

    layers: int
    heads: int
    kv_heads: int
    head_dim: int
    hidden: int
    kind: str = HEADS
    numbers: tuple[int, ...] = ()
    others: tuple[Geometry, ...] = field(default=(), repr=False, compare=False)

    @property
    def width(self) -> int:
        """H * D, the width of o_proj's input."""
        return self.heads * self.head_dim

    @property
    def places(self) -> tuple[int, ...]:
        """Number of each site's decoder layer."""
        return self.numbers or tuple(range(self.layers))

    @property
    def kinds(self) -> tuple[str, ...]:
        """Words for the kinds of sites that the model has."""
        return (self.kind, *(other.kind for other in self.others))

    def at(self, kind: str) -> Geometry:
        """The same of the model's sites of a kind.

        Raises:
            InputError: the model has none of this kind.
        """
        for geometry in (self, *self.others):
            if geometry.kind == kind:
                return geometry
        raise InputError(f"the model has no site {kind!r}, it has {', '.join(self.kinds)}")

    def to_json(self) -> dict[str, Any]:
        """As an artifact keeps it; what is so in nearly all models is left out."""
        stored = {name: value for name, value in asdict(self).items() if name in _STORED}
        kind = {} if self.kind == HEADS else {"site": self.kind}
        return stored | kind | ({"numbers": list(self.numbers)} if self.numbers else {})


def layer_numbers(stored: Mapping[str, Any]) -> list[int]:
    """Number of each site's decoder layer, of a geometry as an artifact keeps it."""
    return list(stored.get("numbers") or range(stored["layers"]))


def read_geometry(model: Any, adapter: Adapter) -> Geometry:
    """Geometry of a loaded CausalLM, with every layer's projection checked against its config.

    Raises:
        InputError: no site was found.
        PasctlError: config and modules disagree.
    """
    return geometry_of(find_sites(model, adapter), text_config(model))


def geometry_of(sites: Sequence[Site], config: Any) -> Geometry:
    """Geometry of a model's sites."""
    made = [_of_kind(usual_sites(sites, kind), kind, config) for kind in site_kinds(sites)]
    first, *others = made
    return Geometry(**{**vars(first), "others": tuple(others)})


def _of_kind(sites: Sequence[Site], kind: str, config: Any) -> Geometry:
    first, numbers = sites[0], tuple(site.layer for site in sites)
    every = numbers == tuple(range(config.num_hidden_layers))
    sizes = (len(sites), first.heads, first.kv_heads, first.width, int(config.hidden_size))
    return Geometry(*sizes, kind, () if every else numbers)
