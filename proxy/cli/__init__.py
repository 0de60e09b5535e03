"""The `dargah` command: its commands' names and one line each.

Each module of commands is imported only when one of its commands runs, so `dargah --help` imports none of them.
Before any of them runs, the settings of `dargah.env` are put into the environment.
"""

from importlib import import_module
from pathlib import Path
from typing import Final

import click

from proxy.cli.help import with_examples
from proxy.cli.refusals import CommandGroup, log_end
from proxy.config import env_file
from proxy.kernel.errors import StartRefused

_SECTIONS: Final = {
    "Begin": {
        "up": (
            "proxy.cli.up",
            "up_command",
            "Try Dargah on this machine, with a simulator and a shop. No money moves.",
        ),
        "demo": ("proxy.cli.serve", "demo", "One whole payment on this machine, shown step by step."),
        "simulator": (
            "proxy.simulator.command",
            "simulator",
            "Run a payment gateway to try things with. No money moves.",
        ),
    },
    "Run": {
        "init": ("proxy.cli.init", "init", "Make dargah.env: key ring, operator's token and settings."),
        "serve": ("proxy.cli.serve", "serve", "Run the payment proxy."),
        "config": ("proxy.cli.settings", "config", "Show every setting, what it means and its present value."),
        "keys": ("proxy.cli.settings", "keys", "Make and rotate the keys that seal secrets."),
        "doctor": ("proxy.cli.doctor", "doctor", "See whether all is set up right, and what to do where it is not."),
        "health": ("proxy.cli.doctor", "health", "Whether the running process is alive, for HEALTHCHECK and scripts."),
        "completion": ("proxy.cli.help", "completion", "Complete commands and options in your shell."),
    },
    "Set up a shop": {
        "merchant": ("proxy.cli.merchants", "merchant", "Who sells."),
        "terminal": ("proxy.cli.terminals", "terminal", "A merchant's accounts at gateways."),
        "gateways": ("proxy.cli.terminals", "gateways", "The families of gateways that a terminal can be of."),
        "token": ("proxy.cli.tokens", "token", "API tokens of a merchant's storefronts."),
        "endpoint": ("proxy.cli.endpoints", "endpoint", "Where a merchant's webhooks go."),
    },
    "Day to day": {
        "payment": ("proxy.cli.payments", "payment", "Find payments, and decide about those that need review."),
        "recover": ("proxy.cli.payments", "recover", "Ask the gateways again about what may have been paid."),
        "reconcile": ("proxy.cli.reconcile", "reconcile", "Hold a bank's file against a merchant's payments."),
        "settlement": ("proxy.cli.settlement", "settlement", "What gateways should pay out, by terminal and day."),
        "operator": ("proxy.cli.operators", "operator", "Who runs Dargah, and in which role."),
        "audit": ("proxy.cli.operators", "audit", "Who did what, and when; and whether the log is whole."),
        "alert": ("proxy.cli.doctor", "alert", "Whether people are told when something is wrong."),
    },
    "The database": {
        "backup": ("proxy.cli.backup", "backup", "Copy a SQLite database to a file, while it is used or stopped."),
        "restore": ("proxy.cli.backup", "restore", "Put a backup in the database's place, and ask what came after it."),
        "migrate": ("proxy.cli.migrate", "migrate", "Bring the database's schema to this version, as its owner."),
        "migrate-store": ("proxy.cli.migrate", "migrate_store", "Move everything from SQLite to PostgreSQL."),
    },
    "For a shop's developer": {
        "listen": ("proxy.cli.events", "listen", "Bring a shop's webhooks to this machine, while it is being built."),
        "client": ("proxy.cli.client", "client", "A shop's client in PHP, Node or Python: one file to copy."),
        "trigger": ("proxy.cli.events", "trigger", "A test event, delivered like a real one."),
        "certify": ("proxy.cli.certify", "certify", "Play every nasty story at a shop's webhook endpoint."),
        "event": ("proxy.cli.events", "event", "What happened to a shop's payments."),
        "webhook": ("proxy.cli.webhooks", "webhook", "What became of a shop's webhooks, and sending them again."),
    },
}
_COMMANDS: Final = {name: where for commands in _SECTIONS.values() for name, where in commands.items()}


_ASKS_FOR_HELP: Final = f"{__name__}.asks_for_help"


class Root(CommandGroup):
    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        ctx.meta[_ASKS_FOR_HELP] = not set(args).isdisjoint(ctx.help_option_names)
        return super().parse_args(ctx, args)

    def list_commands(self, _ctx: click.Context) -> list[str]:
        return list(_COMMANDS)

    def get_command(self, _ctx: click.Context, name: str) -> click.Command | None:
        if name not in _COMMANDS:
            return None
        module, attribute, _ = _COMMANDS[name]
        command: click.Command = getattr(import_module(module), attribute)
        return with_examples(command, name)

    def format_commands(self, _ctx: click.Context, formatter: click.HelpFormatter) -> None:
        for section, commands in _SECTIONS.items():
            with formatter.section(section):
                formatter.write_dl([(name, text) for name, (_, _, text) in commands.items()])


@click.command(cls=Root, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="dargah")
@click.option(
    "--env-file",
    "settings_file",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="The file with the settings.  [env: DARGAH_ENV_FILE; default: ./dargah.env, if it is there]",
)
@click.pass_context
def dargah(ctx: click.Context, settings_file: Path | None) -> None:
    """A payment proxy for merchants who sell through a redirect gateway.

    The commands that set things up talk to a running `dargah serve` at DARGAH_ADMIN_URL
    (http://127.0.0.1:8081 unless said otherwise) with the token in DARGAH_ADMIN_TOKEN. Those for a shop's developer
    (webhook, event, trigger, listen) talk to DARGAH_URL (http://127.0.0.1:8080) with the shop's own DARGAH_TOKEN.
    All of it is read from dargah.env, which `dargah init` makes, where the environment does not say it.
    """
    # `init` makes the file, and help must not depend on what stands in one.
    if not ctx.meta[_ASKS_FOR_HELP] and ctx.invoked_subcommand != "init":
        try:
            ctx.obj = _read_settings(settings_file)
        except StartRefused as error:
            if ctx.invoked_subcommand == "serve":
                log_end(error)
            raise


def _read_settings(named: Path | None) -> env_file.EnvFile | None:
    """The file, whose settings are in the environment now. Raises StartRefused."""
    file = env_file.find(named)
    if file is None:
        return None
    if not file.values.keys() <= env_file.USUAL:
        from proxy.config.settings import setting_names  # noqa: PLC0415  it takes longer than most commands

        env_file.refuse_unknown(file, setting_names())
    env_file.apply(file)
    click.echo(f"settings: {file}", err=True)
    if file.readable_by_all:
        click.echo(f"warning: every user of this machine may read {file}: `chmod 600 {file}`", err=True)
    return file
