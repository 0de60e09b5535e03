"""What a database's migrations may say no to."""


class StoreTooNew(Exception):
    """The database was migrated by a newer Dargah than this one."""
