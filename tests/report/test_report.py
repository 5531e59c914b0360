"""The command and the stage: one file, nothing from outside, and nothing that a user's text could turn into markup."""

from __future__ import annotations

import json
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
from matplotlib.image import imread
from typer.testing import CliRunner, Result

from pasctl.cli.app import app as pasctl_app
from pasctl.errors import InputError, IntegrityError, MissingError
from pasctl.inventory import PersonaSet, builtin_inventory, load_personas
from pasctl.stages.fit_directions import fit_directions
from pasctl.stages.report import report
from pasctl.stages.reproduce import PLACE, Made, reproduce
from pasctl.stages.runner import Store
from pasctl.stages.train_probes import train_probes
from tests.report.conftest import KINDS, QUESTION, REFS, Page, put


def run(*arguments: object) -> Result:
    return CliRunner().invoke(pasctl_app, ["report", *map(str, arguments)])


@pytest.fixture(scope="module")
def page(store: Store, tmp_path_factory: pytest.TempPathFactory) -> str:
    target = tmp_path_factory.mktemp("page") / "report.html"
    report(REFS, target, store=store)
    return target.read_text(encoding="utf-8")


def test_page_shows_every_kind_in_the_order_asked_for(page: str) -> None:
    sections = [attributes.get("id") for tag, attributes in Page(page).tags if tag == "section"]
    assert [str(each).split("-")[1] for each in sections[: len(KINDS)]] == list(KINDS)
    assert sections[len(KINDS) :] == ["lineage", "made"]


def test_page_loads_nothing_and_is_well_formed(page: str) -> None:
    parsed = Page(page)
    assert parsed.open == []
    assert not parsed.names() & {"script", "link", "img", "iframe", "object", "base"}
    assert not re.search(r"url\((?!#)|@import|javascript:", page)
    addresses = set(re.findall(r"https?://[^\"'<\s]+", page))
    assert addresses == {"http://www.w3.org/2000/svg"}
    linked = {str(attributes["href"]) for tag, attributes in parsed.tags if tag == "a"}
    places = {f"#{attributes['id']}" for _, attributes in parsed.tags if "id" in attributes}
    assert linked
    assert linked <= places
    assert not any(name.startswith("on") for _, attributes in parsed.tags for name in attributes)


def test_page_tells_no_folder_and_no_host(page: str, store: Store, tiny_folder: Path) -> None:
    host = store.resolve("results").provenance["host"]
    assert str(tiny_folder.parent) not in page
    assert not re.search(rf"\b{re.escape(host)}\b", Page(page).text)


def test_same_artifacts_give_the_same_bytes(store: Store, tmp_path: Path) -> None:
    for name in ("a.html", "b.html"):
        report(["results", "answers", "results"], tmp_path / name, store=store)
    assert (tmp_path / "a.html").read_bytes() == (tmp_path / "b.html").read_bytes()


def test_figures_are_files_of_their_own(store: Store, tmp_path: Path) -> None:
    outcome = report(REFS, tmp_path / "report.html", svg=tmp_path / "figures", store=store)
    drawn = (tmp_path / "report.html").read_text(encoding="utf-8").count("<figure>")
    assert len(set(outcome.figures)) == len(outcome.figures) == drawn
    assert sorted(outcome.figures) == sorted((tmp_path / "figures").iterdir())
    for path in outcome.figures:
        root = ElementTree.fromstring(path.read_text(encoding="utf-8"))  # noqa: S314 - just written here
        assert root.tag == "{http://www.w3.org/2000/svg}svg"
        numbers = [float(each) for each in root.attrib["viewBox"].split()]
        assert numbers[2:] == [float(root.attrib[name].removesuffix("pt")) for name in ("width", "height")]
        written = [value for each in root.iter() for value in each.attrib.values()]
        assert not [value for value in written if re.search(r"\b(nan|inf)\b", value)]


