"""A tokenizer as the metadata of a .gguf file: byte-level BPE that splits texts in a way llama.cpp has a name for."""

from __future__ import annotations

import json
from typing import Any

from pasctl.errors import InputError

_NORMAL, _CONTROL, _USER_DEFINED, _UNUSED = 1, 3, 4, 5  # kinds of token, as llama.cpp counts them

_WORDS = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{{L}}\p{{N}}]?\p{{L}}+|\p{{N}}{digits}"
    r"| ?[^\s\p{{L}}\p{{N}}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
_SPLITS = {
    "qwen2": [("Split", _WORDS.format(digits="")), ("ByteLevel", False)],
    "llama-bpe": [("Split", _WORDS.format(digits="{1,3}")), ("ByteLevel", False)],
    "smollm": [("Digits", True), ("ByteLevel", True)],
    "gpt-2": [("ByteLevel", True)],
}
"""What llama.cpp calls a way of splitting a text, and what the tokenizers library does step by step: a Split by a
pattern; Digits, each by itself; ByteLevel, with GPT-2's pattern or without."""


def add_tokenizer(writer: Any, tokenizer: Any, rows: int) -> None:
    """Write a tokenizer's tokens, merges, special tokens and chat template.

    Args:
        writer: a GGUFWriter.
        tokenizer: from transformers.
        rows: of the token embedding; those without a token get a name that no text has.

    Raises:
        InputError: it is no byte-level BPE, or splits texts in a way that llama.cpp has no name for.
    """
    backend = getattr(tokenizer, "backend_tokenizer", None)
    known = json.loads(backend.to_str()) if backend is not None else {"model": {}}
    if known["model"].get("type") != "BPE":
        raise _refused(f"is {known['model'].get('type') or 'none of the tokenizers library'}, expected byte-level BPE")
    steps = _steps(known["pre_tokenizer"])
    name = next((name for name, split in _SPLITS.items() if split == steps), None)
    if name is None:
        raise _refused("splits texts in a way that is not one of " + ", ".join(_SPLITS))
    tokens = [f"[PAD{row}]" for row in range(rows)]
    kinds = [_UNUSED] * rows
    for token, row in known["model"]["vocab"].items():
        tokens[row], kinds[row] = token, _NORMAL
    for added in known["added_tokens"]:
        tokens[added["id"]], kinds[added["id"]] = added["content"], _CONTROL if added["special"] else _USER_DEFINED
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre(name)
    writer.add_token_list(tokens)
    writer.add_token_types(kinds)
    writer.add_token_merges([pair if isinstance(pair, str) else " ".join(pair) for pair in known["model"]["merges"]])
    for kind in ("bos", "eos", "pad", "unk"):
        if (token := getattr(tokenizer, f"{kind}_token_id")) is not None:
            getattr(writer, f"add_{kind}_token_id")(token)
    begins = tokenizer("a")["input_ids"][:1] == [tokenizer.bos_token_id]
    writer.add_add_bos_token(begins)
    if isinstance(tokenizer.chat_template, str):
        writer.add_chat_template(tokenizer.chat_template)


def _steps(split: dict[str, Any] | None) -> list[tuple[str, Any]]:
    """What a pre-tokenizer does, step by step; what is not known is told by its name alone."""
    if split is None:
        return []
    kind = split["type"]
    if kind == "Sequence":
        return [step for each in split["pretokenizers"] for step in _steps(each)]
    told = {
        "Split": (split.get("pattern") or {}).get("Regex") if split.get("behavior") == "Isolated" else None,
        "Digits": split.get("individual_digits"),
        "ByteLevel": split.get("use_regex") if not split.get("add_prefix_space") else None,
    }
    return [(kind, told.get(kind))]


def _refused(why: str) -> InputError:
    return InputError(
        f"the tokenizer {why}, so no .gguf file is written from it",
        hint="convert the model with llama.cpp's convert_hf_to_gguf.py, and fit directions of that file",
    )
