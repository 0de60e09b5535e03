"""The vault: what is sealed opens only as what it was, under a key that is the right one.

And an endpoint's secret, which the operator rotates: shown once and logged never.
"""

import base64
from dataclasses import replace

import pytest
from security.older import older_seal
from support.command import Cli

from operators.conftest import Admin
from proxy.kernel.errors import VaultError
from proxy.merchants.vault import KeyRing, SealedSecret, Vault, generate_line

SECRET = "canary-api-key-8c1f"
ORIGIN = "https://pay.example.ir"


def ring_of(*lines: str) -> KeyRing:
    return KeyRing.parse("\n".join(lines))


def sealed_by(vault: Vault) -> SealedSecret:
    return vault.seal("mer_00000001", "trm_00000001", "signing:1", SECRET)


def sealed_for(vault: Vault, origin: str = ORIGIN) -> SealedSecret:
    return vault.seal("mer_00000001", "trm_00000001", "api_key", SECRET, origin)


def test_a_sealed_secret_opens_to_itself() -> None:
    vault = Vault(ring_of(generate_line("a")))
    for secret in (SECRET, "", "کلید فارسی", "x" * 10_000):
        assert vault.open(vault.seal("mer_1", "trm_1", "return_secret", secret)) == secret


def test_the_blob_does_not_hold_the_secret_and_never_repeats() -> None:
    vault = Vault(ring_of(generate_line("a")))
    first, second = sealed_by(vault), sealed_by(vault)
    assert SECRET.encode() not in first.blob
    assert first.blob != second.blob


@pytest.mark.parametrize(
    "elsewhere", [{"merchant_id": "mer_00000002"}, {"owner_id": "trm_00000002"}, {"name": "signing:2"}]
)
def test_a_ciphertext_moved_to_another_row_does_not_open(elsewhere: dict[str, str]) -> None:
    vault = Vault(ring_of(generate_line("a")))
    moved = replace(sealed_by(vault), **elsewhere)  # type: ignore[arg-type]  # mypy cannot tell which fields
    with pytest.raises(VaultError, match="not the one that was sealed"):
        vault.open(moved)
    with pytest.raises(VaultError, match="not the one that was sealed"):
        vault.rewrap(moved)


def test_no_byte_of_the_blob_can_be_altered() -> None:
    vault = Vault(ring_of(generate_line("a")))
    sealed = sealed_by(vault)
    for position in range(len(sealed.blob)):
        altered = bytearray(sealed.blob)
        altered[position] ^= 1
        with pytest.raises(VaultError):
            vault.open(replace(sealed, blob=bytes(altered)))


def test_a_blob_that_was_cut_short_does_not_open() -> None:
    vault = Vault(ring_of(generate_line("a")))
    sealed = sealed_by(vault)
    for length in range(len(sealed.blob)):
        with pytest.raises(VaultError):
            vault.open(replace(sealed, blob=sealed.blob[:length]))


@pytest.mark.parametrize(
    "origin", ["https://pay.example.ir:8443", "http://pay.example.ir", "https://evil.example", "", None]
)
def test_a_secret_with_a_destination_opens_for_its_origin_only(origin: str | None) -> None:
    vault = Vault(ring_of(generate_line("a")))
    sealed = sealed_for(vault)
    assert vault.open(sealed, ORIGIN) == SECRET
    with pytest.raises(VaultError):
        vault.open(sealed, origin)
    rewrapped = vault.rewrap(sealed)
    assert vault.open(rewrapped, ORIGIN) == SECRET
    with pytest.raises(VaultError):
        vault.open(rewrapped, origin)


def test_a_secret_without_a_destination_takes_no_origin() -> None:
    vault = Vault(ring_of(generate_line("a")))
    with pytest.raises(VaultError):
        vault.open(sealed_by(vault), ORIGIN)
    with pytest.raises(VaultError):
        vault.seal("mer_1", "mer_1", "return_secret", SECRET, ORIGIN)
    with pytest.raises(VaultError):
        vault.seal("mer_1", "trm_1", "api_key", SECRET)


