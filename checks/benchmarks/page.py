"""How long the first verdict takes in a page: `python -m checks.benchmarks.page`.

The built site is served below a sub-path, as GitHub Pages does it, and opened in Chromium by a
reader who was never there: nothing is in the cache. Then "Run to here" is clicked at the first
exercise's check of the first and of the last lesson, until its card is there. The bars are a
median under 12 s and a download under 13 MB.
"""

from __future__ import annotations

import statistics
import tempfile
import time
from pathlib import Path

from playwright.sync_api import Browser, Request, sync_playwright

from checks import course
from checks.tests import browser, servers
from checks.website import build

TIMES = 5
PATIENCE = 120_000  # milliseconds


def main() -> None:
    """Print the median of the times, all of them, and what was loaded."""
    lessons = course.catalogue()
    with tempfile.TemporaryDirectory() as folder:
        built = build.build(Path(folder, "site"))
        if built.missing:
            raise SystemExit(" ".join(built.missing))
        with (
            servers.static(built.out, below="/dog-eared/") as address,
            sync_playwright() as driver,
            browser.chromium(driver) as running,
        ):
            for lesson in (lessons[0], lessons[-1]):
                url = f"{address}lessons/{lesson.name}/"
                found = [_first_verdict(running, url) for _ in range(TIMES)]
                taken, loaded, before = zip(*found, strict=True)
                print(
                    f"{lesson.name:<24} {statistics.median(taken):5.1f} s to the first verdict "
                    f"({', '.join(f'{one:.1f}' for one in sorted(taken))}); "
                    f"{max(before) / 1e3:.0f} KB with the page, "
                    f"{max(loaded) / 1e6:.2f} MB with the click"
                )


def _first_verdict(running: Browser, url: str) -> tuple[float, int, int]:
    """Seconds from the click to the card, bytes that came after the click, and before it."""
    context = running.new_context()
    page = context.new_page()
    page.set_default_timeout(PATIENCE)
    finished: list[Request] = []
    page.on("requestfinished", lambda request: finished.append(request))
    page.goto(url, wait_until="networkidle")
    before = len(finished)
    check = page.locator('.de-cell[data-role="check"]').first
    button = check.get_by_role("button", name="Run to here")
    started = time.perf_counter()
    button.click()
    check.locator(".de-live .de-card").wait_for()
    taken = time.perf_counter() - started
    asked = (finished[before:], finished[:before])
    sizes = [sum(one.sizes()["responseBodySize"] for one in part) for part in asked]
    context.close()
    return taken, sizes[0], sizes[1]


if __name__ == "__main__":
    main()
