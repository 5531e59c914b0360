"""`python -m pasctl`."""

from __future__ import annotations

from pasctl.cli.app import app


def main() -> None:
    """Run the command line."""
    app(prog_name="pasctl")


if __name__ == "__main__":
    main()
