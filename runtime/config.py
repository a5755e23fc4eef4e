"""Frozen settings: `beira.toml`, `.env`, the environment and the command line, read once, checked, merged.

The only reader of the environment. Every error names the file, the key, the value and what would be right.
"""

from __future__ import annotations

import difflib
import os
import re
import tomllib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, fields, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar

import dotenv
from cronsim import CronSim, CronSimError

from runtime.errors import ConfigError

RESERVED = ("v1", "_beira")
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Limits:
    """What one invocation may use. Defaults follow Azion's."""

    cpu_ms: int = 2_000
    memory_mb: int = 512
    wall_s: float = 300.0
    startup_cpu_ms: int = 2_000
    subrequests: int = 50
    body_mb: int = 100
    response_mb: int = 100
    log_kb: int = 256
    ai_calls: int = 16
    """AI calls that may run at once in one invocation."""
    concurrency: int = 64
    """Invocations of one function at once; more wait, then `load_shed`."""
    wait_until_s: float = 30.0


@dataclass(frozen=True, slots=True)
class EngineSettings:
    """`[engine]`, also `BEIRA_ENGINE_*`."""

    context: int = 32_768
    """Tokens in the whole KV cache."""
    max_sequences: int = 16
    threads: int = 0
    """Compute threads; 0 chooses by the machine's cores."""
    gpu_layers: int = 0
    kv_type: str = "auto"
    """What the KV cache is kept in; `auto`: `q8_0` for small models on CPUs, so that their texts do not depend on what
    is computed beside them (see `budget.kv_type_of`), `f16` for others."""
    image_max_tokens: int = 1_024
    image_cache_mb: int = 256
    image_cache_dir: Path | None = None
    max_queue: int = 64
    draft_tokens: int = 7
    """Tokens guessed ahead at most, where that is measured to pay; 0: never."""
    step_s: float = 60.0
    """A step that takes longer is a wedged engine: the node is unready, and `beira serve` starts another."""
    image_s: float = 600.0
    """The same for encoding one image, or computing its prompt, which stand behind everything else on the node."""


@dataclass(frozen=True, slots=True)
class NodeSettings:
    """`[node]`."""

    min_free_mb: int = 128
    """Memory that must be left for new work to be taken."""
    concurrency: int = 256
    """Invocations of all functions at once; more wait, then `load_shed`."""
    head_s: float = 10.0
    """How long a request's head may take to arrive, the first one on a connection counted from its begin."""
    window_s: float = 30.0
    """A client that has to send a body or to take a response must move 1 KB in each such time."""


@dataclass(frozen=True, slots=True)
class FunctionSettings:
    """One function: its module and everything that is set for it."""

    name: str
    path: Path
    """Its module: `functions/NAME.py` or `functions/NAME/__init__.py`."""
    routes: tuple[str, ...]
    """Paths it owns; `/x/*` also owns everything below `/x/`."""
    cron: tuple[str, ...] = ()
    cron_overlap: bool = False
    """A run may begin while the one before it goes on."""
    args: Mapping[str, Any] = field(default_factory=dict)
    env: Mapping[str, str] = field(default_factory=dict, repr=False)
    limits: Limits = Limits()


@dataclass(frozen=True, slots=True)
class Settings:
    """One project, ready to run."""

    root: Path
    functions: tuple[FunctionSettings, ...]
    engine: EngineSettings = EngineSettings()
    model_dirs: tuple[Path, ...] = ()
    load: tuple[str, ...] = ()
    """Models to load at start-up besides the default one; empty: the embedded one."""
    default_model: str | None = None
    api_keys: tuple[str, ...] = field(default=(), repr=False)
    cors_origins: tuple[str, ...] = ()
    """Origins whose pages may call `/v1` from a browser; `*` is any."""
    outbound_allow: tuple[str, ...] = ()
    """Hosts, `host:port`s and networks that outbound requests may reach though they are not public."""
    node: NodeSettings = NodeSettings()


