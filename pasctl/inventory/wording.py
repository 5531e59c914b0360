"""The fixed texts around items, in the language of an inventory."""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields
from typing import Any

from pasctl.errors import InputError

_COUNTS = ("two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven")
_PLACES = {
    "instruction": ("count", "answer"),
    "scenario_instruction": ("count", "answer"),
    "few_shot_line": ("text", "label"),
}
"""Field -> what may stand in braces in it."""


@dataclass(frozen=True)
class Wording:
    """What a model is shown beside the items. An inventory file can give each of these texts in its own language.

    Attributes:
        instruction: Before the options and a statement; {count} is how many options there are, {answer} what names
            them ("letter", "number", "text").
        statement: Before the statement's text.
        scenario_instruction: As `instruction`, for items with options of their own; and
        scenario: as `statement`.
        few_shot_head: Before a person's answers, in a system text.
        few_shot_line: One answer; {text} is the item, {label} the option, which the built-in wording writes small.
        few_shot_tail: After the answers.
        personality_head: Before a description in the second person.
        personality_tail: After it.
        degrees: The openings of sentences for the options, from the highest score down: "It is very true of you that".
            Without them, or with options of another number, a description is the list of answers.
        self_reports: Prompts that statements are replies to; without any pasctl's own, in English.
        language: A language tag such as "en", "de", "zh". English statements are turned to the second and first person.
    """

    instruction: str
    statement: str
    scenario_instruction: str
    scenario: str
    few_shot_head: str
    few_shot_line: str
    few_shot_tail: str
    personality_head: str
    personality_tail: str
    degrees: tuple[str, ...] = ()
    self_reports: tuple[str, ...] = ()
    language: str = "en"

    def __post_init__(self) -> None:
        """Refuses a template with braces that mean nothing, and a line without the item."""
        for name, known in _PLACES.items():
            try:
                getattr(self, name).format(**dict.fromkeys(known, ""))
            except (KeyError, IndexError, ValueError) as error:
                raise InputError(
                    f"wording: {name} has braces that mean nothing: {getattr(self, name)!r}",
                    hint=f"what may stand in it: {', '.join(f'{{{place}}}' for place in known)}",
                ) from error
        absent = [place for place in _PLACES["few_shot_line"] if f"{{{place}}}" not in self.few_shot_line]
        if absent:
            raise InputError(f"wording: few_shot_line lacks {{{absent[0]}}}, found {self.few_shot_line!r}")

    @property
    def english(self) -> bool:
        """Whether the items are English."""
        return self.language.split("-")[0].lower() == "en"

    def instruction_for(self, count: int, option_labels: str, *, scenario: bool = False) -> str:
        """The instruction over so many options, which letters, numbers or their texts name."""
        text = self.scenario_instruction if scenario else self.instruction
        return text.format(count=_COUNTS[count - 2] if self.english else count, answer=option_labels.removesuffix("s"))

    def to_json(self) -> dict[str, Any]:
        """Plain JSON values."""
        return asdict(self) | {"degrees": list(self.degrees), "self_reports": list(self.self_reports)}

    @classmethod
    def from_json(cls, document: dict[str, Any]) -> Wording:
        """Inverse of `to_json`."""
        known = {field.name for field in fields(cls)}
        lists = {name: tuple(document[name]) for name in ("degrees", "self_reports")}
        return cls(**{name: value for name, value in document.items() if name in known} | lists)


ENGLISH = Wording(
    instruction=(
        "Below are {count} options and one statement. Choose the option that says how accurately the statement "
        "describes you. Reply with the {answer} of that option and nothing else."
    ),
    statement="Statement: ",
    scenario_instruction=(
        "Below are {count} options and one situation. Choose the option that says best what you would do. Reply with "
        "the {answer} of that option and nothing else."
    ),
    scenario="Situation: ",
    few_shot_head=(
        "You fill in a personality questionnaire as one particular person. Here is how accurately, by this person's "
        "own account, some statements describe them:"
    ),
    few_shot_line="- {text} -> {label}",
    few_shot_tail="Answer every question the way this person would.",
    personality_head="This is who you are.",
    personality_tail="Answer every question as the person described here.",
    degrees=(
        "It is very true of you that",
        "It is somewhat true of you that",
        "It is neither true nor untrue of you that",
        "It is somewhat untrue of you that",
        "It is not at all true of you that",
    ),
)
"""The wording of the built-in inventory and of PAPI."""
