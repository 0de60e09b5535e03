"""Operators: the people of an installation, their roles, and the sessions of their browsers."""
