"""The vault: what is sealed opens only as what it was, under a key that is the right one."""

import base64
from dataclasses import replace

import pytest

from proxy.adapters.vault import KeyRing, RingVault, generate_line
from proxy.errors import VaultError
from proxy.records import Sealed

SECRET = "canary-api-key-8c1f"


def ring_of(*lines: str) -> KeyRing:
    return KeyRing.parse("\n".join(lines))


def sealed_by(vault: RingVault) -> Sealed:
    return vault.seal("mer_00000001", "trm_00000001", "api_key", SECRET)


def test_a_sealed_secret_opens_to_itself() -> None:
    vault = RingVault(ring_of(generate_line("a")))
    for secret in (SECRET, "", "کلید فارسی", "x" * 10_000):
        assert vault.open(vault.seal("mer_1", "trm_1", "api_key", secret)) == secret


def test_the_blob_does_not_hold_the_secret_and_never_repeats() -> None:
    vault = RingVault(ring_of(generate_line("a")))
    first, second = sealed_by(vault), sealed_by(vault)
    assert SECRET.encode() not in first.blob
    assert first.blob != second.blob


@pytest.mark.parametrize(
    "elsewhere", [{"merchant_id": "mer_00000002"}, {"owner_id": "trm_00000002"}, {"name": "signing:1"}]
)
def test_a_ciphertext_moved_to_another_row_does_not_open(elsewhere: dict[str, str]) -> None:
    vault = RingVault(ring_of(generate_line("a")))
    moved = replace(sealed_by(vault), **elsewhere)  # type: ignore[arg-type]  # mypy cannot tell which fields
    with pytest.raises(VaultError, match="not the one that was sealed"):
        vault.open(moved)
    with pytest.raises(VaultError, match="not the one that was sealed"):
        vault.rewrap(moved)


def test_no_byte_of_the_blob_can_be_altered() -> None:
    vault = RingVault(ring_of(generate_line("a")))
    sealed = sealed_by(vault)
    for position in range(len(sealed.blob)):
        altered = bytearray(sealed.blob)
        altered[position] ^= 1
        with pytest.raises(VaultError):
            vault.open(replace(sealed, blob=bytes(altered)))


def test_a_blob_that_was_cut_short_does_not_open() -> None:
    vault = RingVault(ring_of(generate_line("a")))
    sealed = sealed_by(vault)
    for length in range(len(sealed.blob)):
        with pytest.raises(VaultError):
            vault.open(replace(sealed, blob=sealed.blob[:length]))


def test_the_first_key_of_the_ring_seals_and_the_others_still_open() -> None:
    old, new = generate_line("old"), generate_line("new")
    before = sealed_by(RingVault(ring_of(old)))
    vault = RingVault(ring_of(new, old))
    assert vault.open(before) == SECRET
    assert vault.kek_id.startswith("new-")
    assert sealed_by(vault).kek_id == vault.kek_id


def test_a_rewrapped_secret_needs_only_the_new_key() -> None:
    old, new = generate_line("old"), generate_line("new")
    before = sealed_by(RingVault(ring_of(old)))
    after = RingVault(ring_of(new, old)).rewrap(before)
    assert RingVault(ring_of(new)).open(after) == SECRET
    with pytest.raises(VaultError):
        RingVault(ring_of(old)).open(after)


def test_a_missing_key_is_named() -> None:
    old, new = generate_line("k2025"), generate_line("k2026")
    sealed = sealed_by(RingVault(ring_of(old)))
    ring = ring_of(new)
    with pytest.raises(VaultError, match=f"the key {sealed.kek_id} is not in the ring"):
        ring.check([sealed.kek_id, ring.kek_id])
    with pytest.raises(VaultError, match=sealed.kek_id):
        RingVault(ring).open(sealed)


def test_a_key_with_the_right_name_and_wrong_bytes_is_named() -> None:
    sealed = sealed_by(RingVault(ring_of(generate_line("k2026"))))
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
    shown = repr(ring) + repr(RingVault(ring))
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
