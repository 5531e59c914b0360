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

_ACROSS = {"copy_", "__get__", "__getitem__", "__setitem__", "index"}
_ASKED = {"size", "dim", "stride", "numel", "__len__", "is_floating_point", "is_complex", "data_ptr", "element_size"}


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
    name = func.__name__
    with torch._C.DisableTorchFunction():
        if func == torch.Tensor.device.__get__ and isinstance(args[0], FakeTensor):
            return args[0].place
        if name in _ASKED:
            return func(*args, **kwargs)
        tensors: list[torch.Tensor] = []
        plain_args, plain_kwargs = _plain(args, tensors), _plain(kwargs, tensors)
        given = _destination(name, args, kwargs)
        if given is not None:
            plain_args = tuple(value for value in plain_args if not isinstance(value, str | torch.device))
            plain_kwargs.pop("device", None)
        place = _result_place(name, tensors) if given is None else given
        if name in ("to", "cpu", "type_as") and place != _place(args[0]):
            moved = func(*plain_args, **plain_kwargs) if len(plain_args) > 1 or plain_kwargs else plain_args[0]
            return _marked(moved.clone(), place, None)
        if name == "to" and len(plain_args) == 1 and not plain_kwargs:
            return args[0]
        return _marked(func(*plain_args, **plain_kwargs), place, (args[0], plain_args[0]) if args else None)


def _plain(value: Any, tensors: list[torch.Tensor]) -> Any:
    """Arguments as the CPU takes them; the tensors among them are put into a list."""
    if isinstance(value, torch.Tensor):
        tensors.append(value)
        return value.as_subclass(torch.Tensor) if isinstance(value, FakeTensor) else value
    if type(value) in (list, tuple):
        return type(value)(_plain(part, tensors) for part in value)
    if type(value) is dict:
        return {key: _plain(part, tensors) for key, part in value.items()}
    return value


def _destination(name: str, args: Any, kwargs: dict[str, Any]) -> torch.device | None:
    """The device that a call asks for."""
    if name == "cpu":
        return torch.device("cpu")
    given = kwargs.get("device")
    if name in ("to", "type_as") and given is None:
        given = next((value for value in args[1:] if isinstance(value, str | torch.device | torch.Tensor)), None)
    return _place(given) if isinstance(given, torch.Tensor) else None if given is None else torch.device(given)


def _result_place(name: str, tensors: list[torch.Tensor]) -> torch.device:
    """Where the result of a call is that names no device."""
    if name in _ACROSS:
        return _place(tensors[0])
    places = {_place(tensor) for tensor in tensors if tensor.dim() or isinstance(tensor, FakeTensor)}
    if len(places) > 1:
        raise RuntimeError(f"{name} was given tensors on {sorted(map(str, places))}")
    return places.pop() if places else torch.device("cpu")


def _place(tensor: torch.Tensor) -> torch.device:
    return tensor.place if isinstance(tensor, FakeTensor) else torch.device("cpu")


def _marked(result: Any, place: torch.device, first: tuple[Any, Any] | None) -> Any:
    """Results as tensors of a device; what worked in place on the first argument is that argument."""
    if isinstance(result, torch.Tensor):
        return first[0] if first is not None and result is first[1] else _fake(result, place)
    if isinstance(result, list | tuple):
        parts = [_marked(part, place, first) for part in result]
        return type(result)(*parts) if hasattr(result, "_fields") else type(result)(parts)
    return result


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
