"""The bytes of a file to a notebook, or a sentence for its learner on why there is none."""

from __future__ import annotations

import json
from typing import Any

import nbformat

from checks.course import source_of
from checks.errors import CourseError

LARGEST = 20_000_000  # bytes of a notebook that is still read

_DEEPEST = 100  # lists and objects within each other; Jupyter's own stay under ten
_MOST_BRACES = 400_000  # an empty list takes three bytes of a file and twenty times that here
_MOST_CELLS = 5_000
_VERSION = 4
_MINOR = 5
_AGAIN = "Save it again in JupyterLab and take that file."


class UnreadableError(CourseError):
    """A file that is no notebook, as a sentence for its learner that ends in what to do."""


def too_large(size: int) -> UnreadableError:
    """What is said of a file of so many bytes, without reading it."""
    return UnreadableError(
        f"The file has {size / 1_000_000:,.0f} MB, more than the {LARGEST // 1_000_000} MB that "
        "are read. Clear the notebook's outputs, save it and try again."
    )


def notebook(data: bytes) -> dict[str, Any]:
    """A notebook as nbformat 4 JSON, older formats brought up to it, without their outputs.

    What is read has a list of cells, each with a type, its text in one piece and its metadata, and
    no text that cannot be written as UTF-8. Nothing else of it can be relied on.

    Raises:
        UnreadableError: the bytes are no notebook.
    """
    if len(data) > LARGEST:
        raise too_large(len(data))
    found = _json(data)
    if not isinstance(found, dict):
        raise UnreadableError(f"The file is JSON, but not a notebook. {_AGAIN}")
    version = found.get("nbformat")
    if not isinstance(version, int) or isinstance(version, bool) or version < 1:
        raise UnreadableError(
            f"The file does not say which notebook format it has, so it is not one. {_AGAIN}"
        )
    if version > _VERSION:
        raise UnreadableError(
            f"The file says that its notebook format is newer than {_VERSION}, the one that is "
            f"read here. {_AGAIN}"
        )
    if version < _VERSION:
        found = _upgraded(found)
    cells = found.get("cells")
    if not isinstance(cells, list):
        raise UnreadableError(f"The notebook has no list of cells. {_AGAIN}")
    if len(cells) > _MOST_CELLS:
        raise UnreadableError(
            f"The notebook has {len(cells):,} cells, more than the {_MOST_CELLS:,} that are read. "
            "Take a fresh copy of the lesson, put your answers into it and take that."
        )
    metadata = found.get("metadata")
    return {
        **found,
        "nbformat": _VERSION,
        "nbformat_minor": _MINOR,
        "metadata": metadata if isinstance(metadata, dict) else {},
        "cells": [_cell(cell) for cell in cells],
    }


def _json(data: bytes) -> Any:
    if not data.strip():
        raise UnreadableError(f"The file is empty. {_AGAIN}")
    if data.count(b"[") + data.count(b"{") > _MOST_BRACES:
        raise UnreadableError(
            "The file holds more lists and objects than any notebook needs. Clear the notebook's "
            "outputs, save it and try again."
        )
    try:
        return _sound(json.loads(data))
    except UnicodeDecodeError as error:
        raise UnreadableError(f"The file is not text, so not a notebook. {_AGAIN}") from error
    except json.JSONDecodeError as error:
        raise UnreadableError(
            f"The file is damaged, or not a notebook: line {error.lineno} is not JSON. {_AGAIN}"
        ) from error
    except (ValueError, RecursionError, MemoryError) as error:
        raise UnreadableError(
            f"The file holds JSON that no notebook has: nested too deep, or a number too long. "
            f"{_AGAIN}"
        ) from error


def _sound(found: Any) -> Any:
    """The same, without the halves of surrogate pairs that JSON may spell and UTF-8 may not.

    Raises:
        ValueError: it is nested too deep.
    """
    todo: list[tuple[Any, int]] = [(found, 1)]
    while todo:
        branch, depth = todo.pop()
        if depth > _DEEPEST:
            raise ValueError(depth)
        if isinstance(branch, dict):
            broken = [key for key in branch if not _writable(key)]
            for key in broken:
                branch[_mended(key)] = branch.pop(key)
            places: Any = branch.items()
        elif isinstance(branch, list):
            places = enumerate(branch)
        else:
            continue
        for place, value in places:
            if isinstance(value, str):
                if not _writable(value):
                    branch[place] = _mended(value)
            elif isinstance(value, dict | list):
                todo.append((value, depth + 1))
    return found


def _writable(text: str) -> bool:
    if text.isascii():
        return True
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _mended(text: str) -> str:
    return text.encode("utf-8", "replace").decode()


def _upgraded(found: dict[str, Any]) -> dict[str, Any]:
    sheets = found.get("worksheets")
    cells = [
        one
        for sheet in (sheets if isinstance(sheets, list) else [])
        if isinstance(sheet, dict) and isinstance(sheet.get("cells"), list)
        for one in sheet["cells"]
    ]
    if len(cells) > _MOST_CELLS:
        return {"cells": cells}
    for cell in cells:  # they are not graded, and to bring many up to date takes long
        if isinstance(cell, dict) and "outputs" in cell:
            cell["outputs"] = []
    try:
        return dict(nbformat.convert(nbformat.from_dict(found), _VERSION))
    except Exception as error:  # nbformat raises many kinds on what is no notebook of its format
        raise UnreadableError(
            f"The notebook has the old format {found['nbformat']} and could not be brought up to "
            f"date. {_AGAIN}"
        ) from error


def _cell(cell: Any) -> dict[str, Any]:
    """A cell that can be relied on; one that is none keeps its place, empty."""
    if not isinstance(cell, dict):
        cell = {}
    kind, metadata = cell.get("cell_type"), cell.get("metadata")
    whole = {
        **cell,
        "cell_type": kind if kind in ("code", "markdown", "raw") else "raw",
        "metadata": metadata if isinstance(metadata, dict) else {},
        "source": source_of(cell),
    }
    if kind == "code":
        outputs = cell.get("outputs")
        whole["outputs"] = outputs if isinstance(outputs, list) else []
        whole["execution_count"] = None
    return whole
