"""Filler of any length, and the weaving of facts into it.

Two kinds of filler: five short sentences over and over, and prose from a small grammar whose sentences hardly ever
repeat. The second is the harder one for a memory that looks for what is surprising. Neither holds a digit.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence
from functools import cache
from string import Formatter

from pasctl.errors import InputError
from pasctl.memory.tasks.trial import CountTokens

REFRAIN = (
    "The hills are green.",
    "The sea is grey.",
    "The moon is pale.",
    "Off we walk.",
    "Up the lane and home once more.",
)


def _words(line: str, article: str = "") -> tuple[str, ...]:
    return tuple(article + word.strip() for word in line.split(","))


# What a template's name in braces is drawn from.
WORDS: dict[str, tuple[str, ...]] = {
    "who": _words(
        "baker, gardener, teacher, clockmaker, ferryman, painter, widow, shepherd, doctor, tailor, librarian, miller, "
        "cellist, carpenter, weaver, sailor, apprentice, cook, beekeeper, innkeeper, potter, joiner, farmer, printer",
        article="the ",
    ),
    "folk": _words(
        "children, neighbours, visitors, twins, fishermen, students, dancers, cousins, guests, travellers, builders, "
        "singers, hunters, porters, merchants, pilgrims, nurses, drivers, lodgers, strangers, clerks, reapers",
        article="the ",
    ),
    "thing": _words(
        "lantern, kettle, ladder, basket, barrel, blanket, mirror, violin, hammer, candle, letter, map, rope, saddle, "
        "bucket, umbrella, parcel, chair, bell, notebook, wheelbarrow, teapot, curtain, clock, coat, broom, drum",
        article="the ",
    ),
    "goods": _words(
        "apples, bread, wool, firewood, honey, cheese, onions, ribbons, barley, salt, plums, paper, linen, nails, "
        "cherries, walnuts, lamp oil, soap, eggs, butter, flour, tea, leather, pears, buttons, mushrooms, yarn"
    ),
    "place": _words(
        "behind the mill, at the old bridge, near the market, by the river, in the orchard, beside the chapel, "
        "on the pier, under the chestnut trees, at the edge of the forest, in the town hall, below the vineyard, "
        "outside the school, in the back kitchen, along the canal, on the upper meadow, at the station, "
        "in front of the bakery, across the square, inside the boathouse, on the hillside, at the crossroads"
    ),
    "time": _words(
        "before breakfast, after the rain, towards evening, at noon, all morning, on market day, late at night, "
        "during the storm, at first light, once the bells had rung, through the whole winter, in early spring, "
        "on the last day of the fair, before the guests arrived, when the fog lifted, as the snow melted"
    ),
    "did": _words(
        "mended, carried, hid, borrowed, sold, painted, forgot, dropped, admired, cleaned, sketched, measured, "
        "wrapped, lost, found, polished, weighed, returned, examined, tied up, put away, lifted"
    ),
    "went": _words(
        "waited, slept, sang, whistled, argued, rested, laughed, worked, wandered about, stood still, danced, "
        "played cards, told stories, drank tea, counted the clouds, listened, hurried past, sat down"
    ),
    "kind": _words(
        "weathered, quiet, narrow, heavy, cheerful, dusty, crooked, bright, cold, friendly, worn, plain, handsome, "
        "strange, wooden, damp, noisy, tidy, delicate, faded, sturdy, curious"
    ),
    "how": _words(
        "slowly, gladly, without a word, with great care, in a hurry, half asleep, by mistake, as always, "
        "against all advice, with a smile, for the second time, rather badly, in silence, out of habit, in secret"
    ),
    "sky": _words(
        "the wind turned, the rain stopped, a mist rose, the sun came out, the leaves fell, the snow began, "
        "thunder rolled, the frost held, the clouds parted, the heat grew, hail fell, the air cleared"
    ),
}

TEMPLATES = (
    "{who} {did} {thing} {place}.",
    "{time}, {who} {did} {thing} {how}.",
    "{folk} {went} {place} while {who} {did} {thing}.",
    "nobody knew why {who} {did} {thing} {time}.",
    "{place}, {folk} {went} and {sky}.",
    "{who} bought {goods} {place} and {did} {thing}.",
    "it was {time} that {who} {did} {thing} {place}.",
    "as {sky}, {who} {did} {thing} {how}.",
    "{folk} wanted {goods}, but {who} had only {goods}.",
    "there was a smell of {goods} {place} {time}.",
    "{who} told {folk} that {thing} was {kind}.",
    "{thing} {place} was {kind} and rather {kind}.",
    "{folk} {went} {time}, and {who} {went} too.",
    "when {sky}, {folk} {did} {thing} {place}.",
    "{who} asked {folk} for {goods} {time}.",
    "after that {who} {went} {place} {how}.",
    "someone had left {goods} {place}, next to {thing}.",
    "{who} never {went} {place} again.",
    "{folk} traded {goods} for {goods} {time}.",
    "if {sky}, {who} always {went} {place}.",
    "{who} thought {thing} too {kind} for {folk}.",
    "{place}, {who} {did} {thing} and {folk} {went}.",
    "the price of {goods} rose {time}, and {folk} {went} {place}.",
    "{who} wrote to {folk} about {goods} and {thing}.",
    "a {kind} dog followed {who} and slept {place}.",
    "{time}, {sky} and {folk} {went}.",
    "{folk} agreed with {who} that {goods} should be kept {place}.",
    "{who} kept {thing} {place}, where {folk} {went}.",
    "by chance {who} {did} {thing} while {sky}.",
    "{folk} {did} {thing} {how} and {went} {place}.",
    "{who} dreamt of {goods} and of a {kind} garden {place}.",
    "most of the {goods} went to {folk} {time}.",
    "{who} said little {time}, but {did} {thing} {how}.",
    "a {kind} boat brought {goods} for {who} {time}.",
    "without {thing}, {who} could not reach {folk} {place}.",
    "{folk} laughed because {who} {did} {thing} {how}.",
    "the {kind} house {place} belonged to {who}, who {went} {time}.",
    "{sky}, and {who} brought {goods} to {folk}.",
    "{who} repaired a {kind} gate {place} {time}.",
    "only {who} remembered that {folk} {did} {thing} {time}.",
    "{goods} and {goods} lay {place} beside {thing}.",
    "{who} had a {kind} voice and {went} {place}.",
    "from then on {folk} {went} {place} {time}.",
    "{who} showed {folk} how to store {goods} {place}.",
    "perhaps {who} {did} {thing}, perhaps {folk} did.",
    "{folk} found a {kind} path {place} and followed it {how}.",
    "{time} a {kind} cart full of {goods} stopped {place}.",
    "{who} gave {folk} a {kind} box of {goods}.",
    "{thing} had been {place} ever since {sky}.",
    "{who} swept the floor {how}, then {did} {thing} {place}.",
    "{folk} complained that {goods} could hardly be found {time}.",
    "{who} and a {kind} friend {went} {place} {time}.",
    "a {kind} song was heard {place} as {who} {did} {thing}.",
    "{who} would rather have {goods} than {thing}, said {folk}.",
    "{folk} came back {time} with {goods} and a {kind} story.",
    "the {kind} window {place} was opened by {who} when {sky}.",
    "{who} lit a fire {place}, for {folk} were cold {time}.",
    "every year {folk} {did} {thing} {place}, and {who} {went}.",
    "{who} looked for {goods} {place} but found {thing}.",
    "{how} and {time}, {who} {did} {thing}.",
    "later {folk} heard that {who} {went} {place} when {sky}.",
    "{who} borrowed {goods} from {folk} and {went} {how}.",
    "a {kind} cat {went} {place} while {folk} sorted {goods}.",
    "{who} promised {folk} {goods} as soon as {sky}.",
)


def repetitive(rng: random.Random) -> Iterator[str]:
    """The five sentences of `REFRAIN` over and over, from a random one of them on."""
    start = rng.randrange(len(REFRAIN))
    while True:
        yield REFRAIN[start % len(REFRAIN)]
        start += 1


def varied(rng: random.Random) -> Iterator[str]:
    """Prose: all templates in random order, then again in another order, each with fresh words."""
    parts = [[(text, name) for text, name, _, _ in Formatter().parse(template)] for template in TEMPLATES]
    while True:
        for template in rng.sample(parts, len(parts)):
            used: set[str] = set()
            sentence = ""
            for text, name in template:
                sentence += text
                if name:
                    word = rng.choice([word for word in WORDS[name] if word not in used])
                    used.add(word)
                    sentence += word
            yield sentence[0].upper() + sentence[1:]


def around(depth: float, n: int, spread: float) -> list[float]:
    """N depths, evenly over a stretch of `spread` that is centred on `depth` or else pushed inside 0..1."""
    if n == 1:
        return [depth]
    start = min(max(depth - spread / 2, 0.0), 1.0 - spread)
    return [start + spread * i / (n - 1) for i in range(n)]


def weave(
    length: int,
    facts: Sequence[tuple[float, str]],
    filler: Iterator[str],
    count: CountTokens,
    separator: str = " ",
    opening: str = "",
) -> str:
    """As much filler as fits in `length` tokens with the facts, each at the sentence boundary next to its depth.

    Each different sentence is counted once. The tokens of a text need not be the sum of its sentences', so the sum
    only says where to start; then the whole text is counted, O(log n) times.

    Args:
        length: Tokens of the text at most; one more sentence of filler would exceed it.
        facts: Pairs (depth, sentence). Facts at one boundary keep their order.
        filler: An endless stream of sentences.
        count: Tokens of a text.
        separator: What stands between two sentences.
        opening: What the text begins with, a paragraph of its own.

    Raises:
        InputError: The facts alone are longer than `length`.
    """
    overhead = count("")  # some tokenizers begin every text with a token of their own

    @cache
    def cost(sentence: str) -> int:
        return count(separator + sentence) - overhead

    facts = sorted(facts, key=lambda fact: fact[0])
    opening = f"{opening}\n\n" if opening else ""
    alone = count(opening + separator.join(sentence for _, sentence in facts))
    if alone > length:
        raise InputError(f"a text of {length} tokens cannot hold its facts, which take {alone}", hint="ask for more")
    sentences: list[str] = []
    ends = [0]  # ends[n]: tokens of the first n sentences

    def extend(n: int) -> None:
        while len(sentences) < n:
            sentences.append(next(filler))
            ends.append(ends[-1] + cost(sentences[-1]))

    def text(n: int) -> str:
        extend(n)
        return opening + separator.join(_insert(sentences[:n], ends[: n + 1], facts))

    while ends[-1] + alone <= length:
        extend(len(sentences) + 1)
    return text(_largest(max(len(sentences) - 1, 0), lambda size: count(text(size)) <= length))


def _largest(guess: int, fits: Callable[[int], bool]) -> int:
    """The largest n >= 0 that fits, 0 being known to; few trials if the guess is close."""
    step = 1
    if fits(guess):
        low, high = guess, guess + 1
        while fits(high):
            step *= 2
            low, high = high, high + step
    else:
        low, high = max(guess - 1, 0), guess
        while low > 0 and not fits(low):
            step *= 2
            low, high = max(low - step, 0), low
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if fits(middle) else (low, middle)
    return low


def _insert(sentences: Sequence[str], ends: Sequence[int], facts: Sequence[tuple[float, str]]) -> list[str]:
    """The sentences with each fact before the first one that starts at its share of the tokens or later."""
    woven: list[str] = []
    rest = list(facts)
    for start, sentence in zip(ends[:-1], sentences, strict=True):
        while rest and start >= rest[0][0] * ends[-1]:
            woven.append(rest.pop(0)[1])
        woven.append(sentence)
    return woven + [sentence for _, sentence in rest]
