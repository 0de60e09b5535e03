"""The customer of the demo: a browser in miniature, which follows links by hand so that each step can be shown."""

from dataclasses import dataclass
from html.parser import HTMLParser
from urllib.parse import urljoin

from aiohttp import ClientSession


@dataclass(frozen=True, slots=True)
class Page:
    """What came back: the status, where it sends the browser (None when nowhere), and the text."""

    status: int
    location: str | None
    text: str


class Customer:
    """Opens links and presses buttons without following redirects by itself."""

    def __init__(self, session: ClientSession) -> None:
        self._session = session

    async def open(self, url: str) -> Page:
        async with self._session.get(url, allow_redirects=False) as answer:
            return Page(answer.status, _absolute(url, answer.headers.get("Location")), await answer.text())

    async def press(self, url: str, action: str) -> Page:
        """Presses the button `action` of the gateway's page, whose form posts to its own address."""
        async with self._session.post(url, data={"action": action}, allow_redirects=False) as answer:
            return Page(answer.status, _absolute(url, answer.headers.get("Location")), await answer.text())


def buttons(html: str) -> list[str]:
    """The values of the buttons on a page."""
    found: list[str] = []

    class Buttons(HTMLParser):
        def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
            if tag == "button":
                found.extend(value for name, value in attrs if name == "value" and value)

    Buttons().feed(html)
    return found


def _absolute(base: str, location: str | None) -> str | None:
    return None if location is None else urljoin(base, location)
