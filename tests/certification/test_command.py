"""`dargah certify` as a developer runs it: its options, exit codes, report and sentences."""

import json
import shlex
import sys
from pathlib import Path

import pytest
from support.command import Cli
from support.ports import free_port

from certification import shops
from certification.shops import SECRET, RightShop, opened
from proxy.demo.shop import Shop

QUICK = ("--silence", "0", "--settle", "0")


def asking(url: str) -> tuple[str, ...]:
    return (
        *(f"{url}/hook", "--new-order", f"{url}/orders?rials={{amount_rials}}"),
        *("--order-state", f"{url}/orders/{{order_id}}", *QUICK),
    )


@pytest.fixture
def cli(tmp_path: Path) -> Cli:
    return Cli({"DARGAH_WEBHOOK_SECRET": SECRET}, tmp_path)


async def test_a_right_shop_ends_with_0_and_a_page_to_keep(cli: Cli, tmp_path: Path) -> None:
    report = tmp_path / "certification.html"
    async with opened(RightShop()) as url:
        ran = await cli.run("certify", *asking(f"{url}"), "--report", str(report))
    assert (ran.code, ran.error) == (0, ran.error)
    assert " passed, 0 failed, 0 could not be told" in ran.out.splitlines()[-1]
    page = report.read_text("utf-8")
    assert "wrong_signature" in page
    assert "stories of SHA-256" in page
    assert "<script" not in page
    assert "http" not in page.replace(f"{url}/hook", "")
    for text in (page, ran.out, ran.error):
        assert SECRET.removeprefix("whsec_") not in text


async def test_a_wrong_shop_ends_with_1_and_says_what_to_do(cli: Cli) -> None:
    async with opened(shops.ComparesNoAmount()) as url:
        told = await cli.run("certify", *asking(url), "--only", "ten_times")
        ran = await cli.run("certify", *asking(url), "--only", "ten_times", "--json")
    assert told.code == ran.code == 1
    assert "FAILED" in told.out
    assert "Compare data.amount_rials" in told.out
    assert "docs/webhooks.md#webhooks" in told.out
    record = json.loads(ran.out)
    assert [story["name"] for story in record["stories"]] == ["right", "ten_times"]
    [right, wrong] = record["stories"]
    assert (right["outcome"], right["remedy"]) == ("passed", None)
    assert (wrong["outcome"], wrong["answers"][0]["status"], wrong["order_state"]) == (
        *("failed", 204),
        "paid, credited 1",
    )
    assert record["counts"] == {"passed": 1, "failed": 1, "could_not_tell": 0}


async def test_orders_come_from_commands_too_and_the_secret_from_standard_input(tmp_path: Path) -> None:
    shop = RightShop()
    for name, code in (
        ("new", "urllib.request.Request(sys.argv[1] + '/orders?rials=' + sys.argv[2], method='POST')"),
        ("state", "sys.argv[1] + '/orders/' + sys.argv[2]"),
    ):
        (tmp_path / f"{name}.py").write_text(
            f"import sys, urllib.request\nprint(urllib.request.urlopen({code}).read().decode())\n"
        )
    async with opened(shop) as url:
        commands = {name: f"{shlex.quote(sys.executable)} {tmp_path}/{name}.py {url}" for name in ("new", "state")}
        ran = await Cli({}, tmp_path).run(
            *("certify", f"{url}/hook", "--secret-stdin", "--only", "same_twice", *QUICK, "--json"),
            *(
                "--new-order",
                f"{commands['new']} {{amount_rials}}",
                "--order-state",
                f"{commands['state']} {{order_id}}",
            ),
            stdin=SECRET + "\n",
        )
    assert ran.json["counts"] == {"passed": 2, "failed": 0, "could_not_tell": 0}
    assert [row.credits for row in shop.orders.values()] == [1, 1]


async def test_an_answer_that_has_the_secret_is_kept_without_it(cli: Cli) -> None:
    async with opened(shops.TellsItsSecret()) as url:
        ran = await cli.run("certify", *asking(url), "--only", "right", "--json")
    assert json.loads(ran.out)["stories"][0]["answers"][0]["excerpt"] == "debug: (hidden) (hidden)"


