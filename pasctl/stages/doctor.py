"""Checks of the machine, the store and a model; none of them changes anything."""

from __future__ import annotations

import platform
import shutil
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING

from pasctl.commands.doctor import Doctor
from pasctl.errors import PasctlError
from pasctl.inventory import Inventory, builtin_inventory, option_names, question
from pasctl.models.adapters import ADAPTERS, FAMILIES
from pasctl.models.device import resolve_device, resolve_dtype
from pasctl.models.hub import hub_reachable
from pasctl.models.options import ModelOptions
from pasctl.models.sites import RESIDUAL, usual_sites
from pasctl.stages.letter_mass import letter_mass, mass_warning
from pasctl.stages.run import Run
from pasctl.stages.runner import open_store

if TYPE_CHECKING:
    from pasctl.models.load import LoadedModel

PACKAGES = ("torch", "transformers", "huggingface-hub", "numpy", "sqlalchemy", "pyarrow")
EXTRAS = {"gguf": "gguf", "accelerate": "gguf", "torchao": "quantize"}  # package -> the extra that brings it
LOW_DISK_GIB = 2.0
SAMPLE_TOKENS = 16


@dataclass(frozen=True)
class Finding:
    """One line of the doctor's report; `ok` None is a note that is neither good nor bad."""

    what: str
    ok: bool | None
    found: str


def plan(declared: Doctor, run: Run) -> list[Finding]:
    """All checks, those of a model where one is named."""
    declared.options.require_one_process("doctor")
    findings = check_machine(str(run.store.root), declared.options.device)
    return findings + (check_model(declared.model, declared.options, run) if declared.model is not None else [])


def check_machine(store: str, device: str = "auto") -> list[Finding]:
    """Versions, device, store, disk and hub."""
    findings = [Finding("python", True, platform.python_version())]
    findings += [_package(name, needed=True) for name in PACKAGES]
    findings += [_package(name, needed=False) for name in EXTRAS]
    place = resolve_device(device)
    findings.append(Finding("device", True, f"{place}, dtype auto is {resolve_dtype('auto', place)}"))
    findings += [_store(store), _disk(store)]
    reachable, words = hub_reachable()
    findings.append(Finding("hub", True if reachable else None, words))
    return findings


def check_model(spec: str, options: ModelOptions, run: Run) -> list[Finding]:
    """Load a model with its self-check, look at the letters' tokens, and generate a few tokens steered.

    A model that fails to load is a finding, not an error.
    """
    try:
        model = run.model(spec, options).load()
    except PasctlError as error:
        return [Finding("model", False, error.message)]
    geometry = model.geometry
    weights = "" if model.quantization is None else f" with {model.quantization} weights"
    findings = [
        Finding(
            "model",
            True,
            f"{model.source.family}, {model.config.num_hidden_layers} layers, hidden {geometry.hidden}, "
            f"{model.dtype}{weights} on {model.device}, attention {model.attn}; zero displacement changes no logit",
        )
    ]
    if model.source.family not in ADAPTERS and model.source.family not in FAMILIES.names():
        told = f"{model.source.family} has no row of its own; what was found in its modules is proven below"
        findings.append(Finding("family", None, told))
    findings += _sites(model)
    inventory = builtin_inventory()
    names = option_names(inventory)
    longest = max(
        len(model.chat.encode(question(inventory.items[column], inventory))) for column in range(len(inventory))
    )
    letters = ", ".join(f"{name}={token}" for name, token in zip(names, model.chat.letter_ids(names), strict=True))
    findings.append(
        Finding("tokens", True, f"{letters}; prompts of at most {longest} tokens, template {model.chat.kind}")
    )
    if model.chat.warning:
        findings.append(Finding("template", None, model.chat.warning))
    findings += [_letters(model, inventory, run.batch_tokens)]
    findings.append(_steered_sample(model))
    return findings


