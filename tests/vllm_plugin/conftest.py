"""Figures of the tests in vLLM, printed at the end: workers of pytest-xdist print nothing while they run."""

from __future__ import annotations

import pytest


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    for outcome in ("passed", "failed"):
        for report in terminalreporter.stats.get(outcome, []):
            for name, told in report.user_properties:
                terminalreporter.write_line(f"{name}: {told}")
