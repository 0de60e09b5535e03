"""The planted bugs: small wrong versions of the code, each as people have shipped it.

They are edits of the source, so a bug that no longer fits the code says so instead of being caught for nothing.
"""

from typing import Final

from .planted_edits import Edit, Planted
from .planted_money import MONEY
from .planted_storage import STORAGE

__all__ = ["PLANTED", "Edit", "Planted"]

PLANTED: Final = (*MONEY, *STORAGE)
