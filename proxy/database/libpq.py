"""A PostgreSQL URL with libpq's parameters, by their names and meanings.

An unknown parameter is refused by its name: silently ignoring one could drop the demand for encryption.
"""

import getpass
import os
import re
from collections.abc import Mapping
from configparser import ConfigParser, Error
from dataclasses import field
from pathlib import Path
from typing import Final
from urllib.parse import SplitResult, parse_qsl, unquote, urlsplit

from proxy.database.libpq_parameters import TLS_MODES, TLS_VERSIONS, VARIABLES, check
from proxy.kernel.frozen import dataclass

PORT: Final = 5432
CONNECT_SECONDS: Final = 5.0
"""What one host has to answer, unless the URL's connect_timeout says otherwise."""
LONGEST_CONNECT_SECONDS: Final = 10
SYSTEM_AUTHORITIES: Final = "system"
# Where servers put their sockets.
_SOCKETS: Final = ("/run/postgresql", "/var/run/postgresql", "/tmp")  # noqa: S108  # nosec B108


@dataclass(frozen=True, slots=True)
class Host:
    """`name` is a server's, its address, or the folder of its socket."""

    name: str
    port: int

    def __str__(self) -> str:
        name = f"[{self.name}]" if ":" in self.name else self.name
        return name if self.is_socket else f"{name}:{self.port}"

    @property
    def is_socket(self) -> bool:
        return self.name.startswith("/")


@dataclass(frozen=True, slots=True)
class Tls:
    """`authorities` is a file, or `system`; None is libpq's own file in the user's home, where there is one."""

    mode: str = "prefer"
    direct: bool = False
    authorities: str | None = None
    certificate: str | None = None
    key: str | None = None
    key_password: str = field(default="", repr=False)
    revoked: str | None = None
    least_version: str = TLS_VERSIONS[0]
    greatest_version: str | None = None


@dataclass(frozen=True, slots=True)
class Silence:
    """How a peer that says nothing any more is noticed. `user_timeout` is in milliseconds."""

    keepalives: bool = True
    idle: int = 10
    interval: int = 5
    count: int = 3
    user_timeout: int = 10_000


@dataclass(frozen=True, slots=True)
class Target:
    """All that a URL, its service and the environment say about how the database is reached."""

    hosts: tuple[Host, ...]
    user: str
    database: str
    password: str | None = field(default=None, repr=False)
    passfile: str | None = None
    connect_seconds: float = CONNECT_SECONDS
    any_order: bool = False
    tls: Tls = Tls()
    silence: Silence = Silence()
    settings: Mapping[str, str] = field(default_factory=dict)
    kerberos_service: str | None = None


def check_parameters(text: str) -> None:
    """Raises ValueError for unusable parameters of the URL itself; reads neither files nor variables."""
    parameters = _of_url(text)
    check(parameters)
    _tls(parameters)
    if "host" in parameters:
        _hosts(parameters)


def parse_target(text: str, environ: Mapping[str, str] | None = None) -> Target:
    """The target from the URL, then its service, then the environment. Raises ValueError, without its password."""
    environ = os.environ if environ is None else environ
    said = {name: environ[variable] for name, variable in VARIABLES.items() if environ.get(variable)}
    url = _of_url(text)
    service = url.get("service") or said.get("service")
    served = {} if service is None else _of_service(service, environ)
    parameters = {**said, **served, **url}
    check(parameters)
    return Target(
        hosts=_hosts(parameters, environ.get("PGPORT") or PORT),
        user=parameters.get("user") or _user(),
        database=_database(parameters),
        password=parameters.get("password"),
        passfile=parameters.get("passfile"),
        connect_seconds=_connect_seconds(parameters),
        any_order=parameters.get("load_balance_hosts") == "random",
        tls=_tls(parameters),
        silence=_silence(parameters),
        settings=_settings(parameters),
        kerberos_service=parameters.get("krbsrvname"),
    )


def _of_url(text: str) -> dict[str, str]:
    parts = _parts(text)
    account, _, hosts = parts.netloc.rpartition("@")
    user, _, password = account.partition(":")
    said = {"user": user, "password": password, "host": hosts, "dbname": parts.path[1:]}
    found = {name: unquote(value) for name, value in said.items() if value}
    if parts.query:
        for name, value in _query(parts.query):
            name = "dbname" if name == "database" else name
            if name in found:
                raise ValueError(f"its {name} stands twice: say it once")
            found[name] = value
    return found


def _parts(text: str) -> SplitResult:
    try:
        return urlsplit(text)
    except ValueError:  # its message may have the password
        raise ValueError("its hosts are not as in a URL; an address of IPv6 stands in brackets") from None


def _query(query: str) -> list[tuple[str, str]]:
    try:
        # libpq leaves a plus sign as it is: it is no space.
        return parse_qsl(query.replace("+", "%2B"), keep_blank_values=True, strict_parsing=True, errors="strict")
    except ValueError:
        raise ValueError("write its parameters as name=value, with & between them and %-escapes") from None


