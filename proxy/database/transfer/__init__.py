"""Moving a whole store from a SQLite file to PostgreSQL: `move` does it, everything else in here is its inside."""

from proxy.database.transfer.move import MoveRefused, TableCopy, move

__all__ = ["MoveRefused", "TableCopy", "move"]
