"""Every page on a wide and a narrow screen, light and dark: accessibility, layout and a screenshot."""

from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page

from tests.browser.pages import ROOT, execute, run_server, save_screenshot, sign_in
from tests.support.server import Server

AXE = ROOT / "ui" / "node_modules" / "axe-core" / "axe.min.js"
PATHS = {
    "presence": "/",
    "calendar": "/calendar",
    "events": "/events",
    "device": "/devices/{mac}",
    "graphiql": "/graphiql",
}
CONTENT_SELECTORS = {
    "presence": "canvas[data-drawn-sessions]",
    "calendar": ".day span",
    "device": "td",
    "events": "td",
    "graphiql": ".cm-line, .view-line",
}


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1440, 390])
@pytest.mark.parametrize("name", PATHS)
def test_page_is_accessible_and_fits_the_screen(
    page: Page, demo_server: Server, name: str, width: int, scheme: Any
) -> None:
    """Check with axe-core, and save a screenshot."""
    mac = execute(demo_server, "{ devices(first: 1) { nodes { mac } } }")["devices"]["nodes"][0]["mac"]
    page.set_viewport_size({"width": width, "height": 900})
    page.emulate_media(color_scheme=scheme, reduced_motion="reduce")
    sign_in(page, demo_server.url + PATHS[name].format(mac=mac))
    page.locator(CONTENT_SELECTORS[name]).first.wait_for()
    page.wait_for_load_state("networkidle")
    save_screenshot(page, f"{name}-{width}-{scheme}")
    if name == "graphiql":
        return  # a third-party page
    assert accessibility_violations(page) == []
    assert page.evaluate("document.documentElement.scrollWidth") <= width


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1440, 390])
def test_sign_in_and_welcome_pages_are_accessible(page: Page, tmp_path: Path, width: int, scheme: Any) -> None:
    page.set_viewport_size({"width": width, "height": 900})
    page.emulate_media(color_scheme=scheme, reduced_motion="reduce")
    with run_server(page, tmp_path) as server:
        page.goto(server.url)
        page.get_by_label("Token").wait_for()
        save_screenshot(page, f"sign-in-{width}-{scheme}")
        assert accessibility_violations(page) == []
        sign_in(page, server.url)
        page.get_by_role("heading", name="No sessions yet").wait_for()
        save_screenshot(page, f"empty-{width}-{scheme}")
        assert accessibility_violations(page) == []


def accessibility_violations(page: Page) -> list[str]:
    """Return the serious violations that axe-core finds."""
    page.evaluate(AXE.read_text(encoding="utf-8"))
    violations: list[dict[str, Any]] = page.evaluate("axe.run().then((results) => results.violations)")
    return [
        f"{violation['id']}: {[node['html'] for node in violation['nodes']][:3]}"
        for violation in violations
        if violation["impact"] in ("serious", "critical")
    ]