def _sites(model: LoadedModel) -> list[Finding]:
    """The places that can be read and shifted, and what was proven of them when the model was loaded."""
    findings, report = [], model.report
    for kind in model.geometry.kinds:
        geometry = model.geometry.at(kind)
        where = "every layer" if not geometry.numbers else f"layers {', '.join(map(str, geometry.numbers))}"
        heads = "a stream" if kind == RESIDUAL else f"{geometry.heads} heads"
        error = None if report is None else report.shifts.get(kind)
        proof = "" if error is None else f"; a shifted head is its projection shifted, to {error:.1g} of the shift"
        if any(site.norm_behind for site in usual_sites(model.sites, kind)):
            proof += "; a norm stands between them and the residual stream"
        findings.append(Finding(f"site {kind}", True, f"{heads} of {geometry.head_dim} in {where}{proof}"))
    if report is not None:
        masks = "several texts share a row" if model.takes_masks else "each text has a row of its own"
        told = f"a shared prefix changes nothing, to {report.prefix:.1g} of the hidden states; {masks}"
        findings.append(Finding("prefixes", True, told))
    return [*findings, _memory(model)]


def _memory(model: LoadedModel) -> Finding:
    """Whether the memory path is the model; a model that has none is no fault."""
    from pasctl.memory.proof import TOKENS, require_memory

    try:
        proof = require_memory(model)
    except PasctlError as error:
        return Finding("memory", None, error.message)
    told = f"{TOKENS} tokens read and asked through memory are as without one, to {proof.error:.1g} of the logits"
    return Finding("memory", True, told)


def _letters(model: LoadedModel, inventory: Inventory, batch_tokens: int) -> Finding:
    """Whether the model answers with a letter where its answer begins; one that does not is no fault."""
    mass = letter_mass(model, inventory, [(column, "forward") for column in range(len(inventory))], batch_tokens)
    warning = mass_warning(mass)
    told = f"the option letters have {mass:.2f} of the probability where the answer begins"
    return Finding("letters", None, f"warning: {warning}") if warning else Finding("letters", True, told)


def _steered_sample(model: LoadedModel) -> Finding:
    """Generate with a random displacement; the text says nothing, that it comes is the point."""
    import torch

    from pasctl.steering import Intervention, steer

    geometry = model.geometry
    shift = torch.randn(1, geometry.heads * geometry.head_dim, generator=torch.Generator().manual_seed(0))
    prompt = torch.tensor([model.chat.encode("Tell me about yourself.")], device=model.device)
    with steer(model, Intervention({geometry.layers // 2: 0.1 * shift})), torch.inference_mode():
        tokens = model.model.generate(
            input_ids=prompt,
            attention_mask=torch.ones_like(prompt),
            max_new_tokens=SAMPLE_TOKENS,
            do_sample=False,
            pad_token_id=model.tokenizer.pad_token_id or model.tokenizer.eos_token_id or 0,
        )
    new = tokens[0, prompt.shape[1] :]
    text = " ".join(model.tokenizer.decode(new, skip_special_tokens=True).split())
    return Finding("steering", len(new) > 0, f"{len(new)} tokens generated: {text!r}")


def _package(name: str, *, needed: bool) -> Finding:
    try:
        return Finding(name, True, version(name))
    except PackageNotFoundError:
        extra = "" if needed else f" (extra {EXTRAS[name]})"
        return Finding(name, False if needed else None, f"not installed{extra}")


def _store(folder: str) -> Finding:
    if not Path(folder).is_dir():
        return Finding("store", None, f"{folder} does not exist yet")
    store = open_store(folder)
    try:
        problems = [problem for problem in store.verify() if problem.damaged]
        count = len(store.artifacts())
    except PasctlError as error:
        return Finding("store", False, error.message)
    if problems:
        return Finding("store", False, f"{folder}: {len(problems)} problems, see `pasctl store verify`")
    return Finding("store", True, f"{folder}: {count} artifacts")


def _disk(folder: str) -> Finding:
    place = Path(folder).resolve()
    while not place.exists():
        place = place.parent
    free = shutil.disk_usage(place).free / 2**30
    return Finding("disk", free > LOW_DISK_GIB, f"{free:.1f} GiB free")
