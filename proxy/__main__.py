"""`dargah`, and `python -m proxy`."""

import os

from proxy.cli import dargah


def main() -> None:
    keep_standard_descriptors()
    dargah(prog_name="dargah")


def keep_standard_descriptors() -> None:
    """Opens /dev/null in place of closed descriptors 0, 1 and 2: a socket or the database would otherwise get that
    number, and the output of libraries to standard error would go there.
    """
    while (descriptor := os.open(os.devnull, os.O_RDWR)) <= 2:  # noqa: PLR2004  standard error
        os.set_inheritable(descriptor, True)
    os.close(descriptor)


if __name__ == "__main__":
    main()
