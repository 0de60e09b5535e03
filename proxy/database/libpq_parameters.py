"""libpq's parameters: which of them are understood, which values they take, and why others are refused."""

import re
from collections.abc import Mapping
from typing import Final

TLS_MODES: Final = ("disable", "allow", "prefer", "require", "verify-ca", "verify-full")
TLS_VERSIONS: Final = ("TLSv1.2", "TLSv1.3")

# Where these are not in the URL, libpq's variables count.
VARIABLES: Final = {
    "user": "PGUSER",
    "password": "PGPASSWORD",
    "passfile": "PGPASSFILE",
    "service": "PGSERVICE",
    "options": "PGOPTIONS",
    "application_name": "PGAPPNAME",
    "connect_timeout": "PGCONNECT_TIMEOUT",
    "target_session_attrs": "PGTARGETSESSIONATTRS",
    "channel_binding": "PGCHANNELBINDING",
    "gssencmode": "PGGSSENCMODE",
    "require_auth": "PGREQUIREAUTH",
    "sslmode": "PGSSLMODE",
    "sslnegotiation": "PGSSLNEGOTIATION",
    "sslrootcert": "PGSSLROOTCERT",
    "sslcert": "PGSSLCERT",
    "sslkey": "PGSSLKEY",
    "sslcrl": "PGSSLCRL",
    "ssl_min_protocol_version": "PGSSLMINPROTOCOLVERSION",
    "ssl_max_protocol_version": "PGSSLMAXPROTOCOLVERSION",
    "host": "PGHOST",
}
_TEXTS: Final = frozenset(
    {
        *("host", "port", "user", "password", "dbname", "passfile", "service", "options", "application_name"),
        *("fallback_application_name", "sslrootcert", "sslcert", "sslkey", "sslpassword", "sslcrl", "krbsrvname"),
    }
)
_NUMBERS: Final = frozenset(
    {"connect_timeout", "keepalives_idle", "keepalives_interval", "keepalives_count", "tcp_user_timeout"}
)
_WRITES: Final = "Dargah writes, so it takes the server that does: write read-write or primary"
# What else they may say. Where there is a reason, only it can be told why another value is not taken.
_CHOICES: Final[Mapping[str, tuple[tuple[str, ...], str]]] = {
    "sslmode": (TLS_MODES, ""),
    "target_session_attrs": (("any", "read-write", "primary"), _WRITES),
    "load_balance_hosts": (("disable", "random"), ""),
    "keepalives": (("0", "1"), ""),
    "channel_binding": (
        ("disable", "prefer"),
        (
            "the driver cannot bind to the channel: write sslmode=verify-full, which keeps others out of it too, and "
            "leave channel_binding out"
        ),
    ),
    "gssencmode": (("disable", "prefer"), "the driver encrypts by TLS only: write sslmode=verify-full"),
    "sslnegotiation": (("postgres", "direct"), ""),
    "ssl_min_protocol_version": (TLS_VERSIONS, ""),
    "ssl_max_protocol_version": (TLS_VERSIONS, ""),
    "client_encoding": (("auto", "utf8", "UTF8", "utf-8", "UTF-8"), "Dargah speaks UTF8"),
    "sslcompression": (("0",), "compressed TLS is not safe"),
    "sslsni": (("1",), "the server's name is always told"),
    "sslcertmode": (("allow",), "leave it out: a certificate is shown where sslcert names one"),
    "gsslib": (("gssapi",), ""),
    "gssdelegation": (("0",), "nothing is delegated"),
    "min_protocol_version": (("3.0",), "the driver speaks version 3.0"),
    "max_protocol_version": (("3.0", "latest"), "the driver speaks version 3.0"),
}
_REFUSED: Final = {
    "hostaddr": "write the address as the host; with sslmode=verify-full its certificate must have it",
    "require_auth": "the driver cannot promise it: write sslmode=verify-full, and leave require_auth out",
    "requirepeer": "the driver cannot look at the server's user: keep the socket's folder to that user",
    "requiressl": "write sslmode=require",
    "sslcrldir": "name one file by sslcrl",
    "sslkeylogfile": "the keys of connections are not written to files",
    "replication": "Dargah is no standby",
    "scram_client_key": "write the password",
    "scram_server_key": "write the password",
    "oauth_issuer": "the driver does not know OAuth",
    "oauth_client_id": "the driver does not know OAuth",
    "oauth_client_secret": "the driver does not know OAuth",
    "oauth_scope": "the driver does not know OAuth",
}


def check(parameters: Mapping[str, str]) -> None:
    """Raises ValueError with the fault of the first unusable parameter."""
    for name, value in parameters.items():
        refusal = _refusal(name, value)
        if refusal is not None:
            raise ValueError(refusal)


def _refusal(name: str, value: str) -> str | None:
    if name in _REFUSED:
        return f"its parameter {name} is not taken: {_REFUSED[name]}"
    if name in _CHOICES:
        choices, why = _CHOICES[name]
        return None if value in choices else f"its {name} may be {', '.join(choices)}" + (f": {why}" if why else "")
    if name in _NUMBERS:
        known = re.fullmatch("-?[0-9]{1,9}", value, re.ASCII)
        return None if known else f"its {name} is a whole number"
    if name in _TEXTS:
        return f"its {name} has a zero byte" if "\0" in value else None
    return f"{name!r} is no parameter of libpq's. A setting of the server's is written options=-c%20name%3Dvalue"
