"""`python3 checks COMMAND` and `python -m checks COMMAND`.

This file alone must parse on every Python, even 2.7: it is where a Python that is too old hears so.
"""

import os
import sys

if sys.version_info < (3, 11):
    sys.stderr.write(
        "Dog-Eared needs Python 3.11 or newer and this is Python %d.%d: "
        "install a newer one and run the command with it, as `python3.12 checks lab`.\n"
        % sys.version_info[:2]
    )
    sys.exit(2)

if __name__ == "__main__":
    _here = os.path.dirname(os.path.abspath(__file__))
    # `python3 checks` puts this folder first on the path; its modules (lessons, progress, ...) must
    # not be importable under their bare names, or they hide other people's.
    sys.path[:] = [p for p in sys.path if os.path.abspath(p or os.curdir) != _here]
    sys.path.insert(0, os.path.dirname(_here))

    from checks.setup.command import main

    sys.exit(main(sys.argv[1:]))
