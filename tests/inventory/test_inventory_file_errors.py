"""What is wrong in an inventory file: one line that names the place, what was expected and what was found."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from pasctl.errors import InputError
from pasctl.inventory import Inventory, builtin_inventory, load_inventory
from pasctl.inventory.files.language import looks_english
from tests.inventory.instruments import INSTRUMENTS
from tests.inventory.workbook import write_workbook

HEAD = "scale: [Never, Always]\nlanguage: en\n"
ITEM = "- {id: a, text: I am., trait: T, key: 1}\n"


def read(folder: Path, name: str, text: str) -> Inventory:
    (folder / name).write_text(text, encoding="utf-8")
    return load_inventory(str(folder / name))


YAML = {
    "no yaml": (HEAD + "items: [\n", "line 4, column 1: not readable as YAML", "quotes"),
    "colon in a text": (HEAD + "items:\n  - id: a\n    text: I say: no\n", "line 5, column 16", "quotes"),
    "two documents": ("a: 1\n---\nb: 2\n", "expected one YAML document, found 2", None),
    "nothing": ("# only a comment\n", "expected one YAML document, found nothing", None),
    "a list": (ITEM, "line 1, column 1: expected an inventory file with the fields name", None),
    "alias": ("a: &x [1]\nb: *x\n", "line 1, column 4: anchors and aliases", "write the value out"),
    "bomb": ("a: [" + "[" * 200 + "]" * 200 + "]\n", "nested more than", None),
    "twice": (HEAD + "scale: [a, b]\nitems:\n" + ITEM, "line 3, column 1: field 'scale' occurs twice", None),
    "unknown field": (
        HEAD + "option_label: numbers\nitems:\n" + ITEM,
        "line 3, column 1: unknown field",
        "option_labels",
    ),
    "unknown field of an item": (
        HEAD + "items:\n- id: a\n  txt: I am.\n",
        "line 5, column 3: unknown field 'txt' of an item",
        "did you mean text",
    ),
    "no items": (HEAD, "line 1, column 1: expected a field items", "pasctl data new"),
    "no key": (
        HEAD + "items:\n- {id: a, text: I am., trait: T}\n",
        "line 4, column 3: expected an item with key",
        "+1",
    ),
    "bad key": (HEAD + "items:\n- {id: a, text: I am., trait: T, key: 2}\n", "line 4, column 34: expected a key", None),
    "id twice": (
        HEAD + "items:\n" + ITEM + ITEM,
        r"line 5, column 3: item a occurs twice, the first time at .*line 4",
        None,
    ),
    "bad split": (
        HEAD + "items:\n- {id: a, text: b, trait: T, key: 1, split: test}\n",
        "expected fit or report",
        "seed",
    ),
    "weight": (
        HEAD + "items:\n- {id: a, text: b, trait: T, key: 1, weight: 0}\n",
        "line 4, column 3: .*weight above 0",
        None,
    ),
    "unknown trait": (
        HEAD + "traits: {Mach: Machiavellianism}\nitems:\n- {id: a, text: b, trait: Mahc, key: 1}\n",
        "line 5, column 20: unknown trait 'Mahc'",
        "did you mean Mach",
    ),
    "trait code": (HEAD + "traits: {'a:b': x}\nitems:\n" + ITEM, "line 3, column 10: trait code", None),
    "desirable": (HEAD + "traits: [{code: T, desirable: yes}]\nitems:\n" + ITEM, "expected .1 .people", None),
    "no scale": ("language: en\nitems:\n" + ITEM, "expected a field scale", "points"),
    "one point": ("scale: [Yes]\nlanguage: en\nitems:\n" + ITEM, "line 1, column 1: .*2 to 11 options, found 1", None),
    "twelve points": ("scale: {points: 12, low: a, high: b}\nitems:\n" + ITEM, "from 2 to 11, found '12'", None),
    "ends missing": (
        "scale: {points: 7, low: a}\nitems:\n" + ITEM,
        "line 1, column 1: expected a scale with high",
        None,
    ),
    "points of labels": ("scale: {points: 3, labels: [a, b]}\nitems:\n" + ITEM, "expected 2 points", None),
    "falling labels": (
        "scale: [Agree, Unsure, Disagree]\nitems:\n" + ITEM,
        "from the lowest answer up",
        "turn the list",
    ),
    "falling German labels": (
        "scale: [stimmt, stimmt nicht]\nitems:\n" + ITEM,
        "from the lowest answer up",
        "turn the list",
    ),
    "unnamed scale": (
        HEAD + "scales: {often: [a, b]}\nitems:\n- {id: a, text: b, trait: T, key: 1, scale: oft}\n",
        "unknown scale 'oft'",
        "often",
    ),
    "options": (
        HEAD + "items:\n- {id: a, text: b, trait: T, options: [{text: x, score: 1}]}\n",
        "2 to 11 options",
        None,
    ),
    "option without score": (
        HEAD + "items:\n- {id: a, text: b, trait: T, options: [{text: x}]}\n",
        "option with score",
        None,
    ),
    "option labels": (
        HEAD + "option_labels: words\nitems:\n" + ITEM,
        "line 3, column 1: expected letters, numbers or text",
        None,
    ),
    "wording": (
        HEAD + "wording: {statment: x}\nitems:\n" + ITEM,
        "line 3, column 11: unknown field",
        "did you mean statement",
    ),
    "braces": (
        HEAD + "wording: {instruction: 'Pick {one}.'}\nitems:\n" + ITEM,
        "line 3, column 1: wording: instruction",
        "{count}",
    ),
    "degrees": (HEAD + "wording: {degrees: [a]}\nitems:\n" + ITEM, "expected 2 texts", None),
    "norm of a sum": (
        HEAD + "norms: [{trait: T, mean: 24, sd: 3}]\nitems:\n" + ITEM,
        "mean score from 1 to 2",
        "divide",
    ),
    "norm without spread": (
        HEAD + "norms: [{trait: T, mean: 1.5, sd: 0}]\nitems:\n" + ITEM,
        "line 3, column 9: norm of T",
        None,
    ),
    "correlation": (
        HEAD + "norms: [{trait: T, mean: 1, sd: 1}]\ncorrelations: [[T, T, .3]]\nitems:\n" + ITEM,
        "line 4, column 16: expected two different traits",
        None,
    ),
    "seed": (HEAD + "seed: many\nitems:\n" + ITEM, "expected a whole number, found 'many'", None),
    "language": (HEAD.replace("en", "German") + "items:\n" + ITEM, "expected a language tag", None),
    "two spellings": (
        HEAD + "items:\n" + ITEM + "- {id: b, text: I., trait: t, key: 1}\n",
        "one spelling .* T and t",
        None,
    ),
}


@pytest.mark.parametrize("name", YAML)
def test_yaml(name: str, tmp_path: Path) -> None:
    text, message, hint = YAML[name]
    with pytest.raises(InputError, match=message) as caught:
        read(tmp_path, "bad.yaml", text)
    assert str(caught.value).startswith(str(tmp_path / "bad.yaml"))
    assert "\n" not in str(caught.value)
    assert (hint or "") in str(caught.value.hint)


def test_json_has_lines_and_columns(tmp_path: Path) -> None:
    items = json.loads(json.dumps([{"id": "a", "text": "I am.", "trait": "T", "key": 5}]))
    text = json.dumps({"scale": ["No", "Yes"], "items": items}, indent="\t")
    with pytest.raises(InputError, match=r"bad\.json, line 11, column 4: expected a key.* found '5'"):
        read(tmp_path, "bad.json", text)
    with pytest.raises(InputError, match=r"line 1 column 14"):
        read(tmp_path, "bad.json", '{"scale": [1,]}')
    half = {"scale": ["No", "Yes"], "items": [{"id": "\ud800", "text": "I am.", "trait": "T", "key": 1}]}
    with pytest.raises(InputError, match=r"items\[0\]: id: expected Unicode text, not half a surrogate pair"):
        read(tmp_path, "bad.json", json.dumps(half))
    with pytest.raises(InputError, match="'a' occurs twice"):
        read(tmp_path, "bad.json", '{"a": 1, "a": 2}')


CSV = {
    "unknown column": ("id,text,trait,keyed\n", "line 1: unknown column 'keyed' of items", "did you mean key"),
    "answers": ("id,Q1,Q2\na,1,5\n", "expected the columns id, text, trait and key of items, found 'Q1'", "--personas"),
    "column twice": ("id,id,trait,key\n", "line 1: column id occurs twice", None),
    "no items": ("id,text,trait,key\n", "expected a field items", None),
    "key": ('id,text,trait,key\n1,"two\nlines",T,1\n2,I am.,T,0\n', "line 4, column key: expected a key", None),
    "comma": ("id,text,trait,key\n1,I am, you know,T,1\n", "line 2: expected 4 cells, found 5", "quotes"),
    "quote": ('id,text,trait,key\n1,"I am" well,T,1\n', "line 2: not readable as a table", None),
    "setting": (
        "# scales: a | b\nid,text,trait,key\n1,I am.,T,1\n",
        "line 1: unknown setting 'scales'",
        "did you mean scale",
    ),
    "a remark": ("# my items\nid,text,trait,key\n1,I am.,T,1\n", "line 1: unknown setting", None),
    "scale": (
        "\n# scale: Agree | Disagree\nid,text,trait,key\n1,I am.,T,1\n",
        "line 2: .*from the lowest answer up",
        None,
    ),
    "options": ("id,text,trait,options\n1,I am.,T,yes | no\n", "line 2, column options: expected an option like", None),
}


@pytest.mark.parametrize("name", CSV)
def test_csv(name: str, tmp_path: Path) -> None:
    text, message, hint = CSV[name]
    with pytest.raises(InputError, match=message) as caught:
        read(tmp_path, "bad.csv", text)
    assert (hint or "") in str(caught.value.hint)


def test_workbooks_have_sheets_and_rows(tmp_path: Path) -> None:
    path = tmp_path / "bad.xlsx"
    items: list[list[object]] = [
        ["id", "text", "trait", "key"],
        [1, "I am.", "T", 1],
        ["", "", "", ""],
        [2, "I go.", "T", "x"],
    ]
    write_workbook(path, {"Items": items})
    with pytest.raises(InputError, match="sheet Items, row 4, column key: expected a key"):
        load_inventory(str(path))
    items[3][3] = -1
    write_workbook(path, {"Items": items, "Norm": [["trait"], ["T"]]})
    with pytest.raises(InputError, match="unknown sheet 'Norm'") as caught:
        load_inventory(str(path))
    assert "did you mean norms" in str(caught.value.hint)
    write_workbook(path, {"Items": items, "norms": [["trait", "mean", "sd"], ["T", 30, 1]]})
    with pytest.raises(InputError, match="sheet norms, row 2, column mean: expected a mean score from 1 to 5"):
        load_inventory(str(path))
    write_workbook(path, {"Items": items})
    assert [(item.id, item.key) for item in load_inventory(str(path)).items] == [("1", 1), ("2", -1)]


FOREIGN = {
    "de": ["Ich gehe gern auf Feste.", "Mir ist das Lob anderer Leute nicht wichtig."],
    "fr": ["Je parle souvent avec des inconnus.", "Je ne suis pas une personne calme."],
    "es": ["Me gusta hablar con los vecinos.", "No soy una persona muy tranquila."],
    "it": ["Parlo spesso con gli altri.", "Non sono una persona molto calma."],
    "nl": ["Ik praat vaak met mijn buren.", "Het is niet mijn gewoonte."],
    "sv": ["Jag talar ofta med andra.", "Det är inte min vana att vänta på andra."],
    "zh": ["我喜欢种菜。"],
    "ru": ["Я люблю гулять."],
    "ja": ["私は歌うのが好きだ。"],
}


@pytest.mark.parametrize("language", FOREIGN)
def test_items_that_are_not_english_need_a_language(language: str, tmp_path: Path) -> None:
    rows = [{"id": str(place), "text": text, "trait": "T", "key": 1} for place, text in enumerate(FOREIGN[language])]
    document = {"scale": ["0", "1"], "items": rows}
    with pytest.raises(InputError, match="do not look English") as caught:
        read(tmp_path, "f.json", json.dumps(document))
    assert "add language: " in str(caught.value.hint)
    inventory = read(tmp_path, "f.json", json.dumps(document | {"language": language}))
    assert not inventory.wording.english
    assert inventory.wording.degrees == ()


def test_english_items_do_not() -> None:
    assert looks_english([item.text for item in builtin_inventory().items])
    assert looks_english(["Worry about things.", "Make friends easily.", "Am the life of the party."])
    assert looks_english(["talkative", "shy", "kind"])
    assert looks_english(["I keep naïve hopes."])
    for name, text in INSTRUMENTS.items():
        assert ("language" in text) == (name in ("german", "chinese"))
