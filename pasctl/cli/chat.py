"""`pasctl chat`: talk with a model in the terminal, steered or not, with a memory or not."""

from __future__ import annotations

import contextlib
import sys
from typing import TYPE_CHECKING, Annotated, Any

import typer

from pasctl.cli import memory_options as m
from pasctl.cli import options as o
from pasctl.cli.output import Terminal
from pasctl.errors import InputError

if TYPE_CHECKING:
    from pasctl.chat.people import People
    from pasctl.chat.remembered import Remembered, Run
    from pasctl.chat.terminal import Lines
    from pasctl.chat.view import View
    from pasctl.generation.sampling_params import SamplingParams
    from pasctl.stages.model import ModelHandle
    from pasctl.stages.runner import Store

USUAL_ANSWER = 512  # tokens, where the context is not short
_ROWS = 2  # an answer, or two beside each other


def chat(
    model: o.Model,
    directions: Annotated[
        str | None, typer.Option("--directions", help="Personas to choose from; default: the latest.", metavar="REF")
    ] = None,
    persona: Annotated[
        str | None, typer.Option("--persona", help="Who answers; default: the model as it is.", metavar="ID")
    ] = None,
    alpha: Annotated[
        float | None, typer.Option("--alpha", help="How strongly; default: as choose-alpha chose, else 1.", metavar="A")
    ] = None,
    positions: o.EvalPositions = None,
    memory: Annotated[
        str | None,
        typer.Option("--memory", help="Remember the conversation under this name, and go on with it.", metavar="NAME"),
    ] = None,
    system: Annotated[str | None, typer.Option("--system", help="System text.", metavar="TEXT")] = None,
    max_new_tokens: Annotated[
        int | None,
        typer.Option("--max-new-tokens", help="Of an answer; default 512, or a quarter of a short context."),
    ] = None,
    temperature: m.Temperature = 0.0,
    top_p: m.TopP = 1.0,
    think: m.Think = False,
    n_init: m.NInit = None,
    n_local: m.NLocal = None,
    n_mem: m.NMem = None,
    chunk: m.Chunk = None,
    min_block: m.MinBlock = None,
    max_block: m.MaxBlock = None,
    repr_topk: m.ReprTopk = None,
    kv_dtype: m.KvDtype = None,
    segmenter: m.Segmenter = None,
    revision: o.Revision = None,
    dtype: o.Dtype = "auto",
    device: o.Device = "auto",
    device_map: o.DeviceMap = None,
    trust_remote_code: o.TrustRemoteCode = False,
    seed: o.Seed = 0,
    store: o.StoreDir = "artifacts",
    json: o.Json = False,
) -> None:
    """Talk with a model: /persona, /alpha, /memory, /compare, /save, and more with /help. Lines on stdin do as well."""
    from pasctl.chat.conversations import held, model_of_conversation
    from pasctl.chat.people import People
    from pasctl.chat.session import require_alpha
    from pasctl.stages.model import ModelHandle
    from pasctl.stages.runner import open_store

    if alpha is not None:
        require_alpha(alpha)
    given = m.given_params(
        refine_layers=None,
        n_init=n_init,
        n_local=n_local,
        n_mem=n_mem,
        chunk=chunk,
        min_block=min_block,
        max_block=max_block,
        repr_topk=repr_topk,
        kv_dtype=kv_dtype,
        segmenter=segmenter,
    )
    if given and memory is None:
        raise InputError(f"{', '.join(given)}: sizes of a memory need one", hint="give it a name with --memory")
    opened, view = open_store(store), _view(as_json=json)
    options = o.model_options(revision, dtype, device, "auto", device_map, trust_remote_code)
    with contextlib.ExitStack() as stack:
        handle = ModelHandle(model, options)
        if memory is not None:
            stack.enter_context(held(opened, handle.slug, memory))
            handle = model_of_conversation(opened, handle, memory)
        how = _decoding(handle, max_new_tokens, temperature, top_p, seed, think)
        people = People(opened, handle, directions, positions)
        wanted = _wanted(people, directions, persona, alpha)
        # torch is loaded from here on, when what is wrong with the words above has been told
        from pasctl.chat.answering import run_in
        from pasctl.chat.dialogue import Dialogue
        from pasctl.chat.setting import Setting
        from pasctl.generation.engine import Engine

        engine = stack.enter_context(Engine(handle.load(Terminal()), max_batch=_ROWS))
        remembered = None
        if memory is not None:
            remembered = _remembered(opened, handle, memory, given, system, thinking=think, run=run_in(engine))
            stack.callback(_close, remembered, view)
        setting = Setting(handle, opened, people, how, view.note, alpha=alpha, remembered=remembered)
        if wanted is not None:
            setting.persona(wanted)
        typed = sys.stdin.isatty()
        dialogue = Dialogue(engine, setting, view, how=how, system=system, interactive=typed, recalled=json)
        if typed:
            view.note(dialogue.heading)
        dialogue.run(_lines(people))


def _view(*, as_json: bool) -> View:
    from pasctl.chat.view import Json, Plain, Screen

    if as_json:
        return Json()
    return Screen() if sys.stdout.isatty() else Plain()


def _lines(people: People) -> Lines:
    """From whoever types, or from a pipe."""
    from pasctl.chat.commands import completions
    from pasctl.chat.terminal import Keyboard, Piped, history_file

    if not sys.stdin.isatty():
        return Piped(sys.stdin.buffer)
    return Keyboard(lambda line: completions(line, lambda: people.known), history_file())


def _decoding(
    handle: ModelHandle, max_new_tokens: int | None, temperature: float, top_p: float, seed: int, think: bool
) -> SamplingParams:
    from pasctl.generation.sampling_params import SamplingParams

    if max_new_tokens is None:
        context = handle.context()
        max_new_tokens = USUAL_ANSWER if context is None else max(1, min(USUAL_ANSWER, context // 4))
    return SamplingParams(max_new_tokens, temperature, top_p, seed, think=think)


def _wanted(people: People, directions: str | None, persona: str | None, alpha: float | None) -> str | None:
    """Who answers first; what is wrong with it is told before the model is loaded."""
    if persona is not None:
        return people.find(persona)
    if alpha is not None:
        return people.only()
    if directions is not None:
        people.source  # noqa: B018 - it is looked for
    return None


def _remembered(
    store: Store, handle: ModelHandle, name: str, given: dict[str, Any], system: str | None, *, thinking: bool, run: Run
) -> Remembered:
    """The conversation of that name."""
    from pasctl.chat.remembered import Remembered, require_same

    remembered = Remembered(
        store,
        handle,
        name,
        params=m.memory_params(handle, given),
        system=system,
        thinking=thinking,
        run=run,
        reporter=Terminal(),
    )
    require_same(remembered, given, system)
    return remembered


def _close(remembered: Remembered, view: View) -> None:
    """Keep what was said."""
    made = remembered.keep()
    if made is not None:
        view.note(f"{made.name} remembers the conversation, turns: {len(remembered.turns)}")
