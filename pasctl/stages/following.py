"""A job in a process that shares its model with others and is not the first of them: it computes, and writes nothing.

The first process has the lease, the staging folder and the commit. The others begin with copies of the same unfinished
files in a folder of their own, so that they skip what it skips and run the same passes, and then take its artifact.
"""

from __future__ import annotations

import shutil
import tempfile

from pasctl.errors import MissingError
from pasctl.models.ranks import agreed, joined, meet
from pasctl.stages.job import Job, StageContext
from pasctl.stages.progress import Reporter
from pasctl.store import Artifact, Store

__all__ = ["follow", "follows"]


def follows() -> bool:
    """Whether this process computes along with another one, which writes for it."""
    ranks = joined()
    return ranks is not None and ranks.number > 0


def follow(store: Store, job: Job, key: str, reporter: Reporter, began: float) -> tuple[Artifact, bool]:
    """The artifact that the first process finds or makes, and whether it was there.

    Raises:
        MissingError: the first process has finished, and its artifact cannot be seen from here.
    """
    reused = agreed(False) or agreed(False)  # found at once, or made by somebody else while the first process waited
    if not reused:
        with tempfile.TemporaryDirectory(prefix="pasctl-rank-") as folder:
            staging, unfinished = Store(folder).stage(key), store.stage(key).folder
            if unfinished.is_dir():
                shutil.copytree(unfinished, staging.folder)
            meet()
            job.compute(StageContext(store, staging, reporter, began))
        meet()
    artifact = store.lookup(key)
    if artifact is None:
        raise MissingError(
            f"the first process has made {key}, and it is not in {store.root}",
            hint="all processes of --tp need the same --store",
        )
    return artifact, reused
