"""Descriptions of personas in somebody's own words, to be told to a model instead of rendered answers."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from pasctl.errors import InputError, MissingError
from pasctl.inventory.items import listing
from pasctl.inventory.papi import TEST_SET, find_file, read_json, respondent_ids

PROSE = "personality_prompt.json"
FORMS = f"prose is papi:DIR, a PAPI folder that also holds {PROSE}, or a JSON file with one text for each persona id"


def load_prose(spec: str, ids: Sequence[str]) -> dict[str, str]:
    """Persona id -> what a model is told about this persona, word for word.

    Of a PAPI folder it is the first output for each respondent. These were written from keyed scores read as
    agreements and say the opposite on items keyed -1, so they are for comparison with published numbers.

    Args:
        spec: "papi:DIR", or a JSON file {"id": "text", ...}.
        ids: the personas that need one.

    Raises:
        MissingError: no such file or folder.
        InputError: another layout, or a persona without a text.
    """
    source, _, place = spec.partition(":")
    texts = _of_papi(Path(place)) if source == "papi" and place else _of_file(Path(spec))
    without = [name for name in ids if not texts.get(name, "").strip()]
    if without:
        raise InputError(f"prose {spec}: {len(without)} of {len(ids)} personas have no text: {listing(without)}")
    return {name: texts[name].strip() for name in ids}


def _of_papi(folder: Path) -> dict[str, str]:
    path = find_file(folder, PROSE)
    document = read_json(path)
    try:
        texts = [str(entry["output"][0]) for entry in document]
    except (TypeError, KeyError, IndexError) as error:
        raise InputError(f"{path}: a list of objects with a list output is expected", hint=FORMS) from error
    ids = respondent_ids(read_json(find_file(folder, TEST_SET)))
    if len(texts) != len(ids):
        raise InputError(f"{path} has {len(texts)} texts, {TEST_SET} beside it has {len(ids)} respondents")
    return dict(zip(ids, texts, strict=True))


def _of_file(path: Path) -> dict[str, str]:
    if not path.is_file():
        raise MissingError(f"prose file {path} does not exist", hint=FORMS)
    document = read_json(path)
    if not isinstance(document, dict) or not all(isinstance(text, str) for text in document.values()):
        raise InputError(f"{path}: an object with one text for each persona id is expected", hint=FORMS)
    return document
