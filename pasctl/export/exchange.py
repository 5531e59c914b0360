"""Two files or folders that change their names in one step, where the system can do that."""

from __future__ import annotations

import ctypes
import errno
import os
import sys
from pathlib import Path

_AT_FDCWD = -100
_RENAME_EXCHANGE = 2  # of Linux' renameat2
_RENAME_SWAP = 2  # of macOS' renamex_np
_CANNOT = {errno.ENOSYS, errno.EINVAL, errno.ENOTSUP, errno.EOPNOTSUPP, errno.EPERM, errno.EACCES}


def exchange(a: Path, b: Path) -> bool:
    """Swaps what two names in one filesystem stand for, so that neither is ever without; False where that cannot be.

    Raises:
        OSError: one of them is missing, or the disk failed.
    """
    code = _exchange(os.fsencode(a), os.fsencode(b))
    if code in _CANNOT:
        return False
    if code:
        raise OSError(code, os.strerror(code), str(a), None, str(b))
    return True


def _exchange(a: bytes, b: bytes) -> int:
    """0, or the errno."""
    if os.name == "nt":
        return errno.ENOSYS
    library = ctypes.CDLL(None, use_errno=True)
    try:
        if sys.platform == "darwin":
            failed = library.renamex_np(a, b, ctypes.c_uint(_RENAME_SWAP))
        else:
            failed = library.renameat2(_AT_FDCWD, a, _AT_FDCWD, b, ctypes.c_uint(_RENAME_EXCHANGE))
    except AttributeError:  # a C library without that function
        return errno.ENOSYS
    return ctypes.get_errno() if failed else 0
