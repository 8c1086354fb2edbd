"""Where the page's worker comes in: the stand-ins, then the kernel."""

from __future__ import annotations

import importlib
import json
import warnings
from collections.abc import Callable
from pathlib import Path

from pydantic import ValidationError

from checks.journal import Record
from checks.website.browser import argon2, one_thread
from checks.website.browser.kernel import Kernel, Message

_FIRST_NEEDED = ("fastapi.testclient", "sqlalchemy.orm", "sqlalchemy.dialects.sqlite")


def prepare() -> None:
    """Put the stand-ins in place and import what every lesson begins with."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        one_thread.install()
        argon2.install(argon2.of_the_page())
        for module in (*_FIRST_NEEDED, "checks.notebook", "checks.observe.trace"):
            importlib.import_module(module)


def start(post: Callable[[str], None], kept: str) -> Kernel:
    """A kernel that knows what the page has kept.

    Args:
        post: Takes each message to the page, as JSON.
        kept: The page's attempts and hints, as JSON.
    """

    def send(message: Message) -> None:
        post(json.dumps(message, default=str))

    kernel = Kernel(send, Path.home() / ".progress.sqlite")
    try:
        kernel.remember(Record.model_validate_json(kept))
    except ValidationError:
        send(
            {
                "type": "note",
                "text": "The progress that this browser keeps is not readable, so the checks begin "
                "without it. Import your last progress file to mend it.",
            }
        )
    return kernel
