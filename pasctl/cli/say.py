"""What `pasctl say` prints: texts side by side, while they are written where there is one prompt, then the measures."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pasctl.cli.columns import align
from pasctl.cli.output import outcome_json, print_json, print_next, print_outcome, write, write_generated
from pasctl.printable import clean, without_controls

if TYPE_CHECKING:
    from pasctl.commands.say import Say
    from pasctl.stages.run import Run
    from pasctl.stages.runner import Artifact

_SHOWN = 3  # prompts whose texts are printed, of many
_FEW = 8  # prompts of which all are
_CONDITIONS = ("as-is", "steered-up", "steered-down", "prompted")


def present(options: Say, run: Run, *, json: bool) -> None:
    """Write the texts, and the page that is asked for, and print them with the finding."""
    from pasctl.stages.evaluate import with_inputs
    from pasctl.stages.report import report, require_place
    from pasctl.stages.say import read_prompts

    if options.report is not None:
        require_place(Path(options.report))
    live = None if json or len(read_prompts(options)) != 1 else _Live()
    outcome = run.make(options if live is None else replace(options, on_delta=live))
    if live is not None:
        live.finish()
    texts = outcome.artifact
    if texts is not None and options.report is not None:
        page = report(with_inputs(texts, run.store), options.report, store=run.store)
        run.reporter.note(f"wrote {page.path}")
    if texts is not None and json:
        _print_lines(texts)
        print_json({"type": "outcome", **outcome_json(outcome)})
    elif texts is None:
        print_outcome(outcome, as_json=json)
    else:
        print_texts(texts, streamed=live is not None and live.used)
        print_outcome(outcome, as_json=False)
        metrics = texts.read_json("metrics.json")
        write("\n" + "\n".join(_findings(metrics)))
        first = metrics["rows"][0]
        print_next(f"pasctl chat --persona {first['target']!r} --alpha {first['alpha']:g} --model {options.model}")


class _Live:
    """Shows the texts of one prompt while they are written: in columns where they fit, else when they are complete.

    Attributes:
        used: whether they were shown.
    """

    def __init__(self) -> None:
        self.used = False
        self._titles: list[str] = []
        self._texts: dict[str, str] = {}
        self._columns: Any = None

    def __call__(self, title: str, delta: str) -> None:
        """A text grows; the first call of each, with nothing, is its title."""
        if not delta:
            self._titles.append(title)
            return
        self._begin()
        if self._columns is not None:
            self._columns.add(self._titles.index(title), _safe(delta))

    def finish(self) -> None:
        """The texts are complete."""
        if self._columns is not None:
            self._columns.finish()
            write()

    def _begin(self) -> None:
        from pasctl.chat.columns import Columns, column_width

        if self._columns is not None or not sys.stdout.isatty() or len(self._titles) > len(_CONDITIONS):
            return
        width = column_width(shutil.get_terminal_size().columns, len(self._titles))
        if width is None:
            return
        self._columns, self.used = Columns(sys.stdout, width, len(self._titles)), True
        for side, title in enumerate(self._titles):
            self._columns.add(side, f"[{clean(title)}]\n")


def _print_lines(texts: Artifact) -> None:
    """One JSON object per text, then one per finding."""
    for row in texts.read_table("texts.parquet").to_pylist():
        print_json({"type": "text", **row})
    for row in texts.read_json("metrics.json")["rows"]:
        print_json({"type": "finding", **row})


def print_texts(texts: Artifact, *, streamed: bool = False) -> None:
    """The texts of each prompt, or of the first few of many."""
    rows = texts.read_table("texts.parquet").to_pylist()
    prompts = list(dict.fromkeys(row["prompt"] for row in rows))
    shown = prompts if len(prompts) <= _FEW else prompts[:_SHOWN]
    for prompt in () if streamed else shown:
        for target in dict.fromkeys(row["target"] for row in rows):
            own = [row for row in rows if (row["prompt"], row["target"]) == (prompt, target)]
            _print_side_by_side(prompt, sorted(own, key=lambda row: _CONDITIONS.index(row["condition"])))
    if len(shown) < len(prompts):
        write(f"The texts of {len(prompts) - len(shown)} more prompts are in {texts.name}.\n")


def _print_side_by_side(prompt: str, rows: Sequence[Mapping[str, Any]]) -> None:
    """The texts of one prompt: a column each in a wide terminal, else one below the other."""
    from pasctl.chat.columns import column_width
    from pasctl.evaluation.text_metrics import text_title

    titles = [text_title(row["target"], row["condition"], row["alpha"]) for row in rows]
    width = column_width(shutil.get_terminal_size().columns, len(rows)) if sys.stdout.isatty() else None
    write_generated(f"> {prompt}")
    if width is None:
        for title, row in zip(titles, rows, strict=True):
            write_generated(f"[{title}]\n{row['text']}\n")
        return
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(expand=True, pad_edge=False)
    for title in titles:
        table.add_column(Text(clean(title)))
    table.add_row(*(Text(_safe(row["text"])) for row in rows))
    Console().print(table)


def _safe(text: str) -> str:
    """A text in a column: without what could move the cursor of a terminal."""
    return without_controls(text).replace("\t", "    ")


def _findings(metrics: Mapping[str, Any]) -> Iterable[str]:
    """The table of what tells the texts apart, if there are enough, and a verdict per persona and strength."""
    if any(row["auc"] is not None and row["auc"][1] is not None for row in metrics["rows"]):
        yield texts_table(metrics)
        yield ""
    for row in metrics["rows"]:
        yield row["verdict"]
    yield from metrics["notes"]


def texts_table(metrics: Mapping[str, Any]) -> str:
    """What tells the texts apart and what it costs, a row per persona and strength."""
    head = ["persona", "alpha", "AUC", "95%", "embeddings", "95%", "AUC prompted"]
    head += ["perplexity up", "down", "prompted", "repetition", "KL"]
    body = [
        [
            row["target"],
            f"{row['alpha']:g}",
            *_auc(row["auc"]),
            *_auc(row["embedding_auc"]),
            _auc(row["auc_prompted"])[0],
            *(_ratio(row["perplexity_ratio"][name]) for name in _CONDITIONS[1:]),
            _number(row["repetition"]["steered-up"]),
            _number(max(row["kl"].values()) if row["kl"] else None),
        ]
        for row in metrics["rows"]
    ]
    built_in = "everyday" if metrics["built_in"] else "given"
    legend = [
        f"AUC: texts steered to the persona against those steered away from it, on {metrics['prompts']} {built_in} "
        "prompts,",
        "by the unsteered model's log-odds of descriptions that nothing was fitted on. embeddings: by those of "
        f"{metrics['embeddings'] or 'none'}.",
        "AUC prompted: prompted texts against the model's own. perplexity: under the unsteered model, over that of its",
        "own texts. repetition: share of 4-grams of the texts steered up that stood in them before.",
        "KL: of the steered model on neutral text, in nats/token.",
    ]
    judged = [
        f"judge {metrics['judge']}: {row['target']} AUC {_auc(row['judge_auc'])[0]}, agrees with the classifier on "
        f"{row['agreement']:.0%} of the texts"
        for row in metrics["rows"]
        if row["judge_auc"] is not None and row["agreement"] is not None
    ]
    return "\n".join([align([head, *body], left=1), "", *legend, *judged])


def _auc(stored: Sequence[float | None] | None) -> tuple[str, str]:
    if stored is None:
        return "-", ""
    return _number(stored[0]), "" if stored[1] is None else f"{stored[1]:.2f}..{stored[2]:.2f}"


def _ratio(stored: Sequence[float | None] | None) -> str:
    return "-" if stored is None else f"{stored[0]:.2f}x"


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f}"
