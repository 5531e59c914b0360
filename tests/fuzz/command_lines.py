"""Random command lines, run in process: each ends with a known exit code and, if it fails, one clean error line."""

from __future__ import annotations

import contextlib
import io
import json
import os
import shutil
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from random import Random
from typing import Any

from pasctl.commands import declarations
from pasctl.commands.running import RunOptions
from pasctl.declaration import Declaration
from pasctl.option import Parameter, parameters
from pasctl.printable import is_hidden
from tests.fuzz.reader import CORPUS

CODES = {0, 1, 2, 3, 4, 5, 130, 141}
_LEFT_OUT = {"demo", "serve"}
"""Commands that load the bundled model or listen, whatever else they are given."""
_WORDS = (
    *("", " ", "-", "--", "0", "-1", "1e999", "nan", "inf", "9" * 400, "abc", "true", "null", "none", "None"),
    *("\x1b[31mred", "\x1b]0;title\x07", "two\nlines", "\u202eabc", "\udcff", "ä", "日本語", "👍🏽", "a" * 5000),
    *("latest", "probes", "probes/tiny/builtin@v1", "@v1", "s1:abcd", "abcd", "../..", "/dev/null", "/dev/full", "."),
    *("E+", "E+,N-", "builtin", "builtin:0-2", "builtin:99-100", "demo", "papi", "papi:", "papi:nowhere", "a:b:c"),
    *("9" * 5000, "0-" + "9" * 5000, "1/" + "9" * 5000, "0-" + "9" * 12, "sample:" + "9" * 5000, "~nobody/x", "~"),
    *("0-20", "7", "case=x", "1/8", "0/0", "4,8", "auto", "6GB", "1B", "50%", "[1]", "{}", "x=1", "mass-mean:shrink=x"),
    *("http://127.0.0.1:9/v1", "file:///etc/passwd", "no/such/model", "a/b/c", "nothing.gguf", "nothing.json", "%s%n"),
)
_UNKNOWN = ("extrac", "stor", "--no-such-option", "-z", "store lss", "\x1b[1m", "help", "export chek", "")


def command_lines(folder: Path, random: Random, count: int) -> Iterator[list[str]]:
    """So many command lines; none loads a model that could run, and none leaves `folder`."""
    known = [each for each in declarations() if each.command not in _LEFT_OUT]
    files = _hostile(folder)
    for _ in range(count):
        if random.random() < 0.06:
            yield [*random.choice(_UNKNOWN).split(" "), *(_word(files, random) for _ in range(random.randrange(3)))]
            continue
        declared = random.choice(known)
        yield [*declared.command.split(), *_options(declared, folder, files, random)]


def _hostile(folder: Path) -> list[str]:
    """The corpora below `folder`, among them model folders with odd files."""
    shutil.copytree(CORPUS, folder / "corpus")
    model = folder / "model"
    model.mkdir()
    shutil.copy(CORPUS / "config" / "text-config-of-text.json", model / "config.json")
    (model / "model.safetensors").write_bytes((CORPUS / "safetensors" / "shape-of-1e308.safetensors").read_bytes())
    (model / "tokenizer.json").write_text("[]")
    (folder / "not-utf-8.txt").write_bytes(b"caf\xe9\n\xff")
    (folder / "empty.json").write_bytes(b"")
    (folder / "deep.json").write_text("[" * 5000)
    (folder / "line\nbreak \x1b[31m.json").write_text('{"E01\\u001b[2J": 3}')
    (folder / "folder.json").mkdir()
    _damaged_store(folder / "store")
    return [str(path.relative_to(folder)) for path in sorted(folder.rglob("*"))]


def _damaged_store(root: Path) -> None:
    """A store whose artifacts have manifests with odd words in them, and no files."""
    for number, place in enumerate(sorted((CORPUS / "manifest").iterdir())):
        manifest = json.loads(place.read_text())
        name = f"{number:064x}"
        folder = root / "objects" / manifest["kind"] / name[:2] / name
        folder.mkdir(parents=True)
        odd = {"key": f"s1:{name}", "label": f"odd{number}", "provenance": {"a\x1b[2J": "two\nlines", "seconds": None}}
        (folder / "manifest.json").write_text(json.dumps(manifest | odd))
        version = root / "refs" / "names" / manifest["kind"] / manifest["model"] / f"odd{number}"
        version.mkdir(parents=True)
        (version / "v1").write_text(f"s1:{name}\n")
    (root / "refs" / "tags").mkdir()
    (root / "refs" / "tags" / "mine").write_bytes(b"\xff\x1b[31m\n")


def _options(declared: type[Declaration], folder: Path, files: list[str], random: Random) -> Iterator[str]:
    """Words for some of a command's options, right and wrong ones; always a store and a model that do not work."""
    own = [each for each in parameters(declared) if not each.option.python_only]
    running = [each for each in parameters(RunOptions) if each.name in declared.takes and each.name != "store"]
    chosen = random.sample([*own, *running], min(len(own), random.choice((0, 0, 1, 1, 2, 4))))
    needed = [each for each in own if (each.option.argument or each.option.required) and random.random() < 0.85]
    models = [each for each in own if each.name in ("model", "models")]
    for each in {each.name: each for each in (*needed, *chosen, *models)}.values():
        for _ in range(random.choice((1, 1, 1, 2))):
            yield from _option(each, files, random)
    if "store" in declared.takes and random.random() < 0.95:
        yield from ("--store", random.choice((str(folder / "store"), str(folder / "store"), *files[:20])))
    if random.random() < 0.05:
        yield random.choice(_UNKNOWN) or "x"


