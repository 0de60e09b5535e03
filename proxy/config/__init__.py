"""The settings: their definitions, their sources, and their display."""
