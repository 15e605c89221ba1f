"""What users get: the sdist, the wheel made from it, and the wheel alone in a new environment."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tarfile
import threading
import tomllib
import venv
import zipfile
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
VERSION = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["version"]
PACKAGES = ("connectory", "connectory_schemas", "connectory_transformers")
# Nothing of the checkout may help: neither its folders nor the environment that runs the tests.
ENVIRONMENT = {name: value for name, value in os.environ.items() if name not in {"PYTHONPATH", "VIRTUAL_ENV"}}
DUMMY = """\
[build-system]
requires = ["hatchling"]
build-backend = "hatchling.build"

[project]
name = "transformers"
version = "9.9.9"

[tool.hatch.build.targets.wheel]
packages = ["transformers"]
"""


def run(*command: str | Path, cwd: Path) -> str:
    words = [str(word) for word in command]
    done = subprocess.run(words, cwd=cwd, capture_output=True, text=True, check=False, env=ENVIRONMENT)
    if done.returncode:
        pytest.fail(
            f"{' '.join(words)} ended with {done.returncode}\n{done.stdout}{done.stderr}", pytrace=False
        )
    return done.stdout


def build(source: Path, kind: str, into: Path) -> Path:
    """Build with the hatchling that is installed here: no isolation, so nothing is fetched."""
    run(sys.executable, "-m", "hatchling", "build", "-t", kind, "-d", into, cwd=source)
    (made,) = into.glob("*.tar.gz" if kind == "sdist" else "*.whl")
    return made


@pytest.fixture(scope="module")
def sdist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build(ROOT, "sdist", tmp_path_factory.mktemp("sdist"))


@pytest.fixture(scope="module")
def wheel(sdist: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    unpacked = tmp_path_factory.mktemp("unpacked")
    with tarfile.open(sdist) as archive:
        archive.extractall(unpacked, filter="data")
    return build(unpacked / f"connectory-{VERSION}", "wheel", tmp_path_factory.mktemp("wheel"))


@pytest.fixture(scope="module")
def dummy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A stranger's distribution whose import package has the name of one of our folders."""
    source = tmp_path_factory.mktemp("dummy")
    (source / "pyproject.toml").write_text(DUMMY, encoding="utf-8")
    (source / "transformers").mkdir()
    (source / "transformers" / "__init__.py").write_text("OWNER = 'a stranger'\n", encoding="utf-8")
    return build(source, "wheel", source / "dist")


@pytest.fixture(scope="module")
def content(wheel: Path) -> list[str]:
    with zipfile.ZipFile(wheel) as archive:
        return archive.namelist()


