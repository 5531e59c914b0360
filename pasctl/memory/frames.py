"""Memories, answers and trials as DataFrames."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from pasctl.store import Artifact

if TYPE_CHECKING:
    import pandas as pd

    from pasctl.memory.stored_text import KeptText


class Memory(Artifact):
    """A text that was read into events."""

    def events(self) -> pd.DataFrame:
        """One row per event, in text order: token (its first), tokens, and surprise of the first token in nats."""
        import pandas as pd

        text = self.runs_text() if "runs.json" in self.files() else self._text()
        starts, surprise = np.array(text.starts, np.int64), np.array(text.surprise, np.float32)
        return (
            pd.DataFrame(
                {"token": starts, "tokens": np.diff(starts, append=len(surprise)), "surprise": surprise[starts]}
            )
            .rename_axis("event")
            .reset_index()
        )

    frame = events

    def _text(self) -> KeptText:
        from pasctl.memory.stored_text import read_text

        return read_text([self.open_path(name) for name in self.files("segments/")])

    def runs_text(self) -> KeptText:
        """Tokens, surprise and events of a memory of a folder; files of one text are there once."""
        from pasctl.memory.stored_text import KeptText

        document = self.read_json("runs.json")
        ids = [int(token) for token in document["opening"]]
        surprise, starts = [0.0] * len(ids), list[int]()
        for digest in dict.fromkeys(each["digest"] for each in document["files"]):
            arrays = self.read_arrays(f"runs/{digest}/run.safetensors", ("ids", "surprise", "starts"))
            starts += (arrays["starts"] + len(ids)).tolist()
            ids += arrays["ids"].tolist()
            surprise += arrays["surprise"].tolist()
        return KeptText(ids, surprise, starts)


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
