"""Whether a server can answer: not before its model has written a token, and not once it stops."""

from __future__ import annotations

from pasctl.errors import PasctlError
from pasctl.generation.engine import Engine
from pasctl.generation.request import Request
from pasctl.generation.sampling_params import SamplingParams
from pasctl.generation.token_rules import TokenRules
from pasctl.serving.api_error import APIError, api_error_of

_RETRY = {"Retry-After": "1"}


class Readiness:
    """What an engine and the server around it are up to.

    Attributes:
        engine: that writes.
        stopping: the server was asked to stop, and takes no new work.
    """

    def __init__(self, engine: Engine) -> None:
        self.engine, self.stopping = engine, False

    @property
    def busy(self) -> bool:
        """Whether texts are written or wait."""
        counts = self.engine.counts()
        return counts.running + counts.waiting > 0

    def require(self) -> None:
        """Refuse unless requests are answered.

        Raises:
            APIError: 503, the model has written nothing yet, or the server stops.
        """
        self.require_running()
        if not self.engine.counts().tokens_written:
            raise not_ready("the model has not written a token yet")

    def require_running(self) -> None:
        """Refuse new work once the server stops, or when the engine has ended.

        Raises:
            APIError: 503.
        """
        if self.stopping:
            raise APIError(503, "the server is stopping", code="stopping")
        try:
            self.engine.submit_all([])  # which only a closed engine refuses
        except PasctlError as error:
            raise api_error_of(error) from error

    def write_first_token(self) -> None:
        """Let the model write one token.

        Raises:
            PasctlError: it cannot.
        """
        one = SamplingParams(max_new_tokens=1, temperature=0.0)
        self.engine.submit(Request([0], one, rules=TokenRules(ignore_eos=True))).text()


def not_ready(why: str) -> APIError:
    """The answer while a model is on its way."""
    return APIError(503, why, code="loading", headers=_RETRY)
