"""What a source's answers are read as: agreements, keyed scores to be reversed, or nothing that can be trusted.

Every source of respondents comes through here: a PAPI folder, files in JSON, CSV and Parquet, and sets that a program
hands over. A contradiction with what the answers are taken for is refused; what cannot be proven is noted. "agreement"
is the user's word: it takes the answers as they are, and a contradiction is noted only.

A large file is proven on a sample: 8 stretches of at most 1,024 rows, evenly through the whole of it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, reduce
from itertools import pairwise
from operator import add

from pasctl.errors import InputError
from pasctl.inventory.answer_sums import AnswerSums, FloatArray
from pasctl.inventory.coding import FEWEST_RESPONDENTS, CodingReport, report_of, unkeyed
from pasctl.inventory.consistency import NOTED, REFUSED, item_totals, key_halves
from pasctl.inventory.items import Inventory, listing
from pasctl.inventory.notes import Note
from pasctl.inventory.oddities import oddities
from pasctl.inventory.personas import PersonaSet, Span

STRETCHES, STRETCH = 8, 1024  # rows of a large file that the proof reads
_FEWEST_OF_STRETCH = 50  # respondents; fewer are not looked at by themselves
_NAMED = 10  # items that a message names


@dataclass(frozen=True, eq=False)
class Evidence:
    """What the respondents of a source say about its coding.

    Attributes:
        spans: Rows of the source that were read, in order.
        parts: The sums over each of them.
    """

    spans: Sequence[Span]
    parts: Sequence[AnswerSums]

    @classmethod
    def of(cls, answers: FloatArray) -> Evidence:
        """That of all answers [P, I] as stored."""
        spans = stretches(len(answers), len(answers))
        return cls(spans, [AnswerSums.of(answers[start:stop]) for start, stop in spans])

    @cached_property
    def total(self) -> AnswerSums:
        """Over all rows that were read."""
        return reduce(add, self.parts)


def stretches(count: int, most: int = STRETCH) -> list[Span]:
    """Up to 8 stretches of rows that begin evenly apart among `count`, each of at most `most`; together at best all."""
    parts = min(STRETCHES, max(1, count // _FEWEST_OF_STRETCH))
    edges = [count * part // parts for part in range(parts + 1)]
    return [(start, min(stop, start + most)) for start, stop in pairwise(edges)]


def as_agreements(personas: PersonaSet, inventory: Inventory, coding: str, source: str, note: Note) -> PersonaSet:
    """Respondents whose answers are as stored, as agreements; a set that is marked as published stays as it is.

    Raises:
        InputError: what `reads_keyed` refuses.
    """
    if personas.coding != "agreement":
        return personas
    if not reads_keyed(Evidence.of(personas.agreements), inventory, coding, source, note):
        return personas
    return PersonaSet(personas.label, personas.ids, unkeyed(personas.agreements, inventory))


def reads_keyed(evidence: Evidence, inventory: Inventory, coding: str, source: str, note: Note) -> bool:
    """Whether the answers of a source are keyed scores, as "keyed" says; "auto" and "agreement" say that they are not.

    Args:
        evidence: Of all respondents of the source, or of a sample of them, not of a selection.
        inventory: What was answered.
        coding: "auto", "keyed" or "agreement".
        source: The source's name, for messages.
        note: Is told what cannot be proven, and what looks odd.

    Raises:
        InputError: the correlations contradict it: all of them, or those of a trait, of some items or of some rows.
    """
    keyed, report = coding == "keyed", report_of(evidence.total, inventory)
    if coding == "agreement":
        if report.found == "keyed":
            note(f"warning: {source}: taken as agreements, though the answers look like keyed scores: {report}")
    else:
        _require_agreeing(report, source, keyed=keyed)
        if report.n_respondents < FEWEST_RESPONDENTS:
            note(_too_few(report, source, keyed=keyed))
        else:
            if report.found == "ambiguous" and len(set(inventory.keys.tolist())) > 1:
                note(f"reading {source}: the coding cannot be proven, {_taken(keyed)}: {report}")
            require_consistent(evidence, inventory, source, note, keyed=keyed)
    for odd in oddities(evidence.total, inventory, keyed=keyed):
        note(f"reading {source}: {odd}")
    return keyed


def require_consistent(evidence: Evidence, inventory: Inventory, source: str, note: Note, *, keyed: bool) -> None:
    """Refuse a file of which a part is coded the other way: some rows, a trait, or some items.

    Raises:
        InputError: it names the part, with its figures.
    """
    _require_alike_rows(evidence, inventory, source, keyed=keyed)
    traits, halves = key_halves(evidence.total, inventory, keyed=keyed)
    if halves.any_below(REFUSED):
        stored = halves.r if keyed else -halves.r
        named = [f"{traits[place]} ({stored[place]:+.2f})" for place in halves.suspicious]
        raise InputError(
            f"{source}: {_name(keyed)} are expected, but the items keyed +1 correlate with those keyed -1 as in "
            f"{_name(not keyed)} for trait {', '.join(named)}",
            hint=f"reverse the items keyed -1 of the trait in the file{_way(keyed)}",
        )
    totals = item_totals(evidence.total, inventory, keyed=keyed)
    named = [f"{inventory.items[place].id} ({totals.r[place]:+.2f})" for place in totals.suspicious]
    those = f"{listing(named, _NAMED)} (corrected item-total correlation, {evidence.total.respondents} respondents)"
    span = inventory.scale.low + inventory.scale.high
    if totals.any_below(REFUSED):
        raise InputError(
            f"{source}: items that correlate negatively with the rest of their trait, as reversed ones do: {those}",
            hint=f"store {span} minus the answer for these items, or leave them out{_way(keyed)}",
        )
    if totals.any_below(NOTED):
        note(f"reading {source}: items that may be reversed, against the rest of their trait: {those}")


def _require_agreeing(report: CodingReport, source: str, *, keyed: bool) -> None:
    """Refuse answers whose pairs of items say that they are coded the other way."""
    if report.found == "keyed" and not keyed:
        raise InputError(
            f"{source}: agreements are expected, the answers are keyed scores: {report}",
            hint=f"--coding keyed reads them, reversing items keyed -1{_way(keyed)}",
        )
    if report.found == "agreement" and keyed:
        raise InputError(
            f"{source}: --coding keyed expects keyed scores, the answers are agreements: {report}",
            hint="leave --coding out, or say --coding agreement",
        )


def _require_alike_rows(evidence: Evidence, inventory: Inventory, source: str, *, keyed: bool) -> None:
    """Refuse a file some of whose rows are coded the other way, as two files put together are."""
    if len(evidence.parts) < 2:
        return
    other = "agreement" if keyed else "keyed"
    for (start, stop), part in zip(evidence.spans, evidence.parts, strict=True):
        report = report_of(part, inventory)
        if report.found == other:
            raise InputError(
                f"{source}: {_name(keyed)} are expected, the respondents of rows {start}-{stop} are stored as "
                f"{_name(not keyed)}: {report}",
                hint=f"bring all rows to agreements first{_way(keyed)}",
            )


def _too_few(report: CodingReport, source: str, *, keyed: bool) -> str:
    people = f"{report.n_respondents} respondent{'' if report.n_respondents == 1 else 's'}"
    return f"reading {source}: {people}, too few to prove the coding (from {FEWEST_RESPONDENTS}), {_taken(keyed)}"


def _way(keyed: bool) -> str:
    """The word that takes answers as they are, where they are expected to be agreements."""
    return "" if keyed else "; --coding agreement takes the answers as they are"


def _taken(keyed: bool) -> str:
    return f"taken as {_name(keyed)}" + ("" if keyed else " (keyed scores need --coding keyed)")


def _name(keyed: bool) -> str:
    return "keyed scores" if keyed else "agreements"
