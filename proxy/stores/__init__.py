"""The repositories of all concepts on one database, opened together."""