ARGS_LIMIT = 100 * 1024
_KV_TYPES = ("auto", "f32", "f16", "q8_0", "q4_0")
_TABLES = ("models", "engine", "env", "limits", "functions", "outbound", "node")
_FUNCTION_KEYS = ("routes", "cron", "cron_overlap", "args", "env", "limits")


def load(
    root: Path,
    *,
    environ: Mapping[str, str] | None = None,
    model_dirs: Iterable[Path] = (),
    model: str | None = None,
) -> Settings:
    """The settings of the project in `root`.

    `environ` stands for the process's environment; `model_dirs` and `model` come from the command line.
    Raises ConfigError.
    """
    environ = os.environ if environ is None else environ
    root = root.resolve()
    folder = root / "functions"
    if not folder.is_dir():
        raise ConfigError(f"no functions folder: looked for {folder}; run this in a project, or name its folder")
    file = root / "beira.toml"
    data = _read_toml(file)
    for key in data:
        _known(key, _TABLES, str(file), "")
    limits = _section(Limits(), _table(data, "limits", file), f"{file}: limits")
    engine = _engine(_table(data, "engine", file), environ, file)
    env = _env(data, root, environ, file)
    models = _table(data, "models", file)
    for key in models:
        _known(key, ("load",), str(file), "models.")
    outbound = _table(data, "outbound", file)
    for key in outbound:
        _known(key, ("allow",), str(file), "outbound.")
    return Settings(
        root=root,
        functions=_functions(folder, _table(data, "functions", file), limits, env, file),
        engine=engine,
        model_dirs=(*model_dirs, *([root / "models"] if (root / "models").is_dir() else [])),
        load=tuple(_strings(models.get("load", []), f"{file}: models.load")),
        default_model=model,
        outbound_allow=tuple(_strings(outbound.get("allow", []), f"{file}: outbound.allow")),
        node=_section(NodeSettings(), _table(data, "node", file), f"{file}: node"),
        api_keys=_listed(environ, "BEIRA_API_KEYS"),
        cors_origins=tuple(_origin(o) for o in _listed(environ, "BEIRA_CORS_ORIGINS")),
    )


def _listed(environ: Mapping[str, str], name: str) -> tuple[str, ...]:
    """A comma-separated variable. Commas alone are a mistake: they must not mean that anyone may enter."""
    text = environ.get(name, "").strip()
    values = tuple(v for v in (part.strip() for part in text.split(",")) if v)
    if text and not values:
        raise ConfigError(f"environment: {name}: must be values separated by commas, got {text!r}")
    return values


def _origin(text: str) -> str:
    if text != "*" and not re.fullmatch(r"[a-z][a-z0-9+.-]*://[^/?#@\s*]+", text):
        raise ConfigError(
            f"environment: BEIRA_CORS_ORIGINS: must be origins like 'https://example.org', or '*', got {text!r}"
        )
    return text


def discover(folder: Path) -> dict[str, Path]:
    """Every function under `functions/` by name, sorted; names that begin with `_` or `.` are not served."""
    found: dict[str, Path] = {}
    for entry in sorted(folder.iterdir()):
        if entry.name.startswith(("_", ".")):
            continue
        module = entry / "__init__.py" if entry.is_dir() else entry
        if not (module.is_file() and module.suffix == ".py"):
            continue
        name = entry.name if entry.is_dir() else entry.stem
        if name in found:
            raise ConfigError(f"two modules for the function {name!r}: {found[name]} and {module}; keep one")
        if not name.isidentifier() and not name.replace("-", "_").isidentifier():
            raise ConfigError(f"{module}: a function's name may have letters, digits, '_' and '-', got {name!r}")
        if name in RESERVED:
            raise ConfigError(f"{module}: the name {name!r} is reserved ({', '.join(RESERVED)}); choose another")
        found[name] = module
    return found


