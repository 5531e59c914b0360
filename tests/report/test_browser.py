"""A real browser opens the page: nothing is complained about, nothing is fetched, nothing runs over the edge."""

from __future__ import annotations

import html
import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from pasctl.report.blocks import Section
from pasctl.report.page import Page, render
from pasctl.report.sections.comparison import comparison, merge
from pasctl.report.sections.results import results
from pasctl.report.sections.strengths import strengths
from pasctl.stages.report import report
from pasctl.stages.runner import Store
from tests.report import full
from tests.report.conftest import REFS

BROWSER = shutil.which("chromium") or shutil.which("google-chrome")
FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--hide-scrollbars",
    "--window-size=1400,900",
    "--enable-logging=stderr",
    "--host-resolver-rules=MAP * ~NOTFOUND",
)
# Written into a copy of the page: how wide the page is, and which visible words end beyond their drawing.
MEASURE = """<script>addEventListener('load', () => {
const out = [];
for (const drawing of document.querySelectorAll('svg.figure')) {
  const sheet = drawing.getBoundingClientRect();
  if (!sheet.width) continue;
  for (const text of drawing.querySelectorAll('text')) {
    const box = text.getBoundingClientRect();
    if (box.left < sheet.left - 2 || box.right > sheet.right + 2) out.push(text.textContent);
  }
}
const found = {wide: document.documentElement.scrollWidth, window: innerWidth, out};
parent.postMessage(JSON.stringify(found), '*');
});</script>"""
# Chromium opens no window that is narrower than 500 pixels; a frame may be.
FRAME = """<!doctype html><title>frame</title><script>
addEventListener('message', told => document.documentElement.setAttribute('data-found', told.data));
</script><iframe src="{}" style="width:{}px;height:900px;border:0"></iframe>"""

pytestmark = [
    pytest.mark.integration,
    pytest.mark.skipif(BROWSER is None, reason="needs chromium or google-chrome"),
]


@pytest.fixture(scope="module")
def pages(store: Store, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """One of real artifacts of every kind, and one of made-up results that have all there is."""
    folder = tmp_path_factory.mktemp("pages")
    real = report(REFS, folder / "real.html", store=store).path
    metrics = full.metrics()
    names = [
        "qwen3-0.6b",
        "smollm2-135m-instruct-q4-1",
        "a-model-with-a-very-long-name-that-goes-on-and-on-8b-instruct",
    ]
    lines = merge([metrics["conditions"]] * len(names))
    contents = {
        "results": results(metrics, full.rows(metrics)),
        "strengths": strengths(full.curves()),
        "comparison": comparison(names, lines, (), ()),
    }
    sections = tuple(Section(kind, kind, "made/full@v1", content) for kind, content in contents.items())
    made = folder / "made.html"
    made.write_text(render(Page("all there is", sections, None, (), "0")), encoding="utf-8")
    return {"real": real, "made": made}


def browse(page: str, width: int, folder: Path) -> tuple[dict[str, Any], list[str], list[str]]:
    """What was measured on the page in a frame so wide, lines of the console, and addresses asked for."""
    assert BROWSER is not None
    (folder / "page.html").write_text(page.replace("</body>", f"{MEASURE}</body>"), encoding="utf-8")
    frame, log = folder / "frame.html", folder / "net.json"
    frame.write_text(FRAME.format("page.html", width), encoding="utf-8")
    command = [BROWSER, *FLAGS, f"--user-data-dir={folder / 'profile'}", f"--log-net-log={log}", "--dump-dom"]
    done = subprocess.run([*command, frame.as_uri()], capture_output=True, text=True, timeout=60, check=True)
    told = re.search(r'data-found="([^"]*)"', done.stdout)
    assert told is not None, done.stderr
    console = [line for line in done.stderr.splitlines() if "CONSOLE" in line]
    return json.loads(html.unescape(told[1])), console, requests(log)


@pytest.mark.parametrize("width", [1280, 400])
@pytest.mark.parametrize("name", ["real", "made"])
def test_a_page_is_quiet_asks_for_nothing_and_fits_the_window(
    pages: dict[str, Path], name: str, width: int, tmp_path: Path
) -> None:
    page = pages[name].read_text(encoding="utf-8")
    assert page.count("</body>") == 1
    found, console, asked = browse(page, width, tmp_path)
    assert console == []
    assert asked == []
    assert found == {"wide": width, "window": width, "out": []}


def test_what_the_checks_look_for_they_would_find(tmp_path: Path) -> None:
    """A page that complains, fetches, is too wide and has cut words is seen to do so."""
    drawing = '<svg class="figure" width="90" height="20"><text x="60" y="12">too long for it</text></svg>'
    image = '<img src="http://nowhere.invalid/x.png">'
    script = "<script>console.error('complaint')</script>"
    page = f'<body><div style="width:2000px">{drawing}</div>{image}{script}</body>'
    found, console, asked = browse(page, 400, tmp_path)
    assert any("complaint" in line for line in console)
    assert any("nowhere.invalid" in address for address in asked)
    assert found["wide"] >= 2000
    assert found["out"] == ["too long for it"]


def requests(log: Path) -> list[str]:
    """Addresses on a network that documents asked for, by the browser's log; its own doings have no origin there."""
    events = json.loads(log.read_text(encoding="utf-8"))["events"]
    found = [event["params"] for event in events if "initiator" in event.get("params", {})]
    asked = {told["url"] for told in found if told["initiator"] != "not an origin"}
    return sorted(address for address in asked if not address.startswith("file:"))
