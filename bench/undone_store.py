"""Undone: what the store, and what is read from it, do to be quick. Benchmarks only."""

from collections.abc import Sequence
from typing import Any

from bench.undo import Used, replace
from proxy import directory
from proxy.adapters.sqlite import group_commit, lane
from proxy.adapters.store.steps import Batch


def own_commits(used: Used) -> None:
    """A hop to the database's thread and a commit for each step."""
    observe = lane.Lane._observe  # noqa: SLF001  it hears how many there were

    def observed(self: lane.Lane, batch: Batch) -> None:
        assert batch.steps == 1
        used()
        observe(self, batch)

    replace(lane, "MAX_BATCH", 1)
    replace(lane.Lane, "_observe", observed)


def own_statements(used: Used) -> None:
    """Steps that share a commit run their statements each for itself."""

    class NeverShared(type):
        def __instancecheck__(cls, _step: object) -> bool:
            used()
            return False

    replace(group_commit, "Shared", NeverShared("Shared", (), {}))


def own_savepoints(used: Used) -> None:
    """Each step that shares a commit runs its own statements too, within a savepoint, to be undone alone."""
    guarded = group_commit._guarded  # noqa: SLF001  as the product does once a step has failed

    def all_guarded(connection: Any, transaction: Any, steps: Sequence[Any]) -> list[Any]:
        outcomes = []
        for step in steps:
            used()
            outcomes.append(guarded(connection, transaction, step))
        return outcomes

    replace(group_commit, "_unguarded", all_guarded)


def unkept_rows(used: Used) -> None:
    """The token, the merchant, the terminal and its sealed api_key are read, and opened, for each create."""
    fresh = directory.Directory._fresh  # noqa: SLF001  it asks for the age

    def asked(self: directory.Directory, key: Any) -> None:
        used()
        assert fresh(self, key) is None

    replace(directory, "MAX_AGE_SECONDS", 0)
    replace(directory.Directory, "_fresh", asked)
