"""Seeds of what other stores send."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path

from pasctl.store import Store
from pasctl.store.bundle import export_bundle
from pasctl.store.departure import leave
from tests.store.light_stage import run

PAGE = """<!DOCTYPE HTML>
<html><head><title>Directory listing for /objects/</title></head>
<body><h1>Directory listing for /objects/</h1><hr><ul>
<li><a href="probes/">probes/</a></li>
<li><a href="results/">results/</a></li>
<li><a href="../">..</a></li><li><a href="?C=M">by time</a></li><li><a href="a%20name.json">a name.json</a></li>
</ul><hr></body></html>
"""


def write_store(put: Callable[[str, bytes | str], None]) -> None:
    """Write them, by a function that is given a name and a content."""
    with tempfile.TemporaryDirectory() as folder:
        store, path = Store(Path(folder) / "store"), Path(folder)
        made = run(store)
        leaving = leave(store, ["best"], with_inputs=True)
        for ending in (".tar", ".tar.gz", ".tar.zst"):
            bundle = export_bundle(store, leaving, path / f"b{ending}", tags=True, moved=lambda size: None)
            put(f"bundle/b{ending}", bundle.path.read_bytes())
        data = (path / "b.tar").read_bytes()
        put("bundle-index/two.json", data[512 : 512 + int(data[124:135], 8)])
        for number, artifact in enumerate(made):
            put(f"parcel/{number}.json", (artifact.path / "manifest.json").read_bytes())
    put("page/python.html", PAGE)
