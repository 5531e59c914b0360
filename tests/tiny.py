"""Tiny models, tokenizers and model folders for tests: random weights, awkward geometry, built in well under a second.

Heads * head_dim is not the hidden size, there are fewer key-value heads than query heads, and the layer count is none
of these, so code that mixes them up fails on a shape.
"""

from __future__ import annotations

import functools
import hashlib
import os
import shutil
from pathlib import Path

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
from transformers import PreTrainedConfig, PreTrainedModel, PreTrainedTokenizerFast

from pasctl.models.adapters import resolve_attention
from pasctl.models.families import auto_class
from pasctl.models.load import LoadedModel
from tests.models.chat_templates import TEMPLATES
from tests.tiny_configs import HEAD_DIM, HEADS, HIDDEN, KV_HEADS, LAYERS, SHAPE, VOCAB, config_of

__all__ = ["HEADS", "HEAD_DIM", "HIDDEN", "KV_HEADS", "LAYERS", "SHAPE", "VOCAB"]

FAMILIES: list[str] = ["qwen3", "qwen3_moe", "llama", "mistral", "qwen2"]
"""Those that everything is tested on; the tests of tests/models/test_every_family.py run over all of tiny_configs."""

TOKENIZER_KINDS: list[str] = list(TEMPLATES)
"""qwen3, llama, base, no-system, drops-system."""

_SPECIAL = {
    "bos_token": "<|begin_of_text|>",
    "eos_token": "<|im_end|>",
    "additional_special_tokens": ["<|im_start|>", "<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>"],
}
_CORPUS = [
    "Imagine that you are the person described. How accurately does this statement describe you?",
    "I am the life of the party. I worry about things. I get stressed out easily. I have a vivid imagination.",
    "(A) Very Accurate (B) Moderately Accurate (C) Neither (D) Moderately Inaccurate (E) Very Inaccurate",
    "Answer: A Answer: B Answer: C Answer: D Answer: E system user assistant option Options statement Question",
] * 20


def tiny_config(family: str, **changes: int) -> PreTrainedConfig:
    """Config of `family`: 3 layers, 6 query and 2 key-value heads of 16, hidden 48 (Llama wants a multiple of 6)."""
    config = config_of(family)
    config.update(changes)
    return config


def tiny_model(
    family: str = "qwen3", seed: int = 0, dtype: torch.dtype = torch.float32, **changes: int
) -> PreTrainedModel:
    """Random `family` model in eval mode; the same seed gives the same weights and leaves torch's own generator alone.

    Every parameter is drawn, biases and norm weights too, spread widely enough that any change shows in the logits.
    """
    with torch.random.fork_rng(devices=[]):
        config = tiny_config(family, **changes)
        model = auto_class(config).from_config(
            config, dtype=dtype, attn_implementation=resolve_attention("auto", config.model_type)
        )
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            noise = torch.randn(parameter.shape, generator=generator, dtype=torch.float32)
            value = 1 + 0.2 * noise if "norm" in name else 0.15 * noise
            parameter.copy_(value.to(dtype))
    return model.eval().requires_grad_(False)


@functools.cache
def _trained() -> str:
    """Byte-level BPE of at most 500 tokens, trained on a few sentences; returned as JSON because callers alter it."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCAB - 12,
        special_tokens=[_SPECIAL["bos_token"], _SPECIAL["eos_token"], *_SPECIAL["additional_special_tokens"]],
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    tokenizer.train_from_iterator(_CORPUS, trainer)
    return str(tokenizer.to_str())


def tiny_tokenizer(kind: str = "qwen3") -> PreTrainedTokenizerFast:
    """Byte-level BPE tokenizer with the chat template `kind` (see TOKENIZER_KINDS).

    "A".."E" and " A".." E" are single tokens. The llama and base kinds put BOS before a text, as those
    families' tokenizers do.
    """
    tokenizer = Tokenizer.from_str(_trained())
    if kind in ("llama", "base"):
        bos = _SPECIAL["bos_token"]
        tokenizer.post_processor = processors.TemplateProcessing(
            single=f"{bos} $A", special_tokens=[(bos, tokenizer.token_to_id(bos))]
        )
    fast = PreTrainedTokenizerFast(tokenizer_object=tokenizer, pad_token=_SPECIAL["eos_token"], **_SPECIAL)
    fast.chat_template = TEMPLATES[kind]
    return fast


def tiny_loaded(family: str = "qwen3", seed: int = 0, template: str = "qwen3") -> LoadedModel:
    """A tiny model as load_model would give it, made in memory; PASCTL_TEST_DEVICE may name another device."""
    device = os.environ.get("PASCTL_TEST_DEVICE", "cpu")
    return LoadedModel.wrap(tiny_model(family, seed).to(device), tiny_tokenizer(template))


def save_tiny(
    folder: Path | str, family: str = "qwen3", seed: int = 0, template: str = "qwen3", **changes: int
) -> Path:
    """Write a tiny model as a model folder (config.json, model.safetensors, tokenizer files) and return the folder.

    `changes` are to its config.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    tiny_model(family, seed, **changes).save_pretrained(folder)
    tiny_tokenizer(template).save_pretrained(folder)
    return folder


def hub_cache_layout(cache_dir: Path | str, repo: str, folder: Path | str) -> str:
    """Lay `folder` out below `cache_dir` ($HF_HUB_CACHE, by default $HF_HOME/hub) as the hub's cache does.

    Returns the commit sha. Contents are in blobs/, snapshots/<sha>/ links to them, and refs/main names the sha.
    """
    root = Path(cache_dir) / f"models--{repo.replace('/', '--')}"
    files = sorted(path for path in Path(folder).rglob("*") if path.is_file())
    names = {path: path.relative_to(folder).as_posix() for path in files}
    digests = {path: hashlib.sha256(path.read_bytes()).hexdigest() for path in files}
    listing = "".join(f"{names[path]} {digests[path]}\n" for path in files)
    sha = hashlib.sha1(listing.encode()).hexdigest()  # noqa: S324 - a git commit id is a sha1
    (root / "blobs").mkdir(parents=True, exist_ok=True)
    for path in files:
        blob = root / "blobs" / digests[path]
        shutil.copyfile(path, blob)
        link = root / "snapshots" / sha / names[path]
        link.parent.mkdir(parents=True, exist_ok=True)
        link.unlink(missing_ok=True)
        link.symlink_to(os.path.relpath(blob, link.parent))
    (root / "refs").mkdir(exist_ok=True)
    (root / "refs" / "main").write_text(sha)
    return sha
