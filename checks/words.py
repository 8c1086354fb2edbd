"""Words for counts."""

from __future__ import annotations


def counted(count: float, thing: str, things: str = "") -> str:
    """`1 copy`, `3 copies`, `1,200 rows`; the plural is the word with an s where none is given."""
    number = f"{count:,}" if isinstance(count, int) else f"{count:g}"
    return f"{number} {thing if count == 1 else things or thing + 's'}"
