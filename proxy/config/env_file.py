"""The settings' file, `dargah.env`: a `NAME=value` a line, in a form that sh, systemd and Docker read alike.

The environment goes before the file, and the file before DARGAH_SECRETS_DIR. This module is imported by every command
and so imports little: the settings themselves take half a second.
"""

import os
import re
import stat
import tempfile
from collections.abc import Collection, Iterable, Mapping, MutableMapping
from dataclasses import field
from difflib import get_close_matches
from pathlib import Path
from typing import Final

from proxy.config.secret_files import MAX_BYTES, SecretFileError, refuse_open_to_writers
from proxy.kernel.errors import StartRefused
from proxy.kernel.frozen import dataclass

VARIABLE: Final = "DARGAH_ENV_FILE"
DEFAULT: Final = Path("dargah.env")
MODE: Final = 0o600
NO_SETTINGS: Final = frozenset(
    {
        *("DARGAH_SECRETS_DIR", "DARGAH_ADMIN_URL", "DARGAH_URL", "DARGAH_TOKEN", "DARGAH_MODE", "DARGAH_STOREFRONT"),
        *("DARGAH_WEBHOOK_SECRET", "DARGAH_WEBHOOK_PRIVATE_KEY", "DARGAH_RETURN_SECRET"),
    }
)
"""What may stand in the file beside the settings: what the commands and the shops' clients read."""
USUAL: Final = NO_SETTINGS | {
    *("DARGAH_ENVIRONMENT", "DARGAH_PUBLIC_URL", "DARGAH_LISTEN", "DARGAH_DATABASE", "DARGAH_KEYS"),
    *("DARGAH_KEYS_FILE", "DARGAH_ADMIN_TOKEN", "DARGAH_WEBHOOK_ALLOW"),
}
"""Names that need not be looked up among the settings, whose import takes longer than most commands do."""

_PREFIX: Final = "DARGAH_"
_LINE: Final = re.compile(r"(DARGAH_[A-Z0-9_]+)=(.*)")
_OTHER_NAME: Final = re.compile(r"([A-Z][A-Z0-9_]{0,39})=.*")
_CONTROL: Final = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")
_PLAIN: Final = re.compile(r"[^\s'\"\\`$&|;<>()~]*")
_QUOTED: Final = re.compile(r"'([^']*)'|\"([^\"\\`$]*)\"")


class EnvFileError(StartRefused):
    """The file cannot be used, or not be written. The text names file and line, and no value."""


@dataclass(frozen=True, slots=True)
class EnvFile:
    """What a file says: `values` by their names, and `lines` where each stands."""

    path: Path
    values: Mapping[str, str] = field(repr=False)
    lines: Mapping[str, int]
    readable_by_all: bool

    def __str__(self) -> str:
        return shown(self.path)


def shown(path: Path) -> str:
    """The path as a shell would have to name it."""
    return str(path) if path.is_absolute() or len(path.parts) > 1 else f"./{path}"


def find(named: Path | None, environ: Mapping[str, str] = os.environ) -> EnvFile | None:
    """The file that is `named`, or by DARGAH_ENV_FILE, or stands in this folder; None without one. An empty
    DARGAH_ENV_FILE says that there is none.

    Raises EnvFileError.
    """
    if named is not None:
        return read(named)
    if (variable := environ.get(VARIABLE)) is not None:
        return read(Path(variable)) if variable else None
    if not os.path.lexists(DEFAULT):
        return None
    _refuse_foreign(DEFAULT)
    return read(DEFAULT)


def read(path: Path) -> EnvFile:
    """Raises EnvFileError for what is no private text file of ours, or has a line in another form."""
    try:
        # A FIFO without a writer would be waited for.
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        try:
            mode = os.fstat(descriptor).st_mode
            _refuse_kind(path, mode)
            content = _read_all(descriptor)
        finally:
            os.close(descriptor)
        refuse_open_to_writers(path, mode)
    except FileNotFoundError:
        raise EnvFileError(f"{shown(path)} is not there: `dargah init --file {path}` makes it") from None
    except OSError as error:
        raise EnvFileError(f"{shown(path)} cannot be read ({error.strerror})") from None
    except SecretFileError as error:
        raise EnvFileError(str(error)) from None
    if len(content) > MAX_BYTES:
        raise EnvFileError(f"{shown(path)} is larger than {MAX_BYTES} bytes; is it the file that was meant?")
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise EnvFileError(f"{shown(path)}, line {line}: it is not UTF-8 text") from None
    values, lines = _parse(path, text)
    return EnvFile(path, values, lines, bool(mode & stat.S_IROTH))


def _read_all(descriptor: int) -> bytes:
    """The content, and no more than a byte over the limit."""
    content = b""
    while len(content) <= MAX_BYTES and (piece := os.read(descriptor, MAX_BYTES + 1 - len(content))):
        content += piece
    return content


def _refuse_kind(path: Path, mode: int) -> None:
    if stat.S_ISDIR(mode):
        raise EnvFileError(
            f"{shown(path)} is a folder, and no file: remove it (Docker makes one where a mounted file was not there)"
        )
    if not stat.S_ISREG(mode):
        raise EnvFileError(f"{shown(path)} is no regular file: write the settings to one")


def _refuse_foreign(path: Path) -> None:
    """Refuses a file that nobody named, of another user: it could send the operator's token to a server of theirs."""
    try:
        owners = {path.lstat().st_uid, path.stat().st_uid}
    except OSError as error:
        raise EnvFileError(f"{shown(path)} cannot be read ({error.strerror})") from None
    foreign = owners - {0, os.geteuid()}
    if foreign:
        raise EnvFileError(
            f"{shown(path)} belongs to another user (uid {foreign.pop()}): if it is the one that is meant, say "
            f"`dargah --env-file {shown(path)} …`; `{VARIABLE}= dargah …` goes without it"
        )


