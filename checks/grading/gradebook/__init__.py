"""The record of a class, in a database of its own: SQLite in a file, or PostgreSQL."""

from checks.grading.gradebook.engine import file_url
from checks.grading.gradebook.storable import storable
from checks.grading.gradebook.store import Gradebook, Known

__all__ = ["Gradebook", "Known", "file_url", "storable"]