class Environment:
    """A new virtual environment, and what is done in it."""

    def __init__(self, folder: Path) -> None:
        venv.create(folder, symlinks=os.name != "nt")
        self.folder = folder
        self.programs = folder / ("Scripts" if os.name == "nt" else "bin")
        self.python = self.programs / "python"

    def install(self, *wheels: Path) -> None:
        """Install the wheels and what they need: from uv's cache, else from the registry that uv is set to."""
        words = ["install", "-q", "-c", ROOT / ".ci" / "constraints.txt", *wheels]
        if subprocess.run(
            [*self.uv(*words), "--offline"], capture_output=True, env=ENVIRONMENT, check=False
        ).returncode:
            run(*self.uv(*words), cwd=self.folder)

    def uninstall(self, name: str) -> None:
        run(*self.uv("uninstall", "-q", name), cwd=self.folder)

    def uv(self, verb: str, *words: str | Path) -> list[str]:
        program = shutil.which("uv", path=f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
        assert program, "uv is on no path: the README's test command installs it"
        return [program, "pip", verb, "--python", str(self.python), *map(str, words)]

    def connectory(self, *words: str) -> str:
        return run(self.programs / "connectory", *words, cwd=self.folder)

    def evaluate(self, code: str) -> str:
        return run(self.python, "-I", "-c", code, cwd=self.folder).strip()


@pytest.fixture(scope="module")
def installed(wheel: Path, dummy: Path, tmp_path_factory: pytest.TempPathFactory) -> Environment:
    """The wheel alone, without extras, beside the stranger's `transformers`."""
    environment = Environment(tmp_path_factory.mktemp("installed") / "venv")
    environment.install(dummy)
    environment.install(wheel)
    return environment


# -- what is in the files


def test_the_wheel_holds_the_three_packages_and_nothing_else(content: list[str]):
    assert {name.partition("/")[0] for name in content} == {*PACKAGES, f"connectory-{VERSION}.dist-info"}


def test_the_wheel_holds_neither_tests_nor_documents(content: list[str]):
    code = [name for name in content if not name.startswith(f"connectory-{VERSION}.dist-info/")]
    assert [name for name in code if "test_" in name or "/docs/" in name or name.endswith(".md")] == []


def test_the_wheel_says_that_each_package_is_typed(content: list[str]):
    assert {f"{package}/py.typed" for package in PACKAGES} <= set(content)


def test_the_wheel_holds_every_catalogue_file_of_the_checkout(content: list[str]):
    folder = ROOT / "schemas"
    files = {
        path.relative_to(folder).as_posix()
        for path in (folder / "connectory_schemas" / "catalogue").rglob("*.json")
    }
    assert files, "the checkout has no catalogue"
    assert files <= set(content)


def test_the_wheel_holds_every_module_of_the_checkout(content: list[str]):
    folders = {
        "connectory": "connector",
        "connectory_schemas": "schemas",
        "connectory_transformers": "transformers",
    }
    modules = {
        path.relative_to(ROOT / folders[package]).as_posix()
        for package in PACKAGES
        for path in (ROOT / folders[package] / package).rglob("*.py")
    }
    assert modules <= set(content)


def test_the_wheel_carries_the_licence(content: list[str]):
    assert f"connectory-{VERSION}.dist-info/licenses/LICENSE" in content


def test_the_sdist_carries_what_a_packager_needs(sdist: Path):
    with tarfile.open(sdist) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    assert {
        "LICENSE",
        "README.md",
        "pyproject.toml",
        "noxfile.py",
        "tests/test_package.py",
        "docs/index.md",
    } <= names
    assert [name for name in names if "__pycache__" in name or name.startswith(".venv")] == []


# -- what works once it is installed


def test_the_command_says_its_version(installed: Environment):
    assert VERSION in installed.connectory("--version")


def test_the_command_runs_as_a_module(installed: Environment):
    assert VERSION in run(installed.python, "-I", "-m", "connectory", "--version", cwd=installed.folder)


def test_the_command_lists_entities_without_extras(installed: Environment):
    assert "files" in installed.connectory("entities", "list").split()


def test_a_schema_is_read_through_importlib_resources(installed: Environment):
    text = installed.evaluate(
        "from importlib.resources import files\n"
        "folder = files('connectory_schemas') / 'catalogue'\n"
        "print(min((one for one in folder.iterdir() if one.name.endswith('.schemas.json')), key=str).read_text('utf-8'))"
    )
    assert json.loads(text)["$defs"]


def test_every_public_name_is_there_without_extras(installed: Environment):
    code = "import connectory; print([name for name in connectory.__all__ if getattr(connectory, name, None) is None])"
    assert installed.evaluate(code) == "[]"


def test_a_strangers_transformers_package_stays_the_strangers(installed: Environment):
    assert installed.evaluate("import transformers; print(transformers.OWNER)") == "a stranger"


SHOP = """\
version: 1
clients: {shop: {prototype: shop, base_uri: "http://127.0.0.1:PORT"}}
outgoing:
  announce:
    request: {method: POST, path: /announcements}
    input: {use: orders, options: {count: 2}}
    transformers:
      - mask: email
      - numbered: {into: place}
    payload: "&{@}"
    output: {use: drawer, options: {file: drawer.txt}}
"""


def test_a_package_that_extends_adds_transformers_a_source_a_sink_and_a_prototype(
    wheel: Path, tmp_path: Path
):
    """The example package of docs/extending.md, installed beside the wheel."""
    source = tmp_path / "example_package"
    shutil.copytree(ROOT / "tests" / "example_package", source)
    environment = Environment(tmp_path / "venv")
    environment.install(wheel, build(source, "wheel", tmp_path / "dist"))
    listed = [
        json.loads(line) for line in environment.connectory("transformers", "list", "--json").splitlines()
    ]
    assert {one["name"] for one in listed if one["origin"] == "connectory-shop 1.0"} == {"mask", "numbered"}
    assert '"mask"' in environment.connectory("schema")
    heard: list[object] = []

    class Answers(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            heard.append(json.loads(self.rfile.read(int(self.headers["content-length"]))))
            self.send_response(200)
            self.send_header("content-type", "application/json")
            self.send_header("content-length", "2")
            self.end_headers()
            self.wfile.write(b"{}")

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Answers) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        config = SHOP.replace("PORT", str(server.server_address[1]))
        (environment.folder / "connectory.yaml").write_text(config, encoding="utf-8")
        environment.connectory("lint")
        environment.connectory("run", "outgoing", "announce")
        server.shutdown()
    assert sorted(heard, key=str) == [{"id": f"order-{n}", "email": "cu***", "place": n} for n in (1, 2)]
    assert (environment.folder / "drawer.txt").read_text().split() == ['"order-1"', '"order-2"']
    environment.uninstall("connectory-shop")
    assert "mask" not in environment.connectory("transformers", "list").split()


def test_uninstalling_leaves_nothing_of_ours_and_all_of_the_strangers(
    wheel: Path, dummy: Path, tmp_path: Path
):
    environment = Environment(tmp_path / "venv")
    environment.install(dummy)
    environment.install(wheel)
    environment.uninstall("connectory")
    assert environment.evaluate("import transformers; print(transformers.OWNER)") == "a stranger"
    find = "from importlib.util import find_spec; print([name for name in {} if find_spec(name)])"
    assert environment.evaluate(find.format(PACKAGES)) == "[]"
