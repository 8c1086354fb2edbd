"""Writing what is generated: only where it differs, and never half."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Mapping
from pathlib import Path


def write(path: Path, content: str | bytes) -> bool:
    """Write a file unless it says the same already; returns whether it was written."""
    data = content.encode("utf-8") if isinstance(content, str) else content
    if path.is_file() and path.read_bytes() == data:
        return False
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=".new-")
    with os.fdopen(descriptor, "wb") as file:
        file.write(data)
    Path(name).chmod(0o644)
    Path(name).replace(path)
    return True


def keep_only(folder: Path, wanted: Mapping[str, str | bytes]) -> bool:
    """Make a folder hold these files and no others, by name; returns whether anything changed."""
    stale = [path for path in folder.glob("*") if path.is_file() and path.name not in wanted]
    for path in stale:
        path.unlink()
    written = [write(folder / name, content) for name, content in wanted.items()]
    return bool(stale) or any(written)
