"""An authenticator app, as RFC 6238 has it, written apart from Dargah's own."""

import base64
import hashlib
import hmac
import struct
from dataclasses import dataclass
from urllib.parse import parse_qs, urlsplit


@dataclass(frozen=True)
class Authenticator:
    secret: str

    @classmethod
    def scanned(cls, uri: str) -> "Authenticator":
        """By what a QR code says."""
        return cls(parse_qs(urlsplit(uri).query)["secret"][0])

    def code(self, now: int) -> str:
        """What it shows at a time in milliseconds."""
        counter = struct.pack(">Q", now // 1000 // 30)
        mac = hmac.new(base64.b32decode(self.secret), counter, hashlib.sha1).digest()
        (number,) = struct.unpack(">I", mac[mac[19] & 15 :][:4])
        return str(number & 0x7FFFFFFF)[-6:].zfill(6)

    def wrong(self, now: int) -> str:
        """Six digits that are none of the codes around now."""
        near = {self.code(now + step * 30_000) for step in range(-3, 4)}
        return next(code for code in ("000000", "111111", "222222", "333333", "444444", "555555", "666666", "777777")
                    if code not in near)  # fmt: skip
