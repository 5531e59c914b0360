"""`python -m pasctl.harness run --model pasctl --model_args ...`: lm-eval's command line."""

from __future__ import annotations

from pasctl.cli.failure import failures_told
from pasctl.errors import MissingError


def main() -> None:
    """Run it, with `pasctl` among its types of models."""
    with failures_told(SystemExit):
        try:
            from lm_eval.__main__ import cli_evaluate

            from pasctl.harness import lm_eval_model  # noqa: F401 - registers the type
        except ModuleNotFoundError as error:
            raise MissingError(
                f"lm-eval cannot be imported: {error}", hint="install it with `pip install 'pasctl[lm-eval]'`"
            ) from error
        cli_evaluate()


if __name__ == "__main__":
    main()
