"""Settings: `DARGAH_…` in the environment, or one flat file per secret in the directory DARGAH_SECRETS_DIR.

`dargah config` prints a setting's description. An environment variable goes before a file. What `dargah.env` says
stands in the environment when the settings are read: see env_file.py.
"""

import difflib
import os
from collections.abc import Iterator, Mapping
from ipaddress import IPv4Network, IPv6Network
from pathlib import Path
from typing import Annotated, Any, Final, Literal

from pydantic import BeforeValidator, Field, SecretStr, ValidationError, field_validator, model_validator
from pydantic.fields import FieldInfo
from pydantic_settings import BaseSettings, NoDecode, PydanticBaseSettingsSource, SettingsConfigDict

from proxy.config import env_file
from proxy.config.alerts import AlertSettings
from proxy.config.database import DatabaseSettings
from proxy.config.http import WireSettings
from proxy.config.outbound import OutboundSettings
from proxy.config.secret_files import SecretFileError, read_secret_file, readable_by_all, secret_files
from proxy.config.sign_in import SignInSettings
from proxy.config.values import (
    ALL_ROLES,
    AdminTokens,
    Environment,
    ProcessRole,
    check_alone,
    check_public_url,
    parse_admin_tokens,
    parse_listen,
    parse_public_url,
    parse_retry_schedule,
    parse_roles,
    parse_webhook_allow,
)
from proxy.http.listeners import Address, Listen
from proxy.kernel.errors import StartRefused
from proxy.merchants.setup import HttpPolicy
from proxy.webhooks.retry_policy import DEFAULT_SCHEDULE, RetrySchedule

PREFIX: Final = "DARGAH_"
SECRETS_DIR: Final = f"{PREFIX}SECRETS_DIR"

Seconds = Annotated[float, Field(gt=0, le=3600)]
Limit = Annotated[int, Field(ge=1, le=100_000)]
KeepDays = Annotated[int, Field(ge=4, le=3650)]  # the default retry schedule takes more than three days


class SettingsError(StartRefused):
    """Wrong or missing settings: one line each, with the remedy and without the value of a secret."""


