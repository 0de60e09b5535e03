"""The entry point of `dargah`, which refuses an environment that it shares with another package of the name `proxy`.

It stands in a folder that PyPI's proxy.py does not have: where that was installed last, `proxy/__main__.py` is its own.
"""

import gc
import os
import re
import sys
from contextlib import suppress
from pathlib import Path
from typing import Final

import proxy
from proxy.cli import dargah

# Nearly all garbage goes by its reference count. Looking for cycles at CPython's 700 objects is a tenth of a start, and
# 3 % of a create.
GC_THRESHOLDS: Final = (20_000, 20, 20)
SITE: Final = Path(__file__).parents[2]
_PROXY_PY: Final = re.compile(r"proxy[._-]py-[^/]*\.(?:dist|egg)-info", re.IGNORECASE)


def main() -> None:
    keep_standard_descriptors()
    gc.set_threshold(*GC_THRESHOLDS)
    if (problem := collision(SITE)) is not None:
        print(f"Error: {problem}", file=sys.stderr)
        sys.exit(2)
    dargah(prog_name="dargah")


def collision(site: Path) -> str | None:
    """What is wrong in `site`, the folder of packages that ours is in, with what to do; None when we are alone there.

    pip lets the packages of two distributions overwrite each other. A look at the folder's names takes less than a
    millisecond; importlib.metadata would read every distribution.
    """
    names = []
    with suppress(OSError):  # not a folder: a zip file, into which pip installs nothing
        names = os.listdir(site)  # noqa: PTH208  a Path for each name takes twice as long
    if any(map(_PROXY_PY.fullmatch, names)):
        what = f"proxy.py is in {site} too, and both install a package `proxy`, whose files replace each other"
    elif not hasattr(proxy, "__version__"):
        what = f"files of Dargah's package `proxy` in {site} are missing or another's"
    else:
        return None
    return f"{what}: install Dargah into a virtual environment of its own, or with pipx"


def keep_standard_descriptors() -> None:
    """Opens /dev/null in place of closed descriptors 0, 1 and 2: a socket or the database would otherwise get that
    number, and the output of libraries to standard error would go there.
    """
    while (descriptor := os.open(os.devnull, os.O_RDWR)) <= 2:  # noqa: PLR2004  standard error
        os.set_inheritable(descriptor, True)
    os.close(descriptor)