def test_a_secret_of_the_version_before_opens_in_the_upgrade_only() -> None:
    old, vault = generate_line("old"), Vault(ring_of(generate_line("new")))
    both = Vault(ring_of(generate_line("new"), old))
    before = older_seal(ring_of(old), "mer_1", "trm_1", "api_key", SECRET)
    for act in (lambda: both.open(before, ORIGIN), lambda: both.open(before), lambda: both.rewrap(before)):
        with pytest.raises(VaultError):
            act()
    bound = both.bind(before, ORIGIN)
    assert bound is not None
    assert both.open(bound, ORIGIN) == SECRET
    assert both.bind(bound, "https://evil.example") is None
    with pytest.raises(VaultError, match="is not in the ring"):
        vault.bind(before, ORIGIN)


def test_the_first_key_of_the_ring_seals_and_the_others_still_open() -> None:
    old, new = generate_line("old"), generate_line("new")
    before = sealed_by(Vault(ring_of(old)))
    vault = Vault(ring_of(new, old))
    assert vault.open(before) == SECRET
    assert vault.kek_id.startswith("new-")
    assert sealed_by(vault).kek_id == vault.kek_id


def test_a_rewrapped_secret_needs_only_the_new_key() -> None:
    old, new = generate_line("old"), generate_line("new")
    before = sealed_by(Vault(ring_of(old)))
    after = Vault(ring_of(new, old)).rewrap(before)
    assert Vault(ring_of(new)).open(after) == SECRET
    with pytest.raises(VaultError):
        Vault(ring_of(old)).open(after)


def test_a_missing_key_is_named() -> None:
    old, new = generate_line("k2025"), generate_line("k2026")
    sealed = sealed_by(Vault(ring_of(old)))
    ring = ring_of(new)
    with pytest.raises(VaultError, match=f"the key {sealed.kek_id} is not in the ring"):
        ring.check([sealed.kek_id, ring.kek_id])
    with pytest.raises(VaultError, match=sealed.kek_id):
        Vault(ring).open(sealed)


def test_a_key_with_the_right_name_and_wrong_bytes_is_named() -> None:
    sealed = sealed_by(Vault(ring_of(generate_line("k2026"))))
    with pytest.raises(VaultError, match="the key k2026 of the ring is not the one that sealed"):
        ring_of(generate_line("k2026")).check([sealed.kek_id])


def test_a_ring_that_has_every_key_passes() -> None:
    ring = ring_of(generate_line("a"), generate_line("b"))
    ring.check(ring.keys)


def test_a_ring_may_have_comments_blank_lines_and_commas() -> None:
    a, b, c = generate_line("a"), generate_line("b"), generate_line("c")
    ring = KeyRing.parse(f"# the keys, newest first\n\n  {a} , {b}\n{c}\n")
    assert [kek_id[0] for kek_id in ring.keys] == ["a", "b", "c"]


def test_the_ring_and_the_vault_do_not_show_a_key() -> None:
    line = generate_line("a")
    ring = ring_of(line)
    shown = repr(ring) + repr(Vault(ring))
    assert line.partition(":")[2] not in shown
    assert repr(next(iter(ring.keys.values()))) not in shown


GOOD = base64.b64encode(bytes(32)).decode()


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "the key ring is empty"),
        ("# only a comment", "the key ring is empty"),
        (f"a:{GOOD}\nleaked-material", "line 2: write it as name:base64"),
        ("a:leaked-material!", "line 1: what follows the colon is not base64"),
        (f"\n\na:{base64.b64encode(bytes(31)).decode()}", "line 3: the key a has 31 bytes"),
        (f"bad name:{GOOD}", "line 1: a key's name"),
        (f"with-hyphen:{GOOD}", "line 1: a key's name"),
        (f"a:{GOOD}\na:{base64.b64encode(bytes([1] * 32)).decode()}", "line 2: the key a is there twice"),
        (f"a:{GOOD}\nb:{GOOD}", "line 2: the key b is there twice"),
    ],
)
def test_a_bad_ring_says_which_line_and_not_what_it_holds(text: str, told: str) -> None:
    with pytest.raises(VaultError, match=told) as caught:
        KeyRing.parse(text)
    assert "leaked" not in str(caught.value)
    assert GOOD not in str(caught.value)


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
