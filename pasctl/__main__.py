"""`python -m pasctl`."""

from __future__ import annotations

import io
import logging
import sys

from pasctl.cli.failure import failures_told


def main() -> None:
    """Run the command line; whatever fails, be it an import, is told in one line."""
    with failures_told(SystemExit):
        if isinstance(sys.stdout, io.TextIOWrapper):
            sys.stdout.reconfigure(errors="backslashreplace")  # a terminal may know few letters

        for name in ("torchao", "torch.utils._pytree"):  # where torchao is installed, transformers imports it, and
            logging.getLogger(name).setLevel(logging.ERROR)  # it warns of kernels for other machines

        from pasctl.cli.app import app

        app(prog_name="pasctl")


if __name__ == "__main__":
    main()
