"""What a process does of Dargah's work: all of it, or a part where replicas are scaled apart."""

from enum import StrEnum
from typing import Final


class Role(StrEnum):
    API = "api"
    """The public listener and the operator's API."""
    WATCH = "watch"
    """Asks gateways about payments whose customer has not come back."""
    DELIVER = "deliver"
    """Sends webhooks, and forgets those that are old enough."""


ALL: Final = tuple(Role)


def parse_roles(value: object) -> tuple[Role, ...]:
    """The roles of `api,watch,deliver`, in that order, whatever the order in the text."""
    if isinstance(value, tuple):
        return value
    names = {name.strip().lower() for name in str(value).split(",")}
    unknown = sorted(names - set(ALL))
    if unknown:
        raise ValueError(f"{unknown[0]!r} is no role; write one or more of {', '.join(ALL)}, comma separated")
    return tuple(role for role in ALL if role in names)


def check_alone(roles: tuple[Role, ...]) -> None:
    """Raises ValueError unless one process with these roles does everything, as a SQLite file needs it to."""
    lacking = [role for role in ALL if role not in roles]
    if lacking:
        raise ValueError(
            f"DARGAH_ROLES lacks {', '.join(lacking)}: a SQLite database has exactly one process, which does it all. "
            "Roles are for PostgreSQL (DARGAH_DATABASE=postgresql://…)"
        )
