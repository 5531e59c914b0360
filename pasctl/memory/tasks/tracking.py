"""Variable tracking: VAR a = 12345, VAR b = VAR a, ...; the value of the last name of a chain (after "RULER", 2024).

The statements of the chain asked for stand around the depth, over `SPREAD` of the text and in order; other chains are
anywhere. The reader has to follow every link: only the first one states the number.
"""

from __future__ import annotations

from string import ascii_uppercase

from pasctl.memory.tasks.filler import around, varied, weave
from pasctl.memory.tasks.trial import CountTokens, Trial, random_stream

OPENING = (
    "Statements about variables are hidden in the long text below. Find and remember them: "
    "you will be asked for a value."
)
CHAINS = 3
NAMES = 4  # of one chain: the number goes through NAMES - 1 copies
SPREAD = 0.1


def make(length: int, depth: float, seed: int, count: CountTokens) -> Trial:
    """A chain of four variables around `depth`, and two other chains."""
    rng = random_stream("tracking", length, depth, seed)
    names: list[str] = []
    while len(names) < CHAINS * NAMES:
        name = "".join(rng.sample(ascii_uppercase, 4))
        if name not in names:
            names.append(name)
    values = rng.sample(range(10_000, 100_000), CHAINS)
    facts: list[tuple[float, str]] = []
    for i, value in enumerate(values):
        chain = names[i * NAMES : (i + 1) * NAMES]
        depths = around(depth, NAMES, SPREAD) if i == 0 else sorted(rng.random() for _ in chain)
        sources = [str(value), *(f"VAR {name}" for name in chain)]
        facts += [(d, f"VAR {name} = {of}.") for d, name, of in zip(depths, chain, sources[:-1], strict=True)]
    text = weave(length, facts, varied(rng), count, opening=OPENING)
    evidence = tuple(statement for _, statement in facts[:NAMES])
    question = f"Which number is the value of VAR {names[NAMES - 1]}?"
    return Trial("tracking", length, depth, seed, text, question, (str(values[0]),), evidence)
