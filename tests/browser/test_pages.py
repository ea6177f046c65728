"""The pages, walked through as people do, in a browser that lives in another time zone than the server."""

import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from playwright.sync_api import Locator, Page, WebSocketRoute, expect

from tests.support.browser import Seen
from tests.support.server import TOKEN, Server, running

ROOT = Path(__file__).parents[2]
AXE = ROOT / "ui" / "node_modules" / "axe-core" / "axe.min.js"
PICTURES = ROOT / "build" / "screenshots"
ZONE = ZoneInfo("Europe/Berlin")
PATHS = {
    "presence": "/",
    "calendar": "/calendar",
    "events": "/events",
    "device": "/devices/{mac}",
    "graphiql": "/graphiql",
}

DASH = "\N{EN DASH}"


def demo(folder: Path) -> None:
    """Fills the database that `Server` takes in this folder."""
    settings = os.environ | {"DATABASE_URL": f"sqlite:///{folder / 'netsessions.db'}"}
    subprocess.run([sys.executable, "-m", "netsessions", "demo"], env=settings, check=True, capture_output=True)


@pytest.fixture(scope="module")
def invented(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A database that holds the invented network, to be copied."""
    demo(folder := tmp_path_factory.mktemp("invented"))
    return folder / "netsessions.db"


@pytest.fixture(scope="module")
def network(tmp_path_factory: pytest.TempPathFactory, invented: Path) -> Iterator[Server]:
    """The invented network, looked at and not changed."""
    folder = tmp_path_factory.mktemp("network")
    shutil.copy(invented, folder)
    with running(folder, TIMEZONE=ZONE.key) as server:
        yield server


@contextmanager
def serving(page: Page, folder: Path) -> Iterator[Server]:
    """A server for one page, which leaves it before it ends: an end is no error then."""
    with running(folder, TIMEZONE=ZONE.key) as server:
        yield server
        page.goto("about:blank")


@pytest.fixture
def changing(page: Page, tmp_path: Path, invented: Path) -> Iterator[Server]:
    """The invented network, for a test that changes it."""
    shutil.copy(invented, tmp_path)
    with serving(page, tmp_path) as server:
        yield server


def told(server: Server, query: str, **variables: Any) -> Any:
    """What the GraphQL door answers."""
    with server.client() as client:
        answer = client.post("/graphql", json={"query": query, "variables": variables}).json()
    assert "errors" not in answer, answer
    return answer["data"]


def signed_in(page: Page, url: str) -> Page:
    # A page that is none, as about:blank, has nothing to keep it in.
    page.add_init_script(f"if (origin !== 'null') sessionStorage.setItem('netsessions.token', '{TOKEN}')")
    page.goto(url)
    return page


def row(page: Page, name: str) -> Locator:
    """A device in the list beside the timeline."""
    return page.locator(".names a").filter(has_text=re.compile(rf"^{re.escape(name)}\b"))


def drawn(page: Page, sessions: int | None = None) -> Locator:
    """The timeline, when it has drawn so many sessions, or any."""
    canvas = page.locator("canvas[data-drawn]" if sessions is None else f"canvas[data-drawn='{sessions}']")
    canvas.wait_for()
    return canvas


def place(page: Page, name: str, when: datetime) -> tuple[float, float]:
    """Where the timeline has an instant in the row of a device, by the span that the page says it shows."""
    box = drawn(page).bounding_box()
    beside = row(page, name).bounding_box()
    assert box is not None
    assert beside is not None
    first, last = (
        datetime.strptime(text, "%Y-%m-%d %H:%M").replace(tzinfo=ZONE)
        for text in page.locator(".when").inner_text().split(f" {DASH} ")
    )
    return box["x"] + (when - first) / (last - first) * box["width"], beside["y"] + beside["height"] / 2


# Each page, on two screens, light and dark.


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1440, 390])
@pytest.mark.parametrize("name", PATHS)
def test_a_page_has_no_serious_barrier_and_fits_its_screen(
    page: Page, network: Server, name: str, width: int, scheme: Any
) -> None:
    """By axe-core, which knows what keeps people out; its picture is kept."""
    mac = told(network, "{ devices(first: 1) { nodes { mac } } }")["devices"]["nodes"][0]["mac"]
    page.set_viewport_size({"width": width, "height": 900})
    page.emulate_media(color_scheme=scheme, reduced_motion="reduce")
    signed_in(page, network.url + PATHS[name].format(mac=mac))
    ready = {
        "presence": "canvas[data-drawn]",
        "calendar": ".day span",
        "device": "td",
        "events": "td",
        "graphiql": ".cm-line, .view-line",
    }
    page.locator(ready[name]).first.wait_for()
    page.wait_for_load_state("networkidle")
    take(page, f"{name}-{width}-{scheme}")
    if name == "graphiql":
        return  # a library's page: its own makers look after it
    assert serious(page) == []
    assert page.evaluate("document.documentElement.scrollWidth") <= width


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1440, 390])
def test_sign_in_and_an_empty_store_have_no_serious_barrier(
    page: Page, tmp_path: Path, width: int, scheme: Any
) -> None:
    page.set_viewport_size({"width": width, "height": 900})
    page.emulate_media(color_scheme=scheme, reduced_motion="reduce")
    with serving(page, tmp_path) as server:
        page.goto(server.url)
        page.get_by_label("Token").wait_for()
        take(page, f"sign-in-{width}-{scheme}")
        assert serious(page) == []
        signed_in(page, server.url)
        page.get_by_role("heading", name="No session yet").wait_for()
        take(page, f"empty-{width}-{scheme}")
        assert serious(page) == []


def take(page: Page, name: str) -> None:
    """Keeps a picture."""
    PICTURES.mkdir(parents=True, exist_ok=True)
    page.screenshot(path=PICTURES / f"{name}.png")


def serious(page: Page) -> list[str]:
    """What axe-core finds that keeps somebody from using the page."""
    page.evaluate(AXE.read_text(encoding="utf-8"))
    found: list[dict[str, Any]] = page.evaluate("axe.run().then((found) => found.violations)")
    return [
        f"{each['id']}: {[node['html'] for node in each['nodes']][:3]}"
        for each in found
        if each["impact"] in ("serious", "critical")
    ]


# Sign-in.


def test_a_wrong_token_is_told_of_and_a_right_one_kept_for_the_tab(page: Page, seen: Seen, network: Server) -> None:
    page.goto(f"{network.url}/calendar")
    page.get_by_label("Token").fill("a-wrong-token")
    page.get_by_role("button", name="Sign in").click()
    expect(page.get_by_role("alert")).to_have_text("The server refuses this token.")
    seen.expected("status of 401")
    page.get_by_label("Token").fill(TOKEN)
    page.get_by_role("button", name="Sign in").click()
    expect(page.get_by_role("link", name="Calendar", exact=True)).to_have_attribute("aria-current", "page")
    page.reload()
    expect(page.get_by_role("heading", level=1)).to_contain_text(str(datetime.now(ZONE).year))
    assert page.evaluate("Object.keys(localStorage)") == []
    page.get_by_role("button", name="Sign out").click()
    page.reload()
    expect(page.get_by_label("Token")).to_be_visible()


def test_who_has_signed_in_on_the_pages_has_in_graphiql(page: Page, network: Server) -> None:
    page.goto(network.url)
    page.get_by_label("Token").fill(TOKEN)
    page.get_by_role("button", name="Sign in").click()
    page.get_by_role("link", name="GraphiQL").click()
    expect(page.locator(".graphiql-query-editor")).to_contain_text("sessions")
    page.get_by_role("button", name="Execute query").click()
    expect(page.locator(".graphiql-response")).to_contain_text("totalCount")


# Presence.


def test_the_timeline_has_a_row_for_each_device_and_tells_what_is_under_the_pointer(
    page: Page, network: Server
) -> None:
    """The instant of a session is looked for where the axis has it, in the server's time zone."""
    signed_in(page, network.url)
    expect(page.locator(".corner")).to_have_text("50 devices")
    expect(page.locator(".zone")).to_have_text("Times in Europe/Berlin")
    session = one_session(network)
    page.get_by_label("Search devices").fill(session["mac"])
    expect(page.locator(".corner")).to_have_text("1 device")
    page.mouse.move(*place(page, session["device"]["name"], middle(session)))
    tip = page.locator(".tip")
    expect(tip).to_contain_text(session["device"]["name"])
    expect(tip).to_contain_text(f"Connection{wall(session['connectedAt'])}")
    expect(tip).to_contain_text(f"Disconnection{wall(session['disconnectedAt'])}")
    expect(tip).to_contain_text(f"IP{session['ip']}")
    page.mouse.click(*place(page, session["device"]["name"], middle(session)))
    expect(page.get_by_role("heading", level=1)).to_have_text(session["device"]["name"])
    assert page.url == f"{network.url}/devices/{session['mac']}"


def one_session(server: Server) -> Any:
    """A session of the last days that is long enough to be pointed at."""
    found = told(
        server,
        "{ sessions(first: 500, filter: {states: [COMPLETE]}) { nodes { mac ip connectedAt disconnectedAt durationSeconds"
        " device { name } } } }",
    )["sessions"]["nodes"]
    least = datetime.now(UTC) - timedelta(days=6)
    return next(
        s for s in found if s["durationSeconds"] > 4 * 3600 and datetime.fromisoformat(s["connectedAt"]) > least
    )


def middle(session: Any) -> datetime:
    start, end = (datetime.fromisoformat(session[name]) for name in ("connectedAt", "disconnectedAt"))
    return start + (end - start) / 2


def wall(instant: str) -> str:
    return datetime.fromisoformat(instant).astimezone(ZONE).strftime("%Y-%m-%d %H:%M")


def test_the_keyboard_walks_through_rows_and_sessions_and_hears_them(page: Page, network: Server) -> None:
    signed_in(page, network.url)
    drawn(page)
    page.locator(".names a").first.focus()
    for n in (1, 2, 3):
        page.keyboard.press("ArrowDown")
        expect(page.locator(f".names a[data-row='{n}']")).to_be_focused()
    expect(row(page, "Ada's phone")).to_be_focused()
    page.keyboard.press("ArrowRight")
    spoken = page.locator("[aria-live=polite]")
    expect(spoken).to_contain_text("Connection: ")
    first = spoken.inner_text()
    page.keyboard.press("ArrowRight")
    expect(spoken).not_to_have_text(first)
    page.keyboard.press("ArrowLeft")
    expect(spoken).to_have_text(first)
    page.keyboard.press("End")
    expect(page.locator(".names a[data-row='49']")).to_be_focused()
    name = page.locator(".names a[data-row='49'] .name").inner_text()
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", level=1)).to_have_text(name)


def test_the_timeline_is_dragged_and_zoomed_and_comes_back_the_same_after_a_reload(page: Page, network: Server) -> None:
    signed_in(page, network.url)
    box = drawn(page).bounding_box()
    assert box is not None
    when = page.locator(".when")
    before = when.inner_text()
    page.mouse.move(box["x"] + 300, box["y"] + 200)
    page.mouse.down()
    page.mouse.move(box["x"] + 700, box["y"] + 200, steps=5)
    page.mouse.up()
    expect(when).not_to_have_text(before)
    assert when.inner_text() < before, "dragged to the right, earlier days are to be seen"
    dragged = when.inner_text()
    page.keyboard.down("Control")
    page.mouse.wheel(0, -100)
    page.keyboard.up("Control")
    expect(when).not_to_have_text(dragged)
    zoomed = when.inner_text()
    page.wait_for_url(re.compile("from="))
    page.reload()
    drawn(page)
    expect(when).to_have_text(zoomed)
    page.get_by_role("button", name="Now").click()
    page.wait_for_url(re.compile(r"/\?span="))
    assert when.inner_text() > zoomed


def test_a_span_is_chosen_from_an_hour_to_a_year(page: Page, network: Server) -> None:
    signed_in(page, network.url)
    for name, hours in (("Hour", 1), ("Year", 8784), ("Month", 744), ("Day", 24), ("Week", 168)):
        page.get_by_role("button", name=name, exact=True).click()
        page.wait_for_url(f"**/?span={hours}")
        expect(page.get_by_role("button", name=name, exact=True)).to_have_attribute("aria-pressed", "true")
        drawn(page)


def test_devices_are_searched_filtered_and_ordered(page: Page, network: Server) -> None:
    signed_in(page, network.url)
    page.get_by_label("Search devices").fill("ada")
    expect(page.locator(".corner")).to_have_text("10 devices")
    page.wait_for_url("**/?search=ada")
    page.get_by_role("button", name="disconnection missed").click()
    page.wait_for_url(re.compile("states=MISSING_DISCONNECTION"))
    missed = told(
        network,
        "query ($f: DateTime) { sessions(first: 1000, filter: {states: [MISSING_DISCONNECTION], overlaps: {from: $f}})"
        " { nodes { device { name } } } }",
        f=(datetime.now(UTC) - timedelta(days=6.79)).isoformat(),
    )["sessions"]["nodes"]
    names = {one["device"]["name"] for one in missed if one["device"]["name"].startswith("Ada")}
    assert names
    expect(page.locator(".names .name")).to_have_text(sorted(names))
    page.get_by_role("button", name="disconnection missed").click()
    expect(page.locator(".names .name")).to_have_count(10)
    page.get_by_label("Order").select_option(label="by time online")
    page.wait_for_url(re.compile("order=online"))
    expect(page.locator(".names .name").first).not_to_have_text("Ada's camera")
    minutes = [in_minutes(text) for text in page.locator(".names .much").all_inner_texts()]
    assert minutes == sorted(minutes, reverse=True)
    page.reload()
    expect(page.get_by_label("Search devices")).to_have_value("ada")
    expect(page.locator(".corner")).to_have_text("10 devices")


def in_minutes(text: str) -> int:
    """Of 1d 2h 3m."""
    units = {"d": 1440, "h": 60, "m": 1}
    return sum(int(number) * units[unit] for number, unit in re.findall(r"(\d+)([dhm])", text))


def test_ten_thousand_sessions_are_drawn_within_a_second_and_pan_at_thirty_frames(page: Page, tmp_path: Path) -> None:
    """Of 200 devices; from the answer's arrival to the picture. Other programs may cost one try, not each."""
    now = datetime.now(UTC)
    made = [
        {
            "mac": f"02:00:00:00:{n // 256:02x}:{n % 256:02x}",
            "ip": "192.0.2.1",
            "startTime": (now - timedelta(hours=14 * k + n % 13 + 2)).isoformat(),
            "endTime": (now - timedelta(hours=14 * k + n % 13)).isoformat(),
        }
        for n in range(200)
        for k in range(50)
    ]
    page.add_init_script(
        """
        const asked = window.fetch;
        window.fetch = async (...given) => {
          const answer = await asked(...given);
          if (String(given[1]?.body).includes("query Bars")) window.arrived ??= performance.now();
          return answer;
        };
        new MutationObserver(() => {
          if (document.querySelector("canvas[data-drawn='10000']")) window.painted ??= performance.now();
        }).observe(document, { subtree: true, childList: true, attributes: true });
        """
    )
    with serving(page, tmp_path) as server:
        told(server, "mutation ($made: [CreateSessionInput!]!) { createSessions(input: $made) { created } }", made=made)
        took = []
        rates = []
        for _ in range(3):
            signed_in(page, f"{server.url}/?span=744")
            drawn(page, 10_000)
            took.append(page.evaluate("window.painted - window.arrived"))
            rates.append(panned(page))
    assert min(took) < 1000, f"milliseconds: {took}"
    assert max(rates) >= 30, f"frames a second: {rates}"


def panned(page: Page) -> float:
    """Frames a second while the timeline is dragged to and fro."""
    box = drawn(page).bounding_box()
    assert box is not None
    page.evaluate(
        """() => {
          window.frames = [];
          const frame = (at) => { window.frames.push(at); window.dragged || requestAnimationFrame(frame); };
          window.dragged = false;
          requestAnimationFrame(frame);
        }"""
    )
    page.mouse.move(box["x"] + 400, box["y"] + 200)
    page.mouse.down()
    for n in range(90):
        page.mouse.move(box["x"] + 400 + 4 * abs(n % 60 - 30), box["y"] + 200)
    page.mouse.up()
    frames = page.evaluate("() => { window.dragged = true; return window.frames; }")
    return float((len(frames) - 1) / (frames[-1] - frames[0]) * 1000)


def test_hours_of_a_past_day_are_what_the_server_counts(page: Page, network: Server) -> None:
    """For each device by itself; sessions beside the day are loaded, too, and do not count."""
    day = (datetime.now(ZONE).date() - timedelta(days=3)).isoformat()
    query = "query ($d: Date!, $m: [MAC!]) { presence(start: $d, end: $d, macs: $m) { start end onlineSeconds } }"
    devices = told(network, '{ devices(search: "phone") { nodes { mac name } } }')["devices"]["nodes"]
    bucket = told(network, query, d=day)["presence"][0]
    signed_in(page, f"{network.url}/?search=phone&from={bucket['start']}&to={bucket['end']}")
    drawn(page)
    for device in devices:
        seconds = told(network, query, d=day, m=[device["mac"]])["presence"][0]["onlineSeconds"]
        shown = row(page, device["name"]).locator(".much").inner_text()
        assert (in_minutes(shown) if shown != DASH else 0) == int(seconds // 60), device


def test_who_walks_by_keyboard_stays_with_the_device_when_rows_move(page: Page, changing: Server) -> None:
    """And hears whose sessions are told."""
    signed_in(page, f"{changing.url}/?order=seen")
    drawn(page)
    page.locator(".names a").nth(2).focus()
    name = page.locator(".names a:focus .name").inner_text()
    before = page.locator(".names a:focus").get_attribute("data-row")
    told(changing, 'mutation { startSession(mac: "00:00:00:00:00:01", ip: "192.0.2.7") { message } }')
    told(changing, 'mutation { updateDevice(mac: "00:00:00:00:00:01", name: "A guest") { mac } }')
    told(changing, 'mutation { heartbeat(devices: [{mac: "00:00:00:00:00:01", ip: "192.0.2.7"}]) { seen } }')
    told(changing, 'mutation { startSession(mac: "00:00:00:00:00:02", ip: "192.0.2.8") { message } }')
    expect(page.locator(".corner")).to_have_text("52 devices")
    expect(page.locator(".names a:focus")).not_to_have_attribute("data-row", before or "")
    page.keyboard.press("ArrowLeft")
    expect(page.locator("[aria-live=polite]")).to_contain_text(f"{name}, ")


# Calendar.


def test_a_day_of_the_calendar_tells_devices_and_hours_and_opens_as_a_timeline(page: Page, network: Server) -> None:
    yesterday = datetime.now(ZONE).date() - timedelta(days=1)
    day = yesterday.isoformat()
    known = told(
        network, "query ($d: Date!) { presence(start: $d, end: $d) { devices onlineSeconds start end } }", d=day
    )
    bucket = known["presence"][0]
    signed_in(page, f"{network.url}/calendar?month={day[:7]}")
    field = page.locator("a.day").filter(has=page.locator(f"time[datetime='{day}']"))
    expect(field).to_contain_text(f"{bucket['devices']} devices")
    # A browser rounds a half up, Python to the even.
    expect(field).to_contain_text(f"{int(bucket['onlineSeconds'] / 3600 + 0.5):,} h")
    field.click()
    expect(page.locator(".when")).to_have_text(f"{day} 00:00 {DASH} {yesterday + timedelta(days=1)} 00:00")
    drawn(page)


def test_the_calendar_turns_its_months_over_and_has_one_for_each_device(page: Page, network: Server) -> None:
    signed_in(page, f"{network.url}/calendar?month=2026-01")
    expect(page.get_by_role("heading", level=1)).to_have_text("January 2026")
    page.get_by_role("link", name="Earlier month").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("December 2025")
    expect(page.locator(".day time")).to_have_count(31)
    device = told(network, "{ devices(first: 1) { nodes { mac name } } }")["devices"]["nodes"][0]
    page.goto(f"{network.url}/calendar?mac={device['mac']}")
    expect(page.get_by_role("link", name=device["name"])).to_be_visible()
    expect(page.locator(".day").first).not_to_contain_text("devices")


# Device.


def test_a_device_is_renamed_and_its_sessions_read_page_by_page(page: Page, changing: Server) -> None:
    mac = told(changing, '{ devices(first: 1, search: "phone") { nodes { mac } } }')["devices"]["nodes"][0]["mac"]
    count = told(changing, "query ($m: [MAC!]) { sessions(filter: {macs: $m}) { totalCount } }", m=[mac])["sessions"][
        "totalCount"
    ]
    assert count > 50
    signed_in(page, f"{changing.url}/devices/{mac}")
    expect(page.get_by_role("heading", name=f"{count} sessions")).to_be_visible()
    page.get_by_role("button", name="Edit name and owner").click()
    page.get_by_label("Name").fill("Lobby <b>phone</b>")
    page.get_by_label("Owner").fill("")
    page.get_by_role("button", name="Save").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Lobby <b>phone</b>")
    assert told(changing, "query ($m: MAC!) { device(mac: $m) { name owner } }", m=mac)["device"] == {
        "name": "Lobby <b>phone</b>",
        "owner": None,
    }
    times = page.locator("td[data-label=Connection]")
    expect(times).to_have_count(50)
    first = times.first.inner_text()
    page.get_by_role("link", name="Next").click()
    expect(times).to_have_count(min(count - 50, 50))
    page.reload()
    expect(times).to_have_count(min(count - 50, 50))
    page.get_by_role("link", name="Back").click()
    expect(times.first).to_have_text(first)


def test_renaming_leaves_alone_what_somebody_else_has_changed(page: Page, changing: Server) -> None:
    device = told(changing, "{ devices(first: 1) { nodes { mac name } } }")["devices"]["nodes"][0]
    signed_in(page, f"{changing.url}/devices/{device['mac'].lower()}")
    page.get_by_role("button", name="Edit name and owner").click()
    told(changing, 'mutation ($m: MAC!) { updateDevice(mac: $m, owner: "Somebody") { mac } }', m=device["mac"])
    page.get_by_label("Name").fill("Another")
    page.get_by_role("button", name="Save").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Another")
    expect(page.locator(".facts")).to_contain_text("Somebody")


def test_a_name_that_is_refused_says_why_and_changes_nothing(page: Page, changing: Server) -> None:
    device = told(changing, "{ devices(first: 1) { nodes { mac name } } }")["devices"]["nodes"][0]
    signed_in(page, f"{changing.url}/devices/{device['mac']}")
    page.get_by_role("button", name="Edit name and owner").click()
    page.get_by_label("Name").fill("x" * 1000)
    page.get_by_role("button", name="Save").click()
    expect(page.get_by_role("alert")).to_contain_text("name")
    page.get_by_role("button", name="Cancel").click()
    expect(page.get_by_role("heading", level=1)).to_have_text(device["name"])


def test_hours_per_day_are_what_the_server_counts(page: Page, network: Server) -> None:
    mac = told(network, "{ devices(first: 1) { nodes { mac } } }")["devices"]["nodes"][0]["mac"]
    yesterday = (datetime.now(ZONE).date() - timedelta(days=1)).isoformat()
    known = told(
        network,
        "query ($m: [MAC!], $d: Date!) { presence(start: $d, end: $d, macs: $m) { onlineSeconds } }",
        m=[mac],
        d=yesterday,
    )["presence"][0]["onlineSeconds"]
    signed_in(page, f"{network.url}/devices/{mac}?days=7")
    bars = page.locator(".plot title")
    expect(bars).to_have_count(7)
    expect(bars.nth(5)).to_have_text(f"{yesterday}: {known / 3600:.1f}".removesuffix(".0") + " h")


def test_a_device_that_nobody_knows_is_told_as_such(page: Page, network: Server) -> None:
    signed_in(page, f"{network.url}/devices/AA:BB:CC:00:00:00")
    expect(page.get_by_text("Nothing is known of a device with the MAC address AA:BB:CC:00:00:00")).to_be_visible()


# Events.


def test_events_of_each_kind_are_as_many_as_their_total_says(page: Page, network: Server) -> None:
    totals = told(network, '{ sessionTotals(period: "30 days") { all sessions missing voided new down } }')[
        "sessionTotals"
    ]
    signed_in(page, f"{network.url}/events?period=30+days")
    kinds = page.get_by_role("navigation", name="Kinds of events")
    for name, title in (
        ("all", "All"),
        ("sessions", "Sessions"),
        ("missing", "Missing"),
        ("voided", "Voided"),
        ("down", "Down"),
    ):
        kinds.get_by_role("link", name=title).click()
        expect(kinds.get_by_role("link", name=title)).to_contain_text(f"{totals[name]:,}")
        expect(page.get_by_role("status").filter(has_text="row")).to_have_text(f"{totals[name]:,} rows")
    page.get_by_label("Last").select_option("10 years")
    kinds.get_by_role("link", name="New devices").click()
    expect(page.get_by_role("status").filter(has_text="row")).to_have_text("50 rows")


def test_events_are_searched_sorted_and_paged_by_the_server(page: Page, network: Server) -> None:
    signed_in(page, f"{network.url}/events?period=90+days")
    page.get_by_label("Search events").fill("chloe's phone")
    page.wait_for_url(re.compile("search="))
    devices = page.locator("td[data-label=Device]")
    expect(devices.nth(49)).to_have_text("Chloe's phone")
    assert set(devices.all_inner_texts()) == {"Chloe's phone"}
    page.get_by_label("Search events").fill("")
    page.wait_for_url(re.compile(r"^(?!.*search=)"))
    page.get_by_role("link", name="Owner").click()
    expect(page.get_by_role("columnheader", name="Owner")).to_have_attribute("aria-sort", "ascending")
    expect(page.locator("td[data-label=Owner]").first).to_have_text("Ada")
    page.get_by_role("link", name="Owner").click()
    expect(page.locator("td[data-label=Owner]").first).to_have_text("Household")
    times = page.locator("td[data-label=Time]")
    first = times.first.inner_text()
    page.get_by_role("link", name="Next").click()
    page.wait_for_url(re.compile("after="))
    expect(times.first).not_to_have_text(first)
    second = times.first.inner_text()
    page.reload()
    expect(times.first).to_have_text(second)
    page.get_by_role("link", name="Back").click()
    expect(times.first).to_have_text(first)


def test_a_period_that_is_none_is_refused_in_the_servers_words(page: Page, network: Server) -> None:
    signed_in(page, f"{network.url}/events?period=a+fortnight")
    expect(page.get_by_role("alert")).to_contain_text("period")
    expect(page.get_by_role("button", name="Try again")).to_be_visible()


# What changes.


def test_what_is_recorded_changed_and_deleted_is_seen_without_a_reload(page: Page, changing: Server) -> None:
    signed_in(page, f"{changing.url}/?search=AA:BB:CC:DD:EE:FF")
    expect(page.get_by_text("Live", exact=True)).to_be_visible()
    expect(page.get_by_text("No device matches")).to_be_visible()
    with changing.client() as client:
        body = {"mac": "AA:BB:CC:DD:EE:FF", "ip": "192.0.2.7", "start_time": datetime.now(UTC).isoformat()}
        assert client.post("/sessions/create", json=body).status_code == 200
    expect(row(page, "AA:BB:CC:DD:EE:FF").get_by_label("online")).to_be_attached()
    drawn(page, 1)
    told(changing, 'mutation { updateDevice(mac: "AA:BB:CC:DD:EE:FF", name: "A guest") { mac } }')
    told(changing, 'mutation { stopSession(mac: "AA:BB:CC:DD:EE:FF") { message } }')
    expect(row(page, "A guest").get_by_label("offline")).to_be_attached()
    told(changing, 'mutation { startSession(mac: "AA:BB:CC:DD:EE:FF", ip: "192.0.2.7") { message } }')
    drawn(page, 2)
    told(changing, 'mutation { deleteSessions(mac: "AA:BB:CC:DD:EE:FF") { deleted } }')
    drawn(page, 0)


def test_a_change_before_the_line_is_open_is_seen_when_it_is(page: Page, changing: Server) -> None:
    """The page has asked, and nobody has told it yet: it asks again."""
    held: list[WebSocketRoute] = []

    def hold(socket: WebSocketRoute) -> None:
        held.append(socket)

    page.route_web_socket(re.compile("/graphql"), hold)
    signed_in(page, f"{changing.url}/?search=AA:BB:CC:DD:EE:FF")
    expect(page.get_by_text("No device matches")).to_be_visible()
    told(changing, 'mutation { startSession(mac: "AA:BB:CC:DD:EE:FF", ip: "192.0.2.7") { message } }')
    expect(page.get_by_text("No device matches")).to_be_visible()
    page.route_web_socket(re.compile("/graphql"), lambda socket: socket.connect_to_server() and None)
    held[0].close(code=1012)
    drawn(page, 1)


def test_what_the_server_cannot_answer_for_now_takes_nothing_away(page: Page, seen: Seen, network: Server) -> None:
    """Not what is shown, and not what is being typed; it is asked again."""
    device = told(network, "{ devices(first: 1) { nodes { mac name } } }")["devices"]["nodes"][0]
    signed_in(page, f"{network.url}/devices/{device['mac']}")
    page.get_by_role("button", name="Edit name and owner").click()
    page.get_by_label("Name").fill("Half a na")
    failing = {"status": 503, "json": {"errors": [{"message": "The store cannot be used at the moment."}]}}
    page.route("**/graphql", lambda route: route.fulfill(**failing))
    with network.client() as client:
        body = {
            "mac": "AA:BB:CC:DD:EE:09",
            "ip": "192.0.2.9",
            "start_time": "2020-01-01T00:00:00",
            "end_time": "2020-01-01T01:00:00",
        }
        assert client.post("/sessions/create", json=body).status_code == 200
    expect(page.get_by_role("alert").first).to_contain_text("The store cannot be used at the moment.")
    expect(page.get_by_label("Name")).to_have_value("Half a na")
    page.unroute("**/graphql")
    expect(page.get_by_role("alert")).to_have_count(0)
    expect(page.get_by_label("Name")).to_have_value("Half a na")
    with network.client() as client:
        assert client.request("DELETE", "/sessions/delete", json={"mac": "AA:BB:CC:DD:EE:09"}).status_code == 200
    seen.expected("status of 503")


def test_an_address_that_cannot_be_read_leads_to_the_first_page(page: Page, network: Server) -> None:
    signed_in(page, f"{network.url}/devices/%E0%A4%A")
    drawn(page)
    assert page.url == f"{network.url}/"


def test_an_empty_store_shows_what_to_do_and_the_command_that_it_shows_does_it(page: Page, tmp_path: Path) -> None:
    with serving(page, tmp_path) as server:
        signed_in(page, server.url)
        expect(page.get_by_role("heading", name="No session yet")).to_be_visible()
        page.get_by_role("button", name="Copy").first.click()
        expect(page.get_by_role("button", name="Copied")).to_be_visible()
        command = page.locator("pre").first.inner_text().replace("$API_TOKEN", TOKEN).replace("\\\n", " ")
        assert "import" in page.locator("pre").nth(1).inner_text()
        subprocess.run(shlex.split(command), check=True, capture_output=True)
        expect(page.locator(".corner")).to_have_text("1 device")


def test_an_import_into_an_empty_store_is_seen_without_a_reload(page: Page, tmp_path: Path) -> None:
    """It is not among the changes that subscribers are told of."""
    with serving(page, tmp_path) as server:
        signed_in(page, server.url)
        expect(page.get_by_role("heading", name="No session yet")).to_be_visible()
        demo(tmp_path)
        expect(page.locator(".corner")).to_have_text("50 devices")


def test_a_server_that_is_away_is_told_of_and_found_again_when_it_is_back(
    page: Page, seen: Seen, tmp_path: Path
) -> None:
    demo(tmp_path)
    with running(tmp_path) as server:
        signed_in(page, f"{server.url}/events")
        expect(page.get_by_text("Live", exact=True)).to_be_visible()
        server.stop()
        expect(page.get_by_text("Not connected, trying again")).to_be_visible()
        page.get_by_role("link", name="Calendar", exact=True).click()
        expect(page.get_by_role("alert")).to_contain_text("The server does not answer.")
        take(page, "away")
        with running(tmp_path, GRAPHQL_PORT=str(server.port)):
            expect(page.get_by_text("Live", exact=True)).to_be_visible()
            expect(page.get_by_role("alert")).to_have_count(0)
            expect(page.locator("a.day").first).to_be_visible()
            page.goto("about:blank")
    seen.expected("ERR_CONNECTION_RE|WebSocket")
