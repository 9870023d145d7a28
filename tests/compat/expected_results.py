"""Reads files of expected results and compares with them; nexmark_reference.py says how they are laid out."""

import collections
import gzip
import json
import os
import re
from decimal import Decimal


class Expected:
    """The expected result of one query."""

    def __init__(self, folder, name):
        path = os.path.join(folder, name + ".jsonl")
        opened, path = (open, path) if os.path.exists(path) else (gzip.open, path + ".gz")
        with opened(path, "rt", encoding="utf-8") as lines:
            self.header = json.loads(next(lines))
            self.names = [column["name"] for column in self.header["columns"]]
            self.rows = collections.Counter(self.row(json.loads(line)) for line in lines)

    def row(self, values):
        """A row in the form in which rows are compared."""
        return tuple(cell(value, column["type"]) for value, column in zip(values, self.header["columns"]))

    def differs(self, found):
        """How a result differs: a text, empty if it does not. It is a counter of rows, values in the order of the columns."""
        found = collections.Counter({self.row(row): count for row, count in found.items() if count})
        compare = self.header["compare"]
        if compare == "sums":
            at, column = [self.names.index(name) for name in self.header["key"]], self.names.index(self.header["sum"])
            sums = collections.Counter()
            for row, count in found.items():
                sums[tuple(row[key] for key in at)] += count * row[column]
            found = collections.Counter(
                tuple(total if position == column else key[at.index(position)] for position in range(len(self.names)))
                for key, total in sums.items()
            )
        if compare == "one of":
            at = [self.names.index(name) for name in self.header["key"]]
            wrong = [row for row, count in found.items() if count != 1 or row not in self.rows]
            keys = collections.Counter(tuple(row[key] for key in at) for row in found)
            wanted = {tuple(row[key] for key in at) for row in self.rows}
            wrong += [key for key, count in keys.items() if count > 1]
            wrong += list(wanted - set(keys))
            return f"{len(wrong)} rows or keys are wrong, e.g. {wrong[0]}" if wrong else ""
        missing = self.rows - found
        unexpected = found - self.rows
        if not missing and not unexpected:
            return ""
        examples = [str(next(iter(rows))) for rows in (missing, unexpected) if rows]
        return f"{missing.total()} rows missing, {unexpected.total()} unexpected, e.g. {' and '.join(examples)}"


def cell(value, kind):
    """A value in the form in which values are compared."""
    if value is None:
        return None
    if kind == "BIGINT":
        return int(value)
    if kind.startswith("DECIMAL"):
        return Decimal(str(value)).normalize()
    if kind == "DOUBLE":
        return f"{float(value):.8e}"
    if kind == "TIMESTAMP(3)":
        whole, fraction = re.fullmatch(r"(\d{4}-\d\d-\d\d \d\d:\d\d:\d\d)(?:\.(\d+))?Z?", str(value).replace("T", " ")).groups()
        return whole + "." + (fraction or "").ljust(3, "0")[:3]
    return str(value)
