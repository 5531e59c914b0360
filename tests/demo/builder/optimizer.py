"""Muon for the matrices inside the layers, AdamW for the rest.

Muon (K. Jordan and others, "Muon: an optimizer for hidden layers in neural networks", 2024): the momentum of a matrix
is replaced by the nearest orthogonal one, found by a few steps of a Newton-Schulz iteration.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

MATRIX_RATE, OTHER_RATE = 0.02, 3e-3
_COEFFICIENTS = (3.4445, -4.7750, 2.0315)


class Optimizer:
    """One step for all parameters of a model; its state is a flat dict of tensors.

    Attributes:
        steps: steps taken.
    """

    def __init__(
        self,
        model: nn.Module,
        momentum: float = 0.95,
        betas: tuple[float, float] = (0.9, 0.95),
        *,
        bfloat16: bool = False,
    ) -> None:
        named = {name: each for name, each in model.named_parameters() if each.requires_grad}
        self._matrices = {name: each for name, each in named.items() if each.ndim == 2 and "embed" not in name}
        self._others = {name: each for name, each in named.items() if name not in self._matrices}
        self._momentum, self._betas, self._bfloat16 = momentum, betas, bfloat16
        self._state = {f"momentum.{name}": torch.zeros_like(each) for name, each in self._matrices.items()}
        for name, each in self._others.items():
            self._state |= {f"first.{name}": torch.zeros_like(each), f"second.{name}": torch.zeros_like(each)}
        self.steps = 0

    @torch.no_grad()
    def step(self, scale: float) -> None:
        """Move along the gradients, at `scale` times the learning rates, and forget them."""
        self.steps += 1
        for name, matrix in self._matrices.items():
            if matrix.grad is not None:
                kept = self._state[f"momentum.{name}"].mul_(self._momentum).add_(matrix.grad)
                update = orthogonal(matrix.grad + self._momentum * kept, bfloat16=self._bfloat16)
                rows, columns = matrix.shape
                matrix.add_(update, alpha=-scale * MATRIX_RATE * max(1.0, rows / columns) ** 0.5)
        for name, other in self._others.items():
            if other.grad is not None:
                self._adam(name, other, scale)
        for parameter in (*self._matrices.values(), *self._others.values()):
            parameter.grad = None

    def state(self) -> dict[str, Tensor]:
        """Everything a later `load` needs."""
        return {**self._state, "steps": torch.tensor(self.steps)}

    def load(self, state: dict[str, Any]) -> None:
        """Go on from a state."""
        self.steps = int(state["steps"])
        for name, held in self._state.items():
            held.copy_(state[name])

    def _adam(self, name: str, parameter: Tensor, scale: float) -> None:
        gradient = parameter.grad
        if gradient is None:
            return
        fast, slow = self._betas
        first = self._state[f"first.{name}"].lerp_(gradient, 1 - fast)
        second = self._state[f"second.{name}"].lerp_(gradient.square(), 1 - slow)
        size = (second / (1 - slow**self.steps)).sqrt_().add_(1e-8)
        parameter.addcdiv_(first, size, value=-scale * OTHER_RATE / (1 - fast**self.steps))


def orthogonal(matrix: Tensor, steps: int = 5, *, bfloat16: bool = False) -> Tensor:
    """About U V^T of a matrix U S V^T: singular values end near 1, within a factor of 1.5."""
    a, b, c = _COEFFICIENTS
    # bfloat16 is exact enough for this iteration, and twice as fast where the processor has it
    x = (matrix / (matrix.norm() + 1e-7)).to(torch.bfloat16 if bfloat16 else matrix.dtype)
    wide = x.shape[0] <= x.shape[1]
    x = x if wide else x.T
    for _ in range(steps):
        square = x @ x.T
        x = a * x + (b * square + c * square @ square) @ x
    found: Tensor = (x if wide else x.T).to(matrix.dtype)
    return found