def test_figures_are_pictures_twice_as_large_and_documents(store: Store, tmp_path: Path) -> None:
    folders = dict.fromkeys(("svg", "png", "pdf"), tmp_path / "f")
    outcome = report(["results", "answers"], tmp_path / "p.html", **folders, store=store)
    drawn, pictures, documents = (
        [path for path in outcome.figures if path.suffix == f".{ending}"] for ending in ("svg", "png", "pdf")
    )
    assert [path.stem for path in pictures] == [path.stem for path in documents] == [path.stem for path in drawn]
    for path, source in zip(pictures, drawn, strict=True):
        pixels = imread(path)
        root = ElementTree.fromstring(source.read_text(encoding="utf-8"))  # noqa: S314 - just written here
        points = [float(root.attrib[name].removesuffix("pt")) for name in ("height", "width")]
        assert pixels.shape[:2] == pytest.approx([size * 2 * 96 / 72 for size in points], abs=1)
        assert (pixels[0, 0, :3] == 1).all(), "white"
        assert 0.001 < (pixels[..., :3].max(axis=2) < 0.5).mean() < 0.5, "words and marks are there"
    for path in documents:
        assert path.read_bytes().startswith(b"%PDF-")
        assert b"CreationDate" not in path.read_bytes()


def test_texts_of_users_are_no_markup(store: Store, tmp_path: Path) -> None:
    copied = Store(shutil.copytree(store.root, tmp_path / "store"))
    few = load_personas("builtin:0-2", builtin_inventory())
    hostile = PersonaSet("hostile", ("<script>alert(3)</script>", 'a"&\x07b'), few.agreements)
    train_probes(personas=hostile, store=copied)
    fit_directions(store=copied)
    outcome = report(
        ["directions/tiny-a/hostile", "answers", "memory"], tmp_path / "r.html", svg=tmp_path / "f", store=copied
    )
    page = outcome.path.read_text(encoding="utf-8")
    assert "<script" not in page
    text = Page(page).text
    assert QUESTION in text
    assert "<script>alert(3)</script>" in text
    for path in outcome.figures:
        ElementTree.fromstring(path.read_text(encoding="utf-8"))  # noqa: S314 - just written here


def test_commands_on_the_page_find_what_they_made(
    store: Store, page: str, tiny_folder: Path, text_file: Path, tmp_path: Path
) -> None:
    """The command line that the page gives has the key of the artifact: nothing new comes into the store."""
    copied = Store(shutil.copytree(store.root, tmp_path / "store"))
    before = {artifact.key for artifact in copied.artifacts()}
    told = {artifact.key: reproduce(Made.of(artifact)) for artifact in copied.artifacts()}
    assert [copied.resolve(key).stage for key, line in told.items() if not line] == []
    assert sum(line in Page(page).text for line in told.values() if line) == len(KINDS)
    for line in filter(None, told.values()):
        words = shlex.split(line.replace(f"{PLACE}/{text_file.name}", str(text_file)))[1:]
        words = [str(tiny_folder) if word == f"{PLACE}/{tiny_folder.name}" else word for word in words]
        done = CliRunner().invoke(pasctl_app, [words[0], "--store", str(copied.root), *words[1:]])
        assert done.exit_code == 0, (line, done.output)
        assert {artifact.key for artifact in copied.artifacts()} == before, line


def test_selection_by_steering_is_drawn(store: Store, tmp_path: Path) -> None:
    chosen = next(each for each in store.artifacts("directions") if "selection.json" in each.files())
    outcome = report(chosen, tmp_path / "p.html", svg=tmp_path / "f", store=store)
    names = [path.name for path in outcome.figures]
    assert names[0] == "01-directions-selection.svg"
    tried = [each for each in chosen.read_json("selection.json")["tried"] if each["heads"] is None]
    assert outcome.figures[0].read_text(encoding="utf-8").count("<title>layers") == len(tried)


