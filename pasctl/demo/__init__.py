"""The bundled demo model: a very small Qwen3 that pasctl trained itself, and the walk-through of `pasctl demo`.

`tests.demo.builder` makes it.
"""

CONTEXT = 512
"""Positions that the model was trained for."""
