"""The settings of alerts: the channels that tell people what is wrong, and when they may."""

import re
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Final, Literal
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import BeforeValidator, Field, SecretStr, field_validator, model_validator
from pydantic_settings import BaseSettings, NoDecode

from proxy.config.values import Target, parse_address, parse_webhook_allow
from proxy.http.listeners import Address
from proxy.kernel.frozen import dataclass
from proxy.kernel.urls import ascii_url, is_loopback, origin_of
from proxy.locale.persian import tehran
from proxy.webhooks.request import sign

MAX_RECEIVERS: Final = 10
"""Chats, and addresses of e-mail: each gets a request of its own."""
DEFAULT_BOT_URL: Final = "https://api.telegram.org"
TEHRAN: Final = "Asia/Tehran"
_PORTS: Final = {"smtps": 465, "smtp": 587}
_CHAT: Final = re.compile(r"-?[0-9]{1,20}|@[A-Za-z0-9_]{1,64}")
_MAILBOX: Final = re.compile(r"[A-Za-z0-9.!#$%&'*+/=?^_`{|}~-]{1,64}@[A-Za-z0-9-]{1,63}(?:\.[A-Za-z0-9-]{1,63})*")
_BOT_TOKEN: Final = re.compile(r"[!-~]{1,200}")
_HOURS: Final = re.compile(r"([01]?[0-9]|2[0-3]):([0-5][0-9])-([01]?[0-9]|2[0-3]):([0-5][0-9])(?: +(\S{1,64}))?")
_MINUTES: Final = 60


@dataclass(frozen=True, slots=True)
class MailServer:
    """A server for outgoing mail. `tls` from the first byte, else by STARTTLS; a server on loopback needs none."""

    address: Address
    tls: bool

    @property
    def starttls(self) -> bool:
        return not self.tls and not is_loopback(self.address.host)

    def __str__(self) -> str:
        return f"{'smtps' if self.tls else 'smtp'}://{self.address}"


