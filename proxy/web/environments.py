"""How templates are read: escaped, strict about names, and by a library that is loaded with the first page."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from jinja2 import Environment


def environment(package: str, *, lstrip_blocks: bool = True) -> "Environment":
    """Makes pages of a package's `templates`; `lstrip_blocks` is whether what indents a line's tag is left out."""
    from jinja2 import Environment, PackageLoader, StrictUndefined  # noqa: PLC0415  2 MB, and 20 ms of each start

    return Environment(
        loader=PackageLoader(package),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=lstrip_blocks,
    )
