"""inventory + model -> activations: head outputs at the answer of every item."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from pasctl.activations.budget import plan_bytes, plan_within
from pasctl.commands.extract import Extract
from pasctl.errors import InputError
from pasctl.inventory import (
    Inventory,
    absolute_spec,
    chosen_inventory,
    listing,
    option_levels,
    option_names,
    question,
    wording_digest,
)
from pasctl.stages.head_outputs import head_output_bytes
from pasctl.stages.job import Job, Payload, Stage, StageContext
from pasctl.stages.letter_mass import note_letter_mass
from pasctl.stages.model import ModelHandle
from pasctl.stages.run import Run, function_of
from pasctl.stages.runner import Artifact

if TYPE_CHECKING:
    from torch import Tensor

    from pasctl.models.chat import ChatRenderer
    from pasctl.models.load import LoadedModel

DEFAULT_ORDER = "both"
SHARD_ITEMS = 32  # a shard is what a killed run may lose; its batches do not depend on other shards


@dataclass(frozen=True)
class Column:
    """One answer of every item: in which option order, and which option, counted from the highest score (0) down.

    -1 is the lowest score's.
    """

    order: str
    option: int


def order_of(declared: Extract) -> str:
    """In which orders the options are shown."""
    return declared.option_order or DEFAULT_ORDER


def columns_of(declared: Extract, inventory: Inventory) -> tuple[Column, ...]:
    """The answer columns of `head_outputs`, from most to least agreement within each option order.

    Raises:
        InputError: all answers are wanted of items that have different numbers of them.
    """
    orders = ("forward", "reversed") if order_of(declared) == "both" else ("forward",)
    if declared.answers != "all":
        return tuple(Column(order, option) for order in orders for option in (0, -1))
    points = sorted(set(inventory.points.tolist()))
    if len(points) > 1:
        raise InputError(
            f"--answers all: items of inventory {inventory.name} have {listing(list(map(str, points)))} options, "
            "expected the same number",
            hint="leave --answers at ends, the highest and the lowest option",
        )
    return tuple(Column(order, option) for order in orders for option in range(points[0]))


def plan(declared: Extract, run: Run) -> Job:
    """Extract head outputs [items, answers, L, H, D] at the answer's last token, or those of a contrast."""
    if declared.contrast is not None:
        from pasctl.stages.extract_contrast import plan_contrast

        return plan_contrast(declared, run)
    inventory = chosen_inventory(declared.inventory, declared.option_labels, run.reporter.note)
    handle = run.model(declared.model, declared.options)
    return Job(
        stage=Stage.of(Extract),
        model=handle.slug,
        label=inventory.name,
        params=declared.key(option_order=order_of(declared), inventory=inventory.digest, wording=wording_digest()),
        inputs={},
        identity=handle.identity,
        numerics=handle.numerics(declared.seed),
        compute=partial(_compute, handle=handle, inventory=inventory, declared=declared, run=run),
        provenance={
            "model": handle.provenance(),
            "inventory": absolute_spec(declared.inventory) if isinstance(declared.inventory, str) else None,
            **declared.told_labels,
            "batch_tokens": run.batch_tokens,
        },
        estimate=lambda: _estimate(handle, inventory, declared, run.batch_tokens),
        writes=lambda: head_output_bytes(
            handle, len(inventory.indices(declared.items)) * len(columns_of(declared, inventory)), declared.site
        ),
    )


extract = function_of(Extract)


def read_head_outputs(activations: Artifact) -> tuple[Tensor, dict[str, Any]]:
    """Head outputs [I, A, L, H, D] of the items extracted, in inventory order, and the artifact's description.

    Raises:
        IntegrityError: a shard does not match its digest.
    """
    import torch

    from pasctl.stages.arrays import from_store

    described = activations.read_json("items.json")
    place = {column: row for row, column in enumerate(described["rows"])}
    out: Tensor | None = None
    for name in activations.files("head_outputs/"):
        shard = activations.read_tensors(name)
        values = from_store(shard["head_outputs"])
        if out is None:
            out = torch.empty((len(place), *values.shape[1:]), dtype=values.dtype)
        out[[place[int(item)] for item in from_store(shard["items"])]] = values
    if out is None:
        raise InputError(f"{activations.name} holds no head outputs")
    return out, described


@dataclass(frozen=True, eq=False)
class PromptSet:
    """The token sequences of an extraction, in shards that do not depend on who computes them.

    Attributes:
        prompts: item -> option order -> token ids that end where the answer begins.
        letters: letter, number or text of an option -> its token ids as an answer.
        columns: the answers of each item.
        names: item -> the letters of its columns.
    """

    prompts: dict[int, dict[str, list[int]]]
    letters: dict[str, tuple[int, ...]]
    columns: tuple[Column, ...]
    names: dict[int, tuple[str, ...]]

    @classmethod
    def render(cls, chat: ChatRenderer, inventory: Inventory, declared: Extract) -> PromptSet:
        """Render the inventory's questions with a model's chat template."""
        columns = columns_of(declared, inventory)
        orders = tuple(dict.fromkeys(column.order for column in columns))
        prompts = {
            int(row): {order: chat.encode(question(inventory.items[row], inventory, order)) for order in orders}
            for row in inventory.indices(declared.items)
        }
        names = option_names(inventory)
        named = {row: tuple(_name(inventory, row, column) for column in columns) for row in prompts}
        return cls(prompts, dict(zip(names, chat.option_ids(names), strict=True)), columns, named)

    @property
    def shards(self) -> dict[str, list[int]]:
        """File name -> items; items of similar length are together, for fuller batches."""
        by_length = sorted(self.prompts, key=lambda row: (len(self.prompts[row]["forward"]), row))
        return {
            f"head_outputs/{start:05d}-{min(start + SHARD_ITEMS, len(by_length)):05d}.safetensors": by_length[
                start : start + SHARD_ITEMS
            ]
            for start in range(0, len(by_length), SHARD_ITEMS)
        }

    def sequences(self, shard: list[int]) -> list[list[int]]:
        """Token ids up to and with the answer, whose last token is read: item by item, column by column."""
        return [
            [*self.prompts[row][column.order], *self.letters[name]]
            for row in shard
            for column, name in zip(self.columns, self.names[row], strict=True)
        ]


