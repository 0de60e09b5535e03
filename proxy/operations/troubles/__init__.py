"""What is wrong now: the one list that the console shows and alerts tell people of."""

from proxy.operations.troubles.trouble import Trouble, TroubleKind
from proxy.operations.troubles.troubles import Troubles
from proxy.operations.troubles.words import WORDS, TroubleWords

__all__ = ["WORDS", "Trouble", "TroubleKind", "TroubleWords", "Troubles"]
