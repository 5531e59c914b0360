"""`pasctl demo`."""

from __future__ import annotations

from dataclasses import dataclass

from pasctl.declaration import Declaration
from pasctl.option import option


@dataclass(frozen=True, kw_only=True)
class Demo(
    Declaration,
    command="demo",
    panel="Results",
    place=9,
    examples=("pasctl demo", "pasctl demo --store demo-store --output demo.html"),
):
    """Run every stage on the bundled demo model, without a network.

    It is steered to people it has never seen, and remembers a text of 16 times its context.
    """

    output: str = option("pasctl-demo.html", help="Where the report page is written.", short="-o", metavar="FILE")
