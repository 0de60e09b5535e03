"""Delta debugging: the shortest list that still fails, as far as leaving things out can find it."""

from collections.abc import Callable, Sequence
from typing import Final, TypeVar

T = TypeVar("T")

MAX_TRIES: Final = 600


def shrink(items: Sequence[T], fails: Callable[[list[T]], bool], max_tries: int = MAX_TRIES) -> list[T]:
    """A part of `items`, in their order, for which `fails` holds and from which hardly any one item can be left out.

    `fails` must hold for all of `items`; it is asked at most `max_tries` times.
    """
    kept = list(items)
    size = max(1, len(kept) // 2)
    tries = 0
    while size:
        start, shorter = 0, False
        while start < len(kept) and tries < max_tries:
            candidate = kept[:start] + kept[start + size :]
            tries += 1
            if candidate and fails(candidate):
                kept, shorter = candidate, True
            else:
                start += size
        if tries >= max_tries:
            break
        size = size if shorter and size == 1 else size // 2
    return kept


def simplify(items: Sequence[T], simpler: Callable[[T], list[T]], fails: Callable[[list[T]], bool]) -> list[T]:
    """`items` with each one replaced by the first of its simpler forms for which `fails` still holds."""
    kept = list(items)
    for index, item in enumerate(kept):
        for form in simpler(item):
            candidate = [*kept[:index], form, *kept[index + 1 :]]
            if fails(candidate):
                kept = candidate
                break
    return kept
