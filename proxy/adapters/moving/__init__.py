"""Moving a whole store from a SQLite file to PostgreSQL: `move` does it, everything else in here is its inside."""

from proxy.adapters.moving.move import Moved, MoveRefused, move

__all__ = ["MoveRefused", "Moved", "move"]
