"""What other libraries raise and print, cut down to one line and to silence."""

from __future__ import annotations

import io
import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr
from itertools import accumulate
from typing import Any

from pasctl.errors import InputError, MissingError, PasctlError


def first_line(error: BaseException) -> str:
    """First line of an error's text, with the next if it only announces it; the class name where there is none."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    if not lines:
        return type(error).__name__
    return " ".join(lines[:2]) if lines[0].endswith(":") else lines[0]


@contextmanager
def one_line_errors(spec: str) -> Iterator[None]:
    """Turn whatever transformers raises while it loads `spec` into one line with the cause.

    Raises:
        MissingError: a package is not installed.
        PasctlError: for every other Exception and every panic in Rust; KeyboardInterrupt and SystemExit pass.
    """
    import torch

    try:
        yield
    except PasctlError:
        raise
    except (torch.OutOfMemoryError, MemoryError) as error:
        raise PasctlError(
            f"{spec} does not fit into memory: {first_line(error)}",
            hint="try --dtype bfloat16, a --device-map or a smaller model",
        ) from error
    except ImportError as error:
        raise MissingError(f"cannot load {spec}: {first_line(error)}") from error
    except BaseException as error:  # transformers documents no errors: any of a dozen classes can mean a damaged file
        if not is_failure(error):
            raise
        raise PasctlError(f"cannot load {spec}: {type(error).__name__}: {first_line(error)}") from error


def is_failure(error: BaseException) -> bool:
    """Whether something failed, and nobody wants to stop: an exception, or a panic of a library in Rust.

    Panics are no `Exception`, and of a class that cannot be imported.
    """
    return isinstance(error, Exception) or type(error).__name__ == "PanicException"


def tokenize(tokenizer: Any, text: str, **how: bool) -> list[int]:
    """Token ids of a text; `how` are options of the tokenizer.

    Raises:
        InputError: the tokenizer panics.
    """
    return [int(token) for token in _encoded(tokenizer, text, **how)["input_ids"]]


def tokenize_with_starts(tokenizer: Any, text: str, **how: bool) -> tuple[list[int], list[int]]:
    """Token ids of a text, and the character at which each begins; no token begins before the one before it.

    Raises:
        InputError: the tokenizer panics.
    """
    if not getattr(tokenizer, "is_fast", False):
        ids = tokenize(tokenizer, text, **how)
        return ids, _decoded_starts(tokenizer, ids, len(text))
    encoded = _encoded(tokenizer, text, return_offsets_mapping=True, **how)
    starts = list(accumulate((start for start, _ in encoded["offset_mapping"]), max))
    return [int(token) for token in encoded["input_ids"]], starts


def _encoded(tokenizer: Any, text: str, **how: bool) -> Any:
    try:
        return tokenizer(text, verbose=False, **how)
    except BaseException as error:
        if isinstance(error, Exception) or not is_failure(error):
            raise
        raise InputError(f"the tokenizer gives up a text of {len(text):,} characters: {first_line(error)}") from None


def _decoded_starts(tokenizer: Any, ids: list[int], characters: int) -> list[int]:
    """Where tokens begin by the lengths of what they are decoded to, for tokenizers that do not say."""
    lengths = (len(tokenizer.decode([token], clean_up_tokenization_spaces=False)) for token in ids)
    return [min(start, characters) for start in accumulate(lengths, initial=0)][: len(ids)]


@contextmanager
def quiet_transformers() -> Iterator[None]:
    """Keep transformers' warnings and progress bars off stderr, unless PASCTL_DEBUG is set.

    Its GGUF reader draws a bar that no setting switches off, hence the redirection.
    """
    if os.environ.get("PASCTL_DEBUG"):
        yield
        return
    from transformers.utils import logging as transformers_logging

    level, bars = transformers_logging.get_verbosity(), transformers_logging.is_progress_bar_enabled()
    transformers_logging.set_verbosity(logging.CRITICAL)
    transformers_logging.disable_progress_bar()
    try:
        with redirect_stderr(io.StringIO()):
            yield
    finally:
        transformers_logging.set_verbosity(level)
        if bars:
            transformers_logging.enable_progress_bar()
