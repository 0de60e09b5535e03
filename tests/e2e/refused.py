"""Commands that are refused, and the sentence that each is refused with: what the walk in test_refusals.py walks."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

PUBLIC: Final = "https://pay.example.ir"
TEXT: Final = "yes text | head -c 9000"
NOWHERE: Final = "postgresql://x@127.0.0.1:1/x"
# Root passes permissions by; without these two it does not.
AS_OWNER: Final = "setpriv --bounding-set -dac_override,-dac_read_search"
NO_LOW_PORTS: Final = "setpriv --bounding-set -net_bind_service"
MEGABYTE: Final = 1 << 20


@dataclass(frozen=True, slots=True)
class Refused:
    """A command that is refused, and what its sentence `says`, a pattern.

    It runs in a folder with an empty folder `data`, in which its database would be. `prepare` is shell that runs
    before it, `prefix` words of shell before the command, and `env` settings without their DARGAH_. In all of them
    `{folder}` and the other names of `test_refusals.Surroundings` are filled in.
    """

    says: str
    prepare: str = ""
    prefix: str = ""
    env: tuple[tuple[str, str], ...] = ()
    command: tuple[str, ...] = ("serve",)

    @property
    def mounts(self) -> bool:
        return "mount" in self.prepare

    @property
    def takes_root(self) -> bool:
        return self.mounts or "chattr" in self.prepare or "setpriv" in self.prefix

    @property
    def takes_low_port(self) -> bool:
        return self.prefix == NO_LOW_PORTS

    def filled(self, names: Mapping[str, str]) -> "Refused":
        """The same with `{name}` of these names filled in."""

        def fill(text: str, form: Callable[[str], str] = str) -> str:
            for name, value in names.items():
                text = text.replace(f"{{{name}}}", form(value))
            return text

        env = tuple((name, fill(value)) for name, value in self.env)
        return Refused(fill(self.says, re.escape), fill(self.prepare), self.prefix, env, tuple(map(fill, self.command)))


def of(says: str, *command: str, prepare: str = "", **env: str) -> Refused:
    return Refused(says, prepare, env=tuple(env.items()), command=command or ("serve",))


PLACES: Final = (
    of(r"127.0.0.1:{port} \(DARGAH_LISTEN\): something listens there .*ss -lntxp", LISTEN="127.0.0.1:{port}"),
    of(r"127.0.0.1:{port} \(DARGAH_ADMIN_LISTEN\): .*: stop it", ADMIN_LISTEN="127.0.0.1:{port}"),
    of(r"\[::1\]:{port6} \(DARGAH_LISTEN\): something listens there", LISTEN="[::1]:{port6}"),
    of(r"127.0.0.1:{port} \(--host, --port\): something listens", "simulator", "--port", "{port}"),
    of(
        r"192.0.2.1:8080 \(DARGAH_LISTEN\): this machine has no such address; 0.0.0.0 is",
        LISTEN="192.0.2.1:8080",
        PUBLIC_URL=PUBLIC,
    ),
    of(
        r"nowhere.invalid:8080 \(DARGAH_ADMIN_LISTEN\): no address is known for this name: set",
        ADMIN_LISTEN="nowhere.invalid:8080",
    ),
    of(
        r"nowhere.invalid:0 \(--host, --port\): no address is known",
        "simulator",
        "--port",
        "0",
        "--host",
        "nowhere.invalid",
    ),
    of("DARGAH_LISTEN: write host:port, such as", LISTEN="here"),
    of(
        r"{folder}/none/d.sock \(DARGAH_LISTEN\): the folder is not there: make it",
        LISTEN="unix:{folder}/none/d.sock",
        PUBLIC_URL=PUBLIC,
    ),
    of(
        r"{folder}/file \(DARGAH_LISTEN\): a file that is no socket has this name: remove",
        prepare="touch file",
        LISTEN="unix:{folder}/file",
        PUBLIC_URL=PUBLIC,
    ),
    of(r"held.sock \(DARGAH_LISTEN\): something listens there already", LISTEN="unix:{held}", PUBLIC_URL=PUBLIC),
    of("DARGAH_LISTEN: write unix:.* 106 bytes at most", LISTEN="unix:/" + "a" * 107),
)
FILES: Final = (
    of("the folder .*/data is not there: make it", prepare="rmdir data"),
    of(r"{folder}/data is no folder: name a file in one \(DARGAH_DATABASE\)", prepare="rmdir data; touch data"),
    of(r"dargah.db .*it is a folder: name a file in it \(DARGAH_DATABASE\)", prepare="mkdir data/dargah.db"),
    of(r"File name too long.*: name another \(DARGAH_DATABASE\)", DATABASE="data/" + "a" * 300),
    of(r"{folder}/\{x\} is not there: make it", DATABASE="{folder}/{x}/{0}.db"),
    of(r"dargah.db .*it is no SQLite database: name another \(DARGAH_DATABASE\)", prepare=f"{TEXT} > data/dargah.db"),
    of(
        "dargah.db .*it is (no SQLite database|damaged): ",
        prepare="(printf 'SQLite format 3\\0'; head -c 9000 /dev/urandom) > data/dargah.db",
    ),
    of(
        r"dargah.db .*it is another program's, with the table bookmarks: name another file",
        prepare="cp {made}/other.db data/dargah.db",
    ),
    of(
        r"dargah.db .*schema version 9999 .*: start the newer Dargah that migrated it",
        prepare="cp {made}/newer.db data/dargah.db",
    ),
    of(
        r"dargah.db .*its tables are not as Dargah made them .*`dargah restore`",
        prepare="cp {made}/odd.db data/dargah.db",
    ),
    of(
        r"dargah.db .*it is damaged \(.*\): .*put a backup in its place with `dargah restore`",
        prepare="head -c 8192 {made}/ours.db > data/dargah.db",
    ),
    of(
        r"dargah.db .*it is damaged \(.*\): .*put a backup in its place with `dargah restore`",
        prepare="cp {made}/torn.db data/dargah.db",
    ),
    of("a folder beside it has the name of its WAL .*: move that away", prepare="mkdir data/dargah.db-wal"),
    of(r"locked.db is open in another process \(pid [0-9]+\).*stop that one", DATABASE="{locked}"),
    of("DARGAH_DATABASE: mysql:// is not known; write sqlite:dargah.db", DATABASE="mysql://h/d"),
    of(
        r"{folder}/data: free some",
        prepare="mount -t tmpfs -o size=64k tmpfs data; head -c 1M /dev/zero > data/much 2>&- || true",
    ),
    of("dargah.db .*its file system is read-only: mount it", prepare="mount -t tmpfs -o ro tmpfs data"),
    of("dargah.db .*see `lsattr", prepare="touch data/dargah.db; chattr +i data/dargah.db"),
    of("dargah.db .*see `lsattr", prepare="chattr +i data"),
    Refused(
        r"\(uid 0\) may not write .*dargah.db: `chown`", "touch data/dargah.db; chmod 400 data/dargah.db", AS_OWNER
    ),
    Refused(r"\(uid 0\) may not write .*dargah.db.lock: `chown`", "chmod 500 data", AS_OWNER),
    Refused(
        r"\(uid 0\) may not write .*dargah.db-wal: `chown`",
        "cp {made}/ours.db data/dargah.db; touch data/dargah.db-wal; chmod 0 data/dargah.db-wal",
        AS_OWNER,
    ),
)
LIMITS: Final = (
    *(
        Refused(
            rf"its address space is {megabytes} MB \(`ulimit -v`\), 192 MB are the least",
            prefix=f"prlimit --as={megabytes * MEGABYTE} --",
        )
        for megabytes in (100, 190)
    ),
    *(
        Refused(
            rf"may open {files} files \(`ulimit -n`\): 256 are the least, and 5224 are needed",
            prefix=f"prlimit --nofile={files}:{files} --",
        )
        for files in (64, 255)
    ),
    Refused(
        r"127.0.0.1:1 \(DARGAH_LISTEN\): this process may not: ports below 1024 need CAP_NET_BIND_SERVICE",
        prefix=NO_LOW_PORTS,
        env=(("LISTEN", "127.0.0.1:1"),),
    ),
)
SETTINGS: Final = (
    of("DARGAH_KEYS or DARGAH_KEYS_FILE is missing: .*`dargah keys generate`", KEYS=""),
    of("key ring, line 1: write it as name:base64, as `dargah keys generate`", KEYS="short"),
    of("set DARGAH_KEYS or DARGAH_KEYS_FILE, not both", KEYS_FILE="/nowhere/ring"),
    of(r"DARGAH_KEYS_FILE: /nowhere/ring cannot be read .*: make it", KEYS="", KEYS_FILE="/nowhere/ring"),
    of(r"DARGAH_KEYS_FILE: .*/data cannot be read .*: make it", KEYS="", KEYS_FILE="{folder}/data"),
    of(
        "DARGAH_KEYS_FILE: .* is larger than 65536 bytes.* another file",
        prepare="head -c 70000 /dev/zero > ring",
        KEYS="",
        KEYS_FILE="{folder}/ring",
    ),
    of(
        "DARGAH_KEYS_FILE: .* is not UTF-8 text: was another file meant",
        prepare="printf '\\377\\376' > ring",
        KEYS="",
        KEYS_FILE="{folder}/ring",
    ),
    of("DARGAH_SECRETS_DIR: /nowhere cannot be listed .*: make it", SECRETS_DIR="/nowhere"),
    of("DARGAH_ADMIN_TOKEN is missing: .*`openssl rand -hex 32`", ADMIN_TOKEN=""),
    of("DARGAH_ADMIN_TOKEN: a token has at least 24 characters; `openssl rand", ADMIN_TOKEN="short"),
    of("DARGAH_PUBLIC_URL is missing: .*such as https://", LISTEN="0.0.0.0:8080"),
    of("DARGAH_PUBLIC_URL: the URL must start with https://", PUBLIC_URL="pay.example.ir"),
    of("DARGAH_LISTN is not a setting; did you mean DARGAH_LISTEN", LISTN="127.0.0.1:0"),
    of("DARGAH_DRAIN_SECONDS: .* valid number", DRAIN_SECONDS="soon"),
    of("DARGAH_DRAIN_SECONDS: .* greater than 0", DRAIN_SECONDS="-1"),
    of("DARGAH_LOG_LEVEL: .*'debug', 'info'", LOG_LEVEL="loud"),
    of("DARGAH_ROLES: 'send' is no role; write one or more of", "serve", "--roles", "send"),
    of("DARGAH_ROLES lacks watch, deliver: .*PostgreSQL", ROLES="api"),
    of("DARGAH_EGRESS_PROXY: write http://host:port", EGRESS_PROXY="socks5://10.0.0.5"),
    of("DARGAH_GATEWAY_CA_FILES: a.ir=.*cannot be read .*name a PEM file", GATEWAY_CA_FILES="a.ir=/nowhere"),
    of(
        "DARGAH_WEBHOOK_CLIENT_CERT_FILES: a.ir=.*name a PEM file",
        prepare="touch pem",
        WEBHOOK_CLIENT_CERT_FILES="a.ir={folder}/pem",
    ),
    of("DARGAH_TRACES_URL: write it whole, such as", TRACES_URL="collector"),
    of(r"DARGAH_DATABASE \(postgresql://127.0.0.1:1/x\): .*is it started.*host and port", DATABASE=NOWHERE),
    of(r"DARGAH_DATABASE \(.*\): .*look at the host in the URL", DATABASE="postgresql://x@nowhere.invalid/x"),
    of(r"DARGAH_DATABASE \(.*\): .*is it started", DATABASE="postgresql://x@/x?host=/nowhere"),
    of("DARGAH_DATABASE: 'x' is no parameter of libpq's", DATABASE="postgresql://x@h/x?x=1"),
)
COMMANDS: Final = (
    of("DARGAH_LISTN is not a setting; did you mean", "config", LISTN="1"),
    of("DARGAH_LISTN is not a setting; did you mean", "health", LISTN="1"),
    of("DARGAH_LISTN is not a setting; did you mean", "migrate", LISTN="1"),
    of("dargah.db is not there: `dargah serve` makes it", "migrate"),
    of("dargah.db .*it is a folder: name a file in it", "migrate", prepare="mkdir data/dargah.db"),
    of("dargah.db .*it is no SQLite database: name another", "migrate", prepare=f"{TEXT} > data/dargah.db"),
    of("dargah.db .*another program's", "migrate", prepare="cp {made}/other.db data/dargah.db"),
    of("is open in another process", "migrate", DATABASE="{locked}"),
    of(
        r"DARGAH_MIGRATION_DATABASE \(postgresql://127.0.0.1:1/x\): .*is it started",
        "migrate",
        DATABASE="postgresql://y@127.0.0.1:2/y",
        MIGRATION_DATABASE=NOWHERE,
    ),
    of("none.db is not there", "migrate-store", "--from", "none.db", "--to", NOWHERE),
    of(
        r"{folder}/file cannot be used as the database to move from: .*name another \(--from\)",
        "migrate-store",
        "--from",
        "file",
        "--to",
        NOWHERE,
        prepare=f"{TEXT} > file",
    ),
    of(
        r"--to \(postgresql://127.0.0.1:1/x\): .*is it started",
        "migrate-store",
        "--from",
        "{made}/moved.db",
        "--to",
        NOWHERE,
    ),
    of("is not UTF-8 text", "migrate-store", "--from", "a.db", "--to-file", "file", prepare="printf '\\377' > file"),
    of("DARGAH_LISTN is not a setting; did you mean", "backup", "copy.db", LISTN="1"),
    of("copy.db exists; a backup overwrites nothing: name another", "backup", "copy.db", prepare="touch copy.db"),
    of(
        r"{folder}/none/copy.db cannot be used as the backup: the folder .* is not there: make it",
        "backup",
        "none/copy.db",
        prepare="cp {made}/ours.db data/dargah.db",
    ),
    of("dargah.db .*it is no SQLite database", "backup", "copy.db", prepare=f"{TEXT} > data/dargah.db"),
    of("nothing was changed: .*file is no whole SQLite database", "restore", "file", prepare=f"{TEXT} > file"),
    of("nothing was changed: .*schema version 9999", "restore", "{made}/newer.db"),
    of("nothing was changed: .*is open in another process", "restore", "{made}/ours.db", DATABASE="{locked}"),
    of("nothing was changed: .*the folder .* is not there: make it", "restore", "{made}/ours.db", DATABASE="none/d.db"),
    of("nothing was changed: .*dargah.db is not there: set DARGAH_DATABASE", "restore", "--in-place"),
    of(r"nothing was changed: DARGAH_DATABASE \(.*\): .*is it started", "restore", "--in-place", DATABASE=NOWHERE),
    of(
        r"{folder}/none/l.db cannot be used as the ledger: the folder .* make it, .* \(--ledger\)",
        "simulator",
        "--port",
        "0",
        "--ledger",
        "none/l.db",
    ),
    of(
        r"file cannot be used as the ledger: it is no SQLite database",
        "simulator",
        "--port",
        "0",
        "--ledger",
        "file",
        prepare=f"{TEXT} > file",
    ),
    of(
        r"ours.db cannot be used as the ledger: it is another program's",
        "simulator",
        "--port",
        "0",
        "--ledger",
        "{made}/ours.db",
    ),
    of(r"is open in another process: stop that one", "simulator", "--port", "0", "--ledger", "{ledger}"),
    of("no operator's token: set DARGAH_ADMIN_TOKEN", "merchant", "list", ADMIN_TOKEN=""),
    of("none cannot be read .*: name a file", "merchant", "list", "--token-file", "none"),
    of(
        "'http://127.0.0.1:x' is not a URL of the operator's API .*write it like http",
        "merchant",
        "list",
        ADMIN_URL="http://127.0.0.1:x",
    ),
    of(r"'http://\[::1' is not a URL of the operator's API .*write it like http", "doctor", ADMIN_URL="http://[::1"),
    of(
        r"is not a URL of the operator's API .*write it like http",
        "merchant",
        "list",
        ADMIN_URL="http://127.0.0.1:1/a b\nc",
    ),
    of("'x' is not a payment's id; those look like pay_", "payment", "show", "x"),
    of("'x' is not a merchant's id; those look like mer_", "merchant", "show", "x"),
    of("no token: set DARGAH_TOKEN to the shop's", "event", "list"),
    of(
        r"--forward-to.* write it like http://localhost:3000",
        "listen",
        "--forward-to",
        "http://[::1",
        TOKEN="dg_live_x",
    ),
    of(
        "none: there is no such file or folder: make it, or name another",
        "merchant",
        "create",
        "--name",
        "x",
        "--logo",
        "none",
    ),
    of("'--csv': File 'none' does not exist", "reconcile", "--csv", "none", "--merchant", "mer_00000000"),
    of("No such command 'x'", "x"),
    of("No such option '--x'", "serve", "--x"),
)
