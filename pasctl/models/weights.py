"""Reading weights and tokenizer from disk with transformers, and refusing what it would let pass with a warning."""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

from pasctl.errors import MissingError, PasctlError
from pasctl.models.families import auto_class
from pasctl.models.gguf_weights import alone, gguf_config, put_back_biases
from pasctl.models.identity import ModelSource
from pasctl.models.tokenizer_check import check_tokenizer


def read_weights(path: Path, **options: Any) -> Any:
    """The CausalLM of a model folder or .gguf file; every weight of it comes from the file.

    Raises:
        PasctlError: weights are missing, left over, or of another shape than the config says.
    """
    from transformers import AutoConfig

    trusted = bool(options.get("trust_remote_code"))
    if path.is_dir():
        config = AutoConfig.from_pretrained(str(path), local_files_only=True, trust_remote_code=trusted)
        options |= {"use_safetensors": True}
    else:
        options |= _gguf_options(path)
        config = options["config"]
    auto = auto_class(config)
    with _place(path) as place:
        model, report = auto.from_pretrained(
            str(place), local_files_only=True, output_loading_info=True, ignore_mismatched_sizes=True, **options
        )
    _require_all_weights(path, report)
    if path.is_file():
        _unmark_quantized(model)
        put_back_biases(model, path)
    return model


def takes_masks(config: Any, attn: str) -> bool:
    """Whether a model takes a mask of our own: its attention does, and no layer has a window or a state of its own."""
    from transformers import DynamicCache
    from transformers.cache_utils import DynamicLayer

    layers = DynamicCache(config=config).layers
    return attn in ("sdpa", "eager") and all(type(layer) is DynamicLayer for layer in layers)


def empty_model(path: Path, *, trust_remote_code: bool = False) -> Any:
    """The CausalLM of a model folder or .gguf file with shapes but no numbers, on torch's meta device."""
    import torch
    from transformers import AutoConfig

    if path.is_dir():
        config = AutoConfig.from_pretrained(str(path), local_files_only=True, trust_remote_code=trust_remote_code)
    else:
        config = gguf_config(path)
    with torch.device("meta"):
        return auto_class(config).from_config(config, trust_remote_code=trust_remote_code)


def _require_all_weights(path: Path, report: Mapping[str, Any]) -> None:
    """Refuse what transformers only warns of: missing weights become random numbers, those without a place are dropped.

    A dropped `o_proj.bias` would be a steered model that is served unsteered.
    """
    missing = sorted(report["missing_keys"])
    spare = sorted(key for key in report["unexpected_keys"] if ".layers." in key and "rotary" not in key)
    for key, found, expected in sorted(report["mismatched_keys"]):
        raise PasctlError(f"{path}: weight {key} has shape {list(found)}, config.json makes it {list(expected)}")
    if missing:
        raise PasctlError(f"{path} lacks {len(missing)} of the model's weights, the first is {missing[0]}")
    if spare:
        raise PasctlError(
            f"{path} holds {len(spare)} weights that its config has no place for, the first is {spare[0]}",
            hint="does config.json belong to these weights (layers, attention_bias)?",
        )


def _gguf_options(path: Path) -> dict[str, Any]:
    """Options to load a .gguf dequantized, the way every version of transformers can.

    Newer ones (GgufConfig) keep the weights of some architectures packed unless told otherwise. Packed weights need one
    more package and a kernel from the hub, compute in float32 only, and such a model cannot be saved or baked.
    """
    import transformers

    options: dict[str, Any] = {"gguf_file": path.name, "config": gguf_config(path)}
    config = getattr(transformers, "GgufConfig", None)
    if config is not None:
        options["quantization_config"] = config(dequantize=True)
    return options


def _unmark_quantized(model: Any) -> None:
    """A dequantized model is an ordinary one, but transformers marks it quantized and then refuses to save it."""
    model.hf_quantizer = None
    model.is_quantized = False
    if hasattr(model.config, "quantization_config"):
        del model.config.quantization_config


def read_tokenizer(path: Path, **options: Any) -> Any:
    """The tokenizer of a model folder or .gguf file.

    Raises:
        InputError: a pattern of it hangs or takes all memory.
    """
    from transformers import AutoTokenizer

    if path.is_dir():
        check_tokenizer(path)

    more = options if path.is_dir() else {"gguf_file": path.name, **options}
    with _place(path) as place:
        return AutoTokenizer.from_pretrained(str(place), local_files_only=True, **more)


def _place(path: Path) -> AbstractContextManager[Path]:
    """The folder that transformers is given to read a model folder or .gguf file from."""
    return nullcontext(path) if path.is_dir() else alone(path)


def require_packages(source: ModelSource, device_map: object) -> None:
    """Refuse to start what optional packages are needed for and are not there.

    Raises:
        MissingError: names the packages and how to install them.
    """
    wanted: dict[str, tuple[str, ...]] = {"gguf": ("gguf", "accelerate")} if source.kind == "gguf" else {}
    if device_map is not None:
        wanted["device-map"] = ("accelerate",)
    for extra, packages in wanted.items():
        absent = [name for name in packages if importlib.util.find_spec(name) is None]
        if absent:
            raise MissingError(
                f"loading {source.spec} needs the package {' and '.join(absent)}", hint=f"pip install 'pasctl[{extra}]'"
            )