def _option(parameter: Parameter, files: list[str], random: Random) -> Iterator[str]:
    if parameter.name in ("model", "models"):
        word = random.choice(("no-such-model", "a/b", "model", *files[:60]))
    elif parameter.choices and random.random() < 0.7:
        word = str(random.choice(parameter.choices))
    elif parameter.type in (int, float) and random.random() < 0.7:
        word = random.choice(("1", "2", "7", "40", "0.5"))
    elif parameter.name in ("ref", "refs", "a", "b", "what", "name") and random.random() < 0.5:
        word = random.choice(("latest", "probes", "probes/tiny/odd0", "probes/tiny/odd1@v1", "mine", "0000"))
    else:
        word = _word(files, random)
    if parameter.option.argument:
        yield word
    elif parameter.type is bool:
        yield parameter.flag
    elif random.random() < 0.5:
        yield f"{parameter.flag}={word}"
    else:
        yield from (parameter.flag, word)


def _word(files: list[str], random: Random) -> str:
    kind = random.random()
    if kind < 0.3:
        return random.choice(files)
    if kind < 0.4:
        return f"{random.choice(('pairs:', 'papi:', 'builtin:', './'))}{random.choice(files)}"
    return random.choice(_WORDS)


def wrong(code: object, out: str, err: str) -> str | None:
    """What is wrong with how a command line ended; None if nothing is."""
    lines = err.removesuffix("\n").split("\n") if err else []
    told = [line for line in lines if line.startswith("error: ")]
    if code not in CODES:
        return f"exit code {code!r}"
    if "Traceback" in err or "internal error" in err:
        return f"an internal error: {(told or lines)[-1][:300]}"
    if any(is_hidden(sign) for sign in (out + err).replace("\n", "").replace("\t", "")):
        return f"control characters in what was printed: {(out + err)[:300]!r}"
    if code in (0, 130, 141):
        return f"an error line, and exit code {code}: {told[0]}" if told else None
    if len(told) != 1 or sum(line.startswith("hint: ") for line in lines) > 1:
        return f"exit code {code} with {len(told)} error lines: {err[-300:]!r}"
    return None if lines[-1].startswith(("error: ", "hint: ")) else f"the last line is no error: {lines[-1]!r}"


class _Terminal(io.TextIOWrapper):
    """A stdout that says that it is one."""

    def isatty(self) -> bool:
        return True


def invoke(words: list[str], *, terminal: bool = False) -> tuple[object, str, str]:
    """Run a command line in this process: exit code, stdout and stderr; whatever it raises is the code.

    Without a terminal a path that exists is left out of stdout: for another program it is there byte for byte.
    """
    from pasctl.cli.app import app

    out = (_Terminal if terminal else io.TextIOWrapper)(io.BytesIO(), "utf-8", write_through=True)
    err = io.TextIOWrapper(io.BytesIO(), "utf-8", write_through=True)
    stdin = io.TextIOWrapper(io.BytesIO(b"5\n\xff\n"), "utf-8")
    kept, code = sys.stdin, None
    try:
        sys.stdin = stdin
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            app(words, prog_name="pasctl")
    except SystemExit as end:
        code = end.code if end.code is not None else 0
    except BaseException as error:  # nothing may come through
        code = f"{type(error).__name__}: {error}"
    finally:
        sys.stdin = kept
    said, told = (each.buffer.getvalue().decode("utf-8", "surrogateescape") for each in (out, err))
    return code, "" if not terminal and os.path.lexists(said.removesuffix("\n")) else said, told


def run(folder: Path, *, count: int, seed: int) -> int:
    """Run random command lines in `folder`, print the counts, and give the number of those that ended wrongly."""
    for name in [name for name in os.environ if name.startswith(("PASCTL_", "HF_"))]:
        del os.environ[name]
    os.environ |= {
        "HF_HUB_OFFLINE": "1",
        "HF_HOME": str(folder / "hf"),
        "PASCTL_CACHE": str(folder / "cache"),
        "XDG_STATE_HOME": str(folder),
        "TERM": "dumb",  # no colours
    }
    place = folder / "here"
    place.mkdir()
    os.chdir(place)
    codes: Counter[Any] = Counter()
    slowest: tuple[float, list[str]] = (0.0, [])
    faults, began = 0, time.monotonic()
    for number, words in enumerate(command_lines(place, Random(f"command lines {seed}"), count)):
        start = time.monotonic()
        code, out, err = invoke(words, terminal=number % 2 == 0)
        slowest = max(slowest, (time.monotonic() - start, words))
        codes[code] += 1
        if (fault := wrong(code, out, err)) is not None:
            faults += 1
            print(f"pasctl {' '.join(map(ascii, words))[:600]}\n    {fault!a}", flush=True)
    seconds = time.monotonic() - began
    ended = ", ".join(f"{times} with {code}" for code, times in codes.most_common())
    print(f"command lines: {count:,} in {seconds:.1f} s, {faults} faults; exit codes: {ended}")
    print(f"slowest: {slowest[0]:.2f} s, pasctl {' '.join(map(ascii, slowest[1]))[:300]}")
    return faults
