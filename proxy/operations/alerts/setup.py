"""The channels and the manner of telling, from the settings."""

from collections.abc import Callable, Sequence

from proxy.config.outbound_clients import mail_tls
from proxy.config.settings import Settings
from proxy.kernel.clock import HOUR, SECOND, Now
from proxy.kernel.urls import host_of
from proxy.operations.alerts.alerter import Manner
from proxy.operations.alerts.channels import BotChat, Channel, OperatorWebhook
from proxy.operations.alerts.mail import Mailbox, Mailer
from proxy.operations.alerts.rules import Rules
from proxy.operations.alerts.storage import AlertRepository
from proxy.operations.troubles import Trouble, TroubleKind
from proxy.webhooks.request import Sender


def channels_of(settings: Settings, open_sender: Callable[[], Sender], now: Now) -> tuple[Channel, ...]:
    """A channel for each target that the settings name; the sender is opened where one needs it. `now` is the time of
    day, for signatures. Raises SettingsError.
    """
    return (*_over_http(settings, open_sender, now), *_mailboxes(settings, now))


def manner_of(settings: Settings, public_url: str) -> Manner:
    hours = settings.alert_reminder_hours
    rules = Rules(hold=settings.alert_hold_seconds * SECOND, remind_after=hours * HOUR or None)
    return Manner(rules, settings.alert_quiet_hours, settings.alert_language, host_of(public_url))


class ChannelTroubles:
    """The troubles of the channels themselves."""

    def __init__(self, alerts: AlertRepository, channels: Sequence[Channel]) -> None:
        self._alerts = alerts
        self._names = frozenset(each.name for each in channels)

    async def troubles(self) -> list[Trouble]:
        if not self._names:
            return []
        kind = TroubleKind.ALERT_CHANNEL_FAILING
        return [
            Trouble(kind, each.target, None, each.since, 1, urgent=False)
            for each in await self._alerts.failing()
            if each.target in self._names
        ]


def _over_http(settings: Settings, open_sender: Callable[[], Sender], now: Now) -> list[Channel]:
    found: list[Channel] = []
    token, url, secret = settings.alert_bot_token, settings.alert_webhook_url, settings.alert_webhook_secret
    if token is None and url is None:
        return found
    sender = open_sender()
    if token is not None:
        base, text = settings.alert_bot_url, token.get_secret_value()
        found += [BotChat(sender, base, text, chat) for chat in settings.alert_bot_chats]
    if url is not None and secret is not None:
        where = url.get_secret_value()
        found.append(OperatorWebhook(sender, where, secret.get_secret_value(), host_of(where), now))
    return found


def _mailboxes(settings: Settings, now: Now) -> list[Channel]:
    if settings.alert_email_server is None or settings.alert_email_from is None:
        return []
    credentials = settings.alert_email_credentials
    mailer = Mailer(
        settings.alert_email_server,
        settings.alert_email_from,
        mail_tls(settings),
        now,
        None if credentials is None else credentials.get_secret_value(),
    )
    return [Mailbox(mailer, address) for address in settings.alert_email_to]
