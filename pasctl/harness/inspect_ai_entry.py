"""Tells inspect_ai that there are models `pasctl/MODEL`; nothing heavy is imported until one is asked for.

It asks for this module by the entry point `inspect_ai`, in every evaluation.
"""

from __future__ import annotations

from inspect_ai.model import ModelAPI, modelapi


@modelapi(name="pasctl")
def provider() -> type[ModelAPI]:
    """The class of models `pasctl/MODEL`."""
    from pasctl.harness.inspect_ai_model import PasctlAPI

    return PasctlAPI
