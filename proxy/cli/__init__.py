"""The `dargah` command. Each module of commands is imported only when one of its commands runs."""
