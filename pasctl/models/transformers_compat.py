"""What other libraries raise and print, cut down to one line and to silence."""

from __future__ import annotations

import io
import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr

from pasctl.errors import PasctlError


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
        PasctlError: for every Exception and every panic in Rust; KeyboardInterrupt and SystemExit pass.
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
    except BaseException as error:
        # transformers documents no errors: any of a dozen classes can mean a damaged file, and a panic in Rust is none
        if not isinstance(error, Exception) and type(error).__name__ != "PanicException":
            raise
        raise PasctlError(f"cannot load {spec}: {type(error).__name__}: {first_line(error)}") from error


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
