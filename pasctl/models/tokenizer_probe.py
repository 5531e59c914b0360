"""A script: does a tokenizer get through plain texts? Run by `pasctl.bounded`, for a pattern may take for ever.

On stdin {"tokenizer": a tokenizer.json, "texts": what else to try it on}.
"""

from __future__ import annotations

import json
import sys

LENGTH = 2000
_SIGNS = "aZz0 _-.,!?'\"/\\\n\t\u00e9\u4e2d\u2581"
_PROSE = "Imagine that you are the person described.  I can't stop: 3.14 of 12,345 items (A) Very Accurate\n\n"


def main() -> None:
    """Tokenize and decode all samples; whatever goes wrong is one line on stderr and status 1."""
    from tokenizers import Tokenizer

    given = json.load(sys.stdin)
    samples = [_PROSE * (LENGTH // len(_PROSE)), *given["texts"]]
    for sign in _SIGNS:
        samples += [sign * LENGTH, sign * LENGTH + "!", f"{sign} " * (LENGTH // 2)]
    try:
        tokenizer = Tokenizer.from_str(json.dumps(given["tokenizer"]))
        for sample in samples:
            tokenizer.encode(sample)
        if tokenizer.decoder is not None:
            tokenizer.decoder.decode(samples[0].split(" "))
    except BaseException as error:  # a panic of the library's is no Exception
        sys.exit((str(error).splitlines() or [type(error).__name__])[0])


if __name__ == "__main__":
    main()