def _compute(work: StageContext, *, handle: ModelHandle, inventory: Inventory, declared: Extract, run: Run) -> Payload:
    import numpy as np

    from pasctl.activations.extract import extract_head_outputs
    from pasctl.stages.arrays import to_store

    model = handle.load(work.reporter)
    prompts = PromptSet.render(model.chat, inventory, declared)
    counts = {"tokens_asked": 0, "tokens_run": 0, "items_resumed": 0}
    note_letter_mass(work, model, inventory, [(row, "forward") for row in prompts.prompts], run.batch_tokens)
    work.ready()
    with work.reporter.progress("extract", len(prompts.prompts), "items") as advance, work.writing_behind() as write:
        for name, shard in prompts.shards.items():
            if work.has(name):
                counts["items_resumed"] += len(shard)
            else:
                extracted = extract_head_outputs(
                    model, prompts.sequences(shard), batch_tokens=run.batch_tokens, kind=declared.site
                )
                # [items * answers, L, H, D] -> [items, answers, L, H, D]
                values = extracted.head_outputs.view(
                    len(shard), len(prompts.columns), *extracted.head_outputs.shape[1:]
                )
                write(name, {"head_outputs": to_store(values), "items": np.array(shard, np.int64)})
                counts["tokens_asked"] += extracted.tokens_asked
                counts["tokens_run"] += extracted.tokens_run
            advance(len(shard))
    work.provenance["counts"] = counts
    return {
        "items.json": _description(model, inventory, prompts, declared.site),
        "prompts.json": {str(row): orders for row, orders in prompts.prompts.items()},
    }


def _description(model: LoadedModel, inventory: Inventory, prompts: PromptSet, site: str) -> dict[str, Any]:
    points = int(inventory.points[0])
    place = {(column.order, column.option % points): place for place, column in enumerate(prompts.columns)}
    return {
        "inventory": inventory.to_json(),
        "rows": sorted(prompts.prompts),
        "columns": [_told(inventory, column, set(names)) for column, *names in _by_column(prompts)],
        # agreeing against disagreeing answers of one order: the highest with the lowest and, where extracted, the next
        "pairs": [
            [place[order, option], place[order, points - 1 - option]]
            for order, option in place
            if 2 * option < points - 1
        ],
        "letters": {name: ids[0] if len(ids) == 1 else list(ids) for name, ids in prompts.letters.items()},
        "geometry": model.geometry.at(site).to_json(),
        "template": {"kind": model.chat.kind, "digest": model.chat.template_digest},
    }


def _by_column(prompts: PromptSet) -> list[tuple[Any, ...]]:
    """Each column with the letters that it has, item by item."""
    return list(zip(prompts.columns, *prompts.names.values(), strict=True))


def _name(inventory: Inventory, row: int, column: Column) -> str:
    """What names a column's option in an item."""
    points = len(inventory.scales[row])
    levels = option_levels(column.order, points)
    return inventory.option_names(inventory.items[row], levels)[levels.index(points - column.option % points)]


def _told(inventory: Inventory, column: Column, names: set[str]) -> dict[str, Any]:
    """A column as the artifact describes it; what differs by item is null."""
    scores = {scale.scores[column.option] for scale in inventory.scales}
    return {
        "order": column.order,
        "agreement": scores.pop() if len(scores) == 1 else None,
        "letter": names.pop() if len(names) == 1 else None,
    }


def _estimate(handle: ModelHandle, inventory: Inventory, declared: Extract, batch_tokens: int) -> dict[str, Any]:
    """Sequences, tokens and bytes of a run, from the tokenizer and the config; no weights are loaded."""
    prompts, footprint = PromptSet.render(handle.chat(), inventory, declared), handle.footprint()
    plans = [
        plan_within(footprint, prompts.sequences(shard), batch_tokens=batch_tokens, own_mask=handle.takes_masks())
        for shard in prompts.shards.values()
    ]
    sequences = len(prompts.prompts) * len(prompts.columns)
    return {
        "sequences": sequences,
        "tokens_asked": sum(plan.tokens_asked for plan in plans),
        "tokens_run": sum(plan.tokens_run for plan in plans),
        "bytes": head_output_bytes(handle, sequences, declared.site),
        "memory_bytes": max(plan_bytes(footprint, plan) for plan in plans),
    }
