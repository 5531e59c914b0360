"""Devices that are not there: tensors of the CPU that say they are on another one, and refuse to be mixed.

Code that forgets to move a tensor between the devices of a model's layers works on a machine without any, and fails
where there are two. Here it fails as well: an operation on tensors of two such devices, or of one and of the CPU,
raises, but for what torch does across devices (copy_, indices and numbers on the CPU).
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn
from torch.overrides import TorchFunctionMode
from torch.utils._pytree import tree_map

from pasctl.models.load import LoadedModel

_ACROSS = {"to", "cpu", "copy_", "__get__", "__getitem__", "__setitem__", "index", "type_as", "is_same_size"}


class FakeTensor(torch.Tensor):
    """A tensor of the CPU with the name of another device."""

    place: torch.device

    @classmethod
    def __torch_function__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Run on the CPU what is allowed."""
        return _run(func, args, kwargs or {})


class _Factories(TorchFunctionMode):
    """Takes `device=` away from what makes tensors."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return _run(func, args, kwargs or {})


def _fake(tensor: torch.Tensor, place: torch.device) -> torch.Tensor:
    if place.type == "cpu":
        return tensor
    with torch._C.DisableTorchFunctionSubclass():
        fake = tensor.as_subclass(FakeTensor)
    fake.place = place
    return fake


def _run(func: Any, args: Any, kwargs: dict[str, Any]) -> Any:
    name = getattr(func, "__name__", "")
    tensors: list[torch.Tensor] = []

    def real(value: Any) -> Any:
        if isinstance(value, torch.Tensor):
            tensors.append(value)
            if isinstance(value, FakeTensor):
                with torch._C.DisableTorchFunctionSubclass():
                    return value.as_subclass(torch.Tensor)
        return value

    with torch._C.DisableTorchFunction():
        if func == torch.Tensor.device.__get__ and isinstance(args[0], FakeTensor):
            return args[0].place
        plain_args, plain_kwargs = tree_map(real, args), tree_map(real, kwargs)
        places = {_place(tensor) for tensor in tensors if tensor.dim() or isinstance(tensor, FakeTensor)}
        if len(places) > 1 and name not in _ACROSS:
            raise RuntimeError(f"{name} was given tensors on {sorted(map(str, places))}")
        place = _place(tensors[0]) if tensors else torch.device("cpu")
        if name not in _ACROSS and places:
            [place] = places
        if name == "cpu":
            place = torch.device("cpu")
        given = kwargs.get("device")
        if name == "to":
            others = [each for each in args[1:] if isinstance(each, str | torch.device | torch.Tensor)]
            given = given if given is not None else next(iter(others), None)
            plain_args = tuple(each for each in plain_args if not isinstance(each, str | torch.device))
        if isinstance(given, torch.Tensor):
            place = _place(given)
        elif given is not None:
            place = torch.device(given)
            plain_kwargs = {key: value for key, value in plain_kwargs.items() if key != "device"}
        if name in ("to", "cpu", "type_as") and place != _place(args[0]):
            moved = func(*plain_args, **plain_kwargs) if len(plain_args) > 1 or plain_kwargs else plain_args[0]
            return _fake(moved.clone(), place)
        if name == "to" and len(plain_args) == 1 and not plain_kwargs:
            return args[0]
        result = func(*plain_args, **plain_kwargs)
        return _marked(result, place, args, plain_args)


def _place(tensor: torch.Tensor) -> torch.device:
    return tensor.place if isinstance(tensor, FakeTensor) else torch.device("cpu")


def _marked(result: Any, place: torch.device, args: Any, plain: Any) -> Any:
    """Results as tensors of a device; what worked in place is what was given."""

    def mark(value: Any) -> Any:
        if not isinstance(value, torch.Tensor):
            return value
        if args and value is plain[0]:
            return args[0]
        return _fake(value, place)

    return tree_map(mark, result)


@contextmanager
def on_devices(model: LoadedModel, places: dict[str, str]) -> Iterator[LoadedModel]:
    """A copy of a model whose parts lie on devices that are not there, by the beginnings of modules' names."""
    handles: list[Any] = []

    def move(module: nn.Module, place: torch.device) -> None:
        def moved(value: Any) -> Any:
            return value.to(place) if isinstance(value, torch.Tensor) else value

        def hook(_module: nn.Module, args: Any, kwargs: Any) -> Any:
            return tree_map(moved, args), tree_map(moved, kwargs)

        handles.append(module.register_forward_pre_hook(hook, with_kwargs=True))

    with _Factories():
        for name, module in model.model.named_modules():
            place = next((torch.device(where) for part, where in places.items() if name.startswith(part)), None)
            if place is None:
                continue
            for tensors in (module._parameters, module._buffers):
                for key, tensor in tensors.items():
                    if tensor is not None:
                        tensors[key] = _fake(tensor.data, place)
            move(module, place)
        model.model.hf_device_map = places
        try:
            yield LoadedModel.wrap(model.model, model.tokenizer)
        finally:
            for handle in handles:
                handle.remove()
