"""What `pasctl inspect` prints: who a file says it is, what its bytes have, and whether the two agree."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from pasctl.cli.columns import align
from pasctl.cli.output import print_json, write
from pasctl.errors import PasctlError

if TYPE_CHECKING:
    from pasctl.commands.inspect import Inspect
    from pasctl.export.inspection import Difference, Inspection
    from pasctl.stages.run import Run

_KINDS = {"folder": "model folder", "gguf": ".gguf model", "vector": "control vector"}
_MATCHES, _NAMES = 3, 3


def present(options: Inspect, run: Run, *, json: bool) -> None:
    """Inspect a file, and print what was found; a contradiction is an error."""
    found: Inspection = run.make(options)
    if json:
        print_json(found.to_json())
    else:
        write(align([list(row) for row in _rows(found)]))
    if found.fault is not None:
        raise PasctlError(
            f"{found.path} {found.fault}", hint="export it again, or give its --base to compare all of it"
        )


def _rows(found: Inspection) -> Iterator[tuple[str, str]]:
    yield "file", f"{_KINDS[found.kind]}{f' of {found.family}' if found.family and found.kind != 'vector' else ''}"
    said = found.origin
    if said is None:
        yield "says", "nothing of a persona"
    else:
        yield "says", f"{said.persona} at alpha {said.alpha:g}, {_positions(said.positions)}, on {said.base_model}"
        yield "", f"from {said.directions}, sha256 {said.digest[:12]}"
    for what, norms in found.carried.items():
        yield (
            "carries",
            f"{what} in {_layers(list(norms))}, norm {min(norms.values()):.3g} to {max(norms.values()):.3g}",
        )
    if not found.carried:
        yield "carries", "no steering delta" + ("" if found.difference is None else ", compared with its base")
    if found.own:
        yield "", "biases of q, k and v may be the model's own: --base tells"
    if found.difference is not None:
        yield "base", _difference(found.difference)
    for match in found.matches[:_MATCHES]:
        yield "fits", f"{match.persona} at alpha {match.alpha:.3g}, cosine {match.cosine:.3f}"
    yield "so", _verdict(found)


def _verdict(found: Inspection) -> str:
    said, best = found.origin, next(iter(found.matches), None)
    if said is not None and found.fault is not None:
        return f"it {found.fault}"
    if said is not None and found.strength is not None:
        return f"it is steered to {said.persona} at alpha {found.strength:g}, as it says"
    if best is not None and abs(best.cosine) > 0.99:
        return f"it is steered to {best.persona} at alpha {best.alpha:.3g}"
    if found.own:
        return "it cannot be told without --base"
    if not found.carried:
        return "it is not steered in a way that pasctl writes"
    return "it is steered to somebody: --directions tells whether to one of them"


def _positions(positions: str) -> str:
    return "at every position" if positions == "all" else "from the answer on"


def _layers(layers: list[int]) -> str:
    if len(layers) > 6:
        return f"{len(layers)} layers"
    return f"layer{'s' if len(layers) > 1 else ''} {', '.join(map(str, layers))}"


def _difference(difference: Difference) -> str:
    if difference.none:
        return f"all {difference.same} other tensors are the base's"
    parts = (("changed", difference.changed), ("lacking", difference.lacking), ("added", difference.added))
    told = [f"{len(names)} {what} ({', '.join(names[:_NAMES])})" for what, names in parts if names]
    return f"{difference.same} other tensors are the base's, {'; '.join(told)}"
