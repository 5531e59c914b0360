"""An index of events: clusters of what represents them, so that of many events few are compared with what is wanted.

The first level are the centroids of clusters, the second the events of those clusters whose centroids fit best, which
are compared exactly. `SLAB` events in a row are clustered once, when all of them have left the window, and that never
changes: the index grows with the text, and copies of a text share it.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass

import torch
from torch import Tensor

SLAB = 2048
"""Events in a row that are clustered together."""
CLUSTERS = 64
"""Clusters of a slab."""
CANDIDATES = 4096
"""At least so many events of slabs are compared exactly, if there are as many."""
_AXES = 16  # directions along which vectors differ most from their centroids
_ROUNDS = 8


@dataclass(frozen=True, eq=False)
class Clusters:
    """The clusters of one slab in one layer; N components are those of all heads.

    Attributes:
        rows: bfloat16 [CLUSTERS + axes, N]: the centroids, and the main axes of what vectors differ from them by, each
            as long as the vectors' deviation along it.
        rest: variance of what is left of each component, float32 [N].
        cluster: of each event, uint8 [SLAB].
    """

    rows: Tensor
    rest: Tensor
    cluster: Tensor

    @classmethod
    def of(cls, vectors: Tensor) -> Clusters:
        """K-means (Lloyd's algorithm) of float32 [SLAB, N], begun at vectors that stand at equal distances."""
        centroids = vectors[:: SLAB // CLUSTERS]
        for _ in range(_ROUNDS):
            # of the squared distance to a centroid, a vector's own square is the same for all
            cluster = torch.addmm(centroids.square().sum(1) / -2, vectors, centroids.T).argmax(1)
            sizes = torch.bincount(cluster, minlength=CLUSTERS)[:, None]
            sums = torch.zeros_like(centroids).index_add_(0, cluster, vectors)
            centroids = torch.where(sizes > 0, sums / sizes.clamp_min(1), centroids)
        centroids = centroids.bfloat16()
        apart = vectors - centroids[cluster]
        covariance = apart.T @ apart / len(apart)
        values, axes = torch.linalg.eigh(covariance)
        axes = (axes[:, -_AXES:] * values[-_AXES:].clamp_min(0).sqrt()).T.bfloat16()
        rest = (covariance.diagonal() - axes.float().square().sum(0)).clamp_min(0)
        return cls(torch.cat([centroids, axes]), rest, cluster.to(torch.uint8))

    def on(self, device: torch.device | str) -> Clusters:
        """The same on a device."""
        return Clusters(self.rows.to(device), self.rest.to(device), self.cluster.to(device))


class Index:
    """The clusters of a layer's events so far, ready to be searched.

    Attributes:
        slabs: the clusters of each slab.
    """

    def __init__(self) -> None:
        self.slabs: list[Clusters] = []
        none = torch.empty(0)
        self._centroids, self._axes, self._rest, self._sizes = none, none, none, none
        self._members = torch.empty(0, dtype=torch.int64)  # events, cluster by cluster

    def __len__(self) -> int:
        """Events that it knows."""
        return len(self.slabs) * SLAB

    @property
    def rows(self) -> int:
        """Vectors that a query is compared with before any event is."""
        return len(self._centroids) + len(self._axes)

    def add(self, slab: Clusters) -> None:
        """Take up the next slab."""
        cluster, rows, first = slab.cluster.long(), slab.rows.float(), len(self)
        sizes, members = torch.bincount(cluster, minlength=CLUSTERS), cluster.argsort(stable=True) + first
        parts = (rows[:CLUSTERS], rows[CLUSTERS:], slab.rest[None], sizes, members)
        if self.slabs:  # in one tensor each, which is what a search needs; they are small, and seldom grow
            before = (self._centroids, self._axes, self._rest, self._sizes, self._members)
            parts = tuple(torch.cat(pair) for pair in zip(before, parts, strict=True))
        self._centroids, self._axes, self._rest, self._sizes, self._members = parts
        self.slabs.append(slab)

    def fork(self) -> Index:
        """The same index, to go on by itself."""
        fork = copy.copy(self)
        fork.slabs = list(self.slabs)
        return fork

    def moments(self, query: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """How a query fits the events that the index knows.

        Args:
            query: float32 [T, N].

        Returns:
            The centroids' fit [T, K]; and of the events' fit its mean [T] and its variance [T].
        """
        fit, share = query @ self._centroids.T, self._sizes / len(self)
        mean = (fit * share).sum(1)
        between = ((fit - mean[:, None]).square() * share).sum(1)
        along = (query @ self._axes.T).square().sum(1) / len(self.slabs)
        return fit, mean, between + along + query.square() @ self._rest.mean(0)

    def members(self, value: Tensor, least: int) -> Tensor:
        """Events of the clusters that are worth most, int64 in order.

        Args:
            value: of each cluster, float32 [K].
            least: as many clusters as have so many events together.
        """
        order = value.argsort(descending=True, stable=True)
        ends = self._sizes[order].cumsum(0)
        order = order[: int((ends < least).sum()) + 1]
        sizes, ends = self._sizes[order], ends[: len(order)]
        # where each cluster's events begin among the members, counted on within the cluster
        begins = (self._sizes.cumsum(0) - self._sizes)[order]
        places = torch.arange(int(ends[-1]), device=value.device) + (begins - ends + sizes).repeat_interleave(sizes)
        return self._members[places].sort().values
