"""From a fresh clone to a running command: an environment with exactly what is pinned.

Runs before anything is installed, so everything here uses the standard library alone. All that is
said goes to standard error: standard output belongs to the command, which may be printing JSON.
"""
