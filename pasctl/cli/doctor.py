"""What `pasctl doctor` prints: is everything here that pasctl needs, and does this model work?"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pasctl.cli.columns import align
from pasctl.cli.output import print_json, write
from pasctl.errors import PasctlError

if TYPE_CHECKING:
    from pasctl.commands.doctor import Doctor
    from pasctl.stages.run import Run


def present(options: Doctor, run: Run, *, json: bool) -> None:
    """Print the findings; a bad one is an error."""
    findings = run.make(options)
    if json:
        print_json([{"what": f.what, "ok": f.ok, "found": f.found} for f in findings])
    else:
        write(align([["ok" if f.ok else "BAD" if f.ok is False else "note", f.what, f.found] for f in findings]))
    bad = [finding.what for finding in findings if finding.ok is False]
    if bad:
        raise PasctlError(f"doctor found a problem with {', '.join(bad)}")