class Settings(DatabaseSettings, OutboundSettings, AlertSettings, SignInSettings, WireSettings):
    """Every setting of a Dargah process. `load()` makes it, and its errors may be shown."""

    model_config = SettingsConfigDict(
        env_prefix=PREFIX,
        frozen=True,
        env_ignore_empty=True,
        extra="forbid",
        hide_input_in_errors=True,
        validate_default=True,
    )

    environment: Environment = Field(
        Environment.PRODUCTION,
        description="production or development. Development lets gateways and webhooks be plain http on loopback.",
    )
    listen: Annotated[Listen, BeforeValidator(parse_listen), NoDecode] = Field(
        Listen((Address("127.0.0.1", 8080),)),
        description="Where storefronts and customers come to, comma separated: host:port ([::]:8080 is every address "
        "of both families), unix:/run/dargah/dargah.sock (?mode=666 behind it; 660 unless said).",
    )
    admin_listen: Annotated[Listen, BeforeValidator(parse_listen), NoDecode] = Field(
        Listen((Address("127.0.0.1", 8081),)),
        description="The same for the operator's API. Keep it on loopback, a private network or a socket file.",
    )
    roles: Annotated[tuple[ProcessRole, ...], BeforeValidator(parse_roles), NoDecode] = Field(
        ALL_ROLES,
        description="What this process does, comma separated: api (listeners), watch (checks), deliver (webhooks). "
        "A part needs PostgreSQL.",
    )
    workers: Annotated[int, Field(ge=1, le=64)] = Field(
        1,
        description="Processes behind the same port, which needs PostgreSQL: one for each core. The admin listener of "
        "each next one has the next port.",
    )
    public_url: str | None = Field(
        None,
        description="Base of the pay and return links, as customers' browsers reach it. "
        "Needed unless DARGAH_LISTEN is loopback, which is then the default.",
    )
    admin_token: SecretStr | None = Field(
        None,
        description="The operator's token, 24 characters or more (`openssl rand -hex 32`). Several: name:token, "
        "comma separated; the name stands in the audit log.",
    )
    keys: SecretStr | None = Field(
        None,
        description="The key ring that seals secrets, name:base64 per line or comma; the first one seals. "
        "`dargah keys generate` makes a line.",
    )
    keys_file: Path | None = Field(None, description="A file with the key ring, instead of DARGAH_KEYS.")
    webhook_allow: Annotated[
        tuple[str | IPv4Network | IPv6Network, ...], BeforeValidator(parse_webhook_allow), NoDecode
    ] = Field(
        (),
        description="Private targets that webhooks may go to, comma separated: exact host:port (also by plain http) "
        "or CIDR. For a sidecar: 127.0.0.1:3000.",
    )
    api_docs: bool = Field(
        True, description="Whether /docs, /openapi.json and /llms.txt show the API's reference to everybody."
    )
    request_timeout_seconds: Seconds = Field(20, description="How long to wait for a gateway's invoice.")
    check_timeout_seconds: Seconds = Field(10, description="How long to wait for a gateway's check.")
    payment_expiry_minutes: int = Field(
        30, ge=5, le=3 * 24 * 60, description="How long a customer has to pay when a create does not say."
    )
    gateway_calls_per_terminal: Limit = Field(64, description="Gateway calls at once for one terminal.")
    gateway_calls_total: Limit = Field(256, description="Gateway calls at once in all.")
    waiting_limit: Limit = Field(1000, description="Calls that may wait for a gateway's turn; over it, 503.")
    webhook_in_flight: Limit = Field(512, description="Webhooks on their way at once.")
    webhook_retry_schedule: Annotated[RetrySchedule, BeforeValidator(parse_retry_schedule), NoDecode] = Field(
        DEFAULT_SCHEDULE,
        description="How long after each failed attempt a webhook is sent again, comma separated: 1 to 20 delays of "
        "1s to 72h, such as 30s, 5m or 2h. After the last one it has failed.",
    )
    events_keep_days: KeepDays = Field(
        90, description="Days that events and their deliveries are kept. One that was not delivered is kept for ever."
    )
    attempts_keep_days: KeepDays = Field(
        30, description="Days that the attempts of a delivery that got through are kept, with the answers' beginnings."
    )
    log_format: Literal["json", "console"] = Field("json", description="json, or console for people.")
    log_level: Literal["debug", "info", "warning", "error"] = Field("info", description="The least level logged.")
    traces_url: SecretStr | None = Field(
        None,
        description="Where spans are exported to by OTLP over HTTP, such as http://127.0.0.1:4318/v1/traces; none are "
        "when it is empty. Needs the libraries of the extra otel. May hold credentials.",
    )
    traces_ratio: float = Field(
        1, ge=0, le=1, description="The share of traces that are kept where Dargah begins them."
    )
    drain_seconds: Seconds = Field(25, description="How long the process may take to end after SIGTERM.")
    unready_seconds: float = Field(
        1,
        ge=0,
        le=60,
        description="How long of that requests are still taken while /readyz says 503, so that load balancers notice.",
    )

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003  pydantic-settings names the arguments
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003  it follows symbolic links out of the directory
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        return init_settings, env_settings, _SecretFiles(settings_cls)

    @field_validator("admin_token")
    @classmethod
    def _admin_token(cls, value: SecretStr | None) -> SecretStr | None:
        if value is not None:
            parse_admin_tokens(value.get_secret_value())
        return value

    @field_validator("public_url")
    @classmethod
    def _public_url(cls, value: str | None) -> str | None:
        return None if value is None else parse_public_url(value)

    @field_validator("traces_url")
    @classmethod
    def _traces_url(cls, value: SecretStr | None) -> SecretStr | None:
        if value is not None and not value.get_secret_value().startswith(("http://", "https://")):
            raise ValueError("write it whole, such as http://127.0.0.1:4318/v1/traces")
        return value

    @field_validator("log_level", "log_format", "environment", mode="before")
    @classmethod
    def _lower(cls, value: object) -> object:
        return value.lower() if isinstance(value, str) else value

    @model_validator(mode="after")
    def _check_together(self) -> "Settings":
        if self.keys is not None and self.keys_file is not None:
            raise ValueError("set DARGAH_KEYS or DARGAH_KEYS_FILE, not both")
        if isinstance(self.database, Path):
            check_alone(self.roles, self.workers)
        if self.public_url is not None:
            check_public_url(self.public_url, plain_http=self.development)
        self.check_sign_in(plain_http=self.development)
        if self.hsts_seconds and not (self.public_url or "").startswith("https://"):
            raise ValueError("DARGAH_HSTS_SECONDS needs a DARGAH_PUBLIC_URL of https://")
        return self

    @classmethod
    def by_weight(cls) -> Mapping[str, FieldInfo]:
        """The fields by name, those that everybody sets before those of the wire."""
        wire = WireSettings.model_fields
        return {**{name: field for name, field in cls.model_fields.items() if name not in wire}, **wire}

    @property
    def development(self) -> bool:
        return self.environment is Environment.DEVELOPMENT

    @property
    def http_policy(self) -> HttpPolicy:
        """Where webhooks and gateways may be plain http."""
        targets = frozenset(target for target in self.webhook_allow if isinstance(target, str))
        return HttpPolicy(loopback=self.development, targets=targets)

    @property
    def base_url(self) -> str:
        """`public_url`, or the listener's own when that is loopback. Raises SettingsError."""
        if self.public_url is not None:
            return self.public_url
        if self.listen.loopback and self.listen.url.startswith("http"):
            return self.listen.url
        raise SettingsError(
            f"DARGAH_PUBLIC_URL is missing: DARGAH_LISTEN is {self.listen}, so say how customers reach it, "
            "such as https://pay.example.ir"
        )

    def admin_tokens(self) -> AdminTokens:
        """The operators' tokens by name. Raises SettingsError when there is none."""
        if self.admin_token is None:
            raise SettingsError("DARGAH_ADMIN_TOKEN is missing: `dargah init` makes one, or `openssl rand -hex 32`")
        return parse_admin_tokens(self.admin_token.get_secret_value())

    def key_text(self) -> str:
        """The key ring's text, for KeyRing.parse. Raises SettingsError when there is none."""
        if self.keys is not None:
            return self.keys.get_secret_value()
        if self.keys_file is None:
            raise SettingsError(
                "DARGAH_KEYS or DARGAH_KEYS_FILE is missing: `dargah init` makes one, or `dargah keys generate`"
            )
        try:
            return read_secret_file(self.keys_file)
        except SecretFileError as error:
            raise SettingsError(f"DARGAH_KEYS_FILE: {error}") from error

    def key_source(self) -> str:
        """Where the key ring is from, for people."""
        if self.keys_file is not None:
            return f"{self.keys_file} ({env_file.source_of(f'{PREFIX}KEYS_FILE')})"
        name = f"{PREFIX}KEYS"
        inside = os.environ.get(SECRETS_DIR) and not os.environ.get(name)
        return f"{name.lower()} in {os.environ[SECRETS_DIR]}" if inside else env_file.source_of(name)

    def readable_secrets(self) -> list[str]:
        """The files with secrets that every user of the machine may read."""
        directory = os.environ.get(SECRETS_DIR)
        inside = Path(directory).glob("[dD][aA][rR][gG][aA][hH]_*") if directory else ()
        paths = [*([] if self.keys_file is None else [self.keys_file]), *inside]
        return sorted(path.name for path in paths if readable_by_all(path))

    def check_serving(self) -> None:
        """Raises SettingsError with all that is missing to run the proxy, a line each."""
        missing = []
        for check in (lambda: self.base_url, self.admin_tokens, self.key_text):
            try:
                check()
            except SettingsError as error:
                missing.append(str(error))
        if missing:
            raise SettingsError("\n".join(missing))


