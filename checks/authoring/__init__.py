"""Masters to notebooks, and answers rehearsed against the checks."""
