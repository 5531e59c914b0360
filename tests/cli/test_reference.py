"""The reference page is what the declarations say today, and help texts have their panels, choices and examples."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner

from pasctl.cli.app import app
from pasctl.cli.reference import reference
from pasctl.commands import PANELS, declarations

PAGE = Path(__file__).parents[2] / "docs" / "reference.md"


def shown(*words: str) -> str:
    done = CliRunner().invoke(app, [*words, "--help"])
    assert done.exit_code == 0, done.output
    return " ".join(done.output.split())


def test_the_page_is_up_to_date() -> None:
    assert PAGE.read_text(encoding="utf-8") == reference(), "run python -m pasctl.cli.reference > docs/reference.md"


def test_commands_stand_below_their_headings() -> None:
    text = shown()
    places = [text.index(f"{panel}:") for panel in PANELS if any(each.panel == panel for each in declarations())]
    assert places == sorted(places)


@pytest.mark.parametrize("command", [each.command for each in declarations()])
def test_help_ends_with_examples(command: str) -> None:
    declared = next(each for each in declarations() if each.command == command)
    assert declared.examples
    assert shown(*command.split()).endswith(declared.examples[-1])


def test_choices_and_panels_are_shown() -> None:
    text = shown("extract")
    assert "<ends|all>" in text
    for panel in ("Options:", "Model:", "Run:", "Examples:"):
        assert panel in text
