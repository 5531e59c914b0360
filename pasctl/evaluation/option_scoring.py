"""Probabilities of an item's options as a model names them: letters of one token, or names of several.

A name of several tokens, such as "10" or "Very accurate", is scored as a sequence (design section 6): log p(name) is
the sum of its tokens' log-probabilities, each after the prompt and the tokens before it. As with a letter, what follows
the name is left open: an answer counts for the option whose name it begins with. Where one name begins another, as "1"
begins "10", it counts for the longest: p("1") is without p("10"). So no answer counts for two options, and their
probabilities sum to at most 1.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pasctl.activations.budget import plan_bytes, plan_within
from pasctl.evaluation.scoring import Scores, score_letters
from pasctl.evaluation.statements import StatementScores, plan_statements, score_statements
from pasctl.evaluation.statements import plan_bytes as statements_bytes
from pasctl.models.footprint import Footprint
from pasctl.models.load import LoadedModel
from pasctl.steering.intervention import Intervention

Ids = tuple[int, ...]
Places = NDArray[np.int64]
_LEAST = 2.0**-24  # of a name's probability that is its own: the log-probabilities are float32


@dataclass(frozen=True, eq=False)
class OptionPrompts:
    """Prompts, and the options that may answer each.

    Attributes:
        prompts: N prompts, token ids that end where the answer begins.
        names: token ids of each of M option names as an answer.
        places: int64 [N, K], which names the options of each prompt have; -1 beyond its last.
    """

    prompts: Sequence[Sequence[int]]
    names: Sequence[Ids]
    places: Places

    @property
    def letters(self) -> list[int] | None:
        """The names' tokens, where each has one; None where one has several."""
        return [name[0] for name in self.names] if all(len(name) == 1 for name in self.names) else None

    def groups(self) -> Iterator[tuple[Places, Places]]:
        """The prompts that have the same options: their rows, and the places of these names."""
        rows: defaultdict[Ids, list[int]] = defaultdict(list)
        for row, places in enumerate(self.places):
            rows[tuple(sorted(places[places >= 0].tolist()))].append(row)
        for own, members in rows.items():
            yield np.array(members), np.array(own)

    def of_group(self, rows: Places, own: Places) -> tuple[list[Sequence[int]], list[Ids]]:
        """The prompts and names of a group."""
        return [self.prompts[row] for row in rows], [self.names[place] for place in own]


@dataclass(frozen=True)
class Cost:
    """What scoring takes: tokens as in `Scores`, and bytes at the most."""

    tokens_asked: int
    tokens_run: int
    memory_bytes: int


def score_options(
    model: LoadedModel,
    asked: OptionPrompts,
    *,
    batch_tokens: int,
    interventions: Sequence[Intervention | None] = (None,),
    positions: str = "all",
) -> Scores:
    """Score the options of each prompt; log-probabilities [U, N, M] of all names.

    Where every name is one token, all of them are scored behind every prompt. Else a prompt has its own alone, and NaN
    for the others. `positions` "answer" steers the prompt's last token and all of a name but its last.

    Args:
        model: the loaded model.
        asked: the prompts and options.
        batch_tokens: bound on the tokens of a forward pass.
        interventions: steering while all of it is read, each of one row; None leaves the model as it is.
        positions: where it is applied: every position, or from the answer position on.

    Raises:
        InputError: the model's memory limit cannot be kept.
    """
    how: dict[str, Any] = {"batch_tokens": batch_tokens, "interventions": interventions, "positions": positions}
    return options_by(
        asked,
        len(interventions),
        letters=partial(score_letters, model, **how),
        statements=partial(score_statements, model, **how),
    )


def options_by(
    asked: OptionPrompts,
    count: int,
    *,
    letters: Callable[[Sequence[Sequence[int]], Sequence[int]], Scores],
    statements: Callable[[Sequence[Sequence[int]], Sequence[Ids]], StatementScores],
) -> Scores:
    """The same from whoever scores letters after prompts, and statements after prompts, under `count` interventions."""
    if (tokens := asked.letters) is not None:
        return letters(asked.prompts, tokens)
    logprobs = np.full((count, len(asked.prompts), len(asked.names)), np.nan, np.float32)
    tokens_asked = tokens_run = 0
    for rows, own in asked.groups():
        prompts, names = asked.of_group(rows, own)
        scores = statements(prompts, names)
        logprobs[:, rows[:, None], own] = without_longer(scores.totals, names)
        tokens_asked += scores.tokens_asked
        tokens_run += scores.tokens_run
    return Scores(logprobs, tokens_asked, tokens_run)


def without_longer(totals: NDArray[np.float64], names: Sequence[Ids]) -> NDArray[np.float64]:
    """Log-probability [..., K] that each name is the longest that an answer begins with.

    Args:
        totals: log-probability [..., K] that an answer begins with it.
        names: its tokens.
    """
    own = totals.copy()
    for place, name in enumerate(names):
        longer = _longer(name, names)
        if longer:
            share = np.exp(totals[..., longer] - totals[..., place, None]).sum(axis=-1)
            own[..., place] += np.log1p(-np.minimum(share, 1 - _LEAST))
    return own


def option_cost(
    footprint: Footprint, asked: OptionPrompts, *, interventions: int, batch_tokens: int, own_mask: bool
) -> Cost:
    """What `score_options` takes for so many interventions in one pass, from tokens alone.

    Raises:
        InputError: the model's memory limit cannot be kept.
    """
    if asked.letters is not None:
        sequences = [prompt for prompt in asked.prompts for _ in range(interventions)]
        plan = plan_within(footprint, sequences, batch_tokens=batch_tokens, own_mask=own_mask)
        return Cost(plan.tokens_asked, plan.tokens_run, plan_bytes(footprint, plan))
    plans = [
        plan_statements(*asked.of_group(rows, own), batch_tokens=batch_tokens, footprint=footprint, own_mask=own_mask)
        for rows, own in asked.groups()
    ]
    return Cost(
        interventions * sum(plan.tokens_asked for plan in plans),
        interventions * sum(plan.tokens_run for plan in plans),
        max((statements_bytes(footprint, plan) for plan in plans), default=0),
    )


def _longer(name: Ids, names: Sequence[Ids]) -> list[int]:
    """The places of names that this one begins, but for those that another of them begins."""
    begun = [place for place, other in enumerate(names) if len(other) > len(name) and other[: len(name)] == name]
    return [
        place
        for place in begun
        if not any(
            len(names[other]) < len(names[place]) and names[place][: len(names[other])] == names[other]
            for other in begun
        )
    ]
