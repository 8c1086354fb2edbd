"""`python3 checks COMMAND`: set up what the command needs, then become the command."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from checks.setup.environment import SetupError, choose, is_current
from checks.setup.install import Installation
from checks.setup.lock import only_one

ROOT = Path(__file__).resolve().parent.parent.parent
FAILED, INTERRUPTED = 2, 130


def main(argv: Sequence[str]) -> int:
    """Set up what the command needs, then become the command; returns the exit code."""
    test = list(argv[:1]) == ["test"]
    env = choose(ROOT)
    if list(argv) in ([], ["-h"], ["--help"]) and not is_current(env, ROOT, test):
        print(
            "python3 checks lab     set up, then open the lessons in JupyterLab\n"
            "python3 checks test    set up, then run the tests\n"
            "There are more commands; after set-up, `python3 checks --help` lists them."
        )
        return 0
    try:
        return _become(ensure(test), argv)
    except SetupError as error:
        print(error, file=sys.stderr)
        return FAILED
    except KeyboardInterrupt:
        print("\nStopped before the set-up was done: run the command again.", file=sys.stderr)
        return INTERRUPTED


def ensure(test: bool = False, root: Path = ROOT) -> Path:
    """Make the environment current, if it is not, and return its interpreter.

    Args:
        test: Whether also to install what only the tests need.
        root: The repository.

    Raises:
        SetupError: It could not be done. A `.venv` begun by this call is gone again.
    """
    env = choose(root)
    if is_current(env, root, test):
        return env.python
    with only_one(root if env.own else env.prefix) as lock:
        if not is_current(env, root, test):  # otherwise another run did it while this one waited
            Installation(env, root, test, lock).run()
    return env.python


def _become(python: Path, argv: Sequence[str]) -> int:
    """Run the command in the environment, in place of this process where that is possible."""
    # -P: the user's folder is not where modules come from, whatever it holds.
    command = [str(python), "-P", "-m", "checks.cli", *argv]
    sys.stdout.flush()
    sys.stderr.flush()
    if os.name != "nt":
        try:
            os.execv(command[0], command)
        except OSError as error:
            raise SetupError(
                f"{python} does not start ({error.strerror}): delete its environment and run the "
                "command again."
            ) from error
    child = subprocess.Popen(command)
    while True:
        try:
            return child.wait()
        except KeyboardInterrupt:  # the child got it too, and decides
            continue
