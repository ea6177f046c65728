"""Fixtures for tests of the pages: servers with demo data."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Page

from tests.browser.pages import ZONE, import_demo_data, run_server
from tests.support.server import Server, running


@pytest.fixture(scope="session")
def demo_database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A database with demo data, to copy."""
    import_demo_data(folder := tmp_path_factory.mktemp("demo"))
    return folder / "netsessions.db"


@pytest.fixture(scope="module")
def demo_server(tmp_path_factory: pytest.TempPathFactory, demo_database: Path) -> Iterator[Server]:
    """A server with demo data that tests do not change."""
    folder = tmp_path_factory.mktemp("demo_server")
    shutil.copy(demo_database, folder)
    with running(folder, TIMEZONE=ZONE.key) as server:
        yield server


@pytest.fixture
def writable_server(page: Page, tmp_path: Path, demo_database: Path) -> Iterator[Server]:
    """A server with demo data for one test, which may change it."""
    shutil.copy(demo_database, tmp_path)
    with run_server(page, tmp_path) as server:
        yield server