def _functions(
    folder: Path, tables: Mapping[str, Any], limits: Limits, env: Mapping[str, str], file: Path
) -> tuple[FunctionSettings, ...]:
    modules = discover(folder)
    for name in tables:
        _known(name, tuple(modules), str(file), "functions.")
    made = tuple(_function(name, path, tables.get(name, {}), limits, env, file) for name, path in modules.items())
    owners: dict[str, str] = {}
    for function in made:
        for route in function.routes:
            if route in owners:
                raise ConfigError(
                    f"{file}: the route {route!r} belongs to two functions, {owners[route]!r} and {function.name!r}"
                )
            owners[route] = function.name
    return made


def _function(
    name: str, path: Path, table: Any, limits: Limits, env: Mapping[str, str], file: Path
) -> FunctionSettings:
    where = f"{file}: functions.{name}"
    if not isinstance(table, dict):
        raise ConfigError(f"{where}: must be a table, got {table!r}")
    for key in table:
        _known(key, _FUNCTION_KEYS, str(file), f"functions.{name}.")
    default = ["/"] if name == "index" else [f"/{name}", f"/{name}/*"]
    routes = tuple(_route(r, f"{where}.routes") for r in _strings(table.get("routes", default), f"{where}.routes"))
    args = table.get("args", {})
    if not isinstance(args, dict):
        raise ConfigError(f"{where}.args: must be a table, got {args!r}")
    if len(repr(args)) > ARGS_LIMIT:
        raise ConfigError(f"{where}.args: must be at most 100 KB, got {len(repr(args)) // 1024} KB")
    return FunctionSettings(
        name=name,
        path=path,
        routes=routes,
        cron=tuple(_cron(text, f"{where}.cron") for text in _strings(table.get("cron", []), f"{where}.cron")),
        cron_overlap=_switch(table.get("cron_overlap", False), f"{where}.cron_overlap"),
        args=args,
        env={**env, **_variables(table.get("env", {}), f"{where}.env")},
        limits=_section(limits, table.get("limits", {}), f"{where}.limits"),
    )


def _cron(text: str, where: str) -> str:
    try:
        next(CronSim(text, datetime(2024, 1, 1, tzinfo=UTC)))
    except CronSimError as e:
        raise ConfigError(
            f"{where}: must be an expression like '*/5 * * * *' (minute hour day month weekday, UTC), got {text!r}: {e}"
        ) from None
    except StopIteration:
        raise ConfigError(f"{where}: {text!r} names a time that never comes") from None
    return text


def _switch(value: Any, where: str) -> bool:
    if not isinstance(value, bool):
        raise ConfigError(f"{where}: must be true or false, got {value!r}")
    return value


def _route(route: str, where: str) -> str:
    body = route.removesuffix("/*")
    if not route.startswith("/") or "*" in body or "?" in route or "#" in route or "//" in route:
        raise ConfigError(f"{where}: a route is a path like '/x' or '/x/*', got {route!r}")
    if body.strip("/").split("/")[0] in RESERVED:
        raise ConfigError(f"{where}: {route!r} is reserved ({', '.join('/' + r for r in RESERVED)}); choose another")
    return route if route in ("/", "/*") else route.rstrip("/")


def _env(data: Mapping[str, Any], root: Path, environ: Mapping[str, str], file: Path) -> dict[str, str]:
    """`BEIRA_ENV_*` over `.env` over `[env]`."""
    env = _variables(_table(data, "env", file), f"{file}: env")
    if (root / ".env").is_file():
        try:
            values = dotenv.dotenv_values(root / ".env", interpolate=False)
        except (OSError, UnicodeDecodeError) as e:
            raise ConfigError(f"{root / '.env'}: cannot be read: {e}") from e
        env |= {k: v for k, v in values.items() if v is not None}
    return env | {k.removeprefix("BEIRA_ENV_"): v for k, v in environ.items() if k.startswith("BEIRA_ENV_")}


