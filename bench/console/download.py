"""Downloads a file of the console as fast as it comes: `download.py URL COOKIE`; prints its lines, bytes and seconds.

A process of its own, so that the load beside it is not measured with it.
"""

import http.client
import json
import sys
import time
from urllib.parse import urlsplit

BLOCK = 1 << 20


def main() -> None:
    url, cookie = sys.argv[1:]
    parts = urlsplit(url)
    connection = http.client.HTTPConnection(parts.netloc, timeout=600)
    began = time.monotonic()
    connection.request("GET", f"{parts.path}?{parts.query}", headers={"Cookie": cookie})
    answer = connection.getresponse()
    lines = size = 0
    while block := answer.read(BLOCK):
        lines += block.count(b"\r\n")
        size += len(block)
    print(json.dumps({"status": answer.status, "lines": lines, "bytes": size, "seconds": time.monotonic() - began}))


if __name__ == "__main__":
    main()
