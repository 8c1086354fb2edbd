"""What the machine costs, measured on demand and not in the tests."""