def _engine(table: Mapping[str, Any], environ: Mapping[str, str], file: Path) -> EngineSettings:
    settings = _section(EngineSettings(), table, f"{file}: engine")
    prefix = "BEIRA_ENGINE_"
    overrides = {k.removeprefix(prefix).lower(): v for k, v in environ.items() if k.startswith(prefix)}
    settings = _section(settings, overrides, f"environment: {prefix}*", parse=True)
    if settings.kv_type not in _KV_TYPES:
        raise ConfigError(f"engine.kv_type: must be one of {', '.join(_KV_TYPES)}, got {settings.kv_type!r}")
    lowest = {"context": 256, "max_sequences": 1, "image_max_tokens": 4, "max_queue": 0, "draft_tokens": 0}
    for name, low in lowest.items():
        if getattr(settings, name) < low:
            raise ConfigError(f"engine.{name}: must be at least {low}, got {getattr(settings, name)}")
    return settings


def _section(base: T, table: Any, where: str, *, parse: bool = False) -> T:
    """`base` with the values of `table`, each checked against the type of the field that it replaces."""
    if not isinstance(table, Mapping):
        raise ConfigError(f"{where}: must be a table, got {table!r}")
    kinds: dict[str, str] = {f.name: str(f.type) for f in fields(base)}  # type: ignore[arg-type]
    values: dict[str, Any] = {}
    for key, value in table.items():
        _known(key, tuple(kinds), where, "")
        values[key] = _value(value, kinds[key], f"{where}.{key}", parse)
    return replace(base, **values)  # type: ignore[type-var]


def _value(value: Any, kind: str, where: str, parse: bool) -> Any:
    try:
        if kind == "int":
            value = int(value) if parse else value
            ok = isinstance(value, int) and not isinstance(value, bool) and value >= 0
            expected = "a whole number of 0 or more"
        elif kind == "float":
            value = float(value) if parse or (isinstance(value, int) and not isinstance(value, bool)) else value
            ok, expected = isinstance(value, float) and 0 < value < float("inf"), "a number above 0"
        else:
            ok, expected = isinstance(value, str) and value != "", "a text"
            value = Path(value).expanduser() if ok and kind.startswith("Path") else value
    except ValueError:
        ok = False
        expected = "a number"
    if not ok:
        raise ConfigError(f"{where}: must be {expected}, got {value!r}")
    return value


def _read_toml(file: Path) -> dict[str, Any]:
    if not file.is_file():
        return {}
    try:
        return tomllib.loads(file.read_text("utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, OSError) as e:
        raise ConfigError(f"{file}: cannot be read as TOML: {e}") from e


def _table(data: Mapping[str, Any], key: str, file: Path) -> dict[str, Any]:
    table = data.get(key, {})
    if not isinstance(table, dict):
        raise ConfigError(f"{file}: [{key}] must be a table, got {table!r}")
    return table


def _strings(value: Any, where: str) -> list[str]:
    if not isinstance(value, list) or not all(isinstance(v, str) for v in value):
        raise ConfigError(f"{where}: must be a list of texts, got {value!r}")
    return value


def _variables(table: Any, where: str) -> dict[str, str]:
    check: Callable[[Any], bool] = lambda v: isinstance(v, str | int | float) and not isinstance(v, bool)  # noqa: E731
    if not isinstance(table, dict):
        raise ConfigError(f"{where}: must be a table, got {table!r}")
    for key, value in table.items():
        if not check(value):
            raise ConfigError(f"{where}.{key}: must be a text or a number, got {value!r}")
    return {k: str(v) for k, v in table.items()}


def _known(key: str, known: tuple[str, ...], where: str, prefix: str) -> None:
    if key in known:
        return
    near = difflib.get_close_matches(key, known, 1)
    hint = f"did you mean {near[0]!r}?" if near else f"known: {', '.join(known) or 'none'}"
    raise ConfigError(f"{where}: unknown key {prefix + key!r}; {hint}")
