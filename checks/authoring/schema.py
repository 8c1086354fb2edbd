"""The published schema of what `checks check --json` prints, made from the report itself."""

from __future__ import annotations

import json
from pathlib import Path

from checks.verdict import Report

DIALECT = "https://json-schema.org/draft/2020-12/schema"


def path(root: Path) -> Path:
    """Where the schema is published in a repository."""
    return root / "checks" / "report.schema.json"


def text() -> str:
    """The schema as its file holds it."""
    schema = {"$schema": DIALECT, **Report.model_json_schema(mode="serialization")}
    return json.dumps(schema, indent=2, ensure_ascii=False, sort_keys=True) + "\n"


def write(root: Path) -> bool:
    """Publish the schema; True when that changed the file."""
    if is_current(root):
        return False
    path(root).write_text(text(), encoding="utf-8", newline="\n")
    return True


def is_current(root: Path) -> bool:
    """Whether the published schema is the report's."""
    published = path(root)
    return published.exists() and published.read_text(encoding="utf-8") == text()
