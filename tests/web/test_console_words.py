"""The console says everything in Persian too."""

import re
from pathlib import Path

import pytest

import proxy
from proxy.config.settings import setting_names
from proxy.console.audit_acts import ACTS
from proxy.console.language import EVENTS, Words
from proxy.console.persian_settings import SETTINGS
from proxy.kernel.clock import parse_rfc3339
from proxy.merchants.merchant import Language
from proxy.webhooks.event import EVENT_TYPES

PERSIAN, ENGLISH = Words(Language.PERSIAN), Words(Language.ENGLISH)


def test_each_setting_is_explained_in_persian() -> None:
    assert set(setting_names()) - set(SETTINGS) == set(), "give its meaning in proxy/console/persian_settings.py"
    assert all(re.search("[آ-ی]", meaning) for meaning in SETTINGS.values())


def test_each_act_of_the_audit_log_has_a_word() -> None:
    groups = {act.partition(".")[0] for act in ACTS}
    written = re.compile(f'"((?:{"|".join(groups)})\\.[a-z_]+)"')
    sources = Path(proxy.__file__).parent.rglob("*.py")
    acts = {act for path in sources for act in written.findall(path.read_text("utf-8"))}
    others = EVENT_TYPES | {"payment.disputed", "operator.alert", "operator.alert_test"}
    assert {act for act in acts if not act.endswith(".html")} - others - set(ACTS) == set()


def test_each_event_type_has_a_word() -> None:
    assert set(EVENTS) == EVENT_TYPES


def test_a_time_is_shown_to_the_second_and_in_the_other_calendar() -> None:
    at = parse_rfc3339("2026-11-24T10:00:05Z")
    assert PERSIAN.exact_time(at) == "۱۴۰۵/۰۹/۰۳ ۱۳:۳۰:۰۵"
    assert PERSIAN.other_time(at) == "۲۴ نوامبر ۲۰۲۶، ساعت ۱۳:۳۰:۰۵"
    assert ENGLISH.exact_time(at) == "24 November 2026, 13:30:05"
    assert ENGLISH.other_time(at) == "3 Azar 1405, 13:30:05"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("برای dargah migrate، همین", '\u0628\u0631\u0627\u06cc <bdi dir="ltr">dargah migrate</bdi>، همین'),
        ("یا http://a.ir/?a=1&b=2.", 'یا <bdi dir="ltr">http://a.ir/?a=1&amp;b=2</bdi>.'),
        ("<b> & ۱۲", '<bdi dir="ltr">&lt;b</bdi>&gt; &amp; ۱۲'),
    ],
)
def test_latin_names_keep_their_direction_within_persian(text: str, shown: str) -> None:
    assert PERSIAN.mixed(text) == shown
    assert "bdi" not in ENGLISH.mixed(text)
