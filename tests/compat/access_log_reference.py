#!/usr/bin/env python3
"""Four questions to an access log, answered by DuckDB: what Riverrun's answers in SQL (examples/sql/access_log) are compared with.

Needs Python 3.9 or newer and the package `duckdb` (tried with 2.0.1).

    tests/compat/access_log_reference.py ACCESS_LOG REFERENCE

The log is in nginx's (or Apache's) format `combined` or `common`; `.gz` is read, too. For each question one file, laid out as those of
nexmark_reference.py: a line about columns, then rows. All times are UTC, all windows begin at multiples of their length.

    requests_per_ip   how many requests each address made, every five seconds
    status_classes    how many requests had a status of 1xx, 2xx and so on, every minute
    top_ips           the ten addresses with the most requests, every minute; of addresses with as many, the one first in the
                      alphabet (by its characters' code points) comes first, so places are never shared
    bytes_p95         the 95th percentile of the bytes sent, every hour, by the first folder of the path: the path up to (without) its second `/` or its
                      `?`. It is the exact continuous percentile: of n values in order, counted from 0, the one at 0.95 * (n - 1), and
                      between two neighbours in proportion. Requests whose path does not begin with `/`, or whose bytes are `-`, do
                      not count. (The path of a request that is not HTTP is all of it.)

Lines that are not of the format are left out, as `riverrun ingest nginx` leaves them out, and shown: look whether they are the same.
"""

import datetime
import gzip
import os
import re
import sys

import duckdb

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from nexmark_reference import NUMBER, TEXT, TIME, Query, write  # noqa: E402

QUOTED = r'"((?:[^"\\]|\\.)*)"'
LINE = re.compile(rf"(\S+) \S+ .*?\[([^\]]+)\] {QUOTED} (\d{{3}}) (\d+|-)(?: {QUOTED} {QUOTED})?")
REQUEST = re.compile(r"[A-Za-z_-]+ (.*) HTTP/\S*")

QUESTIONS = {
    "requests_per_ip": Query(
        [("window_start", TIME), ("ip", TEXT), ("requests", NUMBER)],
        "SELECT time_bucket(INTERVAL 5 SECOND, time), ip, count(*) FROM log GROUP BY ALL",
    ),
    "status_classes": Query(
        [("window_start", TIME), ("status_class", TEXT), ("requests", NUMBER)],
        "SELECT date_trunc('minute', time), left(status, 1) || 'xx', count(*) FROM log GROUP BY ALL",
    ),
    "top_ips": Query(
        [("window_start", TIME), ("place", NUMBER), ("ip", TEXT), ("requests", NUMBER)],
        """
        WITH counted AS (SELECT date_trunc('minute', time) AS minute, ip, count(*) AS requests FROM log GROUP BY ALL)
        SELECT minute, row_number() OVER busiest, ip, requests FROM counted
        WINDOW busiest AS (PARTITION BY minute ORDER BY requests DESC, ip) QUALIFY row_number() OVER busiest <= 10""",
    ),
    "bytes_p95": Query(
        [("window_start", TIME), ("prefix", TEXT), ("p95", "DOUBLE")],
        """
        SELECT date_trunc('hour', time), prefix, quantile_cont(bytes::DOUBLE, 0.95) FROM log
        WHERE prefix IS NOT NULL AND bytes IS NOT NULL GROUP BY ALL""",
    ),
}


def rows(log):
    """The lines of the log as tuples; and how far a line lies behind the latest one before it."""
    opened = gzip.open if log.endswith(".gz") else open
    latest, behind = datetime.datetime.min, datetime.timedelta()
    found = []
    with opened(log, "rt", encoding="utf-8", errors="backslashreplace", newline="\n") as lines:
        for number, line in enumerate(lines, 1):
            match = LINE.fullmatch(line.rstrip("\n"))
            if not match:
                print(f"line {number} is not of the format combined or common: {line!r}", file=sys.stderr)
                continue
            ip, time, request, status, size = match.groups()[:5]
            time = datetime.datetime.strptime(time, "%d/%b/%Y:%H:%M:%S %z")
            time = time.astimezone(datetime.timezone.utc).replace(tzinfo=None)
            latest = max(latest, time)
            behind = max(behind, latest - time)
            http = REQUEST.fullmatch(request)
            path = http.group(1) if http else request
            prefix = re.match("/[^/?]*", path)
            found.append((ip, time, status, None if size == "-" else int(size), path, prefix and prefix.group()))
    return found, behind


def main():
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    log, reference = sys.argv[1:]
    os.makedirs(reference, exist_ok=True)
    connection = duckdb.connect()
    found, behind = rows(log)
    connection.execute("CREATE TABLE log (ip VARCHAR, time TIMESTAMP, status VARCHAR, bytes BIGINT, path VARCHAR, prefix VARCHAR)")
    # Columns by way of unnest: much faster than a row at a time.
    connection.execute("INSERT INTO log SELECT unnest(?), unnest(?), unnest(?), unnest(?), unnest(?), unnest(?)", list(zip(*found)))
    print(f"{len(found)} lines, at most {behind.total_seconds():.0f} s out of order", file=sys.stderr)
    for name, question in QUESTIONS.items():
        count = write(connection, name, question, os.path.join(reference, f"{name}.jsonl"))
        print(f"{name}: {count} rows", file=sys.stderr)


if __name__ == "__main__":
    main()
