"""`pasctl doctor`: is everything here that pasctl needs, and does this model work?"""

from __future__ import annotations

from typing import Annotated

import typer

from pasctl.cli import options as o
from pasctl.cli.output import print_json
from pasctl.cli.tables import align
from pasctl.errors import PasctlError


def doctor(
    model: Annotated[
        str | None, typer.Option("--model", "-m", help="Also load this model, check it and steer it.", metavar="MODEL")
    ] = None,
    revision: o.Revision = None,
    dtype: o.Dtype = "auto",
    device: o.Device = "auto",
    attn: o.Attn = "auto",
    device_map: o.DeviceMap = None,
    trust_remote_code: o.TrustRemoteCode = False,
    store: o.StoreDir = "artifacts",
    json: o.Json = False,
) -> None:
    """Check versions, device, store, disk and hub; with --model also the model."""
    from pasctl.stages.doctor import check_machine, check_model

    findings = check_machine(store, device)
    if model is not None:
        findings += check_model(model, o.model_options(revision, dtype, device, attn, device_map, trust_remote_code))
    if json:
        print_json([{"what": f.what, "ok": f.ok, "found": f.found} for f in findings])
    else:
        print(align([["ok" if f.ok else "BAD" if f.ok is False else "note", f.what, f.found] for f in findings]))
    bad = [finding.what for finding in findings if finding.ok is False]
    if bad:
        raise PasctlError(f"doctor found a problem with {', '.join(bad)}")
