"""What `pasctl chat` does: the terminal, or a pipe, that a chat is held in."""

from __future__ import annotations

import contextlib
import sys
from typing import TYPE_CHECKING

import typer

from pasctl.cli.failure import EXIT_INTERRUPTED
from pasctl.errors import InputError
from pasctl.evaluation.alphas import AUTO
from pasctl.generation.sampling_params import SamplingParams

if TYPE_CHECKING:
    from pasctl.chat.persistent import PersistentConversation
    from pasctl.chat.terminal import Lines
    from pasctl.chat.view import View
    from pasctl.commands.chat import Chat
    from pasctl.generation.engine import Engine
    from pasctl.stages.model import ModelHandle
    from pasctl.stages.persona_catalog import PersonaCatalog
    from pasctl.stages.run import Run

USUAL_ANSWER = 512  # tokens, where the context is not short
_ROWS = 2  # an answer, or two side by side


def present(options: Chat, run: Run, *, json: bool) -> None:
    """Hold the chat; what is wrong with the options is said before the model is loaded."""
    from pasctl.stages.persona_catalog import PersonaCatalog
    from pasctl.stages.recipes import limits

    if options.params and options.memory is None:
        raise InputError(
            f"{', '.join(options.params)}: sizes of a memory need one", hint="give it a name with --memory"
        )
    options.options.require_one_process("chat")
    view = _view(as_json=json)
    with contextlib.ExitStack() as stack:
        handle = _model(options, run, stack)
        if (what := limits(handle)) is not None:
            run.reporter.note(what)
        how = _sampling(handle, options)
        catalog = PersonaCatalog(run, handle, options.steering)
        wanted = _wanted(catalog, options)
        # torch is loaded from here on
        from pasctl.chat.answering import wait_until_idle
        from pasctl.chat.dialogue import Dialogue
        from pasctl.chat.state import ChatState
        from pasctl.generation.engine import Engine

        engine = stack.enter_context(Engine(handle.load(run.reporter), max_batch=_ROWS))
        conversation = None
        if options.memory is not None:
            conversation = _conversation(options, run, handle, engine, thinking=how.think)
            stack.callback(_close, conversation, view)
        state = ChatState(
            handle,
            run.store,
            catalog,
            how,
            view.note,
            alpha=options.steering.alpha,
            conversation=conversation,
            before_choice=lambda: wait_until_idle(engine),
        )
        if wanted is not None:
            state.persona(wanted)
        typed = sys.stdin.isatty()
        dialogue = Dialogue(engine, state, view, how=how, system=options.system, interactive=typed, recalled=json)
        if typed:
            view.note(dialogue.heading)
        try:
            dialogue.run(_lines(catalog))
        except KeyboardInterrupt as error:
            view.note(_left(options.memory))
            raise typer.Exit(EXIT_INTERRUPTED) from error


def _left(memory: str | None) -> str:
    """What is true of a chat that was left by Ctrl-C: the same command begins a new one, unless it has a name."""
    if memory is None:
        return "left the chat: nothing of it is kept, but what /save wrote"
    return (
        f"left the chat: conversation {memory!r} is kept up to its last answer, and --memory {memory} goes on with it"
    )


def _view(*, as_json: bool) -> View:
    from pasctl.chat.view import Json, Plain, Screen

    if as_json:
        return Json()
    return Screen() if sys.stdout.isatty() else Plain()


def _lines(catalog: PersonaCatalog) -> Lines:
    """From whoever types, or from a pipe."""
    from pasctl.chat.commands import completions
    from pasctl.chat.terminal import Keyboard, Piped, history_file

    if not sys.stdin.isatty():
        return Piped(sys.stdin.buffer)
    return Keyboard(lambda line: completions(line, catalog.known_ids), history_file())


def _model(options: Chat, run: Run, stack: contextlib.ExitStack) -> ModelHandle:
    """The model; with a conversation, as that is held, which no other process does meanwhile."""
    from pasctl.chat.conversations import held, model_of_conversation
    from pasctl.stages.memory_checks import plain_attention

    if options.memory is None:
        return run.model(options.model, options.options)
    handle = run.model(options.model, plain_attention(options.options))
    stack.enter_context(held(run.store, handle.slug, options.memory))
    return model_of_conversation(run, handle, options.memory)


def _sampling(handle: ModelHandle, options: Chat) -> SamplingParams:
    context = handle.context()
    usual = USUAL_ANSWER if context is None else max(1, min(USUAL_ANSWER, context // 4))
    return SamplingParams(**{"max_new_tokens": usual, "seed": options.seed, **options.how})


def _wanted(catalog: PersonaCatalog, options: Chat) -> str | None:
    """Who answers first."""
    steering = options.steering
    if steering.persona is not None or steering.alpha != AUTO:
        return catalog.name(steering.persona)
    if steering.directions is not None:
        catalog.sources  # noqa: B018 - they are looked for
    return None


def _conversation(
    options: Chat, run: Run, handle: ModelHandle, engine: Engine, *, thinking: bool
) -> PersistentConversation:
    """The conversation of that name."""
    from pasctl.chat.answering import run_in
    from pasctl.chat.persistent import PersistentConversation, require_same
    from pasctl.stages.memory_checks import settle_params

    if options.memory is None:
        raise RuntimeError("a conversation has a name")
    conversation = PersistentConversation(
        run.store,
        handle,
        options.memory,
        params=settle_params(options.params, handle, 0),
        system=options.system,
        thinking=thinking,
        run=run_in(engine),
        reporter=run.reporter,
    )
    require_same(conversation, dict(options.params), options.system)
    return conversation


def _close(conversation: PersistentConversation, view: View) -> None:
    """Keep what was said."""
    made = conversation.keep()
    if made is not None:
        view.note(f"{made.name} remembers the conversation, turns: {len(conversation.turns)}")
