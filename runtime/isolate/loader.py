"""Loads a function's module, its globals in place before its first line, and finds its handlers."""

from __future__ import annotations

import ast
import importlib.machinery
import importlib.util
import inspect
import linecache
import sys
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from types import CodeType, ModuleType, TracebackType
from typing import Any

from runtime.errors import FunctionError
from runtime.isolate.api import WorkerEntrypoint, function_globals
from runtime.isolate.guest import Handlers

_RULE = "define `async def fetch(request, env, ctx)`, or `class Default(WorkerEntrypoint)` with a method fetch"


def load(name: str, path: Path) -> Handlers:
    """Import the function `name` from `path`. Raises FunctionError, whose message names file and line."""
    is_package = path.name == "__init__.py"
    folder = folder_of(path)
    # at the end: a function called json or email must not hide the standard library's
    sys.path.append(str(folder))
    shown = f"{folder.name}/{path.relative_to(folder)}"
    code, bound = _compile(path, shown)
    module = _module(name, path, is_package=is_package)
    try:
        exec(code, module.__dict__)
    except BaseException as e:
        raise _error(e, folder, shown) from None
    return _handlers(module, bound, shown)


def folder_of(path: Path) -> Path:
    """The functions folder that the module at `path` belongs to."""
    return path.parent.parent if path.name == "__init__.py" else path.parent


def _compile(path: Path, shown: str) -> tuple[CodeType, set[str]]:
    try:
        source = path.read_bytes()
        tree = ast.parse(source, str(path))
        return compile(tree, str(path), "exec", dont_inherit=True), set(_bound(tree.body))
    except SyntaxError as e:
        trace = "".join(traceback.format_exception_only(e))
        raise FunctionError(f"{shown}:{e.lineno or 1}: SyntaxError: {e.msg}", trace) from None
    except (OSError, ValueError) as e:
        raise FunctionError(f"{shown}: cannot be read: {e}", str(e)) from None


def _module(name: str, path: Path, *, is_package: bool) -> ModuleType:
    """An empty module that is known to the import system, so that relative imports, dataclasses and pickle work."""
    full = f"functions.{name.replace('-', '_')}"
    loader = importlib.machinery.SourceFileLoader(full, str(path))
    places = [str(path.parent)] if is_package else None
    spec = importlib.util.spec_from_file_location(full, path, loader=loader, submodule_search_locations=places)
    assert spec is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[full] = module
    module.__dict__.update(function_globals())
    return module


def _bound(body: list[ast.stmt]) -> Iterator[str]:
    """Names that the module's top level defines or assigns, in branches too; imported ones are not among them."""
    for statement in body:
        match statement:
            case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name) | ast.ClassDef(name=name):
                yield name
            case ast.Assign(targets=targets):
                for target in targets:
                    yield from (node.id for node in ast.walk(target) if isinstance(node, ast.Name))
            case ast.AnnAssign(target=ast.Name(id=name), value=value) if value is not None:
                yield name
            case _:
                for field in ("body", "orelse", "finalbody", "handlers", "cases"):
                    parts = getattr(statement, field, [])
                    yield from _bound([p for p in parts if isinstance(p, ast.stmt)])
                    for part in parts:
                        if isinstance(part, ast.ExceptHandler | ast.match_case):
                            yield from _bound(part.body)


def _handlers(module: ModuleType, bound: set[str], shown: str) -> Handlers:
    found: dict[str, list[tuple[str, Callable[..., Any]]]] = {"fetch": [], "scheduled": []}
    for name in ("fetch", "on_fetch", "scheduled", "on_scheduled"):
        value = module.__dict__.get(name)
        if name in bound and callable(value) and value is not WorkerEntrypoint:
            found[name.removeprefix("on_")].append((name, _plain(value)))
    entry = module.__dict__.get("Default")
    if "Default" in bound and isinstance(entry, type) and issubclass(entry, WorkerEntrypoint):
        for name in found:
            if callable(getattr(entry, name, None)):
                found[name].append((f"Default.{name}", _method(entry, name)))
    for name, candidates in found.items():
        if len(candidates) > 1:
            names = " and ".join(label for label, _ in candidates)
            raise FunctionError(f"{shown}: two handlers for {name}: {names}; keep one")
    handlers = {name: candidates[0][1] for name, candidates in found.items() if candidates}
    if not handlers:
        raise FunctionError(f"{shown}: no handler: {_RULE}")
    return handlers


def _plain(handler: Callable[..., Any]) -> Callable[..., Any]:
    """`handler`, callable with more arguments than it takes: surplus ones are dropped."""
    count = _parameters(handler)
    return lambda *given: handler(*given[:count])


def _method(entry: type[WorkerEntrypoint], name: str) -> Callable[..., Any]:
    def handle(subject: Any, env: Any, ctx: Any) -> Any:
        method = getattr(entry(ctx, env), name)
        return method(*(subject, env, ctx)[: _parameters(method)])

    return handle


def _parameters(handler: Callable[..., Any]) -> int:
    """How many of (request, env, ctx) it takes."""
    try:
        parameters = inspect.signature(handler).parameters.values()
    except (TypeError, ValueError):
        return 3
    if any(p.kind is p.VAR_POSITIONAL for p in parameters):
        return 3
    return min(3, sum(p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD) for p in parameters))


def _error(error: BaseException, folder: Path, shown: str) -> FunctionError:
    """One line that says where in the function's own files it went wrong, and the trace from there on."""
    frames: TracebackType | None = error.__traceback__
    while frames is not None and frames.tb_frame.f_code.co_filename == __file__:
        frames = frames.tb_next
    linecache.checkcache()
    trace = "".join(traceback.format_exception(type(error), error, frames))
    place = shown
    for frame in traceback.extract_tb(frames):
        file = Path(frame.filename)
        if file.is_relative_to(folder):
            place = f"{folder.name}/{file.relative_to(folder)}:{frame.lineno}"
    if isinstance(error, SyntaxError) and error.filename and Path(error.filename).is_relative_to(folder):
        place = f"{folder.name}/{Path(error.filename).relative_to(folder)}:{error.lineno}"
        return FunctionError(f"{place}: {type(error).__name__}: {error.msg}", trace)
    what = "".join(traceback.format_exception_only(error)).strip().splitlines()[-1]
    return FunctionError(f"{place}: {what}", trace)
