"""What to do where PostgreSQL does not let a start through, by the kind of the error."""

import errno
import socket
import ssl
from typing import Final

import asyncpg

from proxy.database.postgresql.primary import ReadOnlyServer

_BY_TEXT: Final = (
    ("unsupported startup parameter", "a pooler stands before it: set DARGAH_DATABASE_POOLER=true"),
    (
        "statement pooling mode",
        "PgBouncer has pool_mode=statement: set it to transaction, with DARGAH_DATABASE_POOLER=true",
    ),
    ("SSL upgrade", "it has no TLS: turn `ssl` on there, or set sslmode=prefer where the network is your own"),
    ("SSL required", "set sslmode=require in the URL"),
    (
        "no pg_hba.conf entry",
        "add a line for this user, database and address to its pg_hba.conf, or set sslmode=require where TLS has one",
    ),
    ("does not exist", "look at the names of user and database in the URL, or make them (`createuser`, `createdb`)"),
)
_BY_KIND: Final = (
    (asyncpg.InvalidPasswordError, "look at the user and the password: in the URL, PGPASSWORD or PGPASSFILE"),
    (asyncpg.InvalidAuthorizationSpecificationError, "look at the user in the URL, and at the server's pg_hba.conf"),
    (asyncpg.InsufficientPrivilegeError, "GRANT it to the user, or name the owner's (docs/operations.md)"),
    (asyncpg.TooManyConnectionsError, "raise its max_connections, or lower DARGAH_DATABASE_CONNECTIONS"),
    (asyncpg.CannotConnectNowError, "start again in a moment"),
    (asyncpg.DiskFullError, "free some room on the server's disk, then start again"),
    (ReadOnlyServer, "name the primary, or all of its hosts, comma separated"),
    (ssl.SSLError, "look at sslmode, sslrootcert and the server's certificate"),
    (socket.gaierror, "look at the host in the URL"),
    (ConnectionRefusedError, "is it started, and does it listen there? Look at host and port in the URL"),
    (TimeoutError, "is it a PostgreSQL server, and does no firewall stand between?"),
    (FileNotFoundError, "no server has its socket there: is it started? Look at the host in the URL"),
    (PermissionError, "this user may not use its socket: name a TCP host, or let the user in"),
)
_OTHERWISE: Final = "look at the server's log, and at the URL"


def remedy(error: BaseException) -> str:
    """What to do for an error of the driver's or of the network's, from the first use of a database."""
    text = str(error)
    for part, words in _BY_TEXT:
        if part in text:
            return words
    for kind, words in _BY_KIND:
        if isinstance(error, kind):
            return words
    if isinstance(error, OSError) and error.errno in {errno.EHOSTUNREACH, errno.ENETUNREACH}:
        return "no network leads there: look at the host in the URL, and at the routes and firewalls between"
    return _OTHERWISE
