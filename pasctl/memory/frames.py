"""Memories, answers and trials as DataFrames."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from pasctl.store import Artifact

if TYPE_CHECKING:
    import pandas as pd


class Memory(Artifact):
    """A text that was read into events."""

    def events(self) -> pd.DataFrame:
        """One row per event, in text order: token (its first), tokens, and surprise of the first token in nats."""
        import pandas as pd

        files = self.files("segments/")
        surprise = np.concatenate([self.read_arrays(name, ("surprise",))["surprise"] for name in files])
        last = self.read_arrays(files[-1], ("starts", "pending"))
        starts = np.concatenate([last["starts"], last["pending"]]).astype(np.int64)
        starts = starts[starts < len(surprise)]
        return (
            pd.DataFrame(
                {"token": starts, "tokens": np.diff(starts, append=len(surprise)), "surprise": surprise[starts]}
            )
            .rename_axis("event")
            .reset_index()
        )

    frame = events


class Answers(Artifact):
    """Questions that a memory was asked, with its answers."""

    def answers(self) -> pd.DataFrame:
        """One row per question: question, answer, tokens, stop, and first_step, the step its first token follows."""
        import pandas as pd

        return pd.DataFrame(self.read_json("answers.json"))

    def retrieved(self) -> pd.DataFrame:
        """One row per event that was retrieved: question (its number), step, layer, event, score."""
        frame: pd.DataFrame = self.read_table("recall.parquet").to_pandas()
        return frame

    frame = answers


class Trials(Artifact):
    """Memory tasks that were run."""

    def trials(self) -> pd.DataFrame:
        """One row per trial of a task, or per stretch of text whose surprise was measured, with what reading cost."""
        import pandas as pd

        costs = self.provenance.get("costs", {})
        return pd.DataFrame(
            [
                {**row, **costs.get(key, {})}
                for key, result in self.read_json("trials.json").items()
                for row in result.get("stretches", [result])
            ]
        )

    frame = trials
