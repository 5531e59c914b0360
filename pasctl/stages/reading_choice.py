"""Which reading of answers suits a model, where the user leaves it open."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from pasctl.commands.evaluate import Evaluate
from pasctl.errors import InputError
from pasctl.evaluation.readings import CHECKED_ITEMS, LETTERS, STATEMENTS, parse_readings
from pasctl.inventory import Inventory, by_level, option_names, option_places, question, wording_digest
from pasctl.stages.model import ModelHandle
from pasctl.stages.run import Run
from pasctl.stages.runner import Artifact

if TYPE_CHECKING:
    from pasctl.evaluation.readings import ReadingCheck
    from pasctl.models.load import LoadedModel

_ORDERS = ("forward", "reversed")
_CHECKED = 6  # of the random streams that a seed has


def chosen_readings(
    declared: Evaluate, run: Run, source: Artifact, handle: ModelHandle
) -> tuple[tuple[str, ...], dict[str, Any] | None]:
    """The readings asked for; or the one that suits the model, and what was found when it was tried on fit items.

    A model is tried once for each questionnaire: later evaluations find it in the store's results. A dry run loads no
    model: where nothing is known yet, it plans for letters.
    """
    asked = parse_readings(declared.reading)
    if asked is not None:
        return asked, None
    inventory = Inventory.from_json(source.read_json("items.json")["inventory"])
    if any(item.scenario for item in inventory.items):
        run.reporter.note(
            f"reading {LETTERS}: inventory {inventory.name} has situations, which nobody says of themselves"
        )
        return (LETTERS,), None
    numerics = {name: value for name, value in handle.numerics(declared.seed).items() if name != "seed"}
    about = {"inventory": inventory.digest, "wording": wording_digest(), "numerics": numerics}
    check = _known(run, handle, about)
    if check is None:
        if run.dry_run:
            run.reporter.note("the model was not tried on letters yet: planned as if it answered with them")
            return (LETTERS,), None
        check = about | _tried(handle.load(run.reporter), inventory, declared.seed, run.batch_tokens)
    run.reporter.note(check["reason"])
    return (check["reading"],), check


def _known(run: Run, handle: ModelHandle, about: dict[str, Any]) -> dict[str, Any] | None:
    """What an earlier evaluation found."""
    for results in run.store.candidates("results"):
        check: dict[str, Any] = results.provenance.get("reading_check") or {}
        known = {name: check.get(name) for name in about}
        if known == about and results.document["model"] == handle.identity:
            return check
    return None


def _tried(model: LoadedModel, inventory: Inventory, seed: int, batch_tokens: int) -> dict[str, Any]:
    try:
        check = try_letters(model, inventory, seed, batch_tokens)
    except InputError as error:  # the tokenizer has no tokens for the options
        return {"reading": STATEMENTS, "reason": f"reading {STATEMENTS}: {error}"}
    return {**check.to_json(), "reason": check.reason}


def try_letters(model: LoadedModel, inventory: Inventory, seed: int, batch_tokens: int) -> ReadingCheck:
    """Ask some fit items, drawn by the seed, in two option orders.

    Raises:
        InputError: the tokenizer has no tokens for the options.
    """
    from pasctl.evaluation.option_scoring import OptionPrompts, score_options
    from pasctl.evaluation.readings import check_letters

    columns = np.random.default_rng([seed, _CHECKED]).permutation(inventory.indices("fit"))[:CHECKED_ITEMS]
    names = model.chat.option_ids(option_names(inventory))
    prompts = [
        model.chat.encode(question(inventory.items[column], inventory, order))
        for order in _ORDERS
        for column in columns
    ]
    places = [option_places(inventory, columns, order) for order in _ORDERS]
    asked = OptionPrompts(prompts, names, np.concatenate(places))
    [logprobs] = score_options(model, asked, batch_tokens=batch_tokens).logprobs
    by_order = logprobs.reshape(len(_ORDERS), len(columns), len(names))
    return check_letters(
        np.stack([by_level(values, own) for values, own in zip(by_order, places, strict=True)]),
        inventory.level_scores[columns],
    )
