"""Settings: where they come from, which goes before which, and errors that say what to write.

And libpq's URL parameters: understood, or refused by name.
"""

import os
from ipaddress import ip_network
from pathlib import Path

import pytest

from proxy.config.database import PostgresqlUrl
from proxy.config.settings import SettingsError, load
from proxy.config.values import parse_retry_schedule
from proxy.database.libpq import CONNECT_SECONDS, Host, parse_target
from proxy.http.listeners import Address, Listen
from proxy.kernel.clock import HOUR, MINUTE, SECOND
from proxy.merchants.setup import HttpPolicy

TOKEN = "operator-token-0123456789abcdef"


@pytest.fixture(autouse=True)
def _no_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in list(os.environ):
        if name.upper().startswith("DARGAH_"):
            monkeypatch.delenv(name)


@pytest.fixture
def secrets_dir(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    directory = tmp_path / "secrets"
    directory.mkdir()
    monkeypatch.setenv("DARGAH_SECRETS_DIR", str(directory))
    return directory


def test_dargah_without_settings_listens_on_loopback_only() -> None:
    settings = load()
    assert settings.listen == Listen((Address("127.0.0.1", 8080),))
    assert settings.admin_listen == Listen((Address("127.0.0.1", 8081),))
    assert settings.base_url == "http://127.0.0.1:8080"
    assert not settings.development
    assert settings.database == Path("dargah.db")


def test_environment_variables_set_the_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DARGAH_LISTEN", "[::]:80")
    monkeypatch.setenv("DARGAH_PUBLIC_URL", "https://pay.example.ir/dargah/")
    monkeypatch.setenv("DARGAH_ENVIRONMENT", "Development")
    monkeypatch.setenv("DARGAH_WEBHOOK_ALLOW", "127.0.0.1:3000, 10.0.0.0/8 shop:80")
    settings = load()
    assert settings.listen == Listen((Address("::", 80),))
    assert settings.base_url == "https://pay.example.ir/dargah"
    assert settings.webhook_allow == ("127.0.0.1:3000", ip_network("10.0.0.0/8"), "shop:80")
    assert settings.http_policy == HttpPolicy(loopback=True, targets=frozenset({"127.0.0.1:3000", "shop:80"}))


def test_an_empty_variable_is_as_good_as_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DARGAH_PUBLIC_URL", "")
    assert load().public_url is None


def test_a_secret_file_sets_one_and_its_last_newline_is_no_part_of_it(secrets_dir: Path) -> None:
    (secrets_dir / "dargah_admin_token").write_text(f"{TOKEN}\n")
    (secrets_dir / "somebody_elses").write_text("ignored")
    assert load().admin_tokens() == {"admin": TOKEN}


def test_the_environment_goes_before_a_secret_file(secrets_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (secrets_dir / "DARGAH_ADMIN_TOKEN").write_text("f" * 32)
    monkeypatch.setenv("DARGAH_ADMIN_TOKEN", TOKEN)
    assert load().admin_tokens() == {"admin": TOKEN}


def test_a_link_inside_the_directory_is_followed_as_orchestrators_make_them(secrets_dir: Path) -> None:
    version = secrets_dir / "..2026_11_24"
    version.mkdir()
    (version / "dargah_admin_token").write_text(TOKEN)
    (secrets_dir / "..data").symlink_to(version.name)
    (secrets_dir / "dargah_admin_token").symlink_to("..data/dargah_admin_token")
    assert load().admin_tokens() == {"admin": TOKEN}


def test_a_link_out_of_the_directory_is_refused(secrets_dir: Path, tmp_path: Path) -> None:
    (tmp_path / "outside").write_text(TOKEN)
    (secrets_dir / "dargah_admin_token").symlink_to("../outside")
    with pytest.raises(SettingsError, match="a link out of the directory"):
        load()


def test_a_secret_file_that_is_too_large_or_no_text_is_refused(secrets_dir: Path) -> None:
    file = secrets_dir / "dargah_keys"
    file.write_bytes(b"k" * 65_537)
    with pytest.raises(SettingsError, match="larger than 65536 bytes"):
        load()
    file.write_bytes(b"\xff\xfe")
    with pytest.raises(SettingsError, match="not UTF-8"):
        load()


def test_a_secrets_directory_that_is_not_there_is_told(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("DARGAH_SECRETS_DIR", str(tmp_path / "nowhere"))
    with pytest.raises(SettingsError, match=r"DARGAH_SECRETS_DIR: .*cannot be listed"):
        load()


@pytest.mark.parametrize(
    ("name", "value", "told"),
    [
        ("LISTEN", "8080", "DARGAH_LISTEN: write host:port"),
        ("LISTEN", "0.0.0.0:70000", "DARGAH_LISTEN: write host:port"),
        ("LISTEN", "a b:80", "DARGAH_LISTEN: write host:port"),
        ("DATABASE", "postgresql://dargah:hunter2@db", "DARGAH_DATABASE: write postgresql://"),
        ("DATABASE", "postgresql:dargah:hunter2@db/dargah", "DARGAH_DATABASE: write postgresql://"),
        ("DATABASE", "postgresql://dargah:hunter2 @db/dargah", "DARGAH_DATABASE: write postgresql://"),
        ("DATABASE", "postgresql://dargah:hunter#2@db/dargah", "DARGAH_DATABASE: write postgresql://"),
        ("DATABASE", "mysql://db", "DARGAH_DATABASE: mysql:// is not known"),
        ("DATABASE", ":memory:", "DARGAH_DATABASE: name a file"),
        ("DATABASE", "sqlite:", "DARGAH_DATABASE: name a file"),
        ("DATABASE", "sqlite://data.db", "three slashes"),
        ("PUBLIC_URL", "pay.example.ir", "must start with https://"),
        ("PUBLIC_URL", "http://pay.example.ir", "DARGAH_PUBLIC_URL must be https://"),
        ("PUBLIC_URL", "https://pay.example.ir/?a=1", "without ? or #"),
        ("PUBLIC_URL", "https://u:p@pay.example.ir", "user name or password"),
        ("ADMIN_TOKEN", "hunter2", "DARGAH_ADMIN_TOKEN: a token has at least 24 characters"),
        ("ADMIN_TOKEN", "with spaces hunter2 hunter2", "visible ASCII"),
        ("ADMIN_TOKEN", f"a:{TOKEN},a:{TOKEN}2", "same name"),
        ("ADMIN_TOKEN", f"a:{TOKEN},b:{TOKEN}", "are the same"),
        ("WEBHOOK_ALLOW", "10.0.0.1/8", "DARGAH_WEBHOOK_ALLOW: '10.0.0.1/8': write host:port"),
        ("WEBHOOK_ALLOW", "example", "DARGAH_WEBHOOK_ALLOW"),
        ("WEBHOOK_RETRY_SCHEDULE", "5s,,2h", "DARGAH_WEBHOOK_RETRY_SCHEDULE: '' is no delay; write a number with"),
        ("WEBHOOK_RETRY_SCHEDULE", "5", "DARGAH_WEBHOOK_RETRY_SCHEDULE: '5' is no delay"),
        ("WEBHOOK_RETRY_SCHEDULE", "5s 5m", "DARGAH_WEBHOOK_RETRY_SCHEDULE: '5s 5m' is no delay"),
        ("WEBHOOK_RETRY_SCHEDULE", "1.5h", "DARGAH_WEBHOOK_RETRY_SCHEDULE: '1.5h' is no delay"),
        ("WEBHOOK_RETRY_SCHEDULE", "1d", "DARGAH_WEBHOOK_RETRY_SCHEDULE: '1d' is no delay"),
        ("WEBHOOK_RETRY_SCHEDULE", "5s,0s", "DARGAH_WEBHOOK_RETRY_SCHEDULE: '0s' is out of bounds; a delay takes 1s"),
        ("WEBHOOK_RETRY_SCHEDULE", "73h", "DARGAH_WEBHOOK_RETRY_SCHEDULE: '73h' is out of bounds"),
        ("WEBHOOK_RETRY_SCHEDULE", ",".join(["1s"] * 21), "DARGAH_WEBHOOK_RETRY_SCHEDULE: 21 delays; write at most 20"),
        ("LOG_LEVEL", "loud", "DARGAH_LOG_LEVEL: Input should be 'debug'"),
        ("ENVIRONMENT", "prod", "DARGAH_ENVIRONMENT: Input should be 'production' or 'development'"),
        ("DRAIN_SECONDS", "0", "DARGAH_DRAIN_SECONDS: Input should be greater than 0"),
        ("WAITING_LIMIT", "many", "DARGAH_WAITING_LIMIT: Input should be a valid integer"),
    ],
)
def test_a_bad_value_is_told_by_name_with_what_to_write(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str, told: str
) -> None:
    monkeypatch.setenv(f"DARGAH_{name}", value)
    with pytest.raises(SettingsError) as caught:
        load()
    assert told in str(caught.value)
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "delays"),
    [
        ("5s", [5 * SECOND]),
        (" 90s, 5m ,72h", [90 * SECOND, 5 * MINUTE, 72 * HOUR]),
        (",".join(["259200s"] * 20), [72 * HOUR] * 20),
    ],
)
def test_a_retry_schedule_is_read_and_shown(monkeypatch: pytest.MonkeyPatch, text: str, delays: list[int]) -> None:
    monkeypatch.setenv("DARGAH_WEBHOOK_RETRY_SCHEDULE", text)
    schedule = load().webhook_retry_schedule
    assert list(schedule.delays) == delays
    assert parse_retry_schedule(str(schedule)) == schedule


def test_every_bad_value_is_told_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DARGAH_LISTEN", "x")
    monkeypatch.setenv("DARGAH_LOG_FORMAT", "xml")
    with pytest.raises(SettingsError) as caught:
        load()
    assert [line.partition(":")[0] for line in str(caught.value).splitlines()] == ["DARGAH_LISTEN", "DARGAH_LOG_FORMAT"]


def test_a_mistyped_name_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DARGAH_DATABSE", "sqlite:elsewhere.db")
    with pytest.raises(SettingsError, match="did you mean DARGAH_DATABASE"):
        load()


def test_variables_that_an_orchestrator_adds_for_its_services_do_no_harm(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("PORT", "ADMIN_PORT", "PORT_8080_TCP", "PORT_8080_TCP_ADDR"):
        monkeypatch.setenv(f"DARGAH_{name}", "tcp://10.96.0.10:8080")
    for name in ("SERVICE_HOST", "SERVICE_PORT", "ADMIN_SERVICE_HOST", "ADMIN_SERVICE_PORT"):
        monkeypatch.setenv(f"DARGAH_{name}", "10.96.0.10")
    assert load().listen == Listen((Address("127.0.0.1", 8080),))


@pytest.mark.parametrize(
    ("text", "path"),
    [
        ("sqlite:dargah.db", "dargah.db"),
        ("sqlite:data/dargah.db", "data/dargah.db"),
        ("sqlite:///var/lib/dargah.db", "/var/lib/dargah.db"),
        ("sqlite:/var/lib/dargah.db", "/var/lib/dargah.db"),
        ("/var/lib/dargah.db", "/var/lib/dargah.db"),
        ("dargah.db", "dargah.db"),
    ],
)
def test_the_database_is_a_file_however_it_is_written(monkeypatch: pytest.MonkeyPatch, text: str, path: str) -> None:
    monkeypatch.setenv("DARGAH_DATABASE", text)
    assert load().database == Path(path)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("postgresql://dargah:hunter2@db.example/dargah", "postgresql://db.example/dargah"),
        (
            "postgres://dargah:hunter2@a:5432,b:5433/dargah?target_session_attrs=primary",
            "postgresql://a:5432,b:5433/dargah",
        ),
        ("postgresql:///dargah?host=/run/postgresql&password=hunter2", "postgresql:///dargah"),
    ],
)
def test_a_database_server_is_shown_without_its_password(
    monkeypatch: pytest.MonkeyPatch, text: str, shown: str
) -> None:
    monkeypatch.setenv("DARGAH_DATABASE", text)
    database = load().database
    assert isinstance(database, PostgresqlUrl)
    assert (str(database), database.name, database.text) == (shown, "dargah", text)
    assert "hunter2" not in repr(load())


