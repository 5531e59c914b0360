"""A method of vLLM's in the place of which stands one of ours that calls it."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

_WRAPPED = "pasctl_wraps"


def wrap(owner: Any, name: str, make: Callable[[Any], Any]) -> None:
    """Put make(method) in the place of a method, once per process.

    Raises:
        AttributeError: there is no such method.
    """
    method = getattr(owner, name)
    if not hasattr(method, _WRAPPED):
        wrapped = functools.wraps(method)(make(method))
        setattr(wrapped, _WRAPPED, method)
        setattr(owner, name, wrapped)
