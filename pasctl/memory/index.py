"""An index of events for what a text's chunks look for: clusters of vectors, of which those that fit best are searched.

The mean queries of chunks differ in few directions, and only along these is it of interest where a vector lies. So
vectors are clustered by where they lie along the main directions of the first queries. Clusters of `SLAB` events in a
row are made once, when all of them have left the window, and never change: the index grows with the text, and copies of
a text share it. What single words look for has no such directions; for them all events are compared (docs/memory.md).
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
CANDIDATES = 2048
"""At least so many events of slabs are compared exactly."""
QUERIES = 64
"""The directions are those of so many first queries."""
_DIRECTIONS = 16
_ROUNDS = 8


def main_directions(queries: Tensor) -> Tensor:
    """Directions that queries [n, N] lie in, each as long as they are along it on average: bfloat16 [16, N]."""
    _, lengths, directions = torch.linalg.svd(queries, full_matrices=False)
    kept = lengths[:_DIRECTIONS, None] * directions[:_DIRECTIONS] / len(queries) ** 0.5
    missing = _DIRECTIONS - len(kept)
    return torch.nn.functional.pad(kept, (0, 0, 0, missing)).bfloat16()


@dataclass(frozen=True, eq=False)
class Clusters:
    """The clusters of one slab in one layer; N components are those of all heads.

    Attributes:
        centroids: the mean of each cluster's vectors, bfloat16 [CLUSTERS, N].
        along: covariance of what vectors differ from their centroids by, along the directions, float32 [16, 16].
        across: its variance along any other direction, on average, float32 [].
        cluster: of each event, uint8 [SLAB].
    """

    centroids: Tensor
    along: Tensor
    across: Tensor
    cluster: Tensor

    @classmethod
    def of(cls, vectors: Tensor, directions: Tensor) -> Clusters:
        """Cluster vectors, float32 [SLAB, N], by where they lie along some directions [16, N] (Lloyd's algorithm)."""
        points = vectors @ directions.float().T
        cluster = _nearest(points, points[:: SLAB // CLUSTERS])
        for _ in range(_ROUNDS):
            cluster = _nearest(points, _means(points, cluster))
        centroids = _means(vectors, cluster).bfloat16()
        apart = vectors - centroids[cluster]
        own = apart @ _axes(directions).T
        along = own.T @ own / len(own)
        across = (apart.square().sum() / len(apart) - along.trace()) / max(1, apart.shape[1] - len(along))
        return cls(centroids, along, across, cluster.to(torch.uint8))

    def on(self, device: torch.device) -> Clusters:
        """The same on a device."""
        parts = (self.centroids, self.along, self.across, self.cluster)
        return Clusters(*(part.to(device) for part in parts))


def _axes(directions: Tensor) -> Tensor:
    """Directions [16, N] at length 1, float32; one that there is not stays zeros."""
    return torch.nn.functional.normalize(directions.float(), dim=1)


def _nearest(points: Tensor, centres: Tensor) -> Tensor:
    """Of each point [n, d] the nearest centre; of the squared distance, the point's own square is the same for all."""
    nearest: Tensor = torch.addmm(centres.square().sum(1) / -2, points, centres.T).argmax(1)
    return nearest


def _means(points: Tensor, cluster: Tensor) -> Tensor:
    """Mean of the points of each cluster [CLUSTERS, d]; zeros of an empty one."""
    sums = points.new_zeros(CLUSTERS, points.shape[1]).index_add_(0, cluster, points)
    return sums / torch.bincount(cluster, minlength=CLUSTERS).clamp_min(1)[:, None]


class Index:
    """The clusters of a layer's events so far, ready to be searched.

    Attributes:
        slabs: the clusters of each slab.
        directions: that vectors are clustered along, [16, N]; None before there were `QUERIES` chunks.
        queries: the first ones, until the directions are known.
    """

    def __init__(self) -> None:
        self.slabs: list[Clusters] = []
        self.directions: Tensor | None = None
        self.queries: list[Tensor] = []
        none = torch.empty(0)
        self._centroids, self._along, self._across, self._sizes = none, none, none, none
        self._members = torch.empty(0, dtype=torch.int64)  # events, cluster by cluster

    def __len__(self) -> int:
        """Events that it knows."""
        return len(self.slabs) * SLAB

    @property
    def clusters(self) -> int:
        """Their number, empty ones too."""
        return len(self._centroids)

    def learn(self, query: Tensor) -> None:
        """Take notice of what a chunk looks for, float32 [N]; with the last of the first ones, directions are known."""
        if self.directions is None:
            self.queries.append(query)
            if len(self.queries) == QUERIES:
                self.directions, self.queries = main_directions(torch.stack(self.queries)), []

    def cluster(self, vectors: Tensor) -> None:
        """Cluster the next slab's vectors, float32 [SLAB, N]."""
        self.add(Clusters.of(vectors, self._known()))

    def _known(self) -> Tensor:
        if self.directions is None:
            raise RuntimeError("the index was used before its directions were known")
        return self.directions

    def add(self, slab: Clusters) -> None:
        """Take up the next slab."""
        cluster = slab.cluster.long()
        sizes, members = torch.bincount(cluster, minlength=CLUSTERS), cluster.argsort(stable=True) + len(self)
        parts = (slab.centroids.float(), slab.along[None], slab.across[None], sizes, members)
        if self.slabs:  # in one tensor each, which is what a search needs; they are small, and seldom grow
            before = (self._centroids, self._along, self._across, self._sizes, self._members)
            parts = tuple(torch.cat(pair) for pair in zip(before, parts, strict=True))
        self._centroids, self._along, self._across, self._sizes, self._members = parts
        self.slabs.append(slab)

    def fork(self) -> Index:
        """The same index, to go on by itself."""
        fork = copy.copy(self)
        fork.slabs, fork.queries = list(self.slabs), list(self.queries)
        return fork

    def fit(self, query: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """How a query float32 [N] fits the centroids [K]; and the mean and the variance of how it fits the events."""
        fit, share = self._centroids @ query, self._sizes / len(self)
        mean = fit @ share
        own = _axes(self._known()) @ query
        within = own @ self._along.mean(0) @ own + self._across.mean() * (query.square().sum() - own.square().sum())
        return fit, mean, (fit - mean).square() @ share + within

    def members(self, fit: Tensor, least: int) -> Tensor:
        """Events of the clusters that fit best, int64 in order.

        Args:
            fit: of each cluster, float32 [K].
            least: as many clusters as have so many events together.
        """
        order = fit.argsort(descending=True, stable=True)
        ends = self._sizes[order].cumsum(0)
        order = order[: int((ends < least).sum()) + 1]
        sizes, ends = self._sizes[order], ends[: len(order)]
        # where each cluster's events begin among the members, counted on within the cluster
        begins = (self._sizes.cumsum(0) - self._sizes)[order]
        places = torch.arange(int(ends[-1]), device=fit.device) + (begins - ends + sizes).repeat_interleave(sizes)
        return self._members[places].sort().values
