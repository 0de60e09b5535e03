"""The settings: what they are, where they are read from, and how they are shown."""
