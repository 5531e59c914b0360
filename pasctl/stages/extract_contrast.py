"""contrast + model -> activations: head outputs of both sides of every pair."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from pasctl.activations.budget import plan_bytes, plan_within
from pasctl.commands.extract import Extract
from pasctl.contrasts import Contrast, Example, Pair, load_contrast
from pasctl.contrasts.questionnaire import ITEMS, STATEMENTS, asked_items, items_contrast, statements_contrast
from pasctl.evaluation.readings import LETTERS
from pasctl.evaluation.readings import STATEMENTS as BY_STATEMENTS
from pasctl.inventory import Inventory, absolute_spec, chosen_inventory
from pasctl.inventory.notes import Note
from pasctl.models.transformers_compat import tokenize
from pasctl.stages.head_outputs import head_output_bytes
from pasctl.stages.job import Job, Payload, Stage, StageContext
from pasctl.stages.letter_mass import note_letter_mass
from pasctl.stages.run import Run
from pasctl.stages.runner import Artifact

if TYPE_CHECKING:
    from torch import Tensor

    from pasctl.models.chat import ChatRenderer
    from pasctl.models.load import LoadedModel
    from pasctl.stages.model import ModelHandle

SHARD_PAIRS = 64  # a shard is what a killed run may lose
_FILE = "contrast.json"
_OF_QUESTIONNAIRES = ("answers", "option_order", "items", "inventory")

Tokens = tuple[list[int], list[int]]
"""A prompt, and the text that follows it and is read; [] reads the prompt's last token."""

_OF_INVENTORY = {ITEMS: items_contrast, STATEMENTS: statements_contrast}


def plan_contrast(declared: Extract, run: Run) -> Job:
    """Extract head outputs [pairs, 2, L, H, D] of the plus and the minus side of each pair (design section 5)."""
    inventory = _inventory(declared, run.reporter.note)
    contrast = _load(declared, inventory)
    handle = run.model(declared.model, declared.options)
    return Job(
        stage=Stage.of(Extract),
        model=handle.slug,
        label=contrast.name,
        params=declared.key(omit=_OF_QUESTIONNAIRES, contrast=contrast.digest),
        inputs={},
        identity=handle.identity,
        numerics=handle.numerics(declared.seed),
        compute=partial(_compute, handle=handle, contrast=contrast, inventory=inventory, declared=declared, run=run),
        provenance={
            "model": handle.provenance(),
            "contrast": declared.contrast,
            **_facts(declared, inventory),
            "batch_tokens": run.batch_tokens,
        },
        estimate=lambda: _estimate(handle, contrast, run.batch_tokens, declared.site),
        writes=lambda: head_output_bytes(handle, 2 * len(contrast.pairs), declared.site),
    )


def _inventory(declared: Extract, note: Note) -> Inventory | None:
    """The questionnaire, where the contrast is made of one."""
    if declared.contrast not in _OF_INVENTORY:
        return None
    return chosen_inventory(declared.inventory, declared.option_labels, note)


def _facts(declared: Extract, inventory: Inventory | None) -> dict[str, Any]:
    """How the questionnaire was named that the contrast is made of."""
    if inventory is None or not isinstance(declared.inventory, str):
        return {}
    return {"inventory": absolute_spec(declared.inventory), **declared.told_labels}


def _load(declared: Extract, inventory: Inventory | None) -> Contrast:
    """The contrast that is named; that of a questionnaire's statements is of the inventory."""
    named = str(declared.contrast)
    return load_contrast(named) if inventory is None else _OF_INVENTORY[named](inventory)


def _reading(declared: Extract) -> str:
    """The reading that suits directions of the contrast."""
    return LETTERS if declared.contrast == ITEMS else BY_STATEMENTS


def is_contrast(activations: Artifact) -> bool:
    """Whether activations are of a contrast, and not of a questionnaire's answers."""
    return bool(activations.files(_FILE))


def read_contrast(activations: Artifact) -> Contrast:
    """The contrast whose activations these are."""
    return Contrast.from_json(activations.read_json(_FILE))


