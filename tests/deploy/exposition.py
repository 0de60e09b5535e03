"""Series, as PromQL asks for them and as a process shows them."""

import re
from collections.abc import Iterator
from dataclasses import dataclass

from prometheus_client.parser import text_string_to_metric_families

# Of Prometheus' own making: a process does not show it. `job` and `instance` are put on by whoever scrapes.
SCRAPER_S = frozenset({"up"})
SCRAPED = frozenset({"job", "instance"})
_SELECTOR = re.compile(r"\b((?:dargah|process)_[a-z_]+|up)\b(?:\{([^}]*)\})?")
_MATCHER = re.compile(r'(\w+)(=~|!~|!=|=)"([^"]*)"')


@dataclass(frozen=True)
class Asked:
    name: str
    matchers: tuple[tuple[str, str, str], ...]

    def among(self, series: list[tuple[str, dict[str, str]]]) -> bool:
        return any(name == self.name and all(_fits(labels, each) for each in self.matchers) for name, labels in series)


def _fits(labels: dict[str, str], matcher: tuple[str, str, str]) -> bool:
    name, operator, value = matcher
    if name in SCRAPED:
        return True
    if name not in labels:
        return False
    same = re.fullmatch(value, labels[name]) is not None if "~" in operator else labels[name] == value
    return same is not operator.startswith("!")


def named(expression: str) -> Iterator[Asked]:
    for name, matchers in _SELECTOR.findall(expression):
        if name not in SCRAPER_S:
            yield Asked(name, tuple(_MATCHER.findall(matchers)))


def shown(text: str) -> list[tuple[str, dict[str, str]]]:
    return [
        (sample.name, sample.labels) for family in text_string_to_metric_families(text) for sample in family.samples
    ]
