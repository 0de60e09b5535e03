"""`dargah reconcile`."""

import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import click

from proxy.cli.api import Api, ApiError
from proxy.cli.options import merchant_option, merchant_path, operator_command
from proxy.cli.output import Output
from proxy.cli.recover import STEP_SECONDS
from proxy.cli.sheet import Sheet
from proxy.clock import DAY, rfc3339
from proxy.money import Currency
from proxy.reconciliation.cells import read_time
from proxy.reconciliation.file import BadFile, BadRow, Layout, Row, read_rows
from proxy.reconciliation.matching import whole_days

DIFFERS: Final = 3
_BATCH: Final = 500
_BAD_SHOWN: Final = 10
_RECOVERED_BACK: Final = 30 * DAY
_UNITS: Final = {"rial": Currency.IRR, "toman": Currency.IRT}
# In the order of their weight. The last two say nothing against either side.
_ROWS: Final = ("missing_here", "amount_differs", "duplicate", "under_review", "matched")
_TITLES: Final = {
    "missing_here": "missing here: the bank has them, no payment does",
    "amount_differs": "differing amount: the bank's, and what the gateway told us",
    "duplicate": "twice in the file",
    "under_review": "under review: decide with `dargah payment resolve`",
    "missing_there": "missing there: paid here, and not in the file",
    "at_the_edge": "at the edge: paid about when the period begins or ends; look in the file of the day beside",
}
_COLUMNS: Final = {
    "missing_here": ("number", "bank_code", "amount_rials"),
    "duplicate": ("number", "bank_code", "amount_rials", "first_number"),
    "missing_there": ("payment_id", "order_id", "bank_code", "amount_rials", "paid_at"),
    "at_the_edge": ("payment_id", "order_id", "bank_code", "amount_rials", "paid_at"),
}
_ROW_COLUMNS: Final = ("number", "bank_code", "amount_rials", "captured_rials", "payment_id", "order_id")
_DIFFERENCES: Final = ("missing_here", "amount_differs", "duplicate", "under_review", "missing_there")


@dataclass(slots=True)
class Report:
    """Counts and rials by outcome, with the first few of each."""

    show: int
    period: tuple[int, int] | None
    sums: dict[str, tuple[int, int]] = field(default_factory=dict)
    lists: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    skipped: int = 0
    found_by_asking: dict[str, int] | None = None

    def add(self, outcome: str, entry: dict[str, Any]) -> None:
        count, rials = self.sums.get(outcome, (0, 0))
        self.sums[outcome] = count + 1, rials + entry["amount_rials"]
        if count < self.show:
            self.lists.setdefault(outcome, []).append(entry)

    @property
    def differs(self) -> bool:
        return any(self.sums.get(outcome, (0, 0))[0] for outcome in _DIFFERENCES)


