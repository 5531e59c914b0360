"""README and docs: their commands and code run, their links lead somewhere, the options that they name exist.

A page runs in a folder of its own, its blocks in order, on tiny models laid out as the hub's cache lays them out.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import pytest
from typer.core import TyperGroup
from typer.main import get_command

from pasctl.cli.app import app
from tests.tiny import hub_cache_layout, save_tiny

ROOT = Path(__file__).parents[2]
PAGES = ["README.md", *sorted(f"docs/{path.name}" for path in (ROOT / "docs").glob("*.md"))]
WRITTEN = [page for page in PAGES if page != "docs/reference.md"]  # the reference is made from the declarations
LINKED = [*PAGES, "CONTRIBUTING.md", "SECURITY.md"]

DRIVER = """
import contextlib, io, json, os, sys, traceback
from typer.testing import CliRunner
from pasctl.cli.app import app

def done(step):
    if step["kind"] == "python":
        said = io.StringIO()
        with contextlib.redirect_stdout(said):
            exec(compile(step["text"], "a page", "exec"), {})
        return said.getvalue()
    result = CliRunner().invoke(app, step["words"], input=step["stdin"])
    if result.exit_code != 0:
        raise RuntimeError(f"{step['words']}: exit {result.exit_code} {result.exception!r}\\n{result.output}")
    return result.output

for line in sys.stdin:
    page = json.loads(line)
    os.chdir(page["folder"])
    try:
        answer = {"outputs": [done(step) for step in page["steps"]]}
    except BaseException:
        answer = {"error": traceback.format_exc()}
    print(json.dumps(answer), flush=True)
