"""What things cost, measured on demand and not in the tests."""
