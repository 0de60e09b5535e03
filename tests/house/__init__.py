"""Measures of the code itself, and copies of the interfaces that a change of its structure must leave as they are."""
