"""Conversations that a store keeps: which there is under a name, with which model, and who holds it."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import replace

from pasctl.chat.journal import Journal
from pasctl.errors import BusyError, InputError, MissingError
from pasctl.stages.memory import model_of
from pasctl.stages.model import ModelHandle
from pasctl.stages.run import Run
from pasctl.stages.runner import Artifact, Store, check_word

TURNS = "conversation.json"
"""The file that tells a conversation's memory from another."""


def find_conversation(store: Store, model: str, label: str) -> Artifact | None:
    """The latest version of a conversation with a model; None if it is to begin.

    Raises:
        InputError: a memory of that name is no conversation, or the conversation was held with another model.
    """
    with contextlib.suppress(MissingError):
        found = store.resolve(f"memory/{model}/{label}", "memory")
        if TURNS in found.files():
            return found
        raise InputError(
            f"{found.name} is no conversation but a text that was read",
            hint=f"ask it with `/memory {found.name}`, or give the conversation another name",
        )
    for other in store.candidates("memory"):
        if other.label == label and other.model != model and TURNS in other.files():
            raise InputError(
                f"conversation {label!r} was held with {other.model} ({other.name}), not with {model}",
                hint="give that model, or another name",
            )
    return None


def model_of_conversation(run: Run, handle: ModelHandle, label: str) -> ModelHandle:
    """The model as a conversation is held with it: in the dtype that it was begun in.

    Raises:
        InputError: it was held with another model, or is wanted in another dtype.
        IntegrityError: what an earlier session left is damaged.
    """
    memory, options = find_conversation(run.store, handle.slug, label), handle.options
    if memory is not None:
        return model_of(memory, handle.source.spec, options, run)
    left = Journal(run.store.root, handle.slug, label).read()
    if left is None or options.dtype != "auto":
        return handle
    return run.model(handle.source, replace(options, dtype=left.dtype))


@contextlib.contextmanager
def held(store: Store, model: str, label: str) -> Iterator[None]:
    """Holds a conversation for this process while the block runs.

    Raises:
        BusyError: another process holds it.
        InputError: the label cannot be part of a name.
    """
    check_word("conversation", label)

    def refuse(holder: object) -> None:
        raise BusyError(
            f"conversation {label!r} with {model} is being held by {holder}",
            hint="end that session, or give another name",
        )

    with store.lease(f"chat:{model}/{label}", until=lambda: None, on_wait=refuse):
        yield
