"""What `pasctl memory-forget` prints: which memories were replaced, and what is gone."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pasctl.cli.output import print_json, tell, write

if TYPE_CHECKING:
    from pasctl.commands.memory_forget import MemoryForget
    from pasctl.stages.run import Run


def present(options: MemoryForget, run: Run, *, json: bool) -> None:
    """Forget, and print what came of it."""
    done = run.make(options)
    if json:
        print_json({**done, "dry_run": run.dry_run})
        return
    would = "would " if run.dry_run else ""
    for old, new in done["replaced"].items():
        write(f"{would}replace {old}" if new is None else f"{new} is {old} without it")
    for name in done["removed"]:
        write(f"{would}remove {name}" if run.dry_run else f"removed {name}")
    if not options.everywhere:
        tell(f"{done['tokens']:,} tokens; older versions and their answers still have them (--everywhere)")
