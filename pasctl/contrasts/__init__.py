"""Contrasts: labelled texts that directions are fitted on, and the prompts and descriptions that come with pasctl.

Pure data and parsing; importing it loads neither torch nor numpy.
"""

from pasctl.contrasts.contrast import Axis, Contrast, Example, Pair, Read
from pasctl.contrasts.describe import describe
from pasctl.contrasts.descriptions import JUDGES, WORDINGS
from pasctl.contrasts.pairs import read_pairs
from pasctl.contrasts.questions import EVERYDAY_PROMPTS, NEUTRAL_QUESTIONS, SELF_REPORT_PROMPTS, TUNING_PROMPTS
from pasctl.contrasts.spec import CONTRAST_FORMS, load_contrast

__all__ = [
    "CONTRAST_FORMS",
    "EVERYDAY_PROMPTS",
    "JUDGES",
    "NEUTRAL_QUESTIONS",
    "SELF_REPORT_PROMPTS",
    "TUNING_PROMPTS",
    "WORDINGS",
    "Axis",
    "Contrast",
    "Example",
    "Pair",
    "Read",
    "describe",
    "load_contrast",
    "read_pairs",
]
