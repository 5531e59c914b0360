"""Which class of transformers loads a model: one for text, or one for images and text, of which the text is used."""

from __future__ import annotations

from difflib import get_close_matches
from typing import Any

from pasctl.errors import InputError
from pasctl.models.adapters import ADAPTERS, FAMILIES
from pasctl.models.identity import ModelSource


def require_known(source: ModelSource, *, trust_remote_code: bool) -> None:
    """Refuse a family that no class for text is known of, before anything is downloaded.

    Raises:
        InputError: neither transformers nor a row has it.
    """
    from transformers import CONFIG_MAPPING

    family = source.family
    if family is None or trust_remote_code or family in ADAPTERS or family in FAMILIES.names():
        return
    texts, images = _classes()
    if family in texts or family in images:
        return
    if family in CONFIG_MAPPING:
        raise InputError(
            f"{source.spec} is a {family} model, and transformers has no class of it that writes text",
            hint="give a model that writes text",
        )
    near = get_close_matches(family, [*texts, *images], n=1)
    guess = f" (did you mean {near[0]}?)" if near else ""
    raise InputError(
        f"model family {family!r} is not known to the transformers that is installed{guess}",
        hint="a newer transformers may know it; code that comes with the model runs with --trust-remote-code",
    )


def auto_class(config: Any) -> Any:
    """The class of transformers that loads a config's model.

    A checkpoint of a model for images and text is loaded whole, since its weights have the names of that class.
    """
    from transformers import AutoModelForCausalLM, AutoModelForImageTextToText

    texts, images = _classes()
    family = str(config.model_type)
    written = list(getattr(config, "architectures", None) or [])
    if family in images and (family not in texts or images[family] in written):
        return AutoModelForImageTextToText
    return AutoModelForCausalLM


def _classes() -> tuple[dict[str, str], dict[str, str]]:
    """Names of the classes that write text, and of those that take images and write text, by family."""
    from transformers.models.auto import modeling_auto

    return (
        dict(modeling_auto.MODEL_FOR_CAUSAL_LM_MAPPING_NAMES),
        dict(modeling_auto.MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING_NAMES),
    )
