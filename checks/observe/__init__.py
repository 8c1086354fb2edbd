"""Watching the learner's code and writing down what it did. Nothing in here decides anything."""
