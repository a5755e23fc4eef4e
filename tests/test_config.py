"""Settings: what is read from where, what wins, and how mistakes are named."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from runtime import config
from runtime.errors import ConfigError

Project = Callable[..., Path]


@pytest.fixture
def project(tmp_path: Path) -> Project:
    def make(toml: str = "", env: str | None = None, **functions: str) -> Path:
        folder = tmp_path / "functions"
        folder.mkdir(exist_ok=True)
        for name, text in (functions or {"hello": "async def fetch(request): ..."}).items():
            (folder / f"{name}.py").write_text(text)
        (tmp_path / "beira.toml").write_text(toml)
        if env is not None:
            (tmp_path / ".env").write_text(env)
        return tmp_path

    return make


def test_a_folder_of_functions_is_enough(project: Project) -> None:
    settings = config.load(project(index="", hello=""), environ={})
    assert {f.name: f.routes for f in settings.functions} == {"index": ("/",), "hello": ("/hello", "/hello/*")}
    assert settings.functions[0].limits == config.Limits()
    assert settings.engine == config.EngineSettings()


def test_packages_are_functions_and_underscored_modules_are_not(project: Project) -> None:
    root = project(hello="")
    (root / "functions" / "_shared.py").write_text("")
    (root / "functions" / "notes.txt").write_text("")
    (root / "functions" / "big").mkdir()
    (root / "functions" / "big" / "__init__.py").write_text("")
    (root / "functions" / "data").mkdir()
    assert sorted(config.discover(root / "functions")) == ["big", "hello"]


def test_the_environment_wins_over_dotenv_and_that_over_the_file(project: Project) -> None:
    root = project('[env]\nA = "file"\nB = "file"\nC = 3\n[functions.hello.env]\nD = "own"', env="B=dotenv\nD=dotenv\n")
    (function,) = config.load(root, environ={"BEIRA_ENV_A": "environ", "PATH": "/bin"}).functions
    assert function.env == {"A": "environ", "B": "dotenv", "C": "3", "D": "own"}


def test_limits_of_a_function_go_over_the_global_ones(project: Project) -> None:
    root = project("[limits]\nwall_s = 10\ncpu_ms = 500\n[functions.hello.limits]\nwall_s = 2.5")
    (function,) = config.load(root, environ={}).functions
    assert (function.limits.wall_s, function.limits.cpu_ms) == (2.5, 500)


def test_engine_settings_come_from_the_environment_too(project: Project) -> None:
    engine = config.load(project("[engine]\nthreads = 3"), environ={"BEIRA_ENGINE_CONTEXT": "4096"}).engine
    assert (engine.threads, engine.context) == (3, 4096)


def test_secrets_do_not_show_in_a_repr(project: Project) -> None:
    root = project('[env]\nKEY = "hush"')
    settings = config.load(root, environ={"BEIRA_API_KEYS": "hush2, hush3"})
    assert settings.api_keys == ("hush2", "hush3")
    assert "hush" not in repr(settings)


@pytest.mark.parametrize(
    ("toml", "says"),
    [
        ("[engin]\nthreads = 1", "unknown key 'engin'; did you mean 'engine'?"),
        ("[engine]\nthread = 1", "engine: unknown key 'thread'; did you mean 'threads'?"),
        ("[limits]\nwall = 1", "limits: unknown key 'wall'; did you mean 'wall_s'?"),
        ("[functions.helo]\nroutes = []", "unknown key 'functions.helo'; did you mean 'hello'?"),
        ("[functions.hello]\nroute = []", "unknown key 'functions.hello.route'; did you mean 'routes'?"),
        ('[engine]\ncontext = "big"', "engine.context: must be a whole number of 0 or more, got 'big'"),
        ("[engine]\ncontext = 1", "engine.context: must be at least 256, got 1"),
        ("[engine]\nthreads = true", "engine.threads: must be a whole number of 0 or more, got True"),
        ('[engine]\nkv_type = "q5"', "engine.kv_type: must be one of auto, f32, f16, q8_0, q4_0, got 'q5'"),
        ("[limits]\nwall_s = 0", "limits.wall_s: must be a number above 0, got 0"),
        ('[functions.hello]\nroutes = ["x"]', "a route is a path like '/x' or '/x/*', got 'x'"),
        ('[functions.hello]\nroutes = ["/a/*/b"]', "a route is a path like '/x' or '/x/*', got '/a/*/b'"),
        ('[functions.hello]\nroutes = ["/v1/x"]', "'/v1/x' is reserved"),
        ('[functions.hello]\nroutes = "/x"', "routes: must be a list of texts, got '/x'"),
        ("[env]\nA = []", "env.A: must be a text or a number, got []"),
        ("[env", "cannot be read as TOML"),
        ("env = 3", "[env] must be a table, got 3"),
    ],
)
def test_mistakes_are_named_with_file_key_value_and_expectation(project: Project, toml: str, says: str) -> None:
    with pytest.raises(ConfigError) as caught:
        config.load(project(toml), environ={})
    assert says in str(caught.value)
    assert "beira.toml" in str(caught.value) or "engine." in str(caught.value)


def test_two_functions_cannot_own_one_route(project: Project) -> None:
    root = project('[functions.a]\nroutes = ["/same"]\n[functions.b]\nroutes = ["/same"]', a="", b="")
    with pytest.raises(ConfigError, match="'/same' belongs to two functions, 'a' and 'b'"):
        config.load(root, environ={})


@pytest.mark.parametrize("name", ["v1", "no way", "é!"])
def test_names_that_cannot_be_served_are_refused(project: Project, name: str) -> None:
    with pytest.raises(ConfigError, match=r"reserved|may have letters"):
        config.load(project(**{name: ""}), environ={})


def test_a_module_and_a_package_of_one_name_clash(project: Project) -> None:
    root = project(hello="")
    (root / "functions" / "hello").mkdir()
    (root / "functions" / "hello" / "__init__.py").write_text("")
    with pytest.raises(ConfigError, match="two modules for the function 'hello'"):
        config.load(root, environ={})


def test_a_folder_without_functions_names_what_was_looked_for(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        config.load(tmp_path, environ={})
    assert str(tmp_path / "functions") in str(caught.value)


def test_a_wrong_value_in_the_environment_names_the_variable(project: Project) -> None:
    with pytest.raises(ConfigError, match=r"BEIRA_ENGINE_\*.threads: must be a"):
        config.load(project(), environ={"BEIRA_ENGINE_THREADS": "two"})
