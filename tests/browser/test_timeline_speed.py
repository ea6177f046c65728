"""The speed of the timeline with ten thousand sessions."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

from playwright.sync_api import Page

from tests.browser.pages import execute, run_server, sign_in, wait_for_timeline

MAX_PAINT_TIME = 1000  # milliseconds from the arrival of the response
MIN_FRAME_RATE = 30  # frames per second
MAX_ATTEMPTS = 10

MEASURE_PAINT_TIME = """
    const originalFetch = window.fetch;
    window.fetch = async (...args) => {
      const response = await originalFetch(...args);
      if (String(args[1]?.body).includes("query Bars")) window.arrivedAt ??= performance.now();
      return response;
    };
    new MutationObserver(() => {
      if (document.querySelector("canvas[data-drawn-sessions='10000']")) window.paintedAt ??= performance.now();
    }).observe(document, { subtree: true, childList: true, attributes: true });
"""
MEASURE_FRAMES = """() => {
    window.frames = [];
    window.dragged = false;
    const frame = (time) => { window.frames.push(time); window.dragged || requestAnimationFrame(frame); };
    requestAnimationFrame(frame);
}"""


def test_ten_thousand_sessions_are_drawn_within_a_second_and_pan_at_thirty_frames(page: Page, tmp_path: Path) -> None:
    """200 devices. One fast attempt is enough: other programs may slow down the others."""
    now = datetime.now(UTC)
    sessions = [
        {
            "mac": f"02:00:00:00:{n // 256:02x}:{n % 256:02x}",
            "ip": "192.0.2.1",
            "startTime": (now - timedelta(hours=14 * k + n % 13 + 2)).isoformat(),
            "endTime": (now - timedelta(hours=14 * k + n % 13)).isoformat(),
        }
        for n in range(200)
        for k in range(50)
    ]
    page.add_init_script(MEASURE_PAINT_TIME)
    with run_server(page, tmp_path) as server:
        mutation = "mutation ($input: [CreateSessionInput!]!) { createSessions(input: $input) { created } }"
        execute(server, mutation, input=sessions)
        paint_times: list[float] = []
        frame_rates: list[float] = []
        for _ in range(MAX_ATTEMPTS):
            sign_in(page, f"{server.url}/?span=744")
            wait_for_timeline(page, 10_000)
            paint_times.append(page.evaluate("paintedAt - arrivedAt"))
            frame_rates.append(measure_frame_rate(page))
            if min(paint_times) < MAX_PAINT_TIME and max(frame_rates) >= MIN_FRAME_RATE:
                break
    assert min(paint_times) < MAX_PAINT_TIME, f"milliseconds: {paint_times}"
    assert max(frame_rates) >= MIN_FRAME_RATE, f"frames per second: {frame_rates}"


def measure_frame_rate(page: Page) -> float:
    """Return the frames per second while the timeline is dragged back and forth."""
    box = wait_for_timeline(page).bounding_box()
    assert box is not None
    page.evaluate(MEASURE_FRAMES)
    page.mouse.move(box["x"] + 400, box["y"] + 200)
    page.mouse.down()
    for n in range(90):
        page.mouse.move(box["x"] + 400 + 4 * abs(n % 60 - 30), box["y"] + 200)
    page.mouse.up()
    frames = page.evaluate("() => { window.dragged = true; return window.frames; }")
    return float((len(frames) - 1) / (frames[-1] - frames[0]) * 1000)
