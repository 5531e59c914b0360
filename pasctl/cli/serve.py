"""What `pasctl serve` prints."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from pasctl.cli.output import print_json, tell, write

if TYPE_CHECKING:
    from pasctl.commands.serve import Serve
    from pasctl.stages.run import Run


def present(options: Serve, run: Run, *, json: bool) -> None:
    """Serve, and print where once requests are answered."""
    from pasctl.serving.settings import require_packages

    require_packages()
    options.options.require_one_process("serve")

    from pasctl.serving.server import serve

    if options.settings.api_key not in (None, os.environ.get("PASCTL_API_KEY")):
        run.reporter.note(
            "the key in --api-key can be seen in the list of processes; PASCTL_API_KEY or --api-key-file keep it out"
        )

    def ready(service: dict[str, Any]) -> None:
        if json:
            print_json(service)
        else:
            write(_line(service))

    serve(options, run, ready=ready)
    tell("stopped")


def _line(service: dict[str, Any]) -> str:
    parts = [f"{service['url']}  model {service['model']}"]
    if service["personas"]:
        parts.append(f"{service['personas']} personas as {service['model']}+ID")
    parts += service["memories"]
    return ", ".join(parts)
