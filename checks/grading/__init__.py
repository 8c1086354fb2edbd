"""Submissions to verdicts."""
