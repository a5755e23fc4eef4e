"""The command `beira`: parses arguments and calls the host or the catalog. Exit status 2: a setting is wrong."""

from __future__ import annotations

import argparse
import logging
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from runtime import config, supervisor
from runtime.errors import BeiraError, ConfigError

if TYPE_CHECKING:
    Commands = argparse._SubParsersAction[argparse.ArgumentParser]


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit status."""
    argv = sys.argv[1:] if argv is None else argv
    arguments = _parser().parse_args(argv, argparse.Namespace(argv=argv))
    try:
        status: int = arguments.run(arguments)
    except BeiraError as e:
        print(f"beira: {e}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141
    return status


def entry() -> None:
    """The console script: leaves at once, so that an image being encoded delays nothing."""
    _open_standard_streams()
    status = main()
    logging.shutdown()
    try:
        sys.stdout.flush()
        sys.stderr.flush()
    except OSError:
        status = status or 1
    os._exit(status)


def _open_standard_streams() -> None:
    """Where one is closed, open the null device: else a socket would take its number, and be written to."""
    for fd in range(3):
        try:
            os.fstat(fd)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # the lowest free number: this one
            name = ("stdin", "stdout", "stderr")[fd]
            setattr(sys, name, open(fd, "r" if fd == 0 else "w", closefd=False))  # noqa: SIM115


def _dev(a: argparse.Namespace) -> int:
    from runtime import host

    host.setup_logging()
    settings = config.load(a.dir, model_dirs=a.models, model=a.model)
    return host.run(settings, host.Options(a.host, a.port, is_dev=True))


def _serve(a: argparse.Namespace) -> int:
    settings = config.load(a.dir, model_dirs=a.models, model=a.model)
    if a.inherit is None:
        return supervisor.Supervisor(supervisor.listen(a.host, a.port), a.argv).run()

    from runtime import host

    host.setup_logging()
    options = host.Options(a.host, a.port, allow_stand_in=a.allow_stand_in)
    return host.run(settings, options, inheritance=a.inherit)


def _invoke(a: argparse.Namespace) -> int:
    from runtime import host

    host.setup_logging(logging.WARNING)
    settings = config.load(a.dir, model_dirs=a.models, model=a.model)
    function = next((f for f in settings.functions if f.name == a.function), None)
    if function is None:
        known = ", ".join(f.name for f in settings.functions) or "none"
        raise ConfigError(f"no function {a.function!r} in {settings.root / 'functions'}; known: {known}")
    path = a.path or function.routes[0].removesuffix("*").rstrip("/") or "/"
    if not path.startswith("/"):
        raise ConfigError(f"--path: must begin with '/', got {path!r}")
    headers = [_header(h) for h in a.header]
    content = None if a.data is None else _data(a.data)
    method = a.method or ("GET" if content is None else "POST")

    async def work(url: str) -> int:
        return await _print_answer(method, url + path, headers, content)

    return host.run(settings, host.Options("127.0.0.1", 0, is_dev=True, only=a.function), work)


def _header(text: str) -> tuple[str, str]:
    name, colon, value = text.partition(":")
    if not colon or not name.strip():
        raise ConfigError(f"-H: must be 'NAME: VALUE', got {text!r}")
    return name.strip(), value.strip()


def _data(text: str) -> bytes:
    if not text.startswith("@"):
        return text.encode("utf-8", "surrogateescape")
    if text == "@-":
        return sys.stdin.buffer.read()
    try:
        return Path(text[1:]).expanduser().read_bytes()
    except OSError as e:
        raise ConfigError(f"--data: cannot read {text[1:]!r}: {e.strerror or e}") from None


async def _print_answer(method: str, url: str, headers: list[tuple[str, str]], content: bytes | None) -> int:
    """Print an answer's body as it comes; returns 1 where it is an error or was cut short."""
    import httpx

    try:
        async with (
            httpx.AsyncClient(timeout=None, trust_env=False) as client,
            client.stream(method, url, headers=headers, content=content) as answer,
        ):
            async for part in answer.aiter_bytes():
                sys.stdout.buffer.write(part)
                sys.stdout.buffer.flush()
    except httpx.HTTPError as e:
        print(f"beira: the answer was cut short: {e or type(e).__name__}", file=sys.stderr)
        return 1
    if sys.stdout.isatty():
        print(flush=True)
    if answer.status_code >= 400:
        print(f"beira: HTTP {answer.status_code}", file=sys.stderr)
        return 1
    return 0


def _check(a: argparse.Namespace) -> int:
    from runtime import host

    host.setup_logging(logging.ERROR)
    return host.check(config.load(a.dir))


