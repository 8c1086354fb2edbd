"""What is measured, not promised: scripts that print it."""
