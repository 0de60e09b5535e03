"""`/admin/v1/backup`: a copy of the database, taken while it is used, over the operator's own connection.

The answer is lines of JSON, then the copy's bytes, then a line of JSON:

    {"pages": 256, "total": 9120}                          as the copy goes on
    {"bytes": 37355520, "longest_pause_ms": 2.1}           once it is whole; that many bytes follow
    …
    {"sha256": "…"}
"""

import time
from contextlib import aclosing
from typing import Any, Final

import orjson
import structlog
from aiohttp import web

from proxy.operators.operators import Caller
from proxy.recovery.backups import NotAFile, Piece, Whole
from proxy.web.admin_services import AdminServices
from proxy.web.headers import SECURITY_HEADERS

log = structlog.get_logger()

BACKUP_TYPE: Final = "application/octet-stream"
LINES_EVERY_SECONDS: Final = 0.5


class AdminBackup:
    """The handler. It gets the operator who calls."""

    def __init__(self, services: AdminServices) -> None:
        self._backups = services.backups
        self._operators = services.operators

    async def take_backup(self, request: web.Request, caller: Caller) -> web.StreamResponse:
        if self._backups is None:
            raise NotAFile
        pieces = self._backups.begin()
        await self._operators.noted(caller.name, "backup.take", {})
        response = web.StreamResponse(headers={**SECURITY_HEADERS, "Content-Type": BACKUP_TYPE})
        async with aclosing(pieces):
            await response.prepare(request)
            told_at = float("-inf")
            try:
                async for piece in pieces:
                    if isinstance(piece, bytes | str | Whole) or time.monotonic() - told_at >= LINES_EVERY_SECONDS:
                        told_at = time.monotonic()
                        await response.write(_written(piece))
                await response.write_eof()
            except ConnectionError:
                log.info("backup_left")  # who asked is gone
            except Exception:
                # The status is sent: that the last line is missing tells that it failed.
                log.exception("backup_failed")
                await response.write(b'{"error":"the copy failed; the server\'s log says why"}\n')
        return response


def _written(piece: Piece) -> bytes:
    match piece:
        case bytes():
            return piece
        case str():
            return _line({"sha256": piece})
        case Whole():
            return _line({"bytes": piece.size, "longest_pause_ms": piece.longest_pause_ms})
        case _:
            return _line({"pages": piece.pages, "total": piece.total})


def _line(value: dict[str, Any]) -> bytes:
    return orjson.dumps(value) + b"\n"