def test_json_names_what_was_written(store: Store, tmp_path: Path) -> None:
    done = run("probes", "-o", tmp_path / "p.html", "--svg", tmp_path / "f", "--store", store.root, "--json")
    assert done.exit_code == 0
    document = json.loads(done.stdout)
    assert document["path"] == str(tmp_path / "p.html")
    assert document["artifacts"] == ["probes/tiny-a/builtin@v1"]
    assert [Path(each).name for each in document["figures"]] == ["01-probes-accuracy.svg", "lineage.svg"]


def test_unknown_reference_is_the_stores_own_error(store: Store, tmp_path: Path) -> None:
    done = run("results", "nothing/here", "-o", tmp_path / "p.html", "--store", store.root)
    assert done.exit_code == MissingError.exit_code
    assert done.stderr.startswith("error: no artifact matches 'nothing/here'")
    assert not (tmp_path / "p.html").exists()


@pytest.mark.parametrize(
    ("output", "svg", "told"),
    [
        ("none/p.html", None, "there is no folder"),
        (".", None, "is a folder, expected a file"),
        ("p.html", "none/figures", "there is no folder"),
        ("p.html", "taken", "is a file, expected a folder"),
    ],
)
def test_a_place_that_cannot_be_written_is_told_in_one_line(
    store: Store, tmp_path: Path, output: str, svg: str | None, told: str
) -> None:
    (tmp_path / "taken").write_text("")
    options = [] if svg is None else ["--svg", tmp_path / svg]
    done = run("results", "-o", tmp_path / output, *options, "--store", store.root)
    assert done.exit_code == InputError.exit_code
    assert told in done.stderr.splitlines()[0]
    assert not (tmp_path / "p.html").exists()


def test_nothing_to_report_on_is_refused(store: Store, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="at least one artifact"):
        report([], tmp_path / "p.html", store=store)


def test_a_kind_without_figures_is_said_to_have_none(tmp_path: Path) -> None:
    store = Store(tmp_path / "store")
    put(store, "odd", {"a.json": [1], "b.safetensors": {"x": np.zeros(3)}})
    report("odd", tmp_path / "p.html", store=store)
    text = Page((tmp_path / "p.html").read_text(encoding="utf-8")).text
    assert "There are no figures for odd." in text
    assert "b.safetensors" in text


def test_answers_whose_memory_is_gone_are_still_shown(store: Store, tmp_path: Path) -> None:
    copied = Store(shutil.copytree(store.root, tmp_path / "store"))
    shutil.rmtree(copied.resolve("memory").path)
    report("answers", tmp_path / "p.html", store=copied)
    text = Page((tmp_path / "p.html").read_text(encoding="utf-8")).text
    assert "no longer in this store" in text
    assert "not in this store" in text


def test_a_damaged_file_is_not_drawn(store: Store, tmp_path: Path) -> None:
    copied = Store(shutil.copytree(store.root, tmp_path / "store"))
    path = copied.resolve("results").path / "metrics.json"
    path.write_text(path.read_text().replace("0.", "1.", 1))
    with pytest.raises(IntegrityError, match=r"metrics\.json"):
        report("results", tmp_path / "p.html", store=copied)
    assert not (tmp_path / "p.html").exists()


def test_command_is_quick_to_import_and_the_stage_loads_no_model(
    store: Store, clean_environment: dict[str, str], tmp_path: Path
) -> None:
    script = (
        "import sys, pasctl.cli.report\n"
        "assert not {'jinja2', 'matplotlib', 'numpy', 'torch'} & set(sys.modules), 'loaded by the import'\n"
        "from pasctl.stages.report import report\n"
        f"report({REFS!r}, {str(tmp_path / 'p.html')!r}, store={str(store.root)!r})\n"
        "assert not {'torch', 'transformers'} & set(sys.modules), 'loaded by the stage'\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], env=clean_environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
