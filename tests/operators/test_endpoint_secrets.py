"""The operator rotates an endpoint's secret, over the API and by the command; it is shown once and logged never."""

from operators.command import Cli
from operators.conftest import Admin
from operators.test_cli import cli

__all__ = ["cli"]

HOOK = {"url": "https://shop.ir/hook"}


async def endpoint_of(admin: Admin) -> tuple[str, dict[str, object]]:
    merchant = await admin.made("/merchants", {"name": "Shop"})
    base = f"/merchants/{merchant['id']}/endpoints"
    made = await admin.made(base, HOOK | {"signatures": ["v1", "v1a"]})
    return f"{base}/{made['id']}", made


async def test_a_rotation_shows_the_new_secret_once_and_until_when_the_old_one_signs(admin: Admin) -> None:
    path, made = await endpoint_of(admin)
    status, rotated = await admin.call("POST", f"{path}/rotate-secret", {"overlap_seconds": 3600})
    assert status == 200
    assert str(rotated["secret"]).startswith("whsec_")
    assert rotated["secret"] != made["secret"]
    assert str(rotated["public_key"]).startswith("whpk_")
    assert rotated["public_key"] != made["public_key"]
    shown = {name: value for name, value in rotated.items() if name != "secret"}
    assert await admin.call("GET", path) == (200, shown)
    assert shown["previous_secret_until"] is not None
    _, log = await admin.call("GET", "/audit")
    assert log["data"][0]["action"] == "endpoint.rotate_secret"
    assert str(rotated["secret"]) not in str(log)


async def test_an_overlap_is_a_week_at_most_and_a_day_when_not_said(admin: Admin) -> None:
    path, _ = await endpoint_of(admin)
    assert (await admin.call("POST", f"{path}/rotate-secret"))[0] == 200
    status, problem = await admin.call("POST", f"{path}/rotate-secret", {"overlap_seconds": 604_801})
    assert (status, problem["errors"][0]["field"]) == (422, "overlap_seconds")
    unknown = path[:-4] + "0000"
    assert (await admin.call("POST", f"{unknown}/rotate-secret"))[0] == 404


async def test_the_commands_set_how_it_is_signed_and_rotate(cli: Cli) -> None:
    merchant = await cli.json("merchant", "create", "--name", "Shop")
    create = ("endpoint", "create", "--merchant", merchant["id"], "--url", "https://shop.ir/hook")
    made = await cli.json(*create, "--signature", "v1", "--signature", "v1a")
    assert (made["signatures"], made["public_key"][:5]) == (["v1", "v1a"], "whpk_")
    rotated = await cli.json("endpoint", "rotate-secret", made["id"], "--overlap-seconds", "60")
    assert rotated["secret"] != made["secret"]
    for_people = await cli.run("endpoint", "rotate-secret", made["id"])
    assert "shown once" in for_people.out
    shown = await cli.json("endpoint", "show", made["id"])
    assert "secret" not in shown
    paused = await cli.json("endpoint", "pause", made["id"])
    assert (paused["state"], paused["state_since"] > made["state_since"]) == ("paused", True)
    assert (await cli.json("endpoint", "resume", made["id"]))["state"] == "enabled"
    assert (await cli.json("endpoint", "update", made["id"], "--signature", "v1"))["public_key"] is None
