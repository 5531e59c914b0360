"""Answers generated as text, beside those that are read from the letters' probabilities."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from pasctl.evaluation.units import EvalCase, unit_table
from pasctl.inventory import option_names, question
from pasctl.stages.job import StageContext
from pasctl.stages.model import ModelHandle
from pasctl.stages.questionnaire import EvaluationTask

if TYPE_CHECKING:
    import pandas as pd

ANSWER_TOKENS = 16
_ENDING = 2  # tokens behind an option's text: its end and the turn's
_ROWS = 16  # answers that are generated together; they are kept as the batch ends


@dataclass(eq=False)
class TextAudit:
    """Some of an evaluation's questions, answered in words.

    Attributes:
        task: whose questions these are.
        count: how many, dealt in turn to the conditions.
        handle: the model.
        seed: of the choice.
        batch_tokens: bound on the tokens of one forward pass.
    """

    task: EvaluationTask
    count: int
    handle: ModelHandle
    seed: int
    batch_tokens: int

    @cached_property
    def cells(self) -> list[tuple[EvalCase, str, int]]:
        """EvalCase, its part key, and the place of the item among the report items."""
        from pasctl.evaluation.audit import choose_cells

        groups: dict[tuple[str, str], list[tuple[EvalCase, str]]] = {}
        for unit, key in self.task.units:
            if unit.draw == 0:
                groups.setdefault((unit.condition, unit.setting), []).append((unit, key))
        items, members = len(self._report), list(groups.values())
        chosen = choose_cells([len(group) * items for group in members], self.count, self.seed)
        return [(*members[group][cell // items], cell % items) for group, cell in chosen]

    def rows(self, work: StageContext, answers: dict[str, NDArray[np.float32]]) -> pd.DataFrame:
        """What was generated, and what it is worth.

        Args:
            work: keeps the texts as they come.
            answers: part key -> log-probabilities of options [orders, items, K]; the first order is forward.
        """
        from pasctl.evaluation.audit import audit_rows

        texts = []
        with work.reporter.progress("audit", len(self.cells), "answers") as advance:
            for start in range(0, len(self.cells), _ROWS):
                name, cells = f"parts/audit-{start}.json", self.cells[start : start + _ROWS]
                if not work.has(name):
                    work.write(name, self._generate(work, cells))
                texts += work.read_json(name)
                advance(len(cells))
        return audit_rows(self._cells(answers), texts, self.task.inventory)

    def _cells(self, answers: dict[str, NDArray[np.float32]]) -> pd.DataFrame:
        """The rows that the texts belong to."""
        from pasctl.evaluation.rows import item_table

        personas, inventory = self.task.steering.personas, self.task.inventory
        columns = [self._report[place] for _, _, place in self.cells]
        asked = item_table(inventory).iloc[columns].reset_index(drop=True)
        units = [unit for unit, _, _ in self.cells]
        return unit_table(units, personas.ids).assign(
            **{name: asked[name] for name in ("item", "low", "high") if name in asked},
            agreement=[personas.agreements[unit.persona, column] for unit, column in zip(units, columns, strict=True)],
            argmax=[
                int(inventory.level_scores[column, np.nanargmax(answers[key][0, place])])
                for (_, key, place), column in zip(self.cells, columns, strict=True)
            ],
        )

    def _generate(self, work: StageContext, cells: list[tuple[EvalCase, str, int]]) -> list[str]:
        from pasctl.generation.loop import generate
        from pasctl.generation.request import Request
        from pasctl.generation.sampling_params import SamplingParams

        model, inventory = self.handle.load(work.reporter), self.task.inventory
        longest = max(map(len, model.chat.option_ids(option_names(inventory))))
        requests = [
            Request(
                model.chat.encode(question(inventory.items[self._report[place]], inventory), unit.system),
                SamplingParams(max_new_tokens=max(ANSWER_TOKENS, longest + _ENDING)),
                self.task.intervention(unit, model.geometry),
                self.task.params.positions,
            )
            for unit, _, place in cells
        ]
        return [stream.written for stream in generate(model, requests, batch_tokens=self.batch_tokens)]

    @cached_property
    def _report(self) -> NDArray[Any]:
        return self.task.inventory.indices("report")
