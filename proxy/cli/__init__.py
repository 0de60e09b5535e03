"""The `dargah` command: its commands' names and one line each.

Each module of commands is imported only when one of its commands runs, so `dargah --help` imports none of them.
"""

from importlib import import_module
from typing import Final

import click

_COMMANDS: Final = {
    "serve": ("proxy.cli.serve", "serve", "Run the payment proxy."),
    "demo": ("proxy.cli.serve", "demo", "One whole payment on this machine, shown step by step."),
    "simulator": ("proxy.simulator.command", "simulator", "Run a payment gateway to try things with. No money moves."),
    "config": ("proxy.cli.settings", "config", "Show every setting, what it means and its present value."),
    "keys": ("proxy.cli.settings", "keys", "Make and rotate the keys that seal secrets."),
    "merchant": ("proxy.cli.merchants", "merchant", "Who sells."),
    "terminal": ("proxy.cli.terminals", "terminal", "A merchant's accounts at gateways."),
    "gateways": ("proxy.cli.terminals", "gateways", "The families of gateways that a terminal can be of."),
    "token": ("proxy.cli.tokens", "token", "API tokens of a merchant's storefronts."),
    "endpoint": ("proxy.cli.endpoints", "endpoint", "Where a merchant's webhooks go."),
    "payment": ("proxy.cli.payments", "payment", "Look at payments, and decide about those that need review."),
    "recover": ("proxy.cli.payments", "recover", "Ask the gateways again about what may have been paid."),
    "backup": ("proxy.cli.backup", "backup", "Copy a SQLite database to a file, while it is used or stopped."),
    "restore": (
        "proxy.cli.backup",
        "restore",
        "Put a backup in the database's place, and ask gateways what came after it.",
    ),
    "reconcile": ("proxy.cli.reconcile", "reconcile", "Hold a bank's file against a merchant's payments."),
    "migrate": ("proxy.cli.migrate", "migrate", "Bring the database's schema to this version, as its owner."),
    "migrate-store": ("proxy.cli.migrate", "migrate_store", "Move everything from SQLite to PostgreSQL."),
    "webhook": ("proxy.cli.webhooks", "webhook", "What became of a shop's webhooks, and sending them again."),
    "event": ("proxy.cli.events", "event", "What happened to a shop's payments."),
    "trigger": ("proxy.cli.events", "trigger", "A test event, delivered like a real one."),
    "listen": ("proxy.cli.events", "listen", "Bring a shop's webhooks to this machine, while it is being built."),
    "doctor": ("proxy.cli.doctor", "doctor", "See whether everything is set up right, and what to do where it is not."),
    "health": ("proxy.cli.doctor", "health", "Whether the running process is alive, for HEALTHCHECK and scripts."),
    "operator": ("proxy.cli.operators", "operator", "Who runs Dargah, and in which role."),
    "audit": ("proxy.cli.operators", "audit", "Who did what, and when; and whether the log is whole."),
}


class Root(click.Group):
    def list_commands(self, _ctx: click.Context) -> list[str]:
        return list(_COMMANDS)

    def get_command(self, _ctx: click.Context, name: str) -> click.Command | None:
        if name not in _COMMANDS:
            return None
        module, attribute, _ = _COMMANDS[name]
        command: click.Command = getattr(import_module(module), attribute)
        return command

    def format_commands(self, _ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_, _, text) in _COMMANDS.items()])


@click.command(cls=Root, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="dargah")
def dargah() -> None:
    """A payment proxy for merchants who sell through a redirect gateway.

    The commands that set things up talk to a running `dargah serve` at DARGAH_ADMIN_URL
    (http://127.0.0.1:8081 unless said otherwise) with the token in DARGAH_ADMIN_TOKEN. Those for a shop's developer
    (webhook, event, trigger, listen) talk to DARGAH_URL (http://127.0.0.1:8080) with the shop's own DARGAH_TOKEN.
    """