@click.command()
@click.option(
    "--csv", "path", required=True, type=click.Path(path_type=Path, exists=True, dir_okay=False), help="The file."
)
@merchant_option
@click.option("--terminal", metavar="ID", help="Only payments of this terminal (trm_…) are looked for in the file.")
@click.option("--unit", type=click.Choice(["rial", "toman"]), help="Of the amounts, when the heading does not say.")
@click.option("--code-column", metavar="NAME", help="Of the bank's tracking number: its heading, or its number from 1.")
@click.option("--amount-column", metavar="NAME", help="Of the amount.")
@click.option("--date-column", metavar="NAME", help="Of the date, Jalali or Gregorian.")
@click.option("--time-column", metavar="NAME", help="Of the time of day in Tehran, when it stands apart.")
@click.option("--delimiter", metavar="CHAR", help="Between the columns; found by itself.")
@click.option("--encoding", metavar="NAME", help="Of the text; UTF-8 and Windows-1256 are found by themselves.")
@click.option("--since", metavar="DAY", help="The period's first day, such as 1405/09/01; otherwise the file's.")
@click.option("--until", metavar="DAY", help="The period's last day.")
@click.option("--one-way", is_flag=True, help="Do not look for our payments in the file.")
@click.option(
    "--check-missing", is_flag=True, help="Ask the gateways again about what is missing here (`dargah recover`)."
)
@click.option("--mode", type=click.Choice(["live", "test"]), default="live", show_default=True)
@click.option("--show", type=click.IntRange(0, 100_000), default=100, show_default=True, help="Of each kind, at most.")
@operator_command
def reconcile(
    *,
    api: Api,
    out: Output,
    path: Path,
    merchant: str,
    terminal: str | None,
    unit: str | None,
    since: str | None,
    until: str | None,
    one_way: bool,
    check_missing: bool,
    mode: str,
    show: int,
    **columns: str | None,
) -> None:
    """Hold a bank's or gateway's settlement file against the merchant's payments, by tracking number and amount.

    Nothing is changed, unless --check-missing has the gateways asked again. Exit code 0: all matched. 3: something
    differs. 1: the file or the server failed.
    """
    base = merchant_path(merchant)
    layout = _layout(columns, unit)
    with Sheet() as sheet:
        skipped = _fill(sheet, path, layout)
        report = Report(show, None if one_way else _period(sheet, since, until), skipped=skipped)
        _compare(api, out, base, sheet, mode)
        if check_missing and sheet.sums().get("missing_here"):
            report.found_by_asking = _ask_again(api, out, report.period)
            _compare(api, out, base, sheet, mode, "missing_here")
        report.sums.update(sheet.sums())
        report.lists.update({outcome: sheet.listed(outcome, show) for outcome in _ROWS if outcome != "matched"})
        if report.period is not None:
            _look_there(api, base, sheet, report, mode, terminal)
    _tell(out, report)
    if report.differs:
        raise SystemExit(DIFFERS)


def _layout(columns: dict[str, str | None], unit: str | None) -> Layout:
    delimiter = columns["delimiter"]
    if delimiter is not None and len(delimiter := delimiter.replace("\\t", "\t")) != 1:
        raise click.BadParameter("must be one character", param_hint="--delimiter")
    return Layout(
        code=columns["code_column"],
        amount=columns["amount_column"],
        date=columns["date_column"],
        time=columns["time_column"],
        currency=None if unit is None else _UNITS[unit],
        delimiter=delimiter,
        encoding=columns["encoding"],
    )


def _fill(sheet: Sheet, path: Path, layout: Layout) -> int:
    """Reads the file into the sheet; how many rows bring no money. Nothing is asked about a file that has bad rows."""
    bad: list[BadRow] = []
    skipped = 0

    def rows() -> Iterator[Row]:
        nonlocal skipped
        with path.open("rb") as file:
            for row in read_rows(file, layout):
                if isinstance(row, Row):
                    yield row
                elif isinstance(row, BadRow):
                    bad.append(row)
                    if len(bad) == _BAD_SHOWN:
                        return
                else:
                    skipped += 1

    try:
        sheet.fill(rows())
    except (BadFile, OSError, LookupError) as error:
        raise ApiError(f"{path}: {error}") from None
    if bad:
        raise ApiError(
            "\n".join([f"{path} has rows that cannot be read:", *(f"  row {each.number}: {each.why}" for each in bad)])
        )
    if not any(count for count, _ in sheet.sums().values()):
        raise ApiError(f"{path} has no row that brings money in")
    return skipped


