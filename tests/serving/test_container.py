"""The container of docs/container: its commands are commands of pasctl, and it can be built where docker is."""

from __future__ import annotations

import http.client
import json
import re
import shlex
import shutil
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest
import yaml

from pasctl.serving.auth_middleware import PATHS
from tests.conftest import PasctlRun

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "docs" / "container"
IMAGE = "pasctl-test"


def instructions() -> list[tuple[str, str]]:
    """The instructions of the Containerfile and what stands after each."""
    lines = (FOLDER / "Containerfile").read_text().splitlines()
    said = [line for line in lines if line and not line.startswith("#")]
    return [(word, rest) for word, _, rest in (line.partition(" ") for line in said)]


def of(word: str) -> list[str]:
    return [rest for each, rest in instructions() if each == word]


def compose() -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load((FOLDER / "compose.yaml").read_text())
    return found


def variables() -> dict[str, str]:
    return dict(pair.split("=", 1) for pair in shlex.split(" ".join(of("ENV"))))


@pytest.mark.parametrize("more", [json.loads(of("CMD")[0]), compose()["services"]["pasctl"]["command"]])
def test_its_commands_are_understood(run_pasctl: PasctlRun, more: list[str]) -> None:
    [entry] = map(json.loads, of("ENTRYPOINT"))
    name, *command = entry
    assert name == "pasctl"
    done = run_pasctl(*command, *more, env=variables())
    # all options are right, and the keys are what it lacks here
    assert (done.returncode, done.stdout) == (3, "")
    assert "the file of API keys '/run/secrets/keys' cannot be read: no such file" in done.stderr


def test_an_option_that_is_not_there_would_be_seen(run_pasctl: PasctlRun) -> None:
    done = run_pasctl("serve", "--model", "demo", "--hots", "0.0.0.0", env=variables())  # noqa: S104
    assert done.returncode == 2


def test_what_it_copies_is_there_and_not_ignored() -> None:
    ignored = (FOLDER / "Containerfile.dockerignore").read_text().splitlines()
    for copied in of("COPY"):
        *sources, _ = copied.split()
        for source in sources:
            assert (ROOT / source).exists(), source
            assert f"!{source}" in ignored, source
    assert "serve" in str(of("RUN"))


def test_it_asks_for_health_where_the_server_answers() -> None:
    [command] = of("HEALTHCHECK")
    found = re.search(r"http://127\.0\.0\.1:(\d+)(/\w+)", command)
    assert found is not None
    [entry], [port] = map(json.loads, of("ENTRYPOINT")), of("EXPOSE")
    assert found[1] == entry[entry.index("--port") + 1] == port
    assert found[2] in PATHS
    compile(json.loads(command[command.index("[") :])[2], "healthcheck", "exec")


def test_the_compose_file_fits_it() -> None:
    document = compose()
    service = document["services"]["pasctl"]
    build = service["build"]
    assert (FOLDER / build["context"]).resolve() == ROOT
    assert (ROOT / build["dockerfile"]).is_file()
    [port] = of("EXPOSE")
    assert [each.rpartition(":")[2] for each in service["ports"]] == [port]
    places = dict(each.split(":") for each in service["volumes"])
    assert set(places) == set(document["volumes"])
    assert set(places.values()) == set(json.loads(of("VOLUME")[0]))
    assert variables()["PASCTL_STORE"] in places.values()
    assert [f"/run/secrets/{name}" for name in service["secrets"]] == [variables()["PASCTL_API_KEY_FILE"]]
    assert set(service["secrets"]) == set(document["secrets"])
    grace = float(service["command"][service["command"].index("--grace") + 1])
    assert float(service["stop_grace_period"].removesuffix("s")) > grace


def docker(*arguments: str, seconds: float = 60) -> subprocess.CompletedProcess[str]:
    return subprocess.run(["docker", *arguments], check=False, capture_output=True, text=True, timeout=seconds)


def can_build() -> bool:
    """Whether docker runs here, with the image that is built upon."""
    if shutil.which("docker") is None:
        return False
    try:
        return docker("image", "inspect", of("FROM")[0]).returncode == 0
    except subprocess.TimeoutExpired:
        return False


@pytest.mark.integration
def test_it_is_built_and_answers(tmp_path: Path) -> None:
    if not can_build():
        pytest.skip(f"no docker with the image {of('FROM')[0]} here")
    built = docker("build", "-f", str(FOLDER / "Containerfile"), "-t", IMAGE, str(ROOT), seconds=1800)
    assert built.returncode == 0, built.stderr[-2000:]
    keys = tmp_path / "keys.txt"
    keys.write_text("lab:a-key\n")
    keys.chmod(0o644)
    started = docker("run", "-d", "-v", f"{keys}:/run/secrets/keys:ro", "-p", "127.0.0.1::8000", IMAGE)
    assert started.returncode == 0, started.stderr
    container = started.stdout.strip()
    try:
        address = docker("port", container, "8000").stdout.strip().splitlines()[0]
        end = time.monotonic() + 300
        while ask(address, "/ready")[0] != 200:
            assert time.monotonic() < end, docker("logs", container).stderr
            time.sleep(1)
        assert ask(address, "/v1/models")[0] == 401
        status, models = ask(address, "/v1/models", authorization="Bearer a-key")
        assert (status, models["data"][0]["id"]) == (200, "demo")
        assert docker("stop", container).returncode == 0
        assert docker("inspect", "-f", "{{.State.ExitCode}}", container).stdout.strip() == "0"
    finally:
        docker("rm", "-f", container)
        docker("rmi", "-f", IMAGE)


def ask(address: str, path: str, **headers: str) -> tuple[int, Any]:
    """Status and JSON; 0 where nobody answers."""
    connection = http.client.HTTPConnection(address, timeout=30)
    try:
        connection.request("GET", path, headers=headers)
        answer = connection.getresponse()
        return answer.status, json.loads(answer.read())
    except (OSError, http.client.HTTPException):
        return 0, None
    finally:
        connection.close()
