"""What goes wrong with a request, in OpenAI's words and with the id of the request."""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping
from typing import Any

from pasctl.errors import BusyError, InputError, MissingError, PasctlError
from pasctl.generation.request import EngineClosedError, OutOfTimeError, PromptTooLongError, QueueFullError
from pasctl.models.transformers_compat import first_line
from pasctl.serving.caller import CALLER, current_id

_TYPES = {401: "authentication_error", 403: "permission_error", 429: "rate_limit_error", 504: "timeout_error"}
_DEBUG = "PASCTL_DEBUG"  # shows where errors come from
_log = logging.getLogger(__name__)


class APIError(Exception):
    """A request that is answered with an error.

    Attributes:
        status: of HTTP.
        message: what is wrong and what was expected.
        param: the part of the request that is wrong.
        code: a word for programs.
        headers: to send with it.
    """

    def __init__(
        self,
        status: int,
        message: str,
        param: str | None = None,
        code: str | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.status, self.message, self.param, self.code = status, message, param, code
        self.headers = headers or {}

    @property
    def body(self) -> dict[str, Any]:
        """The answer's JSON; on Ollama's paths its message alone."""
        caller = CALLER.get()
        if caller and caller.in_words:
            return {"error": self.message, "request_id": caller.id}
        kind = _TYPES.get(self.status, "invalid_request_error" if self.status < 500 else "server_error")
        told = {"message": self.message, "type": kind, "param": self.param, "code": self.code}
        return {"error": {**told, "request_id": current_id()}}


def api_error_of(error: BaseException, param: str | None = None) -> APIError:
    """How a request is answered that failed with an error.

    Only errors about the request itself tell their message: others may name files, and are for the server's log.
    """
    if isinstance(error, APIError):
        return error
    if isinstance(error, QueueFullError):
        return busy(error.message)
    if isinstance(error, OutOfTimeError):
        return APIError(504, error.message, code="timeout")
    if isinstance(error, EngineClosedError):
        return APIError(503, "the server is stopping", code="stopping")
    if isinstance(error, PromptTooLongError):
        return APIError(400, _told(error), param, "context_length_exceeded")
    if isinstance(error, InputError | MissingError):
        return APIError(400, _told(error), param)
    if isinstance(error, BusyError):
        return APIError(503, "the store is busy, try again", code="busy", headers={"Retry-After": "1"})
    shown = error if os.environ.get(_DEBUG) else None
    _log.error("%s: %s (request %s)", type(error).__name__, first_line(error), current_id(), exc_info=shown)
    return APIError(500, "the server failed; its log says why", code="internal")


def busy(message: str) -> APIError:
    """One request too many."""
    return APIError(429, message, code="queue_full", headers={"Retry-After": "1"})


def _told(error: PasctlError) -> str:
    return f"{error.message} ({error.hint})" if error.hint else error.message