def _hosts(parameters: Mapping[str, str], usual_port: str | int = PORT) -> tuple[Host, ...]:
    names = parameters.get("host", "").split(",")
    if names == [""]:
        names = [folder for folder in _SOCKETS if Path(folder).is_dir()] + ["localhost"]
    ports = parameters.get("port", "").split(",")
    if len(ports) not in {1, len(names)}:
        raise ValueError(f"it names {len(names)} hosts and {len(ports)} ports: write one port, or one for each")
    ports = ports * len(names) if len(ports) == 1 else ports
    return tuple(_host(name, port, str(usual_port)) for name, port in zip(names, ports, strict=True))


def _host(text: str, port: str, usual_port: str) -> Host:
    bracketed = re.fullmatch(r"\[([0-9A-Fa-f:.%\w]+)\](?::([0-9]*))?", text)
    if text.startswith("/"):
        name, own = text, ""
    elif bracketed is not None:
        name, own = bracketed[1], bracketed[2] or ""
    elif text.count(":") > 1:
        name, own = text, ""
    else:
        name, _, own = text.partition(":")
    if own and port:
        raise ValueError("it names a port twice: behind the host, and by port")
    own = own or port or usual_port
    if not name or not re.fullmatch("[0-9]{1,5}", own, re.ASCII) or not 0 < int(own) < 2**16:
        raise ValueError("write its hosts as name:port, with a comma between two of them")
    return Host(name, int(own))


def _connect_seconds(parameters: Mapping[str, str]) -> float:
    seconds = int(parameters.get("connect_timeout", 0))
    # libpq waits without end for none; a payment cannot.
    return CONNECT_SECONDS if seconds <= 0 else float(min(seconds, LONGEST_CONNECT_SECONDS))


def _tls(parameters: Mapping[str, str]) -> Tls:
    authorities = parameters.get("sslrootcert")
    system = authorities == SYSTEM_AUTHORITIES
    mode = parameters.get("sslmode", "verify-full" if system else "prefer")
    if system and mode != "verify-full":
        raise ValueError("its sslrootcert=system needs sslmode=verify-full: anybody gets a certificate of some name")
    direct = parameters.get("sslnegotiation") == "direct"
    if direct and TLS_MODES.index(mode) < TLS_MODES.index("require"):
        raise ValueError("its sslnegotiation=direct needs sslmode=require or a stricter one")
    return Tls(
        mode=mode,
        direct=direct,
        authorities=authorities,
        certificate=parameters.get("sslcert"),
        key=parameters.get("sslkey"),
        key_password=parameters.get("sslpassword", ""),
        revoked=parameters.get("sslcrl"),
        least_version=parameters.get("ssl_min_protocol_version", TLS_VERSIONS[0]),
        greatest_version=parameters.get("ssl_max_protocol_version"),
    )


def _silence(parameters: Mapping[str, str]) -> Silence:
    usual = Silence()

    def number(name: str, otherwise: int) -> int:
        return max(0, int(parameters.get(name, 0))) or otherwise

    return Silence(
        keepalives=parameters.get("keepalives") != "0",
        idle=number("keepalives_idle", usual.idle),
        interval=number("keepalives_interval", usual.interval),
        count=number("keepalives_count", usual.count),
        user_timeout=number("tcp_user_timeout", usual.user_timeout),
    )


def _settings(parameters: Mapping[str, str]) -> dict[str, str]:
    """The settings that the server gets at the start of a session."""
    name = parameters.get("application_name") or parameters.get("fallback_application_name")
    said = {"application_name": name, "options": parameters.get("options")}
    return {name: value for name, value in said.items() if value}


def _database(parameters: Mapping[str, str]) -> str:
    if not parameters.get("dbname"):
        raise ValueError("it names no database: write postgresql://user@host/database")
    return parameters["dbname"]


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a user whom the system does not know by name
        raise ValueError("it names no user: write postgresql://user@host/database") from None


def _of_service(name: str, environ: Mapping[str, str]) -> dict[str, str]:
    file = environ.get("PGSERVICEFILE")
    path = Path(file) if file else in_home(".pg_service.conf")
    parser = ConfigParser(interpolation=None)
    try:
        if path is not None:
            parser.read_string(path.read_text("utf-8"))
    except (OSError, UnicodeDecodeError, Error):
        raise ValueError(f"its service {name!r} cannot be looked up: {path} is not a readable service file") from None
    if name not in parser:
        raise ValueError(f"its service {name!r} is not in {path}; PGSERVICEFILE names another file")
    return dict(parser[name])


def in_home(name: str) -> Path | None:
    """A file in the home of the process's user, where that has one."""
    try:
        return Path.home() / name
    except (RuntimeError, KeyError):
        return None
