"""A hundred thousand respondents take the memory of ten thousand, and a run that is killed goes on to the same bits."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from pasctl.inventory import PersonaSet, builtin_inventory, persona_table, simulate, write_personas
from tests.integration.warm import Done, Warm

pytestmark = pytest.mark.integration

FEW, MANY, BATCH = 10_000, 100_000, 10_000
MARGIN_MIB = 32
"""What a run of 90,000 respondents more may take: their names, 8 bytes each to tell them apart, and noise. Held whole,
their answers alone are 41 MiB, and directions and what they are fitted from ten times that."""
ROOM_MIB = 160
"""Of address space beside the small run's, which varies by 100 MiB from run to run, as libraries and pools lie."""
KILLED = 5_000

_STAGES = """
import json, resource, sys
from pathlib import Path
from pasctl.stages.fit_directions import fit_directions
from pasctl.stages.train_probes import train_probes

def peak(name):
    return int(Path("/proc/self/status").read_text().split(name + ":")[1].split()[0]) // 1024

store, file, limit = sys.argv[1:]
if int(limit):
    resource.setrlimit(resource.RLIMIT_AS, (int(limit) << 20, int(limit) << 20))
probes = train_probes(personas=file, method="ridge", store=store).artifact
made = fit_directions(probes=probes, top_k=4, center="population", store=store).artifact
counts = [each.provenance["counts"] for each in (probes, made)]
print(json.dumps({"resident": peak("VmHWM"), "address space": peak("VmPeak"), "counts": counts}))
"""


def write_respondents(path: Path, count: int) -> Path:
    """Simulated respondents, BATCH in a row group; never all in memory."""
    writer: pq.ParquetWriter | None = None
    items = list(builtin_inventory().position)
    for start in range(0, count, BATCH):
        drawn = simulate(builtin_inventory(), BATCH, seed=start)
        ids = tuple(f"r{start + row}" for row in range(BATCH))
        table = persona_table(PersonaSet("many", ids, drawn.agreements), items)
        writer = writer or pq.ParquetWriter(path, table.schema)
        writer.write_table(table)
    assert writer is not None
    writer.close()
    return path


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="peaks of memory are read from /proc")
def test_memory_does_not_grow_with_the_respondents(
    fitted_store: Path, clean_environment: dict[str, str], tmp_path: Path
) -> None:
    """Probes of all heads, and directions centred on the population: 1.8 million probes, 800,000 directions."""

    def run(count: int, limit: int) -> dict[str, object]:
        file = write_respondents(tmp_path / f"{count}.parquet", count)
        command = [sys.executable, "-c", _STAGES, str(fitted_store), str(file), str(limit)]
        done = subprocess.run(command, env=clean_environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        found: dict[str, object] = json.loads(done.stdout)
        assert found["counts"] == [{"probes": count * 18}, {"personas": count, "heads": 4}]
        return found

    few = run(FEW, 0)
    many = run(MANY, int(str(few["address space"])) + ROOM_MIB)
    assert int(str(many["resident"])) <= int(str(few["resident"])) + MARGIN_MIB, (few, many)


def _shards(store: Path, what: str) -> dict[str, int]:
    """Finished shards in staging, by name, with the inode that their bytes are at."""
    found = [path for path in store.glob(f"staging/*/{what}/*") if not path.name.startswith(".")]
    return {path.name.partition(".")[0]: path.stat().st_ino for path in found}


def _killed(warm: Warm, command: list[object], store: Path, what: str, shards: int) -> dict[str, int]:
    """Kill a run when it has left so many shards; gives those."""
    process = warm.start(*command, "--store", store)
    process.wait_for(lambda: len(_shards(store, what)) >= shards)
    process.signal(signal.SIGKILL)
    assert process.wait().returncode == -signal.SIGKILL
    return _shards(store, what)


def _assert_taken_up(done: Done, whole: Done, left: dict[str, int], what: str) -> None:
    """The shards that were left are in the artifact as they were, and all of it is what an undisturbed run made."""
    assert done.returncode == 0, done.stderr
    assert done.document["content_digest"] == whole.document["content_digest"]
    kept = {path.stem: path.stat().st_ino for path in (Path(done.document["path"]) / what).iterdir()}
    assert left.items() <= kept.items()
    assert len(left) < len(kept)


def test_a_run_that_is_killed_goes_on_to_the_same_bits(fitted_master: Path, warm: Warm, tmp_path: Path) -> None:
    file = tmp_path / "many.parquet"
    write_personas(simulate(builtin_inventory(), KILLED), list(builtin_inventory().position), file)
    calm, store = (Path(shutil.copytree(fitted_master, tmp_path / name)) for name in ("calm", "killed"))
    train: list[object] = ["train-probes", "--personas", file, "--json"]
    fit: list[object] = ["fit-directions", "--center", "population", "--json"]
    whole = [warm.run(*command, "--store", calm) for command in (train, fit)]
    left = _killed(warm, train, store, "scores", 2)
    _assert_taken_up(warm.run(*train, "--store", store), whole[0], left, "scores")
    assert _killed(warm, fit, store, "parts", 1)  # while the population is summed up
    left = _killed(warm, fit, store, "shuffled", 2)  # a shard is whole when its control is there
    _assert_taken_up(warm.run(*fit, "--store", store), whole[1], left, "shuffled")
    assert os.listdir(store / "staging") == []
