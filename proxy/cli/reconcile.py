"""`dargah reconcile`."""

import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final

import click

from proxy.cli.api import Api, ApiError
from proxy.cli.options import merchant_option, merchant_path, operator_command
from proxy.cli.output import Output
from proxy.cli.payments import STEP_SECONDS
from proxy.cli.reconcile_report import TABLES, BankSheet, Report, print_report
from proxy.kernel.clock import DAY, rfc3339
from proxy.kernel.money import Currency
from proxy.operations.reconciliation.cells import read_time
from proxy.operations.reconciliation.file import BadFile, BadRow, Layout, Reversal, Row, SkippedRow, read_rows
from proxy.operations.reconciliation.matching import whole_days

DIFFERS: Final = 3
_BATCH: Final = 500
_SHORT_CODE: Final = 64
_BAD_SHOWN: Final = 10
_RECOVERED_BACK: Final = 30 * DAY
_UNITS: Final = {"rial": Currency.IRR, "toman": Currency.IRT}
# In the order of their weight. The last two say nothing against either side.
_ROWS: Final = ("missing_here", "amount_differs", "reversed", "duplicate", "under_review", "matched")


@click.command()
@click.option(
    "--csv", "path", required=True, type=click.Path(path_type=Path, exists=True, dir_okay=False), help="The file."
)
@merchant_option
@click.option("--terminal", metavar="ID", help="Only payments of this terminal (trm_…) are looked for in the file.")
@click.option("--unit", type=click.Choice(["rial", "toman"]), help="Of the amounts, when the heading does not say.")
@click.option("--code-column", metavar="NAME", help="Of the bank's tracking number: its heading, or its number from 1.")
@click.option("--amount-column", metavar="NAME", help="Of the amount.")
@click.option("--debit-column", metavar="NAME", help="Of money that went out, when it stands apart.")
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
    with BankSheet() as sheet:
        count, skipped = _fill(sheet, path, layout, show)
        report = Report(show, None if one_way else _period(sheet, since, until), skipped=skipped, skipped_rows=count)
        _compare(api, out, base, sheet, mode)
        if check_missing and sheet.sums().get("missing_here"):
            report.found_by_asking = _ask_again(api, out, report.period)
            _compare(api, out, base, sheet, mode, "missing_here")
        report.sums.update(sheet.sums())
        report.lists.update({outcome: sheet.listed(outcome, show) for outcome in _ROWS if outcome != "matched"})
        if report.period is not None:
            _look_there(api, base, sheet, report, mode, terminal)
    print_report(out, report)
    if report.differs:
        raise SystemExit(DIFFERS)


def _layout(columns: dict[str, str | None], unit: str | None) -> Layout:
    delimiter = columns["delimiter"]
    if delimiter is not None and len(delimiter := delimiter.replace("\\t", "\t")) != 1:
        raise click.BadParameter("must be one character", param_hint="--delimiter")
    return Layout(
        code=columns["code_column"],
        amount=columns["amount_column"],
        debit=columns["debit_column"],
        date=columns["date_column"],
        time=columns["time_column"],
        currency=None if unit is None else _UNITS[unit],
        delimiter=delimiter,
        encoding=columns["encoding"],
    )


def _fill(sheet: BankSheet, path: Path, layout: Layout, show: int) -> tuple[int, list[SkippedRow]]:
    """Reads the file into the sheet; gives the number of skipped rows, and the first of them.

    Raises ApiError for a file with unreadable rows: nothing is asked about it.
    """
    bad: list[BadRow] = []
    skipped: list[SkippedRow] = []
    count = 0

    def rows() -> Iterator[Row | Reversal]:
        nonlocal count
        with path.open("rb") as file:
            for row in read_rows(file, layout):
                if isinstance(row, SkippedRow):
                    count += 1
                    skipped.extend([row] * (count <= show))
                elif not isinstance(row, BadRow):
                    yield row
                else:
                    bad.append(row)
                    if len(bad) == _BAD_SHOWN:
                        return

    try:
        sheet.fill(rows())
    except (BadFile, OSError, LookupError) as error:
        raise ApiError(f"{path}: {error}") from None
    if bad:
        raise ApiError(
            "\n".join([f"{path} has rows that cannot be read:", *(f"  row {each.number}: {each.why}" for each in bad)])
        )
    if not any(rials for _, rials in sheet.sums().values()):
        raise ApiError(f"{path} has no row that moves money")
    return count, skipped


def _period(sheet: BankSheet, since: str | None, until: str | None) -> tuple[int, int]:
    """From the first day's beginning to the last one's end in Tehran, and not into the future."""
    first = sheet.first_at if since is None else _parse_day(since, "--since")
    last = sheet.last_at if until is None else _parse_day(until, "--until")
    if first is None or last is None:
        raise ApiError(
            "the file has no dates: say its period with --since and --until, or --one-way to look for its rows alone"
        )
    return whole_days(first, last, time.time_ns() // 1_000_000)


def _parse_day(text: str, option: str) -> int:
    try:
        return read_time(text)
    except ValueError as error:
        raise click.BadParameter(str(error), param_hint=option) from None


def _compare(api: Api, out: Output, base: str, sheet: BankSheet, mode: str, outcome: str | None = None) -> None:
    """Asks about every row with this outcome, or without one yet."""
    done = 0
    for table in TABLES:
        for batch in sheet.batches(_BATCH, outcome, table):
            rows = [
                {"bank_code": code, "amount_rials": rials, "reversal": table == "reversals"} for _, code, rials in batch
            ]
            answers = [
                _without_money(row, answer) for row, answer in zip(rows, _ask_api(api, base, rows, mode), strict=True)
            ]
            sheet.note([number for number, _, _ in batch], answers, table)
            done += len(batch)
            if done % (20 * _BATCH) == 0:
                out.note(f"{done} rows compared")


def _without_money(row: dict[str, Any], answer: dict[str, Any]) -> dict[str, Any]:
    """The answer; a code that is nobody's payment and has an amount of 0 is no difference."""
    nothing = row["amount_rials"] == 0 and answer["outcome"] == "missing_here"
    return answer | {"outcome": "no_money"} if nothing else answer


def _ask_api(api: Api, base: str, rows: Sequence[dict[str, Any]], mode: str) -> list[dict[str, Any]]:
    """The API's answers about the rows, in batches that fit into a body, for codes of any length."""
    size = _BATCH if max(len(row["bank_code"]) for row in rows) <= _SHORT_CODE else _BATCH // 4
    found: list[dict[str, Any]] = []
    for start in range(0, len(rows), size):
        found += api.post(f"{base}/reconcile", {"rows": rows[start : start + size], "mode": mode})["data"]
    return found


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


def _look_there(api: Api, base: str, sheet: BankSheet, report: Report, mode: str, terminal: str | None) -> None:
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