def test_operators_may_have_a_token_each(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DARGAH_ADMIN_TOKEN", f"sara:{TOKEN},omid:{TOKEN}2")
    assert load().admin_tokens() == {"sara": TOKEN, "omid": f"{TOKEN}2"}


def test_all_settings_missing_to_serve_are_told_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DARGAH_LISTEN", "0.0.0.0:8080")
    with pytest.raises(SettingsError) as caught:
        load().check_serving()
    assert [line.split()[0] for line in str(caught.value).splitlines()] == [
        "DARGAH_PUBLIC_URL",
        "DARGAH_ADMIN_TOKEN",
        "DARGAH_KEYS",
    ]


def test_the_key_ring_comes_from_a_file_or_from_the_environment_but_not_from_both(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    file = tmp_path / "keys"
    file.write_text("k2026:from-the-file\n")
    monkeypatch.setenv("DARGAH_KEYS_FILE", str(file))
    assert load().key_text() == "k2026:from-the-file"
    monkeypatch.setenv("DARGAH_KEYS", "k2026:from-the-environment")
    with pytest.raises(SettingsError, match="not both"):
        load()
    monkeypatch.delenv("DARGAH_KEYS_FILE")
    assert load().key_text() == "k2026:from-the-environment"


def test_a_key_file_that_is_not_there_is_told(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("DARGAH_KEYS_FILE", str(tmp_path / "nowhere"))
    with pytest.raises(SettingsError, match=r"DARGAH_KEYS_FILE: .*cannot be read"):
        load().key_text()


def test_no_secret_is_in_the_settings_text(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DARGAH_ADMIN_TOKEN", TOKEN)
    monkeypatch.setenv("DARGAH_KEYS", "k2026:canary")
    shown = repr(load())
    assert TOKEN not in shown
    assert "canary" not in shown


@pytest.fixture(autouse=True)
def _no_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in list(os.environ):
        if name.startswith("PG"):
            monkeypatch.delenv(name)


@pytest.mark.parametrize(
    ("url", "hosts"),
    [
        ("postgresql://u@a/d", ["a:5432"]),
        ("postgresql://u@a:6543,b,[::1]:77/d", ["a:6543", "b:5432", "[::1]:77"]),
        ("postgresql://u@/d?host=a,b&port=1,2", ["a:1", "b:2"]),
        ("postgresql://u@/d?host=a,::1&port=7", ["a:7", "[::1]:7"]),
        ("postgresql://u@%2Frun%2Fpg/d", ["/run/pg"]),
        ("postgresql:///d?host=/run/pg&user=u", ["/run/pg"]),
    ],
)
def test_every_form_of_hosts_is_understood(url: str, hosts: list[str]) -> None:
    assert [str(host) for host in parse_target(url, {}).hosts] == hosts


def test_libpqs_url_parameters_are_understood() -> None:
    target = parse_target(
        "postgresql://u:p%40ss@h/d?connect_timeout=3&keepalives_idle=7&keepalives_interval=2&keepalives_count=4"
        "&tcp_user_timeout=4000&target_session_attrs=read-write&load_balance_hosts=random&application_name=shop"
        "&options=-c%20search_path%3Dlater&sslmode=verify-full&sslrootcert=system&ssl_min_protocol_version=TLSv1.3"
        "&channel_binding=prefer&gssencmode=disable&client_encoding=UTF8&krbsrvname=pg&passfile=/p",
        {},
    )
    assert (target.password, target.connect_seconds, target.any_order) == ("p@ss", 3.0, True)
    assert (target.silence.idle, target.silence.interval, target.silence.count) == (7, 2, 4)
    assert target.silence.user_timeout == 4000
    assert target.settings == {"application_name": "shop", "options": "-c search_path=later"}
    assert (target.tls.mode, target.tls.authorities, target.tls.least_version) == ("verify-full", "system", "TLSv1.3")
    assert (target.kerberos_service, target.passfile) == ("pg", "/p")
    assert "p@ss" not in repr(target)


@pytest.mark.parametrize(("seconds", "waited"), [("0", CONNECT_SECONDS), ("-1", CONNECT_SECONDS), ("3600", 10.0)])
def test_a_connect_timeout_that_never_ends_is_bounded(seconds: str, waited: float) -> None:
    assert parse_target(f"postgresql://u@h/d?connect_timeout={seconds}", {}).connect_seconds == waited


@pytest.mark.parametrize(
    ("query", "told"),
    [
        ("channel_binding=require", "channel_binding may be disable, prefer: .*sslmode=verify-full"),
        ("require_auth=scram-sha-256", "require_auth is not taken"),
        ("target_session_attrs=standby", "target_session_attrs may be any, read-write, primary: Dargah writes"),
        ("target_session_attrs=prefer-standby", "target_session_attrs may be"),
        ("target_session_attrs=read-only", "target_session_attrs may be"),
        ("hostaddr=127.0.0.1", "hostaddr is not taken: write the address as the host"),
        ("gssencmode=require", "gssencmode may be"),
        ("client_encoding=LATIN1", "client_encoding may be .*UTF8"),
        ("sslmode=certainly", "sslmode may be disable, allow"),
        ("sslrootcert=system&sslmode=require", "sslrootcert=system needs sslmode=verify-full"),
        ("sslnegotiation=direct", "sslnegotiation=direct needs sslmode=require"),
        ("connect_timeout=soon", "connect_timeout is a whole number"),
        ("connect_timeout=٣", "connect_timeout is a whole number"),
        ("search_path=x", "'search_path' is no parameter of libpq's. .*options="),
        ("sslmode=disable&sslmode=verify-full", "sslmode stands twice"),
        ("user=other", "user stands twice"),
        ("host=other", "host stands twice"),
        ("port=1", "names a port twice"),
        ("sslmode", "name=value"),
        ("passfile=%FF", "name=value"),
        ("oauth_issuer=x", "oauth_issuer is not taken"),
    ],
)
def test_a_url_parameter_that_cannot_be_kept_is_refused_by_name(query: str, told: str) -> None:
    with pytest.raises(ValueError, match=told) as caught:
        parse_target(f"postgresql://u:hunter2@h:5432/d?{query}", {})
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize(
    "url", ["postgresql://u:hunter2@ﬀ℀/d", "postgresql://u:hunter2@[::1/d", "postgresql://u:hunter2@a,,b/d"]
)
def test_a_malformed_database_url_is_refused_without_its_password(url: str) -> None:
    with pytest.raises(ValueError, match="hosts") as caught:
        parse_target(url, {})
    assert "hunter2" not in str(caught.value)


def test_the_url_goes_before_its_service_and_that_before_the_variables(tmp_path: Path) -> None:
    file = tmp_path / "services"
    file.write_text("[shop]\nhost=served\nport=7\nsslmode=verify-ca\nconnect_timeout=4\n")
    variables = {"PGSERVICEFILE": str(file), "PGSSLMODE": "disable", "PGHOST": "variable", "PGPASSWORD": "secret"}
    target = parse_target("postgresql://u@/d?service=shop&connect_timeout=2", variables)
    assert target.hosts == (Host("served", 7),)
    assert (target.tls.mode, target.connect_seconds, target.password) == ("verify-ca", 2.0, "secret")
    assert parse_target("postgresql://u@/d", variables).hosts == (Host("variable", 5432),)
    with pytest.raises(ValueError, match="service 'other' is not in"):
        parse_target("postgresql://u@/d?service=other", variables)


def test_the_port_of_the_environment_is_for_hosts_without_one() -> None:
    assert parse_target("postgresql://u@a,b:7/d", {"PGPORT": "6432"}).hosts == (Host("a", 6432), Host("b", 7))
