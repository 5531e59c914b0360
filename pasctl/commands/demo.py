"""`pasctl demo`."""

from __future__ import annotations

from dataclasses import dataclass

from pasctl.declaration import Declaration
from pasctl.models.identity import DEMO
from pasctl.option import option


@dataclass(frozen=True, kw_only=True)
class Demo(
    Declaration,
    command="demo",
    panel="Results",
    place=9,
    examples=("pasctl demo", "pasctl demo --model Qwen/Qwen3-0.6B --output demo.html"),
):
    """Run every stage on the bundled demo model, without a network; or steer a model that can write.

    The demo model is steered to people it has never seen, and remembers a text of 16 times its context. So does a
    second one, demo-reader, which looks up what other texts say. With a model of your own: its answers before and
    after steering, and what it says of itself as simulated respondents.
    """

    model: str = option(
        DEMO, help="A model that can write: a hub id, a local folder, or a .gguf file.", short="-m", metavar="MODEL"
    )

    output: str = option(
        "pasctl-demo.html", help="Where the report page is written.", short="-o", metavar="FILE", from_file="inside"
    )
