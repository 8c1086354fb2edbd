"""Browsers of this machine, and a notebook in JupyterLab, driven as a learner would."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager

from playwright.sync_api import Browser, Error, Locator, Page, Playwright, expect, sync_playwright

from checks.doctor import find_chromium
from checks.tests.conftest import require

_PATIENCE = 20_000  # milliseconds
_MOST_CELLS = 200


def chromium(driver: Playwright) -> Browser:
    """The system's Chromium."""
    found = find_chromium()
    require(found, "Chromium is not installed; `checks doctor` tells how to get it.")
    return driver.chromium.launch(executable_path=found, args=["--no-sandbox"])


def firefox(driver: Playwright) -> Browser:
    """The system's Firefox, by WebDriver BiDi, which needs no build of Playwright's own."""
    named = os.environ.get("CHECKS_FIREFOX")
    found = named or shutil.which("firefox") or shutil.which("firefox-esr")
    require(found, "Firefox is not installed: install it, or name it in CHECKS_FIREFOX.")
    try:
        return driver.firefox.launch(executable_path=found, channel="moz-firefox")
    except Error as error:
        require(False, f"{found} cannot be driven: {error.message.splitlines()[0]}")
        raise


@contextmanager
def browser(width: int = 1100, height: int = 900, dark: bool = False) -> Iterator[Page]:
    """A page of its own in Chromium, closed at the end."""
    with sync_playwright() as driver, chromium(driver) as running:
        context = running.new_context(
            viewport={"width": width, "height": height},
            color_scheme="dark" if dark else "light",
            device_scale_factor=2,
        )
        page = context.new_page()
        page.set_default_timeout(_PATIENCE)
        yield page


class Notebook:
    """The notebook that JupyterLab opened."""

    def __init__(self, page: Page, address: str) -> None:
        self._page, self._address = page, address

    def open(self) -> None:
        """Open the address and wait for the notebook and its kernel."""
        self._page.goto(self._address)
        self._page.locator(".jp-Notebook .jp-Cell").first.wait_for()
        self._wait_for_kernel()
        self._page.keyboard.press("Control+b")  # the file list goes away: room for the notebook

    def run_until(self, exercise: str) -> None:
        """Run the cells from the top down to an exercise's check, each with Shift+Enter."""
        call = f'check("{exercise}")'
        panel = self._page.locator(".jp-Notebook").first
        panel.focus()
        self._page.keyboard.press("Escape")
        at = self._active_index()
        for above in range(at - 1, -1, -1):
            self._page.keyboard.press("k")
            self._wait_for_active(above)
        for below in range(1, _MOST_CELLS):
            active = self._page.locator(".jp-Cell.jp-mod-active")
            reached = active.locator(".cm-content", has_text=call).count() > 0
            self._page.keyboard.press("Shift+Enter")
            self._wait_for_active(below)
            if reached:
                break
        else:
            raise AssertionError(f"There is no cell with {call}.")
        self._wait_for_kernel()
        expect(self._check(exercise).locator(".jp-InputPrompt").first).to_have_text(
            re.compile(r"\[\d+\]"), timeout=_PATIENCE
        )

    def _active_index(self) -> int:
        active = self._page.locator(".jp-Cell.jp-mod-active")
        return int(active.get_attribute("data-windowed-list-index") or 0)

    def _wait_for_active(self, index: int) -> None:
        self._page.locator(f".jp-Cell.jp-mod-active[data-windowed-list-index='{index}']").wait_for()

    def _wait_for_kernel(self) -> None:
        self._page.get_by_text(re.compile(r"Python 3.*\| Idle")).first.wait_for()

    def _check(self, exercise: str) -> Locator:
        return self._page.locator(".jp-CodeCell", has_text=f'check("{exercise}")').first

    def card(self, exercise: str) -> str:
        """The text of the card under a check."""
        card = self._check(exercise).locator(".de-card")
        card.wait_for()
        card.scroll_into_view_if_needed()
        return card.inner_text()

    def replace(self, old: str, new: str) -> None:
        """Retype a line of the notebook."""
        line = self._page.locator(".cm-line", has_text=old).first
        line.click()
        self._page.keyboard.press("Home")
        self._page.keyboard.press("Shift+End")
        self._page.keyboard.type(new.split("{")[0])
        self._page.keyboard.insert_text(new[len(new.split("{")[0]) :])

    def in_a_terminal(self, command: str) -> None:
        """Type a command into a new terminal of JupyterLab's."""
        self._page.get_by_role("menuitem", name="File", exact=True).first.click()
        for item in ("New", "Terminal"):
            self._page.locator(".lm-Menu-itemLabel").get_by_text(item, exact=True).first.click()
        screen = self._page.locator(".jp-Terminal .xterm-screen")
        screen.wait_for()
        screen.click()
        self._page.keyboard.type(command + "\n")

    def popups(self) -> list[str]:
        """Dialogs and notices that stand in the learner's way."""
        return self._page.locator(".jp-Dialog, .Toastify__toast").all_inner_texts()