async def test_a_key_pair_for_v1a_certifies_a_shop_that_has_the_public_half(tmp_path: Path) -> None:
    made = (await Cli({}, tmp_path).run("certify", "--new-v1a-key")).out.split()
    public, private = made[-2], made[-1].partition("=")[2]
    async with opened(RightShop(secret="", public_key=public)) as url:
        ran = await Cli({"DARGAH_WEBHOOK_PRIVATE_KEY": private}, tmp_path).run(
            "certify", *asking(url), "--only", "v1a_alone", "--json"
        )
    assert ran.json["signatures"] == ["v1a"]
    assert ran.json["counts"]["passed"] == 2


async def test_the_demo_s_own_shop_passes(cli: Cli) -> None:
    port = free_port()
    shop = Shop(port)
    shop.webhook_secret = SECRET
    shop.orders = {str(number): 150_000 for number in range(1, 40)}
    await shop.start()
    try:
        ran = await cli.run(
            *("certify", f"http://127.0.0.1:{port}/webhooks", *QUICK, "--json"),
            *(f"--order={order_id}:{rials}" for order_id, rials in shop.orders.items()),
            *("--order-state", f"http://127.0.0.1:{port}/orders/{{order_id}}"),
        )
    finally:
        await shop.stop()
    rows = ran.json["stories"]
    assert [(row["name"], row["why"]) for row in rows if row["outcome"] != "passed"] == []


HOOK = "http://127.0.0.1:9/hook"


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("localhost:3000/hook",), "URL: write the endpoint's address like http://localhost:3000/hook"),
        (("http://user:word@localhost/hook",), "URL: write the endpoint's address"),
        ((HOOK, "--order", "17"), "--order: write an order's id and its rials like 17:150000, not '17'"),
        ((HOOK, "--order", "17:0"), "--order: write an order's id and its rials like 17:150000"),
        ((HOOK, "--order", "17:150000", "--order", "17:150000"), "--order: name each order once"),
        ((HOOK, "--order", "17:150000", "--new-order", "x"), "give --new-order or --order, not both"),
        ((HOOK, "--order-state", "https://shop.example.ir/state"), "--order-state: write {order_id} where"),
        ((HOOK, "--order-state", "state '{order_id}"), "--order-state: No closing quotation"),
        ((HOOK, "--credited", "credits"), "--credited is a place in the state that --order-state tells"),
        ((HOOK, "--only", "nothing"), "--only: there is no 'nothing'; there is a_tenth,"),
        ((HOOK, "--report", "report.pdf"), "--report: the report is an HTML page"),
        ((HOOK, "--report", "nowhere/report.html"), "--report: nothing can be written in nowhere"),
        ((HOOK, "--new-order", "/no/such/program"), "--new-order failed:"),
        ((HOOK, "--new-order", f"{sys.executable} -c pass"), "--new-order should give an order's id alone"),
        ((HOOK, "--new-order", f"{sys.executable} -c 'raise SystemExit(3)'"), "--new-order ended with code 3"),
        ((HOOK, "--new-order", "yes"), "--new-order wrote more than 64 kB"),
        ((HOOK, "--new-order", "http://127.0.0.1:9/orders"), "--new-order failed:"),
    ],
)
async def test_what_cannot_be_played_is_told_in_a_sentence(cli: Cli, arguments: tuple[str, ...], sentence: str) -> None:
    ran = await cli.run("certify", *arguments)
    assert ran.code == 2
    assert f"Error: {sentence}" in ran.error
    assert ran.out == ""


@pytest.mark.parametrize("secret", ["whsec_!!", "whpk_AAAA", "my-own-password"])
async def test_what_is_no_secret_is_told_and_not_shown(cli: Cli, secret: str) -> None:
    ran = await cli.given(DARGAH_WEBHOOK_SECRET=secret).run("certify", HOOK)
    assert ran.code == 2
    assert "secret" in ran.error
    assert secret not in ran.error


async def test_without_a_secret_nothing_is_sent(tmp_path: Path) -> None:
    ran = await Cli({}, tmp_path).run("certify", HOOK)
    assert (ran.code, ran.error) == (
        2,
        "Error: no secret: set DARGAH_WEBHOOK_SECRET to the endpoint's, or pass it to --secret-stdin\n",
    )