def _parse(path: Path, text: str) -> tuple[dict[str, str], dict[str, int]]:
    values: dict[str, str] = {}
    lines: dict[str, int] = {}
    for number, line in enumerate(text.split("\n"), 1):
        line = line.removesuffix("\r").strip(" \t")
        if not line or line.startswith("#"):
            continue
        try:
            name, value = _pair(line)
            if name in values:
                raise ValueError(f"{name} stands in line {lines[name]} already: leave one of them")  # noqa: TRY301  same prefix
        except ValueError as error:
            raise EnvFileError(f"{shown(path)}, line {number}: {error}") from None
        values[name], lines[name] = value, number
    return values, lines


def _pair(line: str) -> tuple[str, str]:
    """Raises ValueError. It shows no part of the line that may be a secret."""
    if _CONTROL.search(line):
        raise ValueError("there is a control character in it")
    found = _LINE.fullmatch(line)
    if found is None:
        if other := _OTHER_NAME.fullmatch(line):
            raise ValueError(f"{other[1]} is no setting of Dargah's: only DARGAH_… stands here")
        raise ValueError(
            "write NAME=value, such as DARGAH_LISTEN=127.0.0.1:8080: one line, a name in capitals, no `export`, "
            "no spaces around the ="
        )
    name, text = found.groups()
    if quoted := _QUOTED.fullmatch(text):
        return name, quoted[1] if quoted[1] is not None else quoted[2]
    if _PLAIN.fullmatch(text) is None:
        raise ValueError(
            f"put the value of {name} in single quotes, or in double ones where it has a single one, and nothing after "
            "them: sh would read it otherwise"
        )
    return name, text


def refuse_unknown(file: EnvFile, known: Collection[str]) -> None:
    """Raises EnvFileError for a name that is neither among those `known` nor in NO_SETTINGS."""
    endings = {name.removeprefix(_PREFIX) for name in (*known, *NO_SETTINGS)}
    for name, line in file.lines.items():
        ending = name.removeprefix(_PREFIX)
        if ending not in endings:
            close = get_close_matches(ending, endings, n=1)
            hint = f"did you mean {_PREFIX}{close[0]}?" if close else "`dargah config` shows them all"
            raise EnvFileError(f"{file}, line {line}: {name} is no setting; {hint}")


_applied: dict[str, EnvFile] = {}


def apply(file: EnvFile, environ: MutableMapping[str, str] = os.environ) -> None:
    """Puts into the environment what it does not say itself. An empty variable says nothing."""
    said = {name.upper() for name, value in environ.items() if value}
    for name, value in file.values.items():
        if value and name not in said:
            environ[name] = value
            _applied[name] = file


def source_of(name: str) -> str:
    """The variable, and the file that it was read from where it was."""
    return f"{name} in {_applied[name]}" if name in _applied else name


def applied() -> str | None:
    """The file that this process has settings from, if there is one."""
    return next((str(file) for file in _applied.values()), None)


def line_of(name: str, value: str) -> str:
    """The line that says so. Raises EnvFileError for a value that no quotes can hold."""
    for text in (value, f"'{value}'", f'"{value}"'):
        line = f"{name}={text}"
        try:
            if _pair(line) == (name, value):
                return line
        except ValueError:
            continue
    raise EnvFileError(f"{name} has characters that {DEFAULT} cannot hold in any quotes: set it in the environment")


def make(path: Path, lines: Iterable[str]) -> None:
    """Makes the file for its owner alone, whole and durable. Raises EnvFileError, also when it exists."""
    _write(path, lines, MODE, replace=False)


def change(path: Path, values: Mapping[str, str]) -> None:
    """Sets these values in the file, whose other lines and mode stay as they are. Raises EnvFileError."""
    file, path = read(path), path.resolve()
    lines = path.read_text("utf-8-sig").split("\n")
    if lines[-1] == "":
        lines.pop()
    for name, value in values.items():
        if name in file.lines:
            lines[file.lines[name] - 1] = line_of(name, value)
        else:
            lines.append(line_of(name, value))
    _write(path, lines, stat.S_IMODE(path.stat().st_mode), replace=True)


def _write(path: Path, lines: Iterable[str], mode: int, *, replace: bool) -> None:
    try:
        descriptor, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
        part = Path(name)
        try:
            with os.fdopen(descriptor, "w", encoding="utf-8", newline="\n") as file:
                file.writelines(f"{line}\n" for line in lines)
                file.flush()
                os.fchmod(descriptor, mode)
                os.fsync(descriptor)
            _read_back(part, path)
            if replace:
                part.replace(path)
            else:
                os.link(part, path)  # fails where the name is taken
            _sync_folder(path.parent)
        finally:
            part.unlink(missing_ok=True)
    except FileExistsError:
        raise EnvFileError(exists_already(path)) from None
    except OSError as error:
        raise EnvFileError(f"{shown(path)} cannot be written ({error.strerror})") from None


def _read_back(part: Path, path: Path) -> None:
    """Refuses now what would be refused tomorrow, such as a folder where everybody may write."""
    try:
        read(part)
    except EnvFileError as error:
        raise EnvFileError(str(error).replace(str(part), shown(path))) from None


def exists_already(path: Path) -> str:
    """The sentence for a file that would be made, and is there."""
    return (
        f"{shown(path)} is there already, with its key ring, and stays as it is: change it with an editor "
        "(`dargah config` shows what holds), or make another one with --file"
    )


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
