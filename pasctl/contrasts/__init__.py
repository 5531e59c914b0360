"""Contrasts: labelled texts that directions are fitted on."""

from pasctl.contrasts.contrast import Axis, Contrast, Example, Pair
from pasctl.contrasts.spec import load_contrast

__all__ = ["Axis", "Contrast", "Example", "Pair", "load_contrast"]
