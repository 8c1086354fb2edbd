"""What the page runs lessons with: Python, its packages, the checks and the editor, from pins.

Nothing of it is committed. npm packages come by their lock file, wheels by their hashes; both are
kept in `.site-cache/` between builds, by what their pins say.

One archive, of source: measured, the modules that every lesson begins with compile in under two
seconds, and their bytecode would bring another 4.7 MB. Nothing is loaded ahead of a click either;
whoever only reads has not asked for 12 MB.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path, PurePosixPath

from checks import course
from checks.errors import CourseError
from checks.website import files

_PINS = Path("site/package.json"), Path("site/package-lock.json")
_WHEELS = Path("checks/website/browser/requirements.txt")
_PLATFORMS = "pyemscripten_2026_0_wasm32", "manylinux2014_x86_64"  # the second for markupsafe
_PYTHON = "3.14"
_SITE_PACKAGES = f"lib/python{_PYTHON}/site-packages"
_COURSE = "home/pyodide/course"
_BUDGET = 13_000_000  # bytes that a reader may have to load, compressed

# The modules that `check`, `hint`, `solution`, `progress` and `trace` stand on. Answers, tests and
# everything that grades stay at home.
_CHECKS = (
    *(
        "__init__.py",
        "blocks.py",
        "cells.py",
        "charts.py",
        "course.py",
        "environment.py",
        "errors.py",
        "exercise.py",
        "filecells.py",
        "journal.py",
    ),
    *("judge.py", "notebook.py", "shell.py", "show.py", "verdict.py", "words.py", "workspace.py"),
    *("lessons/__init__.py", "lessons/lesson_*.py", "observe/*.py", "website/browser/*.py"),
)

# What no lesson can reach in a page: other people's tests, text for type checkers and compilers,
# and lexers of languages other than the two that are shown.
_LEFT_OUT = ("sqlalchemy/testing/", "alembic/testing/", "mako/testing/", "pygments/styles/")
_NOT_READ = (".c", ".pyi", ".pyx", ".pxd", ".h", ".typed")
_LEXERS = (
    *("__init__", "_mapping", "sql", "python", "_tsql_builtins", "_mysql_builtins"),
    *("_postgres_builtins", "_sql_builtins", "_googlesql_builtins"),
)
_METADATA = ("METADATA", "entry_points.txt")


class BundleError(CourseError):
    """The bundle cannot be made, as a sentence for whoever builds the site."""


@dataclass(frozen=True, slots=True)
class Bundle:
    """What was made.

    Attributes:
        folder: Where it is.
        download: Bytes that a reader loads with the first Run, compressed, the editor included.
        changed: Whether anything was written.
    """

    folder: Path
    download: int
    changed: bool


@dataclass(frozen=True, slots=True)
class _Manifest:
    """What the page reads first: which bundle this is, and how much there is to load.

    Attributes:
        key: Of everything that went into it.
        download: Bytes that a reader loads, compressed.
        files: Bytes of each file, compressed as well.
    """

    key: str
    download: int
    files: dict[str, int]


def write(root: Path, docs: Path) -> Bundle:
    """Make `generated/run/` below the site's sources; at once where nothing has changed.

    Args:
        root: The repository.
        docs: The site's sources.

    Raises:
        BundleError: npm or a package is missing, or the bundle has grown over its budget.
    """
    folder = docs / "generated" / "run"
    key = _key(root)
    made = _made(folder / "manifest.json")
    if made and made.key == key:
        return Bundle(folder, made.download, changed=False)
    packages, wheels = node_modules(root), _wheels(root)
    with tempfile.TemporaryDirectory() as scratch:
        content = {
            **_python(packages / "pyodide"),
            "packages.zip": _archive(root, wheels),
            "editor.mjs": _bundled(packages, root, "editor", Path(scratch)),
            "argon2.mjs": _bundled(packages, root, "argon2", Path(scratch)),
        }
    sizes = {name: _compressed(name, data) for name, data in content.items()}
    download = sum(sizes.values())
    if download > _BUDGET:
        raise BundleError(
            f"What a reader has to load has grown to {download / 1e6:.1f} MB, over "
            f"{_BUDGET / 1e6:.0f} MB. Leave out what no lesson needs, in checks/website/bundle.py."
        )
    manifest = _Manifest(key, download, sizes)
    text = json.dumps(asdict(manifest), indent=1) + "\n"
    files.keep_only(folder, {**content, "manifest.json": text})
    return Bundle(folder, download, changed=True)


def node_modules(root: Path, tests: bool = False) -> Path:
    """The npm packages that the lock file names, installed in the cache.

    Args:
        root: The repository.
        tests: With what only tests need, five times as much.

    Raises:
        BundleError: there is no npm, or it cannot install them.
    """
    pins = [root / path for path in _PINS]
    kind = "npm-tests" if tests else "npm"
    place = root / ".site-cache" / f"{kind}-{_digest(path.read_bytes() for path in pins)}"
    if (place / "complete").exists():
        return place / "node_modules"
    npm = shutil.which("npm")
    if npm is None:
        raise BundleError(
            "There is no npm here, so the site is built without Run buttons. Install Node.js 20 "
            "or newer, then build again."
        )
    place.mkdir(parents=True, exist_ok=True)
    for path in pins:
        shutil.copy(path, place / path.name)
    command = [npm, "ci", "--ignore-scripts", "--no-audit", "--no-fund"]
    _run([*command, *([] if tests else ["--omit=dev"])], place, "npm could not install")
    (place / "complete").touch()
    return place / "node_modules"


def _wheels(root: Path) -> list[Path]:
    pins = root / _WHEELS
    place = root / ".site-cache" / f"wheels-{_digest([pins.read_bytes()])}"
    if not (place / "complete").exists():
        shutil.rmtree(place, ignore_errors=True)
        place.mkdir(parents=True)
        target = ["--python-version", _PYTHON, "--implementation", "cp"]
        target += ["--abi", f"cp{_PYTHON.replace('.', '')}"]
        for platform in _PLATFORMS:
            target += ["--platform", platform]
        command = [
            sys.executable,
            "-m",
            "pip",
            "download",
            "--quiet",
            "--disable-pip-version-check",
        ]
        command += ["--no-deps", "--only-binary=:all:", "--require-hashes", *target]
        command += ["--dest", str(place), "--requirement", str(pins)]
        _run(command, root, "pip could not download")
        (place / "complete").touch()
    return sorted(place.glob("*.whl"))


def _python(package: Path) -> dict[str, bytes]:
    """Pyodide, its core packed: not every host compresses WebAssembly on the way."""
    lock = json.loads((package / "pyodide-lock.json").read_bytes())
    core = (package / "pyodide.asm.wasm").read_bytes()
    return {
        "pyodide.mjs": _without_map(package / "pyodide.mjs"),
        "pyodide.asm.mjs": _without_map(package / "pyodide.asm.mjs"),
        "python_stdlib.zip": (package / "python_stdlib.zip").read_bytes(),
        "pyodide-lock.json": json.dumps({"info": lock["info"], "packages": {}}).encode(),
        "pyodide.asm.wasm.packed": gzip.compress(core, 9, mtime=0),
    }


def _without_map(path: Path) -> bytes:
    lines = path.read_bytes().splitlines(keepends=True)
    return b"".join(line for line in lines if not line.startswith(b"//# sourceMappingURL="))


def _archive(root: Path, wheels: Sequence[Path]) -> bytes:
    """Packages and course as one archive, the same bytes for the same content."""
    content = dict(_of_wheels(wheels)) | dict(_of_course(root))
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive:
        for name in sorted(content):
            archive.writestr(zipfile.ZipInfo(name), content[name], zipfile.ZIP_DEFLATED)
    return packed.getvalue()


def _of_wheels(wheels: Sequence[Path]) -> Iterator[tuple[str, bytes]]:
    for wheel in wheels:
        with zipfile.ZipFile(wheel) as archive:
            for name in archive.namelist():
                if _is_needed(PurePosixPath(name)):
                    yield f"{_SITE_PACKAGES}/{name}", archive.read(name)


def _is_needed(path: PurePosixPath) -> bool:
    if path.parent.suffix == ".dist-info" or ".dist-info/" in str(path):
        return path.name in _METADATA
    if path.suffix in _NOT_READ or str(path).startswith(_LEFT_OUT):
        return False
    if path.suffix == ".so":
        return "wasm32" in path.name
    if str(path).startswith("pygments/lexers/"):
        return path.stem in _LEXERS
    return True


def _of_course(root: Path) -> Iterator[tuple[str, bytes]]:
    for path in _course_files(root):
        yield f"{_COURSE}/{path.relative_to(root).as_posix()}", path.read_bytes()
    yield f"{_COURSE}/checks/website/__init__.py", b""


def _course_files(root: Path) -> list[Path]:
    found = {path for pattern in _CHECKS for path in (root / "checks").glob(pattern)}
    return sorted(found | {lesson.master for lesson in course.catalogue(root)})


def _bundled(packages: Path, root: Path, name: str, scratch: Path) -> bytes:
    """One of our entry files with everything that it imports, by esbuild."""
    out = scratch / f"{name}.mjs"
    entry = root / "checks" / "website" / "browser" / f"{name}.entry.mjs"
    bundle(packages, entry, out)
    return out.read_bytes()


def bundle(packages: Path, entry: Path, out: Path) -> None:
    """Bundle a JavaScript module with the npm packages that it imports.

    Args:
        packages: As `node_modules` gave them.
        entry: The module.
        out: The file to write.

    Raises:
        BundleError: esbuild cannot.
    """
    staged = packages.parent / entry.name  # where it finds the packages
    shutil.copy(entry, staged)
    command = [str(packages / ".bin" / "esbuild"), str(staged), "--bundle", "--format=esm"]
    command += ["--minify", "--target=es2022", "--loader:.wasm=binary", "--legal-comments=eof"]
    _run([*command, "--log-level=error", f"--outfile={out}"], packages.parent, "esbuild cannot")


def _compressed(name: str, data: bytes) -> int:
    """Bytes on the wire: hosts compress text, and what is packed stays as it is."""
    packed = name.endswith((".zip", ".packed"))
    return len(data) if packed else len(gzip.compress(data, 9))


def _key(root: Path) -> str:
    browser = sorted((root / "checks/website/browser").glob("*.mjs"))
    inputs = [root / path for path in (*_PINS, _WHEELS)] + browser + _course_files(root)
    inputs.append(Path(__file__))
    return _digest(f"{path.name}\n".encode() + path.read_bytes() for path in inputs)


def _digest(parts: Iterator[bytes] | Sequence[bytes]) -> str:
    digest = hashlib.sha256()
    for part in parts:
        digest.update(len(part).to_bytes(8, "big") + part)
    return digest.hexdigest()[:16]


def _made(path: Path) -> _Manifest | None:
    """What was made before, where all of it is still there."""
    try:
        found = _Manifest(**json.loads(path.read_bytes()))
        return found if all((path.parent / name).exists() for name in found.files) else None
    except (OSError, ValueError, TypeError):
        return None


def _run(command: Sequence[str], folder: Path, trouble: str) -> None:
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    if done.returncode:
        said = (done.stderr or done.stdout).strip().splitlines()
        reason = next((line for line in reversed(said) if line.strip()), "no reason given")
        raise BundleError(
            f"{trouble} what the page runs with: {reason.strip()}. Check the network connection, "
            "then build again."
        )