def _period(sheet: Sheet, since: str | None, until: str | None) -> tuple[int, int]:
    """From the first day's beginning to the last one's end in Tehran, and not into the future."""
    first = sheet.first_at if since is None else _said_day(since, "--since")
    last = sheet.last_at if until is None else _said_day(until, "--until")
    if first is None or last is None:
        raise ApiError(
            "the file has no dates: say its period with --since and --until, or --one-way to look for its rows alone"
        )
    return whole_days(first, last, time.time_ns() // 1_000_000)


def _said_day(text: str, option: str) -> int:
    try:
        return read_time(text)
    except ValueError as error:
        raise click.BadParameter(str(error), param_hint=option) from None


def _compare(api: Api, out: Output, base: str, sheet: Sheet, mode: str, outcome: str | None = None) -> None:
    done = 0
    for batch in sheet.batches(_BATCH, outcome):
        rows = [{"bank_code": code, "amount_rials": rials} for _, code, rials in batch]
        answer = api.post(f"{base}/reconcile", {"rows": rows, "mode": mode})
        sheet.note([number for number, _, _ in batch], answer["data"])
        done += len(batch)
        if done % (20 * _BATCH) == 0:
            out.note(f"{done} rows compared")


def _ask_again(api: Api, out: Output, period: tuple[int, int] | None) -> dict[str, int]:
    """`dargah recover` from the period's beginning, or as far back as it goes."""
    oldest = time.time_ns() // 1_000_000 - _RECOVERED_BACK
    since, cursor = rfc3339(max(oldest, period[0] - DAY if period else oldest)), None
    found = {"checked": 0, "credited": 0, "needs_review": 0, "unclear": 0}
    while True:
        body = {"since": since, "cursor": cursor, "limit": 50}
        answer = api.post("/recover", body, timeout_seconds=STEP_SECONDS)
        for name in ("checked", "unclear"):
            found[name] += answer[name]
        for name in ("credited", "needs_review"):
            found[name] += len(answer[name])
        out.note(f"asked again since {since}: {found['checked']} checked, {found['credited']} credited")
        if (cursor := answer["next_cursor"]) is None:
            return found


def _look_there(api: Api, base: str, sheet: Sheet, report: Report, mode: str, terminal: str | None) -> None:
    """Which of our paid payments of the period the file does not name."""
    assert report.period is not None
    since, until = map(rfc3339, report.period)
    cursor = None
    while True:
        page = api.get(
            f"{base}/paid", since=since, until=until, mode=mode, terminal_id=terminal, limit=_BATCH, cursor=cursor
        )
        for payment in page["data"]:
            if not sheet.has(payment["bank_code"] or ""):
                report.add("missing_there" if payment["sure"] else "at_the_edge", payment)
        if (cursor := page["next_cursor"]) is None:
            return


def _tell(out: Output, report: Report) -> None:
    counts = {name: report.sums.get(name, (0, 0)) for name in ("matched", *_TITLES)}
    period = report.period and [rfc3339(at) for at in report.period]
    if out.as_json:
        out.record(
            {
                "all_matched": not report.differs,
                "period": period,
                "counts": {name: count for name, (count, _) in counts.items()},
                "rials": {name: rials for name, (_, rials) in counts.items()},
                "skipped_rows": report.skipped,
                "asked_again": report.found_by_asking,
                **{name: report.lists.get(name, []) for name in _TITLES},
            }
        )
        return
    for name, title in _TITLES.items():
        if (count := counts[name][0]) == 0:
            continue
        click.echo(f"{title} ({count})")
        if listed := report.lists.get(name):
            out.table(listed, _COLUMNS.get(name, _ROW_COLUMNS))
        if count > len(listed or ()):
            click.echo(f"… and {count - len(listed or ())} more; --show says how many are listed")
        click.echo()
    if period:
        click.echo(f"period: {period[0]} to {period[1]}")
    for name, (count, rials) in counts.items():
        click.echo(f"{name.replace('_', ' '):<15}{count:>9,}{rials:>22,} rial")
    if report.skipped:
        click.echo(f"{report.skipped} rows bring no money in (totals, fees, money that went out)")
    _hint(report)
    click.echo("something differs" if report.differs else "all matched")


def _hint(report: Report) -> None:
    differing = report.lists.get("amount_differs", [])
    tenfold = [
        each for each in differing if each["captured_rials"] in {each["amount_rials"] * 10, each["amount_rials"] / 10}
    ]
    if tenfold:
        click.echo(f"{len(tenfold)} amounts differ tenfold: is the file in the unit that was said (--unit)?")
