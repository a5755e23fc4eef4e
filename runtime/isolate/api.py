"""What a handler sees: AI, Azion, Request, Response, Headers, fetch, console, WorkerEntrypoint, env and ctx."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator, Mapping
from typing import Any

from runtime.errors import AIError, InvalidRequest
from runtime.isolate import binding, json_text
from runtime.isolate.form import File, FormData
from runtime.isolate.headers import Headers, HeadersLike
from runtime.isolate.http import BodyLike, Request, Response
from runtime.isolate.url import URL

__all__ = [
    "AI",
    "URL",
    "AIError",
    "Azion",
    "Context",
    "Env",
    "File",
    "FormData",
    "Headers",
    "Request",
    "Response",
    "ScheduledEvent",
    "WorkerEntrypoint",
    "console",
    "fetch",
]


class _AI:
    """The model on this node."""

    __slots__ = ()

    async def run(self, model: str | None, inputs: Mapping[str, Any] | None = None, **kwargs: Any) -> Any:
        """Ask `model`; `inputs` and keyword arguments merge.

        Gives a dict with attribute access at every level; with `stream=True` an async iterator of such dicts, as soon
        as the request is accepted. Raises AIError. Cancelling the task that awaits it cancels the generation.
        """
        if inputs is not None and not isinstance(inputs, Mapping):
            raise InvalidRequest(f"inputs: must be an object, got {type(inputs).__name__}")
        if model is not None and not isinstance(model, str):
            raise InvalidRequest(f"model: must be a string, got {type(model).__name__}", param="model")
        return await binding.required("AI.run").run_model(model, {**(inputs or {}), **kwargs})

    def __repr__(self) -> str:
        return "AI"


AI = _AI()


class Env(Mapping[str, Any]):
    """Variables and secrets of a function, as attributes and as items; `env.AI` is the model."""

    __slots__ = ("_values",)

    def __init__(self, values: Mapping[str, str]) -> None:
        self._values = dict(values)

    def __getitem__(self, name: str) -> Any:
        if name in self._values:
            return self._values[name]
        if name == "AI":
            return AI
        raise KeyError(name)

    def __getattr__(self, name: str) -> Any:
        try:
            return self[name]
        except KeyError:
            raise AttributeError(f"no variable {name!r}: set it in beira.toml, .env or BEIRA_ENV_{name}") from None

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)

    def __repr__(self) -> str:
        return f"Env({', '.join(self._values)})"  # names only: the values may be secrets


class _AzionEnv:
    """`Azion.env`: the variables of the invocation that is running."""

    __slots__ = ("_env",)

    def __init__(self) -> None:
        self._env: Env | None = None

    def get(self, name: str, default: str | None = None) -> str | None:
        if self._env is None:
            binding.required("Azion.env.get")
        return default if self._env is None or name not in self._env else str(self._env[name])

    def bind(self, env: Env | None) -> None:
        self._env = env


class _Azion:
    """The names that Azion gives these things."""

    __slots__ = ("AI", "env")

    def __init__(self) -> None:
        self.AI = AI
        self.env = _AzionEnv()


Azion = _Azion()


class Console:
    """`console.log` and its levels; what is no str is written as JSON where it can be."""

    __slots__ = ()

    def _write(self, level: str, values: tuple[Any, ...]) -> None:
        text = " ".join(_shown(value) for value in values)
        connection = binding.bound()
        if connection is None:
            print(text)
        else:
            connection.log(level, text)

    def log(self, *values: Any) -> None:
        self._write("info", values)

    def debug(self, *values: Any) -> None:
        self._write("debug", values)

    def info(self, *values: Any) -> None:
        self._write("info", values)

    def warn(self, *values: Any) -> None:
        self._write("warning", values)

    warning = warn

    def error(self, *values: Any) -> None:
        self._write("error", values)


console = Console()


def _shown(value: Any) -> str:
    if isinstance(value, dict | list):
        try:
            return json_text.dumps(value).decode()
        except TypeError:
            return repr(value)
    return str(value)


async def fetch(
    resource: str | Request,
    *,
    method: str | None = None,
    headers: HeadersLike | None = None,
    body: BodyLike = None,
    json: Any = None,
    redirect: str = "follow",
    timeout: float | None = None,
) -> Response:
    """Send a request from the host; it counts as a subrequest. Raises OutboundError where it is refused or fails.

    `redirect` is follow, manual or error; `timeout` is in seconds.
    """
    if redirect not in ("follow", "manual", "error"):
        raise ValueError(f"redirect: must be follow, manual or error, got {redirect!r}")
    connection = binding.required("fetch")
    if json is not None:
        body = json_text.dumps(json)
    if isinstance(resource, Request):
        body = resource.take_body() if body is None else body
        url, headers = str(resource.url), resource.headers if headers is None else headers
        method = method or resource.method
    else:
        url, method = str(resource), method or ("GET" if body is None else "POST")
    request = Request(url, method=method, headers=headers, body=body)
    if json is not None:
        request.headers.setdefault("content-type", "application/json")
    return await connection.subrequest(request, redirect, timeout)


class Context:
    """`ctx`: what belongs to this one invocation."""

    __slots__ = ("_is_aborted", "_tasks", "args", "request_id")

    def __init__(self, args: dict[str, Any], request_id: str, tasks: Callable[[Awaitable[Any]], None]) -> None:
        self.args = args
        self.request_id = request_id
        self._is_aborted = False
        self._tasks = tasks

    @property
    def aborted(self) -> bool:
        """The client left, or time is up; the handler is being cancelled."""
        return self._is_aborted

    def abort(self) -> None:
        self._is_aborted = True

    def wait_until(self, awaitable: Awaitable[Any]) -> None:
        """Let `awaitable` go on behind the response, for a bounded time."""
        if not hasattr(awaitable, "__await__"):
            raise TypeError(f"wait_until: must be given an awaitable, got {type(awaitable).__name__}")
        self._tasks(awaitable)

    waitUntil = wait_until  # Cloudflare's name

    @property
    def fetch(self) -> Callable[..., Awaitable[Response]]:
        """The outbound call, for a function whose own `fetch` hides it."""
        return fetch


class ScheduledEvent:
    """What `scheduled` is given."""

    __slots__ = ("cron", "scheduled_time")

    def __init__(self, cron: str, scheduled_time: Any) -> None:
        self.cron = cron
        self.scheduled_time = scheduled_time

    scheduledTime = property(lambda self: self.scheduled_time)  # Cloudflare's name


class WorkerEntrypoint:
    """The base of `class Default`, for handlers that are methods; made anew for each invocation."""

    def __init__(self, ctx: Context, env: Env) -> None:
        self.ctx = ctx
        self.env = env


def function_globals() -> dict[str, Any]:
    """The names that a function's module has before its first line runs."""
    return {
        "AI": AI,
        "Azion": Azion,
        "Request": Request,
        "Response": Response,
        "Headers": Headers,
        "fetch": fetch,
        "console": console,
        "WorkerEntrypoint": WorkerEntrypoint,
    }