def _models_list(a: argparse.Namespace) -> int:
    from runtime.catalog.catalog import Catalog

    for m in Catalog(a.models).manifests:
        state = "on disk" if m.is_on_disk else f"absent, stand-in {m.stand_in}" if m.stand_in else "absent"
        print(f"{m.id}  {' '.join(m.capabilities)}  {m.context} tokens  {state}")
    return 0


def _models_path(a: argparse.Namespace) -> int:
    from runtime.catalog.catalog import Catalog

    manifest = Catalog(a.models).find(a.id)
    print(manifest.text)
    if manifest.projector is not None:
        print(manifest.projector)
    return 0 if manifest.is_on_disk else 1


def _models_verify(a: argparse.Namespace) -> int:
    from runtime.catalog.catalog import Catalog

    catalog = Catalog(a.models)
    chosen = [catalog.find(a.id)] if a.id else [m for m in catalog.manifests if m.is_on_disk]
    for manifest in chosen:
        catalog.verify(manifest)
        print(f"{manifest.id}  verified")
    return 0


def _models_optimize(a: argparse.Namespace) -> int:
    from runtime import host
    from runtime.catalog.catalog import Catalog

    host.setup_logging()
    manifest = Catalog(a.models).find(a.id)
    try:
        return host.optimize(manifest, a.output)
    except OSError as e:
        raise ConfigError(f"{e.filename or a.output}: cannot be written: {e.strerror or e}") from None


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="beira", description="Edge functions in Python with the model on the same node."
    )
    commands = parser.add_subparsers(metavar="COMMAND", required=True)
    _add_server(commands, "dev", _dev, "serve a project's functions, reloading what is saved", "127.0.0.1", 8787)
    serve = _add_server(commands, "serve", _serve, "serve a project's functions in production", "0.0.0.0", 8080)
    serve.add_argument("--allow-stand-in", action="store_true", help="let a stand-in answer where weights are absent")
    serve.add_argument("--inherit", type=supervisor.Inheritance.parse, help=argparse.SUPPRESS)
    _add_invoke(commands)
    check = commands.add_parser("check", help="load every function, serve nothing, and say what is wrong")
    check.add_argument("dir", nargs="?", type=Path, default=Path("."), metavar="DIR")
    check.set_defaults(run=_check)
    _add_models(commands)
    return parser


def _add_server(
    commands: Commands,
    name: str,
    run: object,
    text: str,
    host: str,
    port: int,
) -> argparse.ArgumentParser:
    parser = commands.add_parser(name, help=text, formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    parser.add_argument("dir", nargs="?", type=Path, default=Path("."), metavar="DIR", help="the project")
    parser.add_argument("--host", default=host, help="address to listen on")
    parser.add_argument("--port", type=int, default=port, help="port to listen on; 0 picks a free one")
    _add_model_options(parser)
    parser.set_defaults(run=run)
    return parser


def _add_model_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--models", type=Path, action="append", default=[], metavar="DIR", help="a further folder of manifests"
    )
    parser.add_argument("--model", metavar="ID", help="the default model")


def _add_invoke(commands: Commands) -> None:
    parser = commands.add_parser("invoke", help="send one request to one function and print its answer")
    parser.add_argument("function", metavar="FUNCTION")
    parser.add_argument("--dir", type=Path, default=Path("."), help="the project (default: .)")
    parser.add_argument("--method", metavar="M", help="default: POST with --data, else GET")
    parser.add_argument("--path", metavar="P", help="path and query (default: the function's first route)")
    parser.add_argument("-H", dest="header", action="append", default=[], metavar="'K: V'", help="a request header")
    parser.add_argument("--data", metavar="TEXT|@FILE", help="the request's body; @- reads standard input")
    _add_model_options(parser)
    parser.set_defaults(run=_invoke)


def _add_models(commands: Commands) -> None:
    models = commands.add_parser("models", help="list models, show their files, verify and optimise them")
    verbs = models.add_subparsers(metavar="VERB", required=True)
    for name, run, text in (
        ("list", _models_list, "every known model"),
        ("path", _models_path, "the files of a model; exit status 1 where they are absent"),
        ("verify", _models_verify, "check the files of a model, or of all that are on disk"),
        ("optimize", _models_optimize, "write a projector that a CPU encodes images faster with"),
    ):
        verb = verbs.add_parser(name, help=text)
        if name != "list":
            verb.add_argument("id", metavar="ID", nargs="?" if name == "verify" else None)
        verb.add_argument("--models", type=Path, action="append", default=[], metavar="DIR")
        if name == "optimize":
            verb.add_argument(
                "--output", type=Path, metavar="FILE", help="default: beside the projector, where it is found"
            )
        verb.set_defaults(run=run)


if __name__ == "__main__":
    entry()
