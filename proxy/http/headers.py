"""The headers that every answer carries."""

from collections.abc import Mapping
from typing import Final

from proxy.kernel.rate_limits import WINDOW_SECONDS

SECURITY_HEADERS: Final[Mapping[str, str]] = {
    "Cache-Control": "no-store",
    "X-Content-Type-Options": "nosniff",
    # aiohttp would tell its own and Python's version.
    "Server": "dargah",
}

# Every sensor and power that a browser may lend to a page, and that ours have no use for.
_NOT_NEEDED: Final = (
    "accelerometer", "autoplay", "camera", "clipboard-read", "clipboard-write", "display-capture", "encrypted-media",
    "fullscreen", "geolocation", "gyroscope", "hid", "idle-detection", "magnetometer", "microphone", "midi", "payment",
    "publickey-credentials-get", "screen-wake-lock", "serial", "usb", "xr-spatial-tracking",
)  # fmt: skip


def permissions_policy(*own: str) -> str:
    """The Permissions-Policy of a page that itself needs the powers `own`, and lends them to no frame."""
    return ", ".join(f"{name}={'(self)' if name in own else '()'}" for name in _NOT_NEEDED)


# What a browser holds any page of ours to; each has a Content-Security-Policy of its own beside it.
PAGE_SECURITY_HEADERS: Final[Mapping[str, str]] = {
    **SECURITY_HEADERS,
    "Referrer-Policy": "no-referrer",
    "Permissions-Policy": permissions_policy(),
    "Cross-Origin-Resource-Policy": "same-origin",
}
# Of what leads to a gateway, which may know its customers' way by the origin that they come from, and of what posts to
# a shop: no path, no token.
ORIGIN_REFERRER: Final[Mapping[str, str]] = {"Referrer-Policy": "strict-origin"}
# Of pages only, not of the redirects: there it would cut the shop's window off from the one that it opened.
OPENER_POLICY: Final = ("Cross-Origin-Opener-Policy", "same-origin")


RATE_LIMIT: Final = "RateLimit"


def rate_limit_headers(limit: str, per_minute: int, remaining: int, reset_seconds: int) -> dict[str, str]:
    """`RateLimit` and `RateLimit-Policy` as draft-ietf-httpapi-ratelimit-headers-10 writes them."""
    return {
        RATE_LIMIT: f'"{limit}";r={remaining};t={reset_seconds}',
        "RateLimit-Policy": f'"{limit}";q={per_minute};w={WINDOW_SECONDS}',
    }
