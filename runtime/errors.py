"""Every error of the project, and how an invocation can end.

    BeiraError
    ├── ConfigError            a setting, a file or an argument is wrong: the command exits with 2
    ├── CatalogError           a manifest or a model's weights are wrong or absent
    ├── WireError              a frame that is no frame: the isolate that sent it is ended
    ├── FunctionError          a function module that cannot be loaded (what, file, line)
    ├── OutboundError          an outbound request that is refused or failed
    │   └── AddressRefused       its address is private, loopback, metadata, …
    └── AIError                what AI.run raises and /v1 answers
        ├── InvalidRequest 400
        │   ├── ContextLengthExceeded
        │   └── ImageError
        ├── Unauthorized 401
        ├── ModelNotFound 404
        ├── Overloaded 429
        ├── EngineError 500
        └── ModelNotLoaded 503

Catch the class whose remedy you have: `AIError` in a function, `ConfigError` and `CatalogError` in the command.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Any


class BeiraError(Exception):
    """The root: anything that this project raises on purpose."""


class ConfigError(BeiraError):
    """A setting, a file or an argument is wrong; the message names key, value and expectation."""


class CatalogError(BeiraError):
    """A model's manifest or weights are wrong or absent; the message names the file."""


class WireError(BeiraError):
    """The peer sent bytes that are no frame of `runtime.wire`."""


class FunctionError(BeiraError):
    """A function's module cannot be loaded; `message` is one line, `trace` goes to the log."""

    def __init__(self, message: str, trace: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.trace = trace


class OutboundError(BeiraError):
    """A request that leaves the host was refused or failed; the message says which rule or which fault."""


class AddressRefused(OutboundError):
    """The address is not a public one, and no allow list names it."""


class AIError(BeiraError):
    """What `AI.run` raises and `/v1` answers; each kind is a subclass with its own status and type."""

    status: int = 500
    type: str = "server_error"
    default_code: str | None = None

    def __init__(
        self, message: str, *, param: str | None = None, code: str | None = None, retry_after: int | None = None
    ) -> None:
        super().__init__(message)
        self.message = message
        self.param = param
        self.code = code if code is not None else self.default_code
        self.retry_after = retry_after
        """Seconds after which a retry makes sense, where that is known (`Retry-After`)."""

    def body(self) -> dict[str, Any]:
        """The JSON that a client gets, in OpenAI's shape."""
        return {"error": {"message": self.message, "type": self.type, "param": self.param, "code": self.code}}

    def to_wire(self) -> dict[str, Any]:
        """Everything that the other side of a wire needs to raise the same error: see `from_wire`."""
        return {
            "kind": type(self).__name__,
            "message": self.message,
            "param": self.param,
            "code": self.code,
            "retry_after": self.retry_after,
        }

    @staticmethod
    def from_wire(data: dict[str, Any]) -> AIError:
        """The error that `to_wire` described; a kind that is not known becomes an `EngineError`."""
        kind = AI_ERRORS.get(data["kind"], EngineError)
        return kind(data["message"], param=data["param"], code=data["code"], retry_after=data["retry_after"])


class InvalidRequest(AIError):
    """The inputs break a rule; the message names path, rule and value."""

    status = 400
    type = "invalid_request_error"


class ContextLengthExceeded(InvalidRequest):
    """Prompt and completion do not fit the context."""

    default_code = "context_length_exceeded"


class ImageError(InvalidRequest):
    """An image cannot be fetched, read or accepted."""

    default_code = "invalid_image"


class Unauthorized(AIError):
    """The API key is missing or wrong."""

    status = 401
    type = "authentication_error"
    default_code = "invalid_api_key"


class ModelNotFound(AIError):
    """No manifest has this id or alias; the message lists the known ids."""

    status = 404
    type = "invalid_request_error"
    default_code = "model_not_found"


class Overloaded(AIError):
    """The queue is full; try again after `retry_after` seconds."""

    status = 429
    type = "rate_limit_error"
    default_code = "overloaded"


class ModelNotLoaded(AIError):
    """The model is known, and its weights are not loaded on this node."""

    status = 503
    type = "server_error"
    default_code = "model_not_loaded"


class EngineError(AIError):
    """The engine failed; the request was right."""


AI_ERRORS: dict[str, type[AIError]] = {
    kind.__name__: kind
    for kind in (
        InvalidRequest,
        ContextLengthExceeded,
        ImageError,
        Unauthorized,
        ModelNotFound,
        Overloaded,
        ModelNotLoaded,
        EngineError,
    )
}


class Outcome(StrEnum):
    """How an invocation ended; exactly one a request, logged exactly once."""

    OK = "ok"
    BODY_TOO_LARGE = "body_too_large"
    EXCEEDED_RESPONSE = "exceeded_response"
    UNAVAILABLE = "unavailable"
    LOOP_DETECTED = "loop_detected"
    EXCEPTION = "exception"
    INVALID_RESPONSE = "invalid_response"
    STARTUP_FAILED = "startup_failed"
    CRASHED = "crashed"
    EXCEEDED_CPU = "exceeded_cpu"
    EXCEEDED_MEMORY = "exceeded_memory"
    EXCEEDED_WALL = "exceeded_wall"
    LOAD_SHED = "load_shed"
    NOT_FOUND = "not_found"
    CANCELED = "canceled"

    @property
    def status(self) -> int:
        """The HTTP status that a client gets for it; `ok` and `canceled` have none of their own (0)."""
        return _STATUS[self]


_STATUS = {
    Outcome.OK: 0,
    Outcome.BODY_TOO_LARGE: 413,
    Outcome.EXCEEDED_RESPONSE: 500,
    Outcome.UNAVAILABLE: 503,
    Outcome.LOOP_DETECTED: 508,
    Outcome.EXCEPTION: 500,
    Outcome.INVALID_RESPONSE: 500,
    Outcome.STARTUP_FAILED: 500,
    Outcome.CRASHED: 500,
    Outcome.EXCEEDED_CPU: 503,
    Outcome.EXCEEDED_MEMORY: 503,
    Outcome.EXCEEDED_WALL: 504,
    Outcome.LOAD_SHED: 503,
    Outcome.NOT_FOUND: 404,
    Outcome.CANCELED: 0,
}
