"""`pasctl serve`: an OpenAI-compatible server."""

from __future__ import annotations

import sys
from typing import Annotated, Any

import typer

from pasctl.cli import options as o
from pasctl.cli.output import Terminal, print_json


def serve(
    model: o.Model,
    directions: Annotated[
        list[str] | None,
        typer.Option(
            "--directions", help="Their personas can be named by id, as model+id too. Repeatable.", metavar="REF"
        ),
    ] = None,
    memory: Annotated[
        list[str] | None, typer.Option("--memory", help="Open this memory at once. Repeatable.", metavar="REF")
    ] = None,
    alpha: Annotated[
        float | None,
        typer.Option("--alpha", help="Strength where a request has none; default: choose-alpha's, or 1.", metavar="A"),
    ] = None,
    host: Annotated[
        str, typer.Option("--host", help="Address; one that others reach needs an API key.", metavar="ADDR")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option("--port", help="0 takes any that is free.", metavar="N")] = 8000,
    api_key: Annotated[
        str | None,
        typer.Option("--api-key", envvar="PASCTL_API_KEY", help="What requests must bring.", metavar="KEY"),
    ] = None,
    max_batch: Annotated[int, typer.Option("--max-batch", help="Texts written at the same time.", metavar="N")] = 16,
    queue: Annotated[
        int, typer.Option("--queue", help="Requests that may wait beside them; more get 429.", metavar="N")
    ] = 64,
    timeout: Annotated[
        float, typer.Option("--timeout", help="Seconds a request may take, waiting included.", metavar="S")
    ] = 300.0,
    max_body: Annotated[int, typer.Option("--max-body", help="Bytes of a request at most.", metavar="N")] = 4 << 20,
    max_new_tokens: Annotated[
        int, typer.Option("--max-new-tokens", help="Tokens of an answer at most; a chat's default.", metavar="N")
    ] = 1024,
    step_tokens: Annotated[
        int,
        typer.Option("--step-tokens", help="Tokens of prompts read between two of the answers'.", metavar="N"),
    ] = 256,
    grace: Annotated[
        float, typer.Option("--grace", help="Seconds that running requests have when it stops.", metavar="S")
    ] = 5.0,
    revision: o.Revision = None,
    dtype: o.Dtype = "auto",
    device: o.Device = "auto",
    attn: o.Attn = "auto",
    device_map: o.DeviceMap = None,
    trust_remote_code: o.TrustRemoteCode = False,
    store: o.StoreDir = "artifacts",
    json: o.Json = False,
) -> None:
    """Serve a model to OpenAI's clients; each request may name a persona and a memory. Ctrl-C or SIGTERM stops it."""
    from pasctl.serving.settings import Settings, require_packages

    settings = Settings(
        host=host,
        port=port,
        api_key=api_key,
        max_batch=max_batch,
        queue=queue,
        timeout=timeout,
        max_body=max_body,
        max_new_tokens=max_new_tokens,
        alpha=alpha,
        step_tokens=step_tokens,
        grace=grace,
    )
    require_packages()

    from pasctl.serving.server import serve as run
    from pasctl.stages.model import ModelHandle

    handle = ModelHandle(model, o.model_options(revision, dtype, device, attn, device_map, trust_remote_code))

    def ready(told: dict[str, Any]) -> None:
        if json:
            print_json(told)
        else:
            print(_line(told), flush=True)

    run(
        handle,
        settings,
        directions=directions or (),
        memories=memory or (),
        store=store,
        reporter=Terminal(),
        ready=ready,
    )
    print("stopped", file=sys.stderr)


def _line(told: dict[str, Any]) -> str:
    parts = [f"{told['url']}  model {told['model']}"]
    if told["personas"]:
        parts.append(f"{told['personas']} personas as {told['model']}+ID")
    parts += told["memories"]
    return ", ".join(parts)
