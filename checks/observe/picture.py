from __future__ import annotations

from typing import Any


def as_text(timeline: Any) -> str:
    return "\n".join(f"{e.at_ms:8.2f} {e.request} {e.kind} {e.detail}" for e in timeline)


def as_html(timeline: Any) -> str:
    return "<pre>" + as_text(timeline) + "</pre>"