"""


def text_of(page: str) -> str:
    return (ROOT / page).read_text(encoding="utf-8")


def blocks(page: str) -> list[tuple[str, str]]:
    """The fenced blocks of a page: language and text."""
    return re.findall(r"^```(\w*)\n(.*?)^```$", text_of(page), re.DOTALL | re.MULTILINE)


def prose(page: str) -> str:
    """A page without its fenced and indented blocks."""
    text = re.sub(r"^```\w*\n.*?^```$", "", text_of(page), flags=re.DOTALL | re.MULTILINE)
    return re.sub(r"(?<=\n\n)(?: {4}.*\n|\n(?= {4}))+", "", text)


def shell_step(line: str) -> dict[str, Any]:
    """A line `pasctl ...`, or `echo ... | pasctl ...`, whose left side is run by a shell."""
    left, pipe, right = line.partition(" | ")
    stdin = subprocess.run(["bash", "-c", left], capture_output=True, text=True, check=True).stdout if pipe else None
    words = shlex.split(right if pipe else line, comments=True)
    assert words[0] == "pasctl", line
    return {"kind": "sh", "words": words[1:], "stdin": stdin}


def steps(page: str, *, papi: bool) -> list[dict[str, Any]]:
    """What a page runs; blocks that name a folder of PAPI only where there is one."""
    listed: list[dict[str, Any]] = []
    for language, text in blocks(page):
        if language == "python":
            listed.append({"kind": "python", "text": text})
        elif language == "sh" and (papi or "PAPI" not in text):
            listed += [shell_step(line) for line in text.splitlines() if line.strip()]
    return listed


RUNNABLE = [page for page in PAGES if any(language in ("sh", "python") for language, _ in blocks(page))]


class Reader:
    """A process that has everything loaded and runs one page after the other."""

    def __init__(self, folder: Path) -> None:
        for number, repo in enumerate(("Qwen/Qwen3-0.6B", "Qwen/Qwen3-1.7B")):
            hub_cache_layout(folder / "hf" / "hub", repo, save_tiny(folder / f"tiny{number}", seed=number))
        environment = {name: value for name, value in os.environ.items() if not name.startswith("PASCTL_")} | {
            "HF_HOME": str(folder / "hf"),
            "HF_HUB_OFFLINE": "1",
            "PASCTL_CACHE": str(folder / "cache"),
            "PYTHONPATH": str(ROOT),
            "MPLBACKEND": "agg",
        }
        self._errors = (folder / "stderr").open("w")
        self._process = subprocess.Popen(
            [sys.executable, "-c", DRIVER],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            env=environment,
            cwd=folder,
            text=True,
        )

    def run(self, page: str, folder: Path) -> dict[str, Any]:
        data = os.environ.get("PASCTL_PAPI")
        if data:
            (folder / "PAPI").symlink_to(data)
        (folder / "long.txt").write_text("Nobody knew who had hidden the letter. " * 60, encoding="utf-8")
        (folder / "more.txt").write_text("The letter lay under the stair. " * 30, encoding="utf-8")
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        request = {"folder": str(folder), "steps": steps(page, papi=bool(data))}
        self._process.stdin.write(json.dumps(request) + "\n")
        self._process.stdin.flush()
        answer: dict[str, Any] = json.loads(self._process.stdout.readline())
        return answer

    def close(self) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait(timeout=30)
        self._errors.close()


@pytest.fixture(scope="module")
def reader(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Reader]:
    process = Reader(tmp_path_factory.mktemp("reader"))
    yield process
    process.close()


@pytest.mark.integration
@pytest.mark.parametrize("page", RUNNABLE)
def test_a_page_runs(page: str, reader: Reader, tmp_path: Path) -> None:
    answer = reader.run(page, tmp_path)
    assert "error" not in answer, answer["error"][-3000:]


def test_most_pages_have_something_to_run() -> None:
    assert len(RUNNABLE) >= 10
    assert {language for page in PAGES for language, _ in blocks(page)} == {"sh", "python", "text"}


@pytest.mark.parametrize("page", LINKED)
def test_links_and_images_lead_somewhere(page: str) -> None:
    targets = re.findall(r"\]\(([^)\s]+)\)", prose(page))
    local = [target for target in targets if not target.startswith(("http://", "https://", "mailto:"))]
    for target in local:
        name, _, anchor = target.partition("#")
        path = (ROOT / page).parent / name if name else ROOT / page
        assert path.exists(), f"{page} links to {target}"
        if anchor:
            titles = re.findall(r"^#+ (.*)$", path.read_text(encoding="utf-8"), re.MULTILINE)
            anchors = {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}
            assert anchor in anchors, f"{page} links to {target}"


def test_the_readme_leads_to_every_page() -> None:
    readme = text_of("README.md")
    for page in PAGES[1:]:
        assert f"({page})" in readme, f"README.md does not link to {page}"


def test_the_readme_has_its_parts() -> None:
    text = text_of("README.md")
    assert len(text.splitlines()) < 150
    for needed in ("make demo", "make demo-real", "make test", "own-facet-mean", "random-direction", "dist. r"):
        assert needed in text


@pytest.mark.parametrize("page", [*WRITTEN, "CONTRIBUTING.md", "SECURITY.md"])
def test_lines_of_prose_are_short(page: str) -> None:
    long = [line for line in prose(page).splitlines() if len(line) > 120 and not line.startswith("|")]
    assert not long


@pytest.mark.parametrize(
    ("page", "numbers"),
    [
        ("docs/getting-started.md", "pasctl/demo/model/evaluation.json"),
    ],
)
def test_tables_have_the_numbers_that_are_kept(page: str, numbers: str) -> None:
    conditions = {row["condition"]: row for row in json.loads(text_of(numbers))["conditions"]}
    row = re.compile(r"^    ([a-z0-9+-]+) .*?(\d+\.\d{3})  (\d+\.\d\d)\.\.(\d+\.\d\d) ", re.MULTILINE)
    shown = {name: [float(value) for value in values] for name, *values in row.findall(text_of(page))}
    assert len(shown) >= 8
    for name, values in shown.items():
        kept = [conditions[name]["composite"], *conditions[name]["composite_interval"]]
        assert values == pytest.approx(kept, abs=6e-3), f"{page}: {name}"


@pytest.mark.parametrize("page", ["README.md", "docs/real-model.md"])
def test_personal_tables_have_the_numbers_that_are_kept(page: str) -> None:
    kept = json.loads(text_of("docs/images/smollm2-papi.json"))["conditions"]
    conditions = {row["condition"]: row for row in kept if row["reading"] in ("statements", "")}
    pattern = r"^    ([a-z+-]+?)(?: auto)? +(\d+)  +(-?\d\.\d{3})  +(-?\d\.\d\d)\.\.(-?\d\.\d\d)  +(-?\d\.\d{3})  "
    shown = re.findall(pattern, text_of(page), re.MULTILINE)
    assert {"pas", "random-direction"} <= {name for name, *_ in shown}
    for name, people, *values in shown:
        row = conditions[name]
        assert int(people) == row["personas"]
        expected = [row["distinctive_r"], *row["distinctive_r_interval"], row["wrong_person_r"]]
        assert [float(value) for value in values] == pytest.approx(expected, abs=6e-3), f"{page}: {name}"


def test_the_table_of_texts_has_the_numbers_that_are_kept() -> None:
    kept = {row["target"]: row for row in json.loads(text_of("docs/images/smollm2-texts.json"))["rows"]}
    pattern = r"^    ([OCEAN]\+) +([\d.]+) +([\d.]+) +([\d.]+)\.\.([\d.]+) +([\d.]+) +([\d.]+)\.\.([\d.]+) +([\d.]+) "
    shown = {
        name: [float(value) for value in values]
        for name, *values in re.findall(pattern, text_of("docs/real-model.md"), re.M)
    }
    assert list(shown) == list(kept)
    for name, row in kept.items():
        expected = [row["alpha"], *row["auc"][:3], *row["embedding_auc"][:3], row["auc_prompted"][0]]
        assert shown[name] == pytest.approx(expected, abs=6e-3), name
    for measure in ("auc", "embedding_auc"):
        listed = [f"{kept[name][measure][0]:.2f}".removeprefix("0") for name in kept]
        assert all(value in text_of("README.md") for value in listed)


_WORDS = {
    r"told": "prompted",
    r"(?:nats|tokens|bytes|KB) an? (?:token|head|layer|persona)": "per token, nats/token",
    r"(?<!exact-)recall(?:s|ed|ing)?": "retrieve",
    r"displacements?": "steering delta",
    r"beside": "alongside, compared with",
    r"behind": "after",
    r"at the most": "peak, at most",
    r"so many": "N",
    r"in the box": "the bundled demo model",
    r"somebody else": "resource busy",
    r"hanging up": "a disconnect cancels the request",
}
"""What style.md replaces, and by what."""


@pytest.mark.parametrize("page", [*WRITTEN, "CONTRIBUTING.md", "SECURITY.md"])
def test_words_are_those_of_the_field(page: str) -> None:
    for word, better in _WORDS.items():
        match = re.search(rf"^.*\b(?:{word})\b.*$", prose(page), re.MULTILINE | re.IGNORECASE)
        assert match is None, f"{page} says '{match.group(0)}', expected: {better}"


@pytest.mark.parametrize("page", WRITTEN)
def test_initials_of_traits_are_spelled_out_first(page: str) -> None:
    text = text_of(page)
    initials = re.search(r"\bO +C +E +A +N\b|\bO, C, E, A and N\b", text)
    if initials:
        for trait in ("Openness", "Conscientiousness", "Extraversion", "Agreeableness", "Neuroticism"):
            assert trait in text


def named_commands(page: str) -> Iterator[list[str]]:
    """The words of every command that a page names, in blocks and in line."""
    text = text_of(page)
    in_line = re.findall(r"`([^`\n]+)`", prose(page))
    code = [line for _, block in blocks(page) for line in block.splitlines()]
    code += [line.strip() for line in text.splitlines() if line.startswith("    ")]
    for line in [*in_line, *code]:
        words = re.split(r" #|[|(]", line.rpartition("pasctl ")[2])[0].split()
        if re.match(r"(.*\| |\$ )?pasctl [a-z]", line) or (line in in_line and words and words[0] in COMMANDS.commands):
            yield words


COMMANDS = cast(TyperGroup, get_command(app))


@pytest.mark.parametrize("page", WRITTEN)
def test_commands_and_options_exist(page: str) -> None:
    for words in named_commands(page):
        command = COMMANDS.commands.get(words[0])
        assert command is not None, f"{page} names pasctl {' '.join(words)}"
        if isinstance(command, TyperGroup):
            command = command.commands.get(words[1] if len(words) > 1 else "", command.commands.get("create", command))
        options = {name for parameter in command.params for name in (*parameter.opts, *parameter.secondary_opts)}
        for word in words:
            if re.fullmatch(r"--?[a-z][a-z0-9-]*", word):
                assert word in options | {"--help"}, f"{page} names pasctl {' '.join(words)}, which has no {word}"
