"""Who a model is steered to: from a `SteeringTarget` to a persona, its directions, and a strength."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from pasctl.commands.target import Alpha, SteeringTarget
from pasctl.errors import InputError
from pasctl.evaluation.alphas import AUTO
from pasctl.models.sites import HEADS
from pasctl.stages.job import Outcome
from pasctl.stages.model import ModelHandle
from pasctl.stages.persona_catalog import PersonaCatalog
from pasctl.stages.run import Run
from pasctl.stages.runner import Store
from pasctl.stages.steering import ResolvedTarget

if TYPE_CHECKING:
    from pasctl.commands.shared import ModelLike, Ref
    from pasctl.steering.intervention import Intervention


def resolve(target: SteeringTarget, run: Run, model: ModelHandle) -> ResolvedTarget | Outcome:
    """Find who is meant; a strength of "auto" is chosen first where none was chosen.

    Args:
        target: as the user says it.
        run: where directions are, and how a choice is made.
        model: what will be steered.

    Returns:
        The target; or, of a dry run, the outcome of `choose-alpha`, which must be run first.

    Raises:
        InputError: no such persona, several and none named, or directions of another model.
        MissingError: there are no directions of this model.
    """
    catalog = PersonaCatalog(run, model, target)
    made = catalog.choose(target.persona)
    if made is not None and made.artifact is None:
        return made
    resolved = catalog.find(target.persona)
    if resolved.why:
        run.reporter.note(f"{resolved} ({resolved.why})")
    return resolved


def resolve_for_export(
    target: SteeringTarget, run: Run, model: ModelHandle, *, sites: tuple[str, ...] = (HEADS,)
) -> ResolvedTarget:
    """Find who an export steers to, which acts at every position of a text.

    Raises:
        InputError: as `PersonaCatalog.find`; the target is steered from the answer on, at a strength of 0,
            or at other than these sites.
        MissingError: there are no directions of this model.
    """
    catalog = PersonaCatalog(run, model, target)
    if catalog.positions(target.persona) != "all":
        raise InputError(
            f"{catalog.name(target.persona)} is steered from the answer on, an export steers at every position",
            hint="--positions all steers at every position, here and in serve",
        )
    resolved = catalog.find(target.persona)
    if not resolved.alpha:
        why = f" ({resolved.why})" if resolved.why else ""
        raise InputError(
            f"alpha is 0{why}, expected a finite number other than 0, which steers nothing",
            hint="give a strength with --alpha",
        )
    if resolved.known.site not in sites:
        carried = " and ".join("the usual heads" if site == HEADS else site for site in sites)
        raise InputError(
            f"{resolved.name} shifts {resolved.known.site}, an export carries shifts of {carried} alone",
            hint="steer it at run time with `pasctl.steer` or `pasctl serve`, or extract with --site heads",
        )
    return resolved


def Steering(alpha: Alpha, directions: Ref | None = None, persona: str | None = None) -> SteeringTarget:
    """A `SteeringTarget` by position: the documented earlier name."""
    return SteeringTarget(alpha=alpha, directions=directions, persona=persona)


def intervention(
    model: ModelLike,
    persona: str | None = None,
    alpha: Alpha = AUTO,
    *,
    directions: Ref | None = None,
    store: Store | Path | str = "artifacts",
) -> Intervention:
    """The steering delta of one persona, ready for `pasctl.steer`.

    Args:
        model: the model the directions were fitted on.
        persona: its id: a PAPI case number, "E+", a name in an answers file; None is for directions of a single one.
        alpha: strength; "auto" is what `choose_alpha` chose for the persona, which is run first where it was not.
        directions: which to read; None takes the latest of this model.
        store: the store or its folder.

    Raises:
        InputError: no such persona, or directions of another model.
        MissingError: there are no directions of this model.
    """
    run = Run(store)
    handle = run.model(model)
    target = resolve(SteeringTarget(alpha=alpha, directions=directions, persona=persona), run, handle)
    if isinstance(target, Outcome):
        raise RuntimeError("only a dry run resolves to an outcome")
    return target.intervention(handle.geometry())
