"""The flashcards' scheduler, ts-fsrs, as a module for the browser."""

from __future__ import annotations

import tempfile
from pathlib import Path

from checks.website import bundle, files

_ENTRY = Path(__file__).with_name("scheduler.entry.mjs")


def write(root: Path, docs: Path) -> Path:
    """Write `generated/study/scheduler.mjs`; at once where nothing has changed.

    Raises:
        BundleError: npm is missing, or it cannot install what is pinned.
    """
    target = docs / "generated" / "study" / "scheduler.mjs"
    packages = bundle.node_modules(root)
    # The folder of the packages is named after what their lock file says.
    mark = f"// {packages.parent.name}\n".encode()
    if target.exists() and target.read_bytes().startswith(mark):
        return target
    with tempfile.TemporaryDirectory() as scratch:
        made = Path(scratch) / target.name
        bundle.bundle(packages, _ENTRY, made)
        files.write(target, mark + made.read_bytes())
    return target
