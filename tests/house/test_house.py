"""The measures find what they are for, and CONTRIBUTING.md names what is there."""

import re
import subprocess
from collections.abc import Callable
from pathlib import Path
from textwrap import dedent

import pytest

from house.measures import MEASURES, Measure, Measured, report
from house.sources import Sources

Tree = Callable[[dict[str, str]], Measured]


@pytest.fixture
def tree(tmp_path: Path) -> Tree:
    """Makes the measured tree of these files: path below `proxy/`, text."""

    def make(files: dict[str, str]) -> Measured:
        subprocess.run(["git", "init", "--quiet", tmp_path], check=True)  # noqa: S607  the path's git
        folders = {str(parent) for path in files for parent in Path(path).parents}
        packages = dict.fromkeys((f"{folder}/__init__.py" for folder in folders), "")
        for path, text in (packages | files).items():
            place = tmp_path / "proxy" / path
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_text(dedent(text))
        return Measured(Sources(tmp_path))

    return make


def found(measured: Measured, name: str) -> list[str]:
    measure = next(each for each in MEASURES if each.name == name)
    taken = measure.take(measured)
    assert not isinstance(taken, int)
    return [each if isinstance(each, str) else " ".join(each) for each in taken]


def test_a_circle_of_packages_is_found_where_no_file_is_in_a_circle(tree: Tree) -> None:
    measured = tree(
        {
            "a/one.py": "from proxy.b.two import x\n",
            "b/two.py": "x = 1\n",
            "b/three.py": "def f() -> None:\n    from ..a import one\n",
        }
    )
    assert found(measured, "circles of packages") == ["proxy.a proxy.b"]
    assert found(measured, "circles of packages, imports at start") == []
    assert found(measured, "circles of files") == []


def test_a_circle_of_files_through_type_checking_is_found_and_told_apart(tree: Tree) -> None:
    measured = tree(
        {
            "a.py": "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from proxy.b import B\nclass A: ...\n",
            "b.py": "import proxy.a\nclass B: ...\n",
            "c.py": "from proxy import b\n",
        }
    )
    assert found(measured, "circles of files") == ["proxy.a proxy.b"]
    assert found(measured, "circles of files, imports at start") == []
    assert found(measured, "floors of imports of files") == ["proxy.c", "proxy.a, proxy.b"]


def test_private_attributes_of_libraries_are_found_and_our_own_are_not(tree: Tree) -> None:
    text = """\
        from lib import Base, _hidden
        from lib._inside import thing

        class Mine(Base):
            def __init__(self, other: "Mine") -> None:
                self._own = other._own
                self._theirs()
                super()._start(thing)
                getattr(other, "_secret")
                other.point._replace(x=1)
                other.session._loop.close()

            def _start(self) -> None: ...
        """
    uses = found(tree({"a.py": text}), "private attributes of libraries")
    assert {use.split(": ", 1)[1] for use in uses} == {
        "lib._hidden",
        "lib._inside.thing",
        "self._theirs",
        "super()._start",
        "getattr(other, '_secret')",
        "other.session._loop",
    }


PROTOCOL = """\
    from typing import Protocol
    class Port(Protocol):
        async def ask(self, key: str) -> None: ...
        @property
        def open(self) -> bool: ...
    """
ONE = """\
    class One:
        open = True
        async def ask(self, key: str, *, again: bool = False) -> None: ...
    class Child(One):
        more = 1
    """


def test_a_protocol_counts_until_a_second_class_implements_it(tree: Tree) -> None:
    name = "Protocols with one implementation"
    not_one = "class Sync:\n    open = True\n    def ask(self, key: str) -> None: ...\n"
    files = {"port.py": PROTOCOL, "one.py": ONE, "sync.py": not_one}
    assert found(tree(files), name) == ["proxy.port.Port: proxy.one.One"]
    named = "from proxy import port\nclass Two(port.Port):\n    def other(self) -> None: ...\n"
    assert found(tree({**files, "two.py": named}), name) == []


def test_a_field_s_places_are_lines_of_code_and_queries_and_not_prose(tree: Tree) -> None:
    code = '''\
        """The metadata of a payment."""
        metadata = {}  # metadata
        print(metadata, order.metadata)
        QUERY = "SELECT metadata FROM payments"
        THERE = [("169.254.169.254/32", "metadata")]
        '''
    measured = tree({"a.py": code, "sql/b.sql": "-- metadata\nSELECT id, metadata\n", "c.css": "metadata"})
    assert found(measured, "lines for a payment field") == [
        *("proxy/a.py:2", "proxy/a.py:3", "proxy/a.py:4"),
        "proxy/sql/b.sql:2",
    ]


def test_sizes_and_names_are_counted(tree: Tree) -> None:
    long = "def long() -> None:\n" + "    x = 1\n" * 50
    measured = tree(
        {"a.py": f"class Twice: ...\n{long}", "b.py": "class Twice: ...\n", "code.py": "X = 301\nY = 1301\n"}
    )
    assert found(measured, "functions over 50 lines") == ["proxy/a.py:2: long, 51"]
    assert found(measured, "files under 40 lines") == ["proxy/b.py: 1", "proxy/code.py: 2"]
    assert found(measured, "class names that stand twice") == ["Twice: proxy.a, proxy.b"]
    assert found(measured, "files for a gateway code") == ["proxy/code.py"]
    assert found(measured, "entries at the top of proxy") == ["__init__.py", "a.py", "b.py", "code.py"]


@pytest.mark.parametrize(("ceiling", "remark"), [(1, "WORSE"), (2, ""), (3, "the ceiling can be 2")])
def test_only_a_measure_over_its_ceiling_fails_the_check(tree: Tree, ceiling: int, remark: str) -> None:
    measure = Measure("things", 0, ceiling, lambda _: ["one", "two"])
    lines, worse = report(tree({"a.py": ""}), [measure], in_full=False)
    assert worse is (ceiling < 2)
    assert lines[1].endswith(remark)
    assert lines[2:] == (["    one", "    two"] if worse else [])


ROOT = Path(__file__).parents[2]
CONTRIBUTING = (ROOT / "CONTRIBUTING.md").read_text("utf-8")
PLACE = re.compile(r"`((?:proxy|tests|docs)/[^`]*|openapi\.yaml)`")


def section(title: str) -> str:
    return CONTRIBUTING.partition(f"### {title}")[2].partition("\n### ")[0]


def test_each_place_that_contributing_names_is_there() -> None:
    places = [place for place in PLACE.findall(CONTRIBUTING) if not re.search(r"[<*]", place)]
    assert len(places) > 15
    assert [place for place in places if not (ROOT / place).exists()] == []


def test_the_list_for_a_payment_field_has_every_place() -> None:
    named = PLACE.findall(section("A payment field"))
    files = {place.rpartition(":")[0] for place in Measured(Sources(ROOT)).field_places}
    assert {file for file in files if not any(file.startswith(place) for place in named)} == set()


def test_the_map_has_a_line_for_each_folder() -> None:
    text = (ROOT / "docs" / "architecture.md").read_text("utf-8").partition("## The map")[2].partition("\n## ")[0]
    named = {
        name for row in re.findall(r"^\| (`[^|]*) \|", text, re.MULTILINE) for name in re.findall(r"`(\w+)/`", row)
    }
    assert named == {path.name for path in (ROOT / "proxy").iterdir() if (path / "__init__.py").exists()}
