"""Groups the rows of a CSV text and reports counts and sums, as data and as a table to put into a mail."""

import csv
import io
from collections import defaultdict
from decimal import Decimal, InvalidOperation

from tabulate import tabulate

FORMATS = ("simple", "grid", "html")


class BadRequest(Exception):
    """The event is not what this function takes."""


def handler(event, context):
    group_by, sum_of = event["groupBy"], event["sum"]
    table_format = event.get("format", "simple")
    if table_format not in FORMATS:
        raise BadRequest(f"format is '{table_format}', not one of {', '.join(FORMATS)}")

    totals = totals_of(event["csv"], group_by, sum_of)
    rows = [[name, count, total] for name, (count, total) in sorted(totals.items())]
    everything = [sum(row[1] for row in rows), sum((row[2] for row in rows), Decimal(0))]
    print(f"{everything[0]} rows in {len(rows)} groups")
    return {
        "groups": [{"name": name, "count": count, "total": str(total)} for name, count, total in rows],
        "count": everything[0],
        "total": str(everything[1]),
        "report": tabulate(
            [*rows, ["all", *everything]],
            headers=[group_by, "rows", sum_of],
            tablefmt=table_format,
            disable_numparse=True,
            colalign=("left", "right", "right"),
        ),
    }


def totals_of(text, group_by, sum_of):
    reader = csv.DictReader(io.StringIO(text))
    for column in (group_by, sum_of):
        if column not in (reader.fieldnames or []):
            raise BadRequest(f"there is no column '{column}'; the columns are {reader.fieldnames}")
    totals = defaultdict(lambda: (0, Decimal(0)))
    for row in reader:
        try:
            amount = Decimal(row[sum_of])
        except (InvalidOperation, TypeError):
            raise BadRequest(f"line {reader.line_num}: '{row[sum_of]}' is not a number") from None
        count, total = totals[row[group_by]]
        totals[row[group_by]] = (count + 1, total + amount)
    return totals
