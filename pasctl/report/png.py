"""Figures as PNG: resvg draws what the page shows, twice as large, on white."""

from __future__ import annotations

import importlib.util
from functools import lru_cache

from pasctl.errors import MissingError
from pasctl.report.theme import standalone

ZOOM = 2
_SANS = ("Liberation Sans", "Arial", "Helvetica", "DejaVu Sans", "Noto Sans", "Segoe UI", "Roboto", "Open Sans")
_MONO = ("Liberation Mono", "Menlo", "Consolas", "Courier New", "DejaVu Sans Mono", "Noto Sans Mono")
_PROBE = '<svg xmlns="http://www.w3.org/2000/svg" width="40" height="20"><text y="14" font-family="{}">ink</text></svg>'


def require_png() -> None:
    """Refuse PNG files that could not be written, or would lack their words, before anything is computed.

    Raises:
        MissingError: the package is not installed, or no font that it finds has letters.
    """
    if importlib.util.find_spec("resvg_py") is None:
        raise MissingError("PNG files need the package resvg-py", hint="pip install 'pasctl[png]'")
    if not _families():
        raise MissingError(
            "PNG files need a font, and none was found on this machine",
            hint="install one such as DejaVu Sans (Debian: fonts-dejavu-core), or use --svg",
        )


def png(svg: str) -> bytes:
    """An <svg> of a page as the bytes of a PNG in light colours, `ZOOM` pixels for each of its own."""
    from resvg_py import svg_to_bytes

    sans, mono = _families() or (None, None)
    return svg_to_bytes(
        svg_string=standalone(svg, dark=False),
        zoom=ZOOM,
        background="#ffffff",
        sans_serif_family=sans,
        monospace_family=mono,
    )


@lru_cache(maxsize=1)
def _families() -> tuple[str, str] | None:
    """A sans-serif and a monospaced face that have letters; without one resvg leaves text out and says nothing."""
    from resvg_py import svg_to_bytes

    def draws(family: str) -> bool:
        probe = _PROBE.format(family)
        return svg_to_bytes(svg_string=probe) != svg_to_bytes(svg_string=probe.replace("ink", ""))

    sans = next(filter(draws, _SANS), "")
    return (sans, next(filter(draws, _MONO), sans)) if sans else None
