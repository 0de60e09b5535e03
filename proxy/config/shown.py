"""Settings for display: the meaning, default and value of each; of a secret only whether it is set."""

from collections.abc import Iterator
from enum import Enum
from typing import Any

from pydantic import SecretStr
from pydantic.fields import FieldInfo

from proxy.config.settings import PREFIX, Settings
from proxy.kernel.frozen import dataclass

_SECRET = "(set)"  # noqa: S105  what is shown instead of one


@dataclass(frozen=True, slots=True)
class SettingLine:
    """`value` is None where the settings as a whole are refused."""

    name: str
    description: str | None
    default: str
    value: str | None


def setting_lines(settings: Settings | None) -> Iterator[SettingLine]:
    """Every setting, those that everybody sets first."""
    for name, field in Settings.by_weight().items():
        value = None if settings is None else _show(getattr(settings, name))
        yield SettingLine(f"{PREFIX}{name}".upper(), field.description, _show(_default(field)), value)


def _default(field: FieldInfo) -> Any:
    return field.get_default(call_default_factory=False)


def _show(value: Any) -> str:
    if isinstance(value, SecretStr):
        return _SECRET
    if value is None or value in ((), {}):
        return "(none)"
    if isinstance(value, Enum):
        return str(value.value)
    if isinstance(value, tuple):
        return ",".join(map(str, value))
    return f"{value:g}" if isinstance(value, float) else str(value)
