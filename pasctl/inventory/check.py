"""What a questionnaire and its respondents amount to, before anything is computed with them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from pasctl.inventory.coding import CodingReport, prove_coding
from pasctl.inventory.files.language import NEUTRAL
from pasctl.inventory.items import Inventory, listing
from pasctl.inventory.notes import Note
from pasctl.inventory.option_labels import chosen_inventory
from pasctl.inventory.options import option_names
from pasctl.inventory.papi import stored_answers
from pasctl.inventory.personas import Personas
from pasctl.inventory.prompts import question, spoken
from pasctl.inventory.respondents import MapLike, map_like, names_file, reading_of_file
from pasctl.inventory.simulate import simulate
from pasctl.inventory.spec import papi_folder, resolve_personas
from pasctl.inventory.trait_scores import cronbach_alpha

FloatArray = npt.NDArray[np.float64]
_MOST_RESPONDENTS = 50_000  # of a larger file the first ones are looked at
_OF_LANGUAGE = (
    *("instruction", "statement", "few_shot_head", "few_shot_tail"),
    *("personality_head", "personality_tail", "self_reports"),
)
"""Texts of a wording that are in a language, but for those of situations."""


@dataclass(frozen=True)
class TraitReport:
    """One trait of a questionnaire.

    Attributes:
        code: of the trait; name: as a person reads it.
        items: how many; keyed_minus: of them keyed -1; fit and report: of either split.
        facets: name -> items.
        high: the words for its poles; low: of the other one.
        alpha: Cronbach's alpha of all its items, None without respondents who answered all of them.
    """

    code: str
    name: str
    items: int
    keyed_minus: int
    fit: int
    report: int
    facets: dict[str, int]
    high: tuple[str, ...]
    low: tuple[str, ...]
    alpha: float | None


@dataclass(frozen=True)
class DataReport:
    """What `pasctl data check` shows: counts, what the correlations say about the coding, and what a model will see.

    Attributes:
        coding: None without respondents.
        scale: label of each score, from the lowest up; own_scales: items that have another one.
        option_names: what a model answers with.
        prompt: the first item as a model sees it; statement: as it says it of itself, empty for a situation.
        warnings: what will go wrong, or may.
        reading: what was understood of a table of respondents, as plain values; None where there was no table.
    """

    inventory: str
    items: int
    items_per_trait: dict[str, int]
    items_keyed_minus: int
    split: dict[str, int]
    respondents: int
    coding: CodingReport | None
    missing_answers: int
    respondents_with_missing: int
    name: str = ""
    digest: str = ""
    language: str = "en"
    traits: tuple[TraitReport, ...] = ()
    scale: tuple[tuple[int, str], ...] = ()
    own_scales: int = 0
    option_labels: str = "letters"
    option_names: tuple[str, ...] = ()
    prompt: str = ""
    statement: str = ""
    warnings: tuple[str, ...] = ()
    reading: dict[str, Any] | None = None


def check_data(
    spec: str,
    personas: str | Personas | None = None,
    *,
    coding: str = "auto",
    map_file: MapLike = None,
    option_labels: str | None = None,
) -> DataReport:
    """Counts what the inventory `spec` holds, and its respondents: its own, or those that `personas` names.

    An ambiguous coding is reported here, and refused only when personas are read.

    Args:
        spec: "builtin", "papi:DIR", "papi", or an inventory file.
        personas: who answered it; without any the inventory's own respondents, of whom a file has none.
        coding: how answers to items keyed -1 are stored; "auto" goes by what the correlations say.
        map_file: what the columns and values of a file of answers are.
        option_labels: what a model answers with, see `chosen_inventory`.
    """
    notes: list[str] = []
    inventory = chosen_inventory(spec, option_labels, notes.append)
    said, reading = None, None
    if isinstance(personas, str) and names_file(personas):
        said = map_like(map_file, inventory)
        coding = "keyed" if said.keyed else coding
        said = replace(said, keyed=False)  # the answers as they are stored
        reading = reading_of_file(personas, inventory, said).to_json()
    stored = _stored(spec, personas, inventory, notes.append, said if said is not None else map_file)
    missing = np.isnan(stored)
    proof = prove_coding(stored, inventory) if len(stored) else None
    reversed_already = coding == "keyed" or (coding == "auto" and proof is not None and proof.found == "keyed")
    keyed = stored if reversed_already else inventory.keyed(stored)
    first = inventory.items[0]
    traits = tuple(_trait(inventory, code, keyed) for code in inventory.trait_codes)
    return DataReport(
        inventory=spec,
        items=len(inventory),
        items_per_trait={trait.code: trait.items for trait in traits},
        items_keyed_minus=int(np.count_nonzero(inventory.keys < 0)),
        split={"fit": len(inventory.indices("fit")), "report": len(inventory.indices("report"))},
        respondents=len(stored),
        coding=proof,
        missing_answers=int(missing.sum()),
        respondents_with_missing=int(missing.any(axis=1).sum()),
        name=inventory.name,
        digest=inventory.digest,
        language=inventory.wording.language,
        traits=traits,
        scale=tuple(zip(inventory.scale.scores[::-1], inventory.scale.labels[::-1], strict=True)),
        own_scales=sum(item.scale is not None for item in inventory.items),
        option_labels=inventory.option_labels,
        option_names=option_names(inventory),
        prompt=question(first, inventory),
        statement="" if first.scenario else spoken(first, inventory),
        warnings=(*dict.fromkeys(notes), *_warnings(inventory, traits)),
        reading=reading,
    )


def _stored(
    spec: str, personas: str | Personas | None, inventory: Inventory, note: Note, map_file: MapLike
) -> FloatArray:
    """Answers [P, I] as stored, of no person where there is nobody."""
    if personas is not None:
        people = resolve_personas(personas, inventory, coding="agreement", note=note, map_file=map_file)
        if len(people) > _MOST_RESPONDENTS:
            note(f"{people.label}: the first {_MOST_RESPONDENTS:,} of {len(people):,} respondents are looked at")
        part = next(iter(people.parts([(0, min(len(people), _MOST_RESPONDENTS))])))
        return part.agreements
    if spec == "builtin":
        return simulate(inventory).agreements
    if spec.partition(":")[0] == "papi":
        return stored_answers(papi_folder(spec.partition(":")[2]), inventory)[1]
    return np.empty((0, len(inventory)))


def _trait(inventory: Inventory, code: str, keyed: FloatArray) -> TraitReport:
    columns = [column for column, item in enumerate(inventory.items) if item.trait == code]
    items = [inventory.items[column] for column in columns]
    about = next(trait for trait in inventory.known_traits if trait.code == code)
    return TraitReport(
        code=code,
        name=about.name,
        items=len(items),
        keyed_minus=sum(item.key < 0 for item in items),
        fit=sum(item.split == "fit" for item in items),
        report=sum(item.split == "report" for item in items),
        facets=dict(Counter(item.facet for item in items)),
        high=about.high,
        low=about.low,
        alpha=cronbach_alpha(inventory.on_one_scale(keyed)[:, columns]),
    )


def _warnings(inventory: Inventory, traits: Sequence[TraitReport]) -> list[str]:
    lines = []
    for trait in traits:
        scenarios = all(item.scenario for item in inventory.items if item.trait == trait.code)
        if trait.keyed_minus in (0, trait.items) and not scenarios:
            key = "-1" if trait.keyed_minus else "+1"
            lines.append(
                f"trait {trait.code}: all items are keyed {key}, so who agrees with everything looks high on it, and "
                "answers cannot prove how they are coded"
            )
        lines += [
            f"trait {trait.code}: no item in the {name} split"
            for name, count in (("fit", trait.fit), ("report", trait.report))
            if not count
        ]
        if trait.alpha is not None and trait.alpha < 0:
            lines.append(f"trait {trait.code}: alpha is below 0, so some keys are probably wrong")
    times = Counter(item.text for item in inventory.items)
    twice = [item.id for item in inventory.items if times[item.text] > 1 and not item.scenario]
    if twice:
        lines.append(f"items with the same text: {listing(twice)}")
    words = [item.id for item in inventory.items if len(item.text.split()) == 1 and not item.scenario]
    if words and inventory.wording.english:
        word = inventory.items[inventory.position[words[0]]]
        lines.append(
            f"items of one word ({listing(words)}) are read as {spoken(word, inventory)!r}: write them as sentences, "
            f"such as 'I am {word.text.lower()}.'"
        )
    wording = inventory.wording
    english = [name for name in _OF_LANGUAGE if getattr(wording, name) == getattr(NEUTRAL, name)]
    if not wording.english and english:
        lines.append(
            f"the items are in language {wording.language}, these texts around them in English: {', '.join(english)}; "
            "the field wording gives them"
        )
    return lines
