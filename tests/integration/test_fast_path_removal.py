"""The server works without `schema/fast_path`, which only one line refers to."""

import os
import re
import subprocess
import sys
from pathlib import Path
from shutil import copy, copytree, ignore_patterns, rmtree

ROOT = Path(__file__).parents[2]
PACKAGES = ("netsessions", "schema", "rest_compat", "resolvers", "storage")
GRAPHQL_TESTS = [
    path.name for path in Path(__file__).parent.glob("test_graphql*.py") if path.stem != "test_graphql_http"
]
SWITCH = "FAST_PATH = True"


def test_one_line_refers_to_the_fast_path() -> None:
    sources = [source for package in PACKAGES for source in (ROOT / package).rglob("*.py")]
    outside = [source for source in sources if ROOT / "schema" / "fast_path" not in source.parents]
    references = [
        (source.relative_to(ROOT).as_posix(), line.strip())
        for source in outside
        for line in source.read_text(encoding="utf-8").splitlines()
        if re.search(r"^\s*(from|import)\b.*\bfast_path\b", line)
    ]
    assert references == [("schema/build.py", "from schema.fast_path import CachingSchema as FastSchema")]


def test_graphql_tests_pass_without_the_fast_path(tmp_path: Path) -> None:
    """Run them, on SQLite, in a copy of the tree without the package and with the switch off."""
    for package in (*PACKAGES, "tests"):
        copytree(ROOT / package, tmp_path / package, ignore=ignore_patterns("__pycache__", "web"))
    copy(ROOT / "pyproject.toml", tmp_path)
    rmtree(tmp_path / "schema" / "fast_path")
    build = tmp_path / "schema" / "build.py"
    source = build.read_text(encoding="utf-8")
    assert source.count(SWITCH) == 1
    build.write_text(source.replace(SWITCH, "FAST_PATH = False"), encoding="utf-8")
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("COV", "PYTEST"))}

    def run(*arguments: str) -> str:
        process = subprocess.run(
            [sys.executable, *arguments], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
        )
        assert process.returncode == 0, process.stdout + process.stderr
        return process.stdout

    assert run("-c", "import schema.build; print(schema.build.__file__)").strip() == str(build)
    files = [f"tests/integration/{name}" for name in GRAPHQL_TESTS]
    summary = run("-m", "pytest", "-p", "no:cacheprovider", "-q", "-rN", "-k", "not postgresql", "-vv", *files)
    passed = re.search(r"(\d+) passed", summary)
    assert passed is not None, summary
    assert int(passed[1]) > 150