class _SecretFiles(PydanticBaseSettingsSource):
    """The files named like settings (`dargah_admin_token`) in DARGAH_SECRETS_DIR."""

    def get_field_value(self, field: Any, field_name: str) -> tuple[Any, str, bool]:  # pragma: no cover
        raise NotImplementedError  # the base class asks for it; __call__ reads them all at once

    def __call__(self) -> dict[str, Any]:
        directory = os.environ.get(SECRETS_DIR)
        if not directory:
            return {}
        names = {f"{PREFIX}{name}".lower(): name for name in Settings.model_fields}
        return {names[name]: read() for name, read in secret_files(Path(directory)) if name in names}


def load(**overrides: Any) -> Settings:
    """The settings of this process; `overrides` go before everything. Raises SettingsError."""
    check_names(os.environ)
    try:
        return Settings(**overrides)
    except SecretFileError as error:
        raise SettingsError(f"{SECRETS_DIR}: {error}") from None
    except ValidationError as error:
        raise SettingsError("\n".join(_lines(error))) from None


def setting_names() -> list[str]:
    """The variables of all settings."""
    return [f"{PREFIX}{name}".upper() for name in Settings.model_fields]


def check_names(environ: Mapping[str, str]) -> None:
    """Raises SettingsError for a variable that is nearly a setting's name: a typing error would go unnoticed.

    Others are let be: an orchestrator adds its own, such as DARGAH_PORT and DARGAH_SERVICE_HOST.
    """
    known = {*setting_names(), *env_file.NO_SETTINGS, env_file.VARIABLE}
    for name in environ:
        upper = name.upper()
        if upper.startswith(PREFIX) and upper not in known:
            close = difflib.get_close_matches(upper, known, n=1, cutoff=0.9)
            if close:
                raise SettingsError(f"{name} is not a setting; did you mean {close[0]}?")


def _lines(error: ValidationError) -> Iterator[str]:
    for one in error.errors(include_input=False, include_url=False):
        name = f"{PREFIX}{one['loc'][0]}".upper() + ": " if one["loc"] else ""
        yield f"{name}{one['msg'].removeprefix('Value error, ')}"
