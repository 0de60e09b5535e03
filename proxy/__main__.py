"""`python -m proxy`, which is `dargah`, where the Python can run it."""

import os
import sys
from typing import NoReturn


def main() -> None:
    if sys.version_info < (3, 11):  # noqa: UP036  an older one runs this far
        _refuse(f"Dargah needs Python 3.11 or newer, and {sys.executable} is {sys.version.split()[0]}: use a newer one")
    try:
        from proxy.cli import entry  # noqa: PLC0415  an older Python cannot
    except ModuleNotFoundError as error:
        if (error.name or "proxy").startswith("proxy"):
            raise
        _refuse(f"the library {error.name} is not in {sys.executable}: install Dargah with all that it needs")
    entry.main()


def _refuse(sentence: str) -> NoReturn:
    os.write(2, f"Error: {sentence}\n".encode())
    raise SystemExit(2)


if __name__ == "__main__":
    main()
