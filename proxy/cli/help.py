"""What helps at the command line: an example that each `--help` ends with, and `dargah completion`."""

from typing import Final

import click
from click.shell_completion import get_completion_class

_EXAMPLES: Final[dict[str, str]] = {
    "up": "dargah up --webhook-url http://127.0.0.1:3000/webhooks",
    "init": "dargah init --public-url https://pay.example.ir",
    "serve": "dargah serve",
    "demo": "dargah demo",
    "simulator": "dargah simulator --terminal my-terminal-key --terminal 1344b5d4,family=zarinpal",
    "config": "dargah config",
    "keys generate": "dargah keys generate --id k2026",
    "keys rotate": "dargah keys rotate",
    "merchant archive": "dargah merchant archive mer_…",
    "merchant create": 'dargah merchant create --name "My shop" --return-origin https://shop.example.ir',
    "merchant list": "dargah merchant list",
    "merchant rotate-return-secret": "dargah merchant rotate-return-secret mer_…",
    "merchant show": "dargah merchant show mer_…",
    "merchant unarchive": "dargah merchant unarchive mer_…",
    "merchant update": 'dargah merchant update mer_… --contact "021-8888 1234, help@shop.example.ir"',
    "terminal create": (
        "dargah terminal create --merchant mer_… --name main --gateway zarinpal --credentials-stdin < credentials"
    ),
    "terminal list": "dargah terminal list --merchant mer_…",
    "terminal show": "dargah terminal show trm_…",
    "terminal update": "dargah terminal update trm_… --disable",
    "gateways": "dargah gateways",
    "token check": "dargah token check dg_live_…",
    "token create": "dargah token create --merchant mer_… --storefront main",
    "token list": "dargah token list --merchant mer_…",
    "token revoke": "dargah token revoke tok_… --after-seconds 3600",
    "token rotate": "dargah token rotate tok_…",
    "token show": "dargah token show tok_…",
    "endpoint create": "dargah endpoint create --merchant mer_… --url https://shop.example.ir/webhooks",
    "endpoint delete": "dargah endpoint delete ep_…",
    "endpoint list": "dargah endpoint list --merchant mer_…",
    "endpoint pause": "dargah endpoint pause ep_…",
    "endpoint resume": "dargah endpoint resume ep_…",
    "endpoint rotate-secret": "dargah endpoint rotate-secret ep_… --overlap-seconds 86400",
    "endpoint show": "dargah endpoint show ep_…",
    "endpoint update": "dargah endpoint update ep_… --max-in-flight 32",
    "payment export": "dargah payment export --merchant mer_… --status paid --output payments.csv",
    "payment find": 'dargah payment find "1405/09/10 14:30"',
    "payment list": "dargah payment list --merchant mer_… --status needs_review",
    "payment lost": "dargah payment lost --merchant mer_…",
    "payment resolve": 'dargah payment resolve pay_… --decision refunded --note "back to the card on 1405/09/10"',
    "payment show": "dargah payment show pay_…",
    "payment totals": "dargah payment totals --merchant mer_…",
    "settlement report": "dargah settlement report --from 1405/09/01 --to 1405/09/10",
    "recover": "dargah recover --since 48h",
    "backup": "dargah backup dargah-backup.db",
    "restore": "dargah restore dargah-backup.db",
    "reconcile": "dargah reconcile --merchant mer_… --csv bank.csv",
    "migrate": "dargah migrate --grant dargah_app",
    "migrate-store": "dargah migrate-store --from dargah.db --to postgresql://dargah@db.example.ir/dargah",
    "webhook deliveries": "dargah webhook deliveries ep_… --status failed",
    "webhook delivery": "dargah webhook delivery dlv_…",
    "webhook endpoints": "dargah webhook endpoints",
    "webhook recover": "dargah webhook recover ep_… --since 24h",
    "webhook replay": 'dargah webhook replay ep_… --since 1405/09/01 --until "1405/09/02 12:00" --type payment.paid',
    "webhook resend": "dargah webhook resend --since 24h --status failed --type payment.paid",
    "webhook resends": "dargah webhook resends --limit 10",
    "webhook retry": "dargah webhook retry dlv_…",
    "webhook stats": "dargah webhook stats ep_…",
    "webhook stop-resend": "dargah webhook stop-resend rsd_…",
    "webhook test": "dargah webhook test ep_…",
    "webhook verify": "dargah webhook verify captured.txt --ignore-age",
    "event list": "dargah event list --type payment.paid --undelivered",
    "event show": "dargah event show evt_…",
    "trigger": "dargah trigger payment.paid",
    "listen": "dargah listen --forward-to http://127.0.0.1:3000/webhooks",
    "client": "dargah client php > Dargah.php",
    "certify": (
        "dargah certify http://127.0.0.1:3000/webhooks --new-order 'php artisan order:new {amount_rials}' "
        "--order-state 'php artisan order:state {order_id}'"
    ),
    "doctor": "dargah doctor --quiet",
    "health": "dargah health --ready",
    "alert test": "dargah alert test --channel email",
    "operator add": "dargah operator add --name sara --role operate --expires-at 90d",
    "operator list": "dargah operator list",
    "operator remove-second-factor": "dargah operator remove-second-factor opr_…",
    "operator revoke": "dargah operator revoke opr_…",
    "operator rotate": "dargah operator rotate opr_…",
    "operator whoami": "dargah operator whoami",
    "audit list": "dargah audit list --merchant mer_…",
    "audit verify": "dargah audit verify --save ends.json",
    "completion": "dargah completion bash >> ~/.bashrc",
}


def with_examples(command: click.Command, name: str) -> click.Command:
    """The command, and each of a group's, with its example below the options."""
    if isinstance(command, click.Group):
        for part in command.commands.values():
            with_examples(part, f"{name} {part.name}")
    elif name in _EXAMPLES:
        command.epilog = f"\b\nExample:\n  {_EXAMPLES[name]}"
    return command


@click.command()
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
@click.pass_context
def completion(context: click.Context, shell: str) -> None:
    """Print the lines that complete dargah's commands and options in your shell, for its start-up file."""
    kind = get_completion_class(shell)
    assert kind is not None
    click.echo(kind(context.find_root().command, {}, "dargah", "_DARGAH_COMPLETE").source())
