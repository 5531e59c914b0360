"""Text of others made fit to print: what a terminal would obey is written out or left out.

Names in files, messages of other libraries and words of a model may hold escape sequences, line breaks, bidirectional
overrides and half surrogate pairs. `clean` is for whatever must stay on one line, `clean_lines` for a whole table,
`without_controls` for texts that a model wrote, `shell_words` for commands that a user may paste. JSON output needs
none of them: JSON has its own escapes.
"""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Iterable
from unicodedata import category

_JOINERS = "\u200c\u200d"  # of the category Cf, but words of several scripts and emoji are written with them
_HIDDEN = {"Cc", "Cf", "Cs", "Zl", "Zp"}
_GAP = " ... "

# CSI; OSC, DCS and other strings up to their end; other escapes
_SEQUENCE = re.compile(
    r"(?:\x1b\[|\x9b)[0-?]*[ -/]*[@-~]"
    r"|(?:\x1b[\]PX^_]|[\x90\x98\x9d-\x9f])[^\x07\x1b\x9c\n]*(?:\x07|\x1b\\|\x9c)"
    r"|\x1b[ -/]*[0-~]"
)


def clean(text: str, most: int | None = None) -> str:
    r"""A text on one line, with what is no visible character as an escape: a line break is `\n`, ESC is `\x1b`.

    Args:
        text: any text.
        most: characters; of a longer text the middle is left out.
    """
    shown = _escaped(_shortened(text, most), "")
    return _shortened(shown, most)


def clean_lines(text: str) -> str:
    """The same for a text of several lines: line breaks and tabs stay."""
    return _escaped(text, "\n\t")


def without_controls(text: str) -> str:
    """A text without terminal sequences and invisible controls; line breaks and tabs stay.

    A sequence that comes in two pieces leaves its last signs, which a terminal shows and does not obey.
    """
    if text.isprintable():
        return text
    plain = _SEQUENCE.sub("", text.replace("\r\n", "\n"))
    return "".join(sign for sign in plain if sign in "\n\t" or not is_hidden(sign))


def shell_words(words: Iterable[str]) -> str:
    """Words as a command line that can be pasted: what a terminal would obey is written as bash and zsh read it."""
    return " ".join(map(_shell_word, words))


def _shell_word(word: str) -> str:
    if not any(map(is_hidden, word)):
        return shlex.quote(word)
    signs = (f"\\{sign}" if sign in "'\\" else _shell_escape(sign) if is_hidden(sign) else sign for sign in word)
    return f"$'{''.join(signs)}'"


def _shell_escape(sign: str) -> str:
    """Its bytes, three digits each: with hexadecimal ones a letter that follows would be taken for another digit."""
    return "".join(f"\\{byte:03o}" for byte in os.fsencode(sign))


def _escaped(text: str, kept: str) -> str:
    if text.isprintable():
        return text
    return "".join(
        sign.encode("unicode_escape").decode("ascii") if sign not in kept and is_hidden(sign) else sign for sign in text
    )


def is_hidden(sign: str) -> bool:
    """Whether a character is no visible one, nor one that words are written with."""
    return category(sign) in _HIDDEN and sign not in _JOINERS


def _shortened(text: str, most: int | None) -> str:
    if most is None or len(text) <= most:
        return text
    end = (most - len(_GAP)) // 3
    return text[: most - len(_GAP) - end] + _GAP + text[len(text) - end :]
