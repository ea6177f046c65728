"""The build hook builds the pages when they are older than their sources; packages contain what they should."""

import os
import subprocess
import sys
import tarfile
from pathlib import Path
from zipfile import ZipFile

import pytest

import hatch_build
from hatch_build import BuildFailedError, PagesHook, build
from netsessions.http import static_files

ROOT = Path(__file__).parents[2]
SOURCES = ("ui/src/main.tsx", "ui/package-lock.json", "ui/index.html", "schema/schema.graphql")
NPM = """#!/bin/sh
echo "$@" >> "$(dirname "$0")/calls"
[ "$1" = run ] || exit 0
mkdir -p ../netsessions/web
node > ../netsessions/web/index.html
"""
NODE = """#!/bin/sh
echo built
"""


@pytest.fixture
def npm(tmp_path: Path) -> Path:
    """A fake npm that records its calls and writes a page with the `node` in PATH."""
    folder = tmp_path / "bin"
    folder.mkdir()
    for name, script in (("npm", NPM), ("node", NODE)):
        (folder / name).write_text(script)
        (folder / name).chmod(0o755)
    return folder / "npm"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A tree of sources, an hour old, that has not been built."""
    for name in SOURCES:
        write(tmp_path / "tree" / name, hours=1)
    return tmp_path / "tree"


def write(path: Path, hours: float) -> None:
    """Write a file whose modification time lies some hours ago."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("old")
    os.utime(path, (modified := path.stat().st_mtime - hours * 3600, modified))


def calls(npm: Path) -> list[str]:
    """Return the commands that npm has been called with."""
    path = npm.with_name("calls")
    return [line.partition(" --")[0] for line in path.read_text().splitlines()] if path.exists() else []


def test_missing_pages_are_built(root: Path, npm: Path) -> None:
    """Dependencies are installed first; `node` is the one next to npm."""
    assert build(root, [str(npm)])
    assert calls(npm) == ["ci", "run build"]
    assert (root / "netsessions/web/index.html").read_text() == "built\n"


def test_pages_newer_than_their_sources_are_not_built(root: Path, npm: Path) -> None:
    """npm is not called at all: there may be no network."""
    build(root, [str(npm)])
    assert not build(root, [str(npm)])
    assert len(calls(npm)) == 2


@pytest.mark.parametrize("name", [*SOURCES, "ui/src/new.ts"])
def test_any_newer_source_causes_a_build(root: Path, npm: Path, name: str) -> None:
    """Also a new file."""
    write(root / "netsessions/web/index.html", hours=0.5)
    assert not build(root, [str(npm)])
    write(root / name, hours=0)
    assert build(root, [str(npm)])


@pytest.mark.parametrize("name", ["ui/node_modules/preact/index.js", "ui/src/operations.ts", "ui/dist/index.html"])
def test_files_written_by_a_build_are_no_sources(root: Path, npm: Path, name: str) -> None:
    """They are always newer than the pages."""
    write(root / "netsessions/web/index.html", hours=0.5)
    write(root / name, hours=0)
    assert not build(root, [str(npm)])


@pytest.mark.parametrize("step", ["ci", "run"])
def test_failed_build_reports_the_output_and_keeps_the_old_pages(root: Path, npm: Path, step: str) -> None:
    """The next build tries again."""
    write(root / "netsessions/web/index.html", hours=2)
    npm.write_text(f'#!/bin/sh\n[ "$1" != {step} ] || {{ echo there is no network; echo at all >&2; exit 7; }}\n')
    for _ in range(2):
        with pytest.raises(BuildFailedError, match=rf"npm {step} .*failed(?s:.*)\.\nthere is no network\nat all$"):
            build(root, [str(npm)])
    assert (root / "netsessions/web/index.html").read_text() == "old"


def test_build_without_output_fails(root: Path, npm: Path) -> None:
    """Even if npm succeeds."""
    npm.write_text("#!/bin/sh\n")
    with pytest.raises(BuildFailedError, match="did not create"):
        build(root, [str(npm)])


def test_hook_exits_with_a_message(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a traceback."""

    def fail(_: Path) -> bool:
        raise BuildFailedError("The pages could not be built.")

    monkeypatch.setattr(hatch_build, "build", fail)
    hook = PagesHook(str(ROOT), {}, None, None, "", "wheel")  # type: ignore[arg-type]
    with pytest.raises(SystemExit, match=r"^The pages could not be built\.$"):
        hook.initialize("editable", {})


def test_node_of_the_wheel_is_used() -> None:
    """Whatever else is installed on the machine."""
    node, npm = hatch_build._npm()
    assert Path(node).is_relative_to(sys.prefix)
    finished = subprocess.run([node, npm, "--version"], capture_output=True, text=True, timeout=300)
    assert finished.stdout.strip().count(".") == 2


@pytest.fixture(scope="module")
def packages(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the wheel and the source distribution of this tree, whose pages are built."""
    folder = tmp_path_factory.mktemp("packages")
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-t", "sdist", "-d", str(folder)]
    finished = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300)
    assert finished.returncode == 0, finished.stderr
    return folder


def test_wheel_contains_the_built_pages(packages: Path) -> None:
    """All of them, unchanged, and none of their sources."""
    [wheel] = packages.glob("*.whl")
    with ZipFile(wheel) as archive:
        names = archive.namelist()
        for path in (
            *static_files.WEB_FOLDER.rglob("*"),
            static_files.DOCS_FOLDER / "docs.html",
            static_files.DOCS_FOLDER / "docs.js",
        ):
            if path.is_file():
                assert archive.read(path.relative_to(ROOT).as_posix()) == path.read_bytes()
    assert not [name for name in names if name.startswith(("ui/", "hatch_build"))]


def test_wheel_is_marked_as_typed(packages: Path) -> None:
    """Each package contains `py.typed`, and the wheel its license."""
    [wheel] = packages.glob("*.whl")
    with ZipFile(wheel) as archive:
        names = archive.namelist()
    assert {f"{name}/py.typed" for name in ("netsessions", "schema", "rest_compat", "resolvers", "storage")} <= {*names}
    assert [name for name in names if name.endswith("/licenses/LICENSE")]


def test_source_distribution_contains_the_sources_of_the_pages(packages: Path) -> None:
    """And the build hook, but nothing that a build writes."""
    [archive] = packages.glob("*.tar.gz")
    with tarfile.open(archive) as opened:
        names = {name.partition("/")[2] for name in opened.getnames()}
    assert {*SOURCES, "ui/src/graphiql/main.tsx", "ui/vite.config.ts", "ui/.npmrc", "hatch_build.py"} <= names
    built = ("ui/node_modules/", "ui/dist/", "ui/src/operations.ts", "netsessions/web/")
    assert not [name for name in names if name.startswith(built)]


def test_locks_name_no_registry() -> None:
    """Each installation uses the registry of its own settings; digests verify the packages."""
    lock = (ROOT / "ui/package-lock.json").read_text(encoding="utf-8")
    assert '"integrity"' in lock
    assert '"resolved"' not in lock
    for name in ("requirements.lock", "requirements-dev.lock", "ui/.npmrc"):
        assert "://" not in (ROOT / name).read_text(encoding="utf-8")