@dataclass(frozen=True, slots=True)
class QuietHours:
    """From `begin` until `end`, minutes since midnight in `zone`; over midnight where `end` comes first."""

    begin: int
    end: int
    zone: str

    def holds(self, at: int) -> bool:
        """Whether they last at `at` (ms epoch)."""
        zone = tehran() if self.zone == TEHRAN else ZoneInfo(self.zone)
        local = datetime.fromtimestamp(at // 1000, UTC).astimezone(zone)
        minute = local.hour * _MINUTES + local.minute
        if self.begin < self.end:
            return self.begin <= minute < self.end
        return minute >= self.begin or minute < self.end

    def __str__(self) -> str:
        begin, end = (f"{minute // _MINUTES:02}:{minute % _MINUTES:02}" for minute in (self.begin, self.end))
        return f"{begin}-{end} {self.zone}"


def parse_mail_server(value: object) -> MailServer | None:
    """`smtps://host` or `smtp://host`, perhaps with a port. Raises ValueError, which does not repeat it."""
    if value is None or isinstance(value, MailServer):
        return value
    scheme, mark, rest = str(value).strip().rstrip("/").partition("://")
    if "@" in rest:
        raise ValueError("put user:password into DARGAH_ALERT_EMAIL_CREDENTIALS; here stands smtps://host:port alone")
    port = _PORTS.get(scheme.lower())
    try:
        address = parse_address(rest if re.search(r":[0-9]+$", rest) else f"{rest}:{port}")
    except ValueError:
        address = None
    if not mark or port is None or address is None or not address.port:
        raise ValueError("write smtps://mail.example.ir (TLS, 465), or smtp://mail.example.ir (STARTTLS, 587)")
    return MailServer(address, tls=scheme.lower() == "smtps")


def parse_quiet_hours(value: object) -> QuietHours | None:
    """`23:00-07:00`, perhaps with a time zone's name behind it. Raises ValueError."""
    if value is None or isinstance(value, QuietHours):
        return value
    found = _HOURS.fullmatch(str(value).strip())
    if found is None:
        raise ValueError("write 23:00-07:00, or with a time zone, 23:00-07:00 Europe/Berlin")
    zone = found[5] or TEHRAN
    if zone != TEHRAN:
        try:
            ZoneInfo(zone)
        except (ZoneInfoNotFoundError, ValueError, OSError):
            raise ValueError(f"{zone!r} is no time zone that this machine knows; write one such as {TEHRAN}") from None
    begin, end = (int(found[index]) * _MINUTES + int(found[index + 1]) for index in (1, 3))
    if begin == end:
        raise ValueError("they begin and end at the same minute; leave them empty for none")
    return QuietHours(begin, end, zone)


def _several(form: re.Pattern[str], what: str, example: str) -> BeforeValidator:
    """Up to MAX_RECEIVERS texts of a form, comma separated, each once."""

    def parse(value: object) -> tuple[str, ...]:
        found = value if isinstance(value, tuple) else re.split(r"[,\s]+", str(value).strip())
        texts = tuple(dict.fromkeys(str(text) for text in found if text))
        if len(texts) > MAX_RECEIVERS or not all(form.fullmatch(text) for text in texts):
            raise ValueError(f"write up to {MAX_RECEIVERS} {what}, comma separated, such as {example}")
        return texts

    return BeforeValidator(parse)


Chats = Annotated[tuple[str, ...], _several(_CHAT, "chats", "-1001234567890 or @channel"), NoDecode]
Mailboxes = Annotated[tuple[str, ...], _several(_MAILBOX, "addresses", "ops@example.ir"), NoDecode]


class AlertSettings(BaseSettings):
    """Part of Settings."""

    alert_bot_token: SecretStr | None = Field(
        None,
        description="Tells people by a bot what is wrong: the token that @BotFather gave. Telegram's bot API and those "
        "of its kind, such as Bale's.",
    )
    alert_bot_chats: Chats = Field(
        (), description="The chats it writes to, comma separated: their numbers, or @channel."
    )
    alert_bot_url: str = Field(DEFAULT_BOT_URL, description="The base of the bot API. For Bale: https://tapi.bale.ai.")
    alert_email_server: Annotated[MailServer | None, BeforeValidator(parse_mail_server), NoDecode] = Field(
        None,
        description="Tells people by e-mail: the server for outgoing mail, smtps://host:465 (TLS), or smtp://host:587 "
        "(STARTTLS, which it must offer unless it is on loopback).",
    )
    alert_email_credentials: SecretStr | None = Field(None, description="user:password for that server.")
    alert_email_ca_file: Path | None = Field(
        None, description="A PEM file: only its authorities count for that server's certificate."
    )
    alert_email_from: str | None = Field(None, description="Whom the e-mail is from, such as dargah@example.ir.")
    alert_email_to: Mailboxes = Field((), description="Whom it goes to, comma separated.")
    alert_webhook_url: SecretStr | None = Field(
        None, description="Tells a program of yours: where a signed webhook goes. May hold credentials."
    )
    alert_webhook_secret: SecretStr | None = Field(
        None,
        description="What signs it, by Standard Webhooks: whsec_ and base64 (`echo whsec_$(openssl rand -base64 32)`).",
    )
    alert_allow: Annotated[tuple[Target, ...], BeforeValidator(parse_webhook_allow), NoDecode] = Field(
        (),
        description="Private targets that the bot API and this webhook may have, comma separated: exact host:port "
        "(also by plain http) or CIDR.",
    )
    alert_language: Literal["fa", "en"] = Field("fa", description="In which language people are told: fa or en.")
    alert_hold_seconds: int = Field(
        60,
        ge=0,
        le=3600,
        description="How long a trouble must last before it is told, and be gone before its end is.",
    )
    alert_reminder_hours: int = Field(
        24, ge=0, le=24 * 30, description="After how long a trouble that lasts is told again; 0 is never."
    )
    alert_quiet_hours: Annotated[QuietHours | None, BeforeValidator(parse_quiet_hours), NoDecode] = Field(
        None,
        description="When only what is urgent is told, such as 23:00-07:00 in Tehran, or 23:00-07:00 Europe/Berlin. "
        "The rest waits until they end.",
    )

    @field_validator("alert_bot_token")
    @classmethod
    def _bot_token(cls, value: SecretStr | None) -> SecretStr | None:
        text = "" if value is None else value.get_secret_value()
        if value is not None and (not _BOT_TOKEN.fullmatch(text) or set(text) & set("/?#%\\")):
            raise ValueError("write the bot's token alone, such as 123456789:AAF…")
        return value

    @field_validator("alert_bot_url")
    @classmethod
    def _bot_url(cls, value: str) -> str:
        origin_of(value)
        if "?" in value or "#" in value:
            raise ValueError("it is a base, without ? or #, such as https://tapi.bale.ai")
        return ascii_url(value).rstrip("/")

    @field_validator("alert_email_credentials")
    @classmethod
    def _credentials(cls, value: SecretStr | None) -> SecretStr | None:
        user, mark, password = ("", "", "") if value is None else value.get_secret_value().partition(":")
        if value is not None and not (user and mark and password and (user + password).isprintable()):
            raise ValueError("write user:password")
        return value

    @field_validator("alert_email_from")
    @classmethod
    def _sender(cls, value: str | None) -> str | None:
        if value is not None and not _MAILBOX.fullmatch(value):
            raise ValueError("write an address alone, such as dargah@example.ir")
        return value

    @field_validator("alert_webhook_url")
    @classmethod
    def _webhook_url(cls, value: SecretStr | None) -> SecretStr | None:
        if value is not None:
            try:
                ascii_url(value.get_secret_value())
            except ValueError:  # its text may repeat what is secret
                raise ValueError("write a whole URL, such as https://ops.example.ir/dargah") from None
        return value

    @field_validator("alert_webhook_secret")
    @classmethod
    def _webhook_secret(cls, value: SecretStr | None) -> SecretStr | None:
        if value is not None:
            try:
                good = value.get_secret_value().startswith("whsec_") and sign([value.get_secret_value()], "", 0, b"")
            except ValueError:
                good = ""
            if not good:
                raise ValueError("write whsec_ and base64: `echo whsec_$(openssl rand -base64 32)`")
        return value

    @field_validator("alert_language", mode="before")
    @classmethod
    def _language(cls, value: object) -> object:
        return value.lower() if isinstance(value, str) else value

    @model_validator(mode="after")
    def _whole_channels(self) -> "AlertSettings":
        """Each channel has all its parts, or none."""
        for parts in (
            {"BOT_TOKEN": self.alert_bot_token, "BOT_CHATS": self.alert_bot_chats},
            {
                "EMAIL_SERVER": self.alert_email_server,
                "EMAIL_FROM": self.alert_email_from,
                "EMAIL_TO": self.alert_email_to,
            },
            {"WEBHOOK_URL": self.alert_webhook_url, "WEBHOOK_SECRET": self.alert_webhook_secret},
        ):
            lacking = [name for name, value in parts.items() if not value]
            if lacking and len(lacking) < len(parts):
                has = next(name for name in parts if name not in lacking)
                raise ValueError(f"DARGAH_ALERT_{has} needs DARGAH_ALERT_{lacking[0]}")
        return self