def _compute(
    work: StageContext,
    *,
    handle: ModelHandle,
    contrast: Contrast,
    inventory: Inventory | None,
    declared: Extract,
    run: Run,
) -> Payload:
    import numpy as np

    from pasctl.stages.arrays import to_store

    reading = _reading(declared)
    model = handle.load(work.reporter)
    counts = {"tokens_asked": 0, "tokens_run": 0}
    work.ready()
    if inventory is not None and reading == LETTERS:
        note_letter_mass(work, model, inventory, asked_items(inventory), run.batch_tokens)
    with work.reporter.progress("extract", len(contrast.pairs), "pairs") as advance, work.writing_behind() as write:
        for start in range(0, len(contrast.pairs), SHARD_PAIRS):
            pairs = contrast.pairs[start : start + SHARD_PAIRS]
            name = f"head_outputs/{start:05d}-{start + len(pairs):05d}.safetensors"
            if not work.has(name):
                values = _read(model, pairs, run.batch_tokens, counts, declared.site)
                items = np.arange(start, start + len(pairs), dtype=np.int64)
                write(name, {"head_outputs": to_store(values), "items": items})
            advance(len(pairs))
    work.provenance["counts"] = {"pairs": len(contrast.pairs), **counts}
    return {
        _FILE: contrast.to_json(),
        "items.json": {
            "rows": list(range(len(contrast.pairs))),
            "pairs": [[0, 1]],
            "reading": reading,
            "geometry": model.geometry.at(declared.site).to_json(),
            "template": {"kind": model.chat.kind, "digest": model.chat.template_digest},
        },
    }


def _read(model: LoadedModel, pairs: Sequence[Pair], batch_tokens: int, counts: dict[str, int], site: str) -> Tensor:
    """Head outputs [pairs, 2, L, H, D], plus before minus."""
    import torch

    from pasctl.activations.continuations import mean_head_outputs
    from pasctl.activations.extract import extract_head_outputs
    from pasctl.models.device import torch_dtype

    examples = [side for pair in pairs for side in (pair.plus, pair.minus)]
    tokens = [_tokens(model.chat, example) for example in examples]
    geometry = model.geometry.at(site)
    shape = (len(examples), geometry.layers, geometry.heads, geometry.head_dim)
    out = torch.empty(shape, dtype=torch_dtype(model.dtype))
    last = [place for place, example in enumerate(examples) if example.read != "mean"]
    if last:
        sequences = [tokens[place][0] + tokens[place][1] for place in last]
        extracted = extract_head_outputs(model, sequences, batch_tokens=batch_tokens, kind=site)
        out[last] = extracted.head_outputs
        counts["tokens_asked"] += extracted.tokens_asked
        counts["tokens_run"] += extracted.tokens_run
    by_prompt: dict[tuple[int, ...], list[int]] = defaultdict(list)
    for place, example in enumerate(examples):
        if example.read == "mean":
            by_prompt[tuple(tokens[place][0])].append(place)
    for prompt, places in by_prompt.items():
        texts = [tokens[place][1] for place in places]
        out[places], run = mean_head_outputs(model, prompt, texts, batch_tokens=batch_tokens, kind=site)
        counts["tokens_asked"] += len(prompt) * len(texts) + sum(map(len, texts))
        counts["tokens_run"] += run
    return out.view(len(pairs), 2, *shape[1:])


def _tokens(chat: ChatRenderer, example: Example) -> Tokens:
    if example.user is None:  # a plain text follows the tokens that any text begins with
        return chat.plain_start, tokenize(chat.tokenizer, example.text, add_special_tokens=False)
    return chat.encode(example.user, example.system), chat.reply(example.text) if example.text else []


def _estimate(handle: ModelHandle, contrast: Contrast, batch_tokens: int, site: str) -> dict[str, Any]:
    """Sequences, tokens and bytes of a run, from the tokenizer and the config; no weights are loaded."""
    chat, footprint, geometry = handle.chat(), handle.footprint(), handle.geometry().at(site)
    tokens = [_tokens(chat, side) for pair in contrast.pairs for side in (pair.plus, pair.minus)]
    sequences = [[*prompt, *text] for prompt, text in tokens]
    plan = plan_within(footprint, sequences, batch_tokens=batch_tokens, own_mask=handle.takes_masks())
    return {
        "sequences": len(sequences),
        "tokens_asked": plan.tokens_asked,
        "tokens_run": plan.tokens_run,
        "bytes": len(sequences) * geometry.layers * geometry.width * footprint.itemsize,
        "memory_bytes": plan_bytes(footprint, plan),
    }
