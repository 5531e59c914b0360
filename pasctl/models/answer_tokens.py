"""The tokens that an answer adds to a prompt: of a letter one, of an option's text several."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from pasctl.errors import InputError

Tokenize = Callable[[str], list[int]]
Ids = tuple[int, ...]


def answer_tokens(
    tokenize: Tokenize,
    spell: Callable[[list[int]], list[str]],
    prompts: Sequence[str],
    answers: dict[str, str],
    *,
    single: bool = False,
) -> list[Ids]:
    """Ids of each answer, after proving that appending it to a prompt adds these tokens, and changes none before.

    Args:
        tokenize: text -> token ids.
        spell: token ids -> tokens, for messages.
        prompts: rendered questions to prove it on.
        answers: name of each answer -> its text behind a prompt, spaces included.
        single: whether one token is expected of each.

    Raises:
        InputError: an answer merges with the prompt, is other tokens behind another prompt, or not one where one is
            expected; or two answers are the same tokens.
    """
    found: dict[str, Ids] = {}
    for prompt in prompts:
        ids = tokenize(prompt)
        for name, text in answers.items():
            longer = tokenize(prompt + text)
            added = tuple(longer[len(ids) :])
            if longer[: len(ids)] != ids or not added or (single and len(added) > 1):
                raise _merged(prompt, text, spell(longer[_shared(ids, longer) :]), single=single)
            if found.setdefault(name, added) != added:
                raise InputError(
                    f"answer {name!r} is {_told(found[name])} after one prompt, {_told(added)} after another"
                )
    if len(set(found.values())) < len(found):
        told = ", ".join(f"{name!r} is {_told(added)}" for name, added in found.items())
        raise InputError(f"answers do not have tokens of their own: {told}")
    return list(found.values())


def _merged(prompt: str, text: str, tail: list[str], *, single: bool) -> InputError:
    what = f"answer letter {text!r} should add one token" if single else f"answer {text!r} should add tokens"
    return InputError(
        f"{what} to the prompt that ends in {prompt[-20:]!r}, the tokenizer ends it in {tail}",
        hint="the model's chat template or tokenizer lets answers merge with what stands before them",
    )


def _shared(ids: Sequence[int], longer: Sequence[int]) -> int:
    return next((place for place, pair in enumerate(zip(ids, longer, strict=False)) if pair[0] != pair[1]), len(ids))


def _told(ids: Ids) -> str:
    return f"token{'s' if len(ids) > 1 else ''} {' '.join(map(str, ids))}"
