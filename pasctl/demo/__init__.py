"""The bundled models, two very small Qwen3 that pasctl trained itself, and the walk-through of `pasctl demo`.

`tests.demo.builder` makes the demo model, `tests.demo.builder.reader` the reader.
"""

CONTEXT = 512
"""Positions that the demo model was trained for."""
