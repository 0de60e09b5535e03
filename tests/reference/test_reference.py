"""The API reference: each operation with the answer that a Dargah of today gives, and samples that ask for it.

And the README's pictures: there, of today, and with nothing from outside.
"""

import asyncio
import html
import importlib
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Mapping
from html.parser import HTMLParser
from pathlib import Path
from typing import Any, Self
from urllib.parse import urljoin
from urllib.request import Request
from xml.etree import ElementTree as ET

import orjson
import pytest
from browser.stage import staged
from web.lab import lab_in
from web.openapi_check import check_answer, check_schema, document

from proxy.gateways.registry import FAMILIES
from proxy.http.problems import problem_kinds
from proxy.reference.document import examples, groups, webhook
from proxy.reference.samples import Sample
from proxy.webhooks.event import EVENT_TYPES
from reference.demo_svg import PICTURE, render, run, titles
from reference.story import EXAMPLES, OPENAPI, openapi_text, operations, recorded, shape

EXAMPLES_NOW = json.loads(EXAMPLES.read_text("utf-8"))
HINT = "run `make docs`"
# Their rows are all of a process's work, which differs from run to run.
COUNTED = {"listAudit", "verifyAudit", "getOperatorTimeline", "getTimeline", "listDeliveries"}


def test_the_package_has_the_document_as_it_is() -> None:
    assert OPENAPI.read_text("utf-8") == openapi_text(), HINT


def test_every_operation_has_an_example_that_is_of_its_schema() -> None:
    assert set(EXAMPLES_NOW) == {*operations(), "onPaymentEvent"}, (
        f"{HINT}; an operation that is new needs its place in story.py"
    )
    for name, (method, _, _) in operations().items():
        asked, given = EXAMPLES_NOW[name]["request"], EXAMPLES_NOW[name]["answer"]
        assert asked["method"] == method
        if given["body"] is None:
            continue
        headers = given["headers"] | {"Content-Type": given["content_type"]}
        body = given["body"].encode() if isinstance(given["body"], str) else orjson.dumps(given["body"])
        check_answer(method, asked["target"].partition("?")[0], given["status"], headers, body)
    check_schema("WebhookMessage", EXAMPLES_NOW["onPaymentEvent"]["request"]["json"])


def test_no_sample_has_a_token_but_by_its_one_name() -> None:
    for operation in ALL:
        for shown in operation.samples:
            assert "EXAMPLEEXAMPLE" not in shown.text, (operation.id, shown.language)
            names = set(re.findall(r"DARGAH_\w+", shown.text))
            assert names <= {"DARGAH_ADMIN_TOKEN" if operation.admin else "DARGAH_TOKEN"}, (operation.id, names)


def test_every_operation_is_of_one_declared_group() -> None:
    declared = [tag["name"] for tag in document()["tags"]]
    assert {tuple(operation["tags"]) for _, _, operation in operations().values()} == {(name,) for name in declared}


async def test_the_examples_are_what_a_dargah_of_today_answers(tmp_path: Path) -> None:
    fresh = await recorded(tmp_path)
    for name, example in EXAMPLES_NOW.items():
        now = fresh[name]
        if name in COUNTED:
            example, now = ({"request": each["request"], "status": each["answer"]["status"]} for each in (example, now))
        assert shape(now) == shape(example), f"{name}: {HINT}"


def _origin(url: str) -> str:
    return "/".join(url.split("/")[:3])


def test_no_example_tells_a_secret_or_where_it_was_made() -> None:
    text = EXAMPLES.read_text("utf-8")
    assert "canary" not in text
    assert not re.search(r"operator-token|/tmp/|/home/|/work/", text)
    assert set(re.findall(r"https?://[^/\"\\ ?%]+", text)) <= {
        "https://pay.example.ir",
        "http://127.0.0.1:8081",
        "https://gateway.example.ir",
        "https://shop.example.ir",
        "https://json-schema.org",
    } | {_origin(url) for family in FAMILIES.values() for url in (family.gateway_url, family.sandbox_url) if url}
    for token in re.findall(r"dg_(?:live|test|op)_[0-9A-Za-z]{20,}|whsec_[0-9A-Za-z+/=]{20,}", text):
        assert "EXAMPLEEXAMPLE" in token


ALL = [operation for group in groups() for operation in group.operations]


def sample(samples: tuple[Sample, ...], language: str) -> str:
    [text] = [each.text for each in samples if each.language == language]
    return text


