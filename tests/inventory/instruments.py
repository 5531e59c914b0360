"""Fourteen small inventory files in the shapes of common instruments. All items are invented here.

Each trait has a theme, and frames around it make its items; three items of each key a trait, if nothing else is said.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from pathlib import Path

PLUS = ("I like to {}.", "I often find the time to {}.", "Other people know that I would rather {} than rest.")
MINUS = ("It bores me to {}.", "I leave it to others to {}.", "I would pay somebody not to make me {}.")
PLUS_DE = ("Ich habe Freude daran, {}.", "Oft nehme ich mir die Zeit, {}.", "Es ist mir wichtig, {}.")
MINUS_DE = ("Ich habe selten Lust, {}.", "Ich überlasse es anderen, {}.", "Es langweilt mich, {}.")
PLUS_ZH = ("我喜欢{}。", "我常常{}。", "朋友们知道我爱{}。")
MINUS_ZH = ("我很少{}。", "我让别人去{}。", "我觉得{}很无聊。")
PLUS_WORDS = ("I am {}.", "I am rather {}.", "I come across as {}.")
MINUS_WORDS = ("I am not {}.", "I am hardly ever {}.", "I am seldom called {}.")

THEMES = {
    "Garden": "dig in the garden",
    "Music": "sing at parties",
    "Maps": "draw maps of the town",
    "Trade": "haggle over a price",
    "Night": "stay up after midnight",
    "Repair": "mend what is broken",
    "Letters": "write long letters",
    "Games": "win at cards",
    "Cooking": "cook for a crowd",
    "Walks": "walk in the rain",
    "Sums": "check a bill twice",
    "Quiet": "sit alone in a quiet room",
}
FIVE = dict(
    zip("OCEAN", ("draw maps", "check a bill", "sing at parties", "mend a friend's coat", "worry"), strict=True)
)
THEMES_DE = {"Garten": "im Garten zu graben", "Musik": "auf Festen zu singen", "Handel": "um Preise zu feilschen"}
THEMES_ZH = {"园": "在园子里种菜", "歌": "在聚会上唱歌"}
ADJECTIVES = {"Warm": "warm", "Bold": "bold", "Neat": "neat", "Calm": "calm"}

AGREE = ["Strongly disagree", "Disagree", "Neither", "Agree", "Strongly agree"]
WORDING_DE = {
    "instruction": "Hier sind {count} Antworten und eine Aussage. Nenne nur den Buchstaben der Antwort, die zutrifft.",
    "statement": "Aussage: ",
    "few_shot_head": "Du füllst einen Fragebogen als eine bestimmte Person aus. So hat sie geantwortet:",
    "few_shot_tail": "Antworte auf jede Frage wie diese Person.",
    "personality_head": "Das bist du.",
    "personality_tail": "Antworte auf jede Frage als diese Person.",
    "self_reports": ["Erzähle etwas von dir.", "Was trifft auf dich zu?"],
}


def text_of(items: Iterable[dict[str, object]], **fields: object) -> str:
    """A YAML file of these items and fields: one field a line, in JSON, which YAML holds."""
    head = [f"{name}: {json.dumps(value, ensure_ascii=False)}" for name, value in fields.items()]
    rows = [f"  - {json.dumps(item, ensure_ascii=False)}" for item in items]
    return "\n".join(["# An invented inventory.", *head, "items:", *rows, ""])


def items_of(
    themes: dict[str, str], plus: Sequence[str] = PLUS, minus: Sequence[str] = MINUS, **more: object
) -> list[dict[str, object]]:
    """The items of traits with these themes, traits mixed as questionnaires mix them."""
    return [
        {"id": f"{trait}{number}", "text": frame.format(theme), "trait": trait, "key": key, **more}
        for number, (frame, key) in enumerate(
            [(f, 1) for f in plus] + [(f, -1) for f in minus],
            start=1,
        )
        for trait, theme in themes.items()
    ]


def _first(count: int) -> dict[str, str]:
    return dict(list(THEMES.items())[:count])


def _with_facets() -> list[dict[str, object]]:
    """Two facets a trait, whose themes differ a little."""
    rows = []
    for facet, manner in (("alone", "by myself"), ("together", "with friends")):
        themes = {code: f"{theme} {manner}" for code, theme in FIVE.items()}
        for row in items_of(themes, PLUS[:2], MINUS[:2]):
            rows.append(row | {"id": f"{row['id']}{facet[0]}", "facet": f"{facet} {row['trait']}"})
    return rows


def _scenarios() -> list[dict[str, object]]:
    """Situations with four answers each, which score 3, 2, 1, 1 on the trait."""
    places = ("On the train", "At work", "In a shop", "On a holiday", "At a wedding", "In the rain")
    return [
        {
            "id": f"{trait}{number}",
            "text": f"{place} somebody asks you to {theme}. What do you do?",
            "trait": trait,
            "options": [
                {"text": "I refuse and leave at once.", "score": 1},
                {"text": "I begin before they have finished asking.", "score": 3},
                {"text": "I join in after a while.", "score": 2},
                {"text": "I look for somebody else who might.", "score": 1},
            ],
        }
        for trait, theme in _first(3).items()
        for number, place in enumerate(places, start=1)
    ]


def _mixed() -> list[dict[str, object]]:
    """Items of one trait on two scales, and a scenario among them."""
    often = items_of({"Garden": THEMES["Garden"]}, scale="often")
    agree = items_of({"Music": THEMES["Music"]})
    return [*often, *agree, *_scenarios()[12:18]]


INSTRUMENTS: dict[str, str] = {
    "yes-no": text_of(items_of(_first(3)), scale=["No", "Yes"], traits=list(_first(3))),
    "one-trait-of-four-points": text_of(
        items_of(_first(1)),
        scale=["Strongly disagree", "Disagree", "Agree", "Strongly agree"],
        option_labels="numbers",
    ),
    "facets-of-five-points": text_of(_with_facets(), scale=AGREE),
    "ten-values-of-six-points": text_of(
        items_of(_first(10), PLUS[:2], MINUS[:2]),
        scale=["Not like me at all", "Not like me", "A little like me", "Somewhat like me", "Like me", "Just like me"],
        traits={trait: f"The value of {trait.lower()}" for trait in _first(10)},
    ),
    "six-traits-of-seven-ends": text_of(
        items_of(_first(6)), scale={"points": 7, "low": "Not at all true", "high": "Completely true"}
    ),
    "short-of-seven-labels": text_of(
        items_of(FIVE, PLUS[:2], MINUS[:2]),
        scale=["Not at all", "Hardly", "A little", "Half", "Rather", "Mostly", "Fully"],
        option_labels="numbers",
    ),
    "adjectives-of-nine-points": text_of(
        items_of(ADJECTIVES, PLUS_WORDS, MINUS_WORDS),
        scale={"points": 9, "low": "extremely inaccurate", "high": "extremely accurate"},
        wording={"few_shot_line": "* {text}: {label}"},
    ),
    "one-trait-from-0-to-10": text_of(
        items_of({"Walks": THEMES["Walks"]}),
        scale={"points": 11, "from": 0, "low": "never", "high": "always"},
        option_labels="numbers",
    ),
    "twelve-traits": text_of(
        items_of(THEMES, PLUS[:2], MINUS[:2]), scale=["Never", "Seldom", "Sometimes", "Often", "Always"], seed=3
    ),
    "scenarios": text_of(_scenarios(), traits=[{"code": trait, "desirable": 1} for trait in _first(3)]),
    "mixed-scales": text_of(
        _mixed(), scale=AGREE, scales={"often": {"1": "Never", "2": "Now and then", "3": "Every day"}}
    ),
    "german": text_of(
        items_of(THEMES_DE, PLUS_DE, MINUS_DE),
        language="de",
        scale=["trifft nicht zu", "trifft eher nicht zu", "teils, teils", "trifft eher zu", "trifft zu"],
        traits=[
            {"code": "Garten", "high": ["gartenfreudig"], "low": ["gartenfern"]},
            {"code": "Musik", "name": "Musikalität"},
            {"code": "Handel", "name": "Händlergeist", "desirable": "-1"},
        ],
        wording=WORDING_DE,
    ),
    "chinese": text_of(
        items_of(THEMES_ZH, PLUS_ZH, MINUS_ZH), language="zh", scale=["完全不符合", "不太符合", "比较符合", "完全符合"]
    ),
    "weights-and-norms": text_of(
        [row | {"weight": 2 if row["key"] == 1 else 1} for row in items_of(_first(3))],
        scale=AGREE,
        traits=[
            {"code": trait, "name": f"Love of {trait.lower()}", "high": f"{trait.lower()}-loving"}
            for trait in _first(3)
        ],
        norms=[
            {"trait": trait, "mean": 2.5 + place / 2, "sd": 0.7, "n": 400, "group": group}
            for group in ("", "old")
            for place, trait in enumerate(_first(3))
        ],
        correlations=[["Garden", "Music", 0.3], ["Music", "Maps", -0.2]],
    ),
}
"""Name -> YAML text."""


def write_instrument(folder: Path, name: str) -> Path:
    """The file of one instrument in a folder."""
    path = folder / f"{name}.yaml"
    path.write_text(INSTRUMENTS[name], encoding="utf-8")
    return path
