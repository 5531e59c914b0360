"""Which tests need letters to draw with."""

from __future__ import annotations

import pytest

from pasctl.errors import MissingError
from pasctl.report.png import require_png


def _can_draw() -> bool:
    try:
        require_png()
    except MissingError:
        return False
    return True


needs_font = pytest.mark.skipif(not _can_draw(), reason="no font for PNG files on this machine")
