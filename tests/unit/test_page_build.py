"""The pages are built with the program, when they are older than what they are made of."""

import os
import subprocess
import sys
import tarfile
from pathlib import Path
from zipfile import ZipFile

import pytest

import hatch_build
from hatch_build import NotBuiltError, PagesHook, build
from netsessions.http import static_files as pages

ROOT = Path(__file__).parents[2]
SOURCES = ("ui/src/main.tsx", "ui/package-lock.json", "ui/index.html", "schema/schema.graphql")
NPM = """#!/bin/sh
echo "$@" >> "$(dirname "$0")/calls"
[ "$1" = run ] || exit 0
mkdir -p ../netsessions/web
node > ../netsessions/web/index.html
"""
NODE = """#!/bin/sh
echo made
"""


@pytest.fixture
def npm(tmp_path: Path) -> Path:
    """One that only writes down how it is called, and makes a page by the node that it finds."""
    folder = tmp_path / "bin"
    folder.mkdir()
    for name, script in (("npm", NPM), ("node", NODE)):
        (folder / name).write_text(script)
        (folder / name).chmod(0o755)
    return folder / "npm"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Sources that have not been built; all of them an hour old."""
    for name in SOURCES:
        write(tmp_path / "tree" / name, hours=1)
    return tmp_path / "tree"


def write(path: Path, hours: float) -> None:
    """A file of some hours ago."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("old")
    os.utime(path, (at := path.stat().st_mtime - hours * 3600, at))


def calls(npm: Path) -> list[str]:
    """What npm was told to do so far."""
    told = npm.with_name("calls")
    return [line.partition(" --")[0] for line in told.read_text().splitlines()] if told.exists() else []


def test_pages_that_are_not_there_are_built(root: Path, npm: Path) -> None:
    """What they need is fetched first; node is the one beside npm."""
    assert build(root, [str(npm)])
    assert calls(npm) == ["ci", "run build"]
    assert (root / "netsessions/web/index.html").read_text() == "made\n"


def test_pages_that_are_newer_than_their_sources_are_left_alone(root: Path, npm: Path) -> None:
    """Without a call: there may be no network."""
    build(root, [str(npm)])
    assert not build(root, [str(npm)])
    assert len(calls(npm)) == 2


@pytest.mark.parametrize("name", [*SOURCES, "ui/src/new.ts"])
def test_a_source_that_is_newer_has_the_pages_built_anew(root: Path, npm: Path, name: str) -> None:
    """Whichever it is."""
    write(root / "netsessions/web/index.html", hours=0.5)
    assert not build(root, [str(npm)])
    write(root / name, hours=0)
    assert build(root, [str(npm)])


@pytest.mark.parametrize("name", ["ui/node_modules/preact/index.js", "ui/src/operations.ts", "ui/dist/index.html"])
def test_what_a_build_makes_is_no_source(root: Path, npm: Path, name: str) -> None:
    """It would always be newer."""
    write(root / "netsessions/web/index.html", hours=0.5)
    write(root / name, hours=0)
    assert not build(root, [str(npm)])


@pytest.mark.parametrize("step", ["ci", "run"])
def test_a_build_that_fails_says_so_and_leaves_what_was_there(root: Path, npm: Path, step: str) -> None:
    """With what npm said; it does not count as built."""
    write(root / "netsessions/web/index.html", hours=2)
    npm.write_text(f'#!/bin/sh\n[ "$1" != {step} ] || {{ echo there is no network; echo at all >&2; exit 7; }}\n')
    for _ in range(2):
        with pytest.raises(NotBuiltError, match=rf"npm {step} .*failed(?s:.*)\.\nthere is no network\nat all$"):
            build(root, [str(npm)])
    assert (root / "netsessions/web/index.html").read_text() == "old"


def test_a_build_that_makes_nothing_is_no_build(root: Path, npm: Path) -> None:
    """Whatever npm answers."""
    npm.write_text("#!/bin/sh\n")
    with pytest.raises(NotBuiltError, match="left no"):
        build(root, [str(npm)])


def test_who_installs_is_told_in_a_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    """And not by a traceback."""

    def broken(_: Path) -> bool:
        raise NotBuiltError("The pages could not be built.")

    monkeypatch.setattr(hatch_build, "build", broken)
    hook = PagesHook(str(ROOT), {}, None, None, "", "wheel")  # type: ignore[arg-type]
    with pytest.raises(SystemExit, match=r"^The pages could not be built\.$"):
        hook.initialize("editable", {})


def test_node_is_the_one_of_the_wheel() -> None:
    """Whatever the machine has."""
    node, npm = hatch_build._npm()
    assert Path(node).is_relative_to(sys.prefix)
    answer = subprocess.run([node, npm, "--version"], capture_output=True, text=True, timeout=60)
    assert answer.stdout.strip().count(".") == 2


@pytest.fixture(scope="module")
def packed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the wheel and the source archive of this tree, in which the pages are built."""
    folder = tmp_path_factory.mktemp("packed")
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-t", "sdist", "-d", str(folder)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    return folder


def test_the_wheel_carries_the_built_pages(packed: Path) -> None:
    """All of them, as they are here, and not what they are made of."""
    [wheel] = packed.glob("*.whl")
    with ZipFile(wheel) as archive:
        names = archive.namelist()
        for path in (*pages.WEB.rglob("*"), pages.HERE / "docs.html", pages.HERE / "docs.js"):
            if path.is_file():
                assert archive.read(path.relative_to(ROOT).as_posix()) == path.read_bytes()
    assert not [name for name in names if name.startswith(("ui/", "hatch_build"))]


def test_the_source_archive_carries_the_sources_of_the_pages(packed: Path) -> None:
    """And the hook, but nothing that a build makes."""
    [archive] = packed.glob("*.tar.gz")
    with tarfile.open(archive) as opened:
        names = {name.partition("/")[2] for name in opened.getnames()}
    assert {*SOURCES, "ui/src/graphiql/main.tsx", "ui/vite.config.ts", "ui/.npmrc", "hatch_build.py"} <= names
    made = ("ui/node_modules/", "ui/dist/", "ui/src/operations.ts", "netsessions/web/")
    assert not [name for name in names if name.startswith(made)]


def test_no_lock_names_a_host() -> None:
    """Whoever installs asks the registry of their own settings; digests tell that it is the same."""
    lock = (ROOT / "ui/package-lock.json").read_text(encoding="utf-8")
    assert '"integrity"' in lock
    assert '"resolved"' not in lock
    for name in ("requirements.lock", "requirements-dev.lock", "ui/.npmrc"):
        assert "://" not in (ROOT / name).read_text(encoding="utf-8")