@pytest.mark.parametrize("operation", ALL, ids=lambda operation: operation.id)
def test_the_samples_ask_what_the_example_asked(operation: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = operation.example["request"]
    by_curl = curl(sample(operation.samples, "curl"))
    by_python = python(sample(operation.samples, "Python"), monkeypatch)
    for method, url, headers, body in (by_curl, by_python):
        assert method == asked["method"]
        assert url.endswith(asked["target"])
        assert {name.lower() for name in asked["headers"]} <= {name.lower() for name in headers}
        if asked["json"] is not None:
            assert body is not None
            assert json.loads(body) == asked["json"]
        elif asked["form"] is None:
            assert body is None
    assert by_curl[3] == by_python[3]
    for language in ("PHP", "Node"):
        text = sample(operation.samples, language)
        assert "Dargah.php" in text or "dargah.mjs" in text or asked["target"] in text


Asked = tuple[str, str, Mapping[str, str], str | None]


def curl(text: str) -> Asked:
    words = shlex.split(text.replace("\\\n", ""))
    method, url, headers, body = None, "", {}, None
    rest = iter(words[1:])
    for word in rest:
        match word:
            case "-X":
                method = next(rest)
            case "-H":
                name, _, value = next(rest).partition(": ")
                headers[name] = value
            case "-d":
                body = next(rest).replace("$DARGAH_TOKEN", "dg_live_t")
            case _:
                url = word
    return method or ("GET" if body is None else "POST"), url, headers, body


def python(text: str, monkeypatch: pytest.MonkeyPatch) -> Asked:
    """What the sample would send, taken at the door."""
    sent: list[Any] = []

    class Answered:
        def __enter__(self) -> Self:
            return self

        def __exit__(self, *_: object) -> None: ...
        def read(self) -> bytes:
            return b""

    def urlopen(request: Any, timeout: float) -> Answered:
        sent.append(request)
        return Answered()

    monkeypatch.setenv("DARGAH_TOKEN", "dg_live_t")
    monkeypatch.setenv("DARGAH_ADMIN_TOKEN", "t")
    monkeypatch.setattr("urllib.request.urlopen", urlopen)
    monkeypatch.syspath_prepend(str(REPOSITORY / "proxy" / "reference" / "clients" / "python"))
    client = importlib.import_module("dargah_client")

    def once(dargah: Any, method: str, path: str, body: Any, headers: Any, _left: float) -> tuple[int, Any, float]:
        data = None if body is None else body.encode()
        sent.append(Request(dargah._url.geturl() + path, data, headers, method=method))  # noqa: S310  goes nowhere
        return 200, {"status": "paid", "pay_url": "https://pay.example.ir/pay/x"}, 0.0

    monkeypatch.setattr(client.Dargah, "_once", once)
    exec(compile(text, "sample", "exec"), {})  # noqa: S102  a sample of ours, whose request goes nowhere
    [request] = sent
    data = None if request.data is None else request.data.decode()
    return request.get_method(), request.full_url, dict(request.header_items()), data


@pytest.mark.parametrize("language", ["PHP", "Node"])
def test_the_other_languages_can_parse_their_samples(language: str, tmp_path: Path) -> None:
    tool = shutil.which({"PHP": "php", "Node": "node"}[language])
    if tool is None:
        pytest.skip(f"NOT RUN: {language} is not installed")
    texts = [sample(operation.samples, language) for operation in (*ALL, webhook())]
    if language == "PHP":
        (tmp_path / "all.php").write_text("<?php\n" + "\n".join(texts))
        command = [tool, "-l", str(tmp_path / "all.php")]
    else:
        lines = [text.splitlines() for text in texts]
        imports = {line for each in lines for line in each if line.startswith("import ")}
        inner = ["\n".join(line for line in each if not line.startswith("import ")) for each in lines]
        first = 'import { Dargah, Refused } from "./dargah.mjs";\n'
        assert all('from "./dargah.mjs";' in line for line in imports)
        (tmp_path / "all.mjs").write_text(first + "\n".join(f"{{ {text} }}" for text in inner))
        command = [tool, "--check", str(tmp_path / "all.mjs")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


# The tool, the client's file and the sample's.
CLIENTS = {
    "Python": (sys.executable, "python/dargah_client.py", "sample.py"),
    "PHP": ("php", "php/Dargah.php", "sample.php"),
    "Node": ("node", "node/dargah.mjs", "sample.mjs"),
}


@pytest.mark.parametrize("language", CLIENTS)
async def test_a_sample_with_a_client_makes_a_payment_as_it_is_shown(language: str, tmp_path: Path) -> None:
    name, client, file = CLIENTS[language]
    if (tool := shutil.which(name)) is None:
        pytest.skip(f"NOT RUN: {language} is not installed")
    async with lab_in(tmp_path) as lab:
        page = (await lab.call("GET", "/docs/payments", token="")).text
        section = page.partition('id="createPayment"')[2]
        block = section.partition(f"<summary>{language}</summary>")[2].partition("</code>")[0]
        shown = html.unescape(block.partition("<code>")[2])
        shutil.copy(REPOSITORY / "proxy" / "reference" / "clients" / client, tmp_path)
        (tmp_path / file).write_text(("<?php\n" if language == "PHP" else "") + shown, "utf-8")
        environment = {"PATH": os.environ["PATH"], "DARGAH_TOKEN": lab.token}
        run = [tool, str(tmp_path / file)]
        done = await asyncio.to_thread(
            subprocess.run, run, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=60, check=False
        )
        assert done.stdout.strip().startswith(f"{lab.dargah.url}/pay/"), done
        [payment] = (await lab.call("GET", "/v1/payments")).json["data"]
        assert {name: payment[name] for name in ("order_id", "amount_rials", "metadata")} == {
            "order_id": "A-1700",
            "amount_rials": 150_000,
            "metadata": {"basket": 42},
        }


class Anchors(HTMLParser):
    def __init__(self, text: str) -> None:
        super().__init__()
        self.ids: list[str] = []
        self.links: list[str] = []
        self.tags: set[str] = set()
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        for name, value in attrs:
            if name == "id" and value:
                self.ids.append(value)
            if name in {"href", "action"} and value:
                self.links.append(value)


async def test_the_pages_have_everything_and_each_of_their_links_leads_somewhere(tmp_path: Path) -> None:
    async with staged(tmp_path, log_level="error") as stage:
        index = f"{stage.lab.dargah.url}/docs"
        pages: dict[str, Anchors] = {}
        waiting, wanted = [index], set[tuple[str, str]]()
        while waiting:
            url = waiting.pop()
            answer = await stage.lab.call("GET", url, token="")
            assert answer.status == 200, url
            if not answer.headers["Content-Type"].startswith("text/html"):
                continue
            page = pages[url] = Anchors(answer.text)
            assert len(page.ids) == len(set(page.ids)), url
            assert "script" not in page.tags
            for link in page.links:
                place, _, anchor = urljoin(url, link).partition("#")
                assert place.startswith(stage.lab.dargah.url), link
                wanted.add((place, anchor))
                if place not in pages and place not in waiting:
                    waiting.append(place)
        assert {(place, anchor) for place, anchor in wanted if anchor and anchor not in pages[place].ids} == set()
        ids = [each for page in pages.values() for each in page.ids]
        assert {*operations(), webhook().id, *(f"problem-{kind.code}" for kind in problem_kinds())} <= set(ids)
        assert {f"event-{kind}" for kind in EVENT_TYPES} <= set(ids)
        assert len(pages) >= 18


async def test_the_reference_can_be_turned_off(tmp_path: Path) -> None:
    async with staged(tmp_path, log_level="error", api_docs=False) as stage:
        for path in ("/docs", "/docs?q=pay", "/docs/payments", "/docs/dargah.http", "/openapi.json", "/llms.txt"):
            assert (await stage.lab.call("GET", path, token="")).status == 404, path
        # A shop's program reads the event types all the same.
        assert (await stage.lab.call("GET", "/v1/event-types")).status == 200


def test_every_code_that_a_problem_may_have_is_in_the_table() -> None:
    codes = {kind.code: kind.status for kind in problem_kinds()}
    assert (codes["invalid_request"], codes["internal_error"], codes["order_already_paid"]) == (422, 500, 409)
    told = set(
        re.findall(
            r"`([a-z_]+)`", " ".join(each["description"] for each in document()["components"]["responses"].values())
        )
    )
    assert {word for word in told if word in codes} >= {"rate_limited", "not_found", "gateway_refused"}
    assert examples()["createPayment"]["answer"]["status"] == 201


REPOSITORY = Path(__file__).parents[2]
PAGES = (REPOSITORY / "README.md", *sorted((REPOSITORY / "docs").glob("*.md")))
SAID = " 1. Begin  (3 ms)\n      GET http://127.0.0.1/<a>\n      ← 303 there & back\n 2. End  (4 ms)\n      سفارش 17\n"


def test_every_picture_that_a_page_shows_is_there() -> None:
    shown = {
        (page.parent / name).resolve()
        for page in PAGES
        for name in re.findall(r"""(?:!\[[^\]]*\]\(|src="|srcset=")([^)"]+)""", page.read_text("utf-8"))
    }
    assert len(shown) >= 6
    assert {path for path in shown if not path.is_file()} == set()


def test_the_recorded_demo_has_the_steps_of_todays() -> None:
    picture = ET.parse(PICTURE).getroot()  # noqa: S314  a file of ours
    recorded = "\n".join("".join(text.itertext()) for text in picture.iter("{http://www.w3.org/2000/svg}text"))
    assert titles(recorded) == titles(run()), "run `make demo-svg`"


def test_a_run_is_drawn_line_by_line_with_its_widths_said() -> None:
    picture = ET.fromstring(render(SAID))  # noqa: S314  a text of ours
    texts = list(picture.iter("{http://www.w3.org/2000/svg}text"))
    assert ["".join(each.itertext()) for each in texts][1:3] == ["1. Begin  (3 ms)", "GET http://127.0.0.1/<a>"]
    assert [each.get("textLength") is None for each in texts] == [False] * 5 + [True]
    assert render(SAID) == render(SAID)


def test_no_picture_brings_in_anything_from_outside() -> None:
    for path in (REPOSITORY / "docs" / "images").glob("*.svg"):
        text = path.read_text("utf-8")
        assert not re.search(r"<script|href=|url\((?!#)|@import|onload", text), path
        ET.parse(path)  # noqa: S314  a file of ours
