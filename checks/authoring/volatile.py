"""What in a stored output may differ from run to run: one set of rules, nbval's own file."""

from __future__ import annotations

import configparser
import json
import re
from functools import cache
from pathlib import Path
from typing import Any

RULES = Path(__file__).parent.parent / "tests" / "nbval_sanitize.cfg"


@cache
def _rules() -> list[tuple[re.Pattern[str], str]]:
    parser = configparser.RawConfigParser()
    parser.read_string(RULES.read_text(encoding="utf-8"))
    return [
        (re.compile(parser.get(section, "regex")), parser.get(section, "replace"))
        for section in parser.sections()
    ]


def sanitised(outputs: Any) -> Any:
    """Outputs with times, addresses and the like replaced, ready to be compared.

    How a line of standard output was cut into pieces on its way does not count either.
    """
    if not outputs:
        return []
    said: list[Any] = []
    for output in outputs:
        one = {key: output[key] for key in output if key != "execution_count"}
        if one.get("output_type") == "stream" and said and said[-1].get("name") == one.get("name"):
            said[-1]["text"] = _joined(said[-1]["text"]) + _joined(one["text"])
            continue
        said.append({key: _joined(value) for key, value in one.items()})
    text = json.dumps(said, sort_keys=True, ensure_ascii=False)
    for pattern, replacement in _rules():
        text = pattern.sub(replacement, text)
    return text


def _joined(value: Any) -> Any:
    """A text, however the file cuts it into lines."""
    if isinstance(value, list) and all(isinstance(line, str) for line in value):
        return "".join(value)
    if isinstance(value, dict):
        return {key: _joined(inner) for key, inner in value.items()}
    return value
