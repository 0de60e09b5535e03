"""`dargah`, and `python -m proxy`."""

from proxy.cli.root import dargah


def main() -> None:
    dargah(prog_name="dargah")


if __name__ == "__main__":
    main()
