"""`pasctl train-probes`."""

from __future__ import annotations

from dataclasses import dataclass

from pasctl.commands.shared import NamedPersonas, OfInputs, Ref, Seeded
from pasctl.declaration import StageDeclaration
from pasctl.option import option


@dataclass(frozen=True, kw_only=True)
class TrainProbes(
    OfInputs,
    NamedPersonas,
    Seeded,
    StageDeclaration,
    command="train-probes",
    function="train_probes",
    action="pasctl.stages.train_probes:plan",
    makes="probes",
    then="pasctl fit-directions",
    version=1,
    panel="Steering",
    place=2,
    implied=frozenset(("inventory",)),
    takes=("store", "max_memory", "wait", "dry_run", "json"),
    examples=("pasctl train-probes --personas builtin:0-5", "pasctl train-probes --personas E+,N-"),
):
    """Find the heads that distinguish a persona's answers."""

    activations: Ref | None = option(
        None, help="Activations to read. Default: the latest that fit.", metavar="REF", record="inputs"
    )
    method: str = option(
        "logistic",
        help="Probe method: logistic, ridge, sklearn:LDA or another of scikit-learn (slow), or one of another package; "
        "its parameters after a colon: sklearn:LDA:shrinkage=0.1.",
        metavar="NAME",
        pipeline="probe_method",
    )
    validation: float = option(0.25, help="Share of the items held out to rank heads.", metavar="X")
    c: float = option(1.0, help="Inverse strength of the probes' L2 penalty, as in scikit-learn.", metavar="X")
    permutations: int = option(
        20,
        help="Orders of shuffled answers that the best heads are compared with: their accuracy beside that of chance. "
        "0: none.",
        metavar="N",
        minimum=0,
        when_set=True,
    )
    weights: bool = option(False, help="Store the probes' weights.")
    leave_out_unusable: bool = option(
        False,
        help="Continue without personas who have no answer other than the midpoint to learn from.",
        record="nowhere",
    )
    tile: int | None = option(
        None, help="Peak number of personas trained at once.", python_only=True, record="nowhere", minimum=1
    )
