#!/usr/bin/env python3
"""What Nexmark's queries come to, computed by DuckDB: the results that Riverrun's are compared with.

Needs Python 3.9 or newer and the package `duckdb` (tried with 2.0.1).

    riverrun generate nexmark --events 100000 --out DATA
    tests/compat/nexmark_reference.py DATA REFERENCE [q0 q5 ...]
    riverrun bench nexmark --events 100000 --reference REFERENCE

For each query one file, `REFERENCE/q0.jsonl`: the final result, that is every row that is appended or, where rows are updated, the
rows that are there in the end. The first line is an object that tells columns, types and how to compare; the others are rows, as
arrays, sorted as text. Decimals and times are text.

    "compare": "rows"                    the same rows, each as often
    "compare": "one of", "key": [..]     rows of one key are equally good: the result has one of them for each key; with
                                         "distinct but for", result rows differ even without this column
    "compare": "sums", "key": [..],      the result's rows, added up by key, are these rows
        "sum": ".."

The SQL here is DuckDB's and takes other ways than the queries in examples/sql/nexmark: sorted scans and plain joins over what is there.
"""

import datetime
import decimal
import json
import os
import sys

import duckdb

RANKS = """
    count(*), count(*) FILTER (price < 10000), count(*) FILTER (price >= 10000 AND price < 1000000),
    count(*) FILTER (price >= 1000000),
    count(DISTINCT bidder), count(DISTINCT bidder) FILTER (price < 10000),
    count(DISTINCT bidder) FILTER (price >= 10000 AND price < 1000000),
    count(DISTINCT bidder) FILTER (price >= 1000000),
    count(DISTINCT auction), count(DISTINCT auction) FILTER (price < 10000),
    count(DISTINCT auction) FILTER (price >= 10000 AND price < 1000000),
    count(DISTINCT auction) FILTER (price >= 1000000)"""
RANK_COLUMNS = [
    (f"{rank}_{what}", "BIGINT")
    for what in ("bids", "bidders", "auctions")
    for rank in ("total", "rank1", "rank2", "rank3")
]
TIME, TEXT, NUMBER, MONEY = "TIMESTAMP(3)", "STRING", "BIGINT", "DECIMAL(23, 3)"
BID = [
    ("auction", NUMBER),
    ("bidder", NUMBER),
    ("price", NUMBER),
    ("channel", TEXT),
    ("url", TEXT),
    ("dateTime", TIME),
    ("extra", TEXT),
]
PLAIN_BID = [column for column in BID if column[0] not in ("channel", "url")]
AUCTION = [
    ("id", NUMBER),
    ("itemName", TEXT),
    ("description", TEXT),
    ("initialBid", NUMBER),
    ("reserve", NUMBER),
    ("dateTime", TIME),
    ("expires", TIME),
    ("seller", NUMBER),
    ("category", NUMBER),
    ("extra", TEXT),
]
# Every bid while its auction was open.
IN_TIME = """
    SELECT a, b FROM auction a, bid b
    WHERE b.auction = a.id AND b.dateTime >= a.dateTime AND b.dateTime <= a.expires"""


class Query:
    """A query's result: its columns, how to compute it, and how to compare with it."""

    def __init__(self, columns, sql, **compare):
        self.columns, self.sql = columns, sql
        self.compare = compare or {"compare": "rows"}


QUERIES = {
    "q0": Query(PLAIN_BID, "SELECT auction, bidder, price, dateTime, extra FROM bid"),
    "q1": Query(
        [(name, MONEY if name == "price" else kind) for name, kind in PLAIN_BID],
        """
        SELECT auction, bidder, (price * 908)::DECIMAL(23, 0) * 0.001, dateTime, extra FROM bid""",
    ),
    "q2": Query([("auction", NUMBER), ("price", NUMBER)], "SELECT auction, price FROM bid WHERE auction % 123 = 0"),
    "q3": Query(
        [("name", TEXT), ("city", TEXT), ("state", TEXT), ("id", NUMBER)],
        """
        SELECT name, city, state, auction.id FROM person, auction
        WHERE seller = person.id AND category = 10 AND state SIMILAR TO 'OR|ID|CA'""",
    ),
    "q4": Query(
        [("id", NUMBER), ("final", NUMBER)],
        f"""
        WITH won AS (SELECT DISTINCT ON (a.id) a.category, b.price FROM ({IN_TIME}) ORDER BY a.id, b.price DESC)
        SELECT category, sum(price) // count(*) FROM won GROUP BY category""",
    ),
    "q5": Query(
        [("auction", NUMBER), ("num", NUMBER)],
        """
        WITH placed AS (
            SELECT auction, time_bucket(INTERVAL 2 SECOND, dateTime) - to_seconds(2 * back) AS start
            FROM bid, range(5) AS earlier(back)),
        counted AS (SELECT start, auction, count(*) AS num FROM placed GROUP BY ALL)
        SELECT auction, num FROM counted QUALIFY num = max(num) OVER (PARTITION BY start)""",
    ),
    "q6": Query(
        [("seller", NUMBER), ("avg_price", NUMBER)],
        f"""
        WITH won AS (
            SELECT DISTINCT ON (a.id) a.id, a.seller, b.price, b.dateTime
            FROM ({IN_TIME}) ORDER BY a.id, b.price DESC, b.dateTime)
        SELECT seller, sum(price) OVER last_eleven // count(*) OVER last_eleven FROM won
        WINDOW last_eleven AS (
            PARTITION BY seller ORDER BY dateTime, id ROWS BETWEEN 10 PRECEDING AND CURRENT ROW)""",
    ),
    "q7": Query(
        PLAIN_BID,
        """
        WITH highest AS (
            SELECT time_bucket(INTERVAL 10 SECOND, dateTime) AS start, max(price) AS price FROM bid GROUP BY ALL)
        SELECT auction, bidder, bid.price, dateTime, extra FROM highest JOIN bid
            ON bid.price = highest.price AND dateTime >= start AND dateTime <= start + INTERVAL 10 SECOND""",
    ),
    "q8": Query(
        [("id", NUMBER), ("name", TEXT), ("stime", TIME)],
        """
        SELECT DISTINCT person.id, name, time_bucket(INTERVAL 10 SECOND, person.dateTime) FROM person, auction
        WHERE seller = person.id
            AND time_bucket(INTERVAL 10 SECOND, person.dateTime) = time_bucket(INTERVAL 10 SECOND, auction.dateTime)""",
    ),
    "q9": Query(
        AUCTION
        + [("auction", NUMBER), ("bidder", NUMBER), ("price", NUMBER), ("bid_dateTime", TIME), ("bid_extra", TEXT)],
        f"""
        SELECT unnest(a), b.auction, b.bidder, b.price, b.dateTime, b.extra FROM ({IN_TIME})
        QUALIFY rank() OVER (PARTITION BY a.id ORDER BY b.price DESC, b.dateTime) = 1""",
        compare="one of",
        key=["id"],
    ),
    "q10": Query(
        PLAIN_BID + [("dt", TEXT), ("hm", TEXT)],
        """
        SELECT auction, bidder, price, dateTime, extra, strftime(dateTime, '%Y-%m-%d'), strftime(dateTime, '%H:%M')
        FROM bid""",
    ),
    "q11": Query(
        [("bidder", NUMBER), ("bid_count", NUMBER), ("starttime", TIME), ("endtime", TIME)],
        # Bids exactly ten seconds apart are of one session.
        """
        WITH marked AS (
            SELECT bidder, dateTime, dateTime - lag(dateTime) OVER of_bidder > INTERVAL 10 SECOND AS breaks
            FROM bid WINDOW of_bidder AS (PARTITION BY bidder ORDER BY dateTime)),
        numbered AS (
            SELECT bidder, dateTime, count(*) FILTER (breaks) OVER (
                PARTITION BY bidder ORDER BY dateTime RANGE UNBOUNDED PRECEDING) AS session
            FROM marked)
        SELECT bidder, count(*), min(dateTime), max(dateTime) + INTERVAL 10 SECOND FROM numbered
        GROUP BY bidder, session""",
    ),
    "q12": Query(
        [("bidder", NUMBER), ("bid_count", NUMBER)],
        "SELECT bidder, count(*) FROM bid GROUP BY bidder",
        compare="sums",
        key=["bidder"],
        sum="bid_count",
    ),
    "q13": Query(
        [("auction", NUMBER), ("bidder", NUMBER), ("price", NUMBER), ("dateTime", TIME), ("value", TEXT)],
        """
        SELECT auction, bidder, price, dateTime, value FROM bid, side_input WHERE key = auction % 10000""",
    ),
    "q14": Query(
        [
            ("auction", NUMBER),
            ("bidder", NUMBER),
            ("price", MONEY),
            ("bidTimeType", TEXT),
            ("dateTime", TIME),
            ("extra", TEXT),
            ("c_counts", NUMBER),
        ],
        """
        SELECT auction, bidder, (price * 908)::DECIMAL(23, 0) * 0.001,
            CASE WHEN hour(dateTime) BETWEEN 8 AND 18 THEN 'dayTime' WHEN hour(dateTime) IN (7, 19) THEN 'otherTime'
                ELSE 'nightTime' END,
            dateTime, extra, len(list_filter(string_split(extra, ''), lambda letter: letter = 'c'))
        FROM bid WHERE price * 908 > 1000000000 AND price * 908 < 50000000000""",
    ),
    "q15": Query(
        [("day", TEXT)] + RANK_COLUMNS, f"SELECT strftime(dateTime, '%Y-%m-%d'), {RANKS} FROM bid GROUP BY 1"
    ),
    "q16": Query(
        [("channel", TEXT), ("day", TEXT), ("minute", TEXT)] + RANK_COLUMNS,
        f"""
        SELECT channel, strftime(dateTime, '%Y-%m-%d'), strftime(max(dateTime), '%H:%M'), {RANKS} FROM bid
        GROUP BY 1, 2""",
    ),
    "q17": Query(
        [("auction", NUMBER), ("day", TEXT)]
        + RANK_COLUMNS[:4]
        + [("min_price", NUMBER), ("max_price", NUMBER), ("avg_price", NUMBER), ("sum_price", NUMBER)],
        """
        SELECT auction, strftime(dateTime, '%Y-%m-%d'), count(*), count(*) FILTER (price < 10000),
            count(*) FILTER (price >= 10000 AND price < 1000000), count(*) FILTER (price >= 1000000),
            min(price), max(price), sum(price) // count(*), sum(price)
        FROM bid GROUP BY 1, 2""",
    ),
    "q18": Query(
        BID,
        """
        SELECT auction, bidder, price, channel, url, dateTime, extra FROM bid
        QUALIFY dateTime = max(dateTime) OVER (PARTITION BY bidder, auction)""",
        compare="one of",
        key=["bidder", "auction"],
    ),
    "q19": Query(
        BID + [("rank_number", NUMBER)],
        # Bids of one price share their places; each may have any of them.
        """
        WITH ranked AS (
            SELECT *, rank() OVER (PARTITION BY auction ORDER BY price DESC) AS first,
                count(*) OVER (PARTITION BY auction, price) AS tied
            FROM bid)
        SELECT auction, bidder, price, channel, url, dateTime, extra, place
        FROM ranked, range(1, 11) AS places(place) WHERE place >= first AND place < first + tied""",
        **{"compare": "one of", "key": ["auction", "rank_number"], "distinct but for": "rank_number"},
    ),
    "q20": Query(
        [(name if name not in ("dateTime", "extra") else "bid_" + name, kind) for name, kind in BID]
        + [(name if name not in ("dateTime", "extra") else "auction_" + name, kind) for name, kind in AUCTION[1:]],
        """
        SELECT bid.auction, bidder, price, channel, url, bid.dateTime, bid.extra,
            itemName, description, initialBid, reserve, a.dateTime, expires, seller, category, a.extra
        FROM bid, (FROM auction WHERE category = 10) a WHERE bid.auction = a.id""",
    ),
    "q21": Query(
        BID[:4] + [("channel_id", TEXT)],
        """
        WITH known(channel, channel_id) AS (VALUES ('Apple', '0'), ('Google', '1'), ('Facebook', '2'), ('Baidu', '3'))
        SELECT auction, bidder, price, bid.channel,
            coalesce(channel_id, regexp_extract(url, '&channel_id=([^&]*)', 1))
        FROM bid LEFT JOIN known USING (channel) WHERE channel_id IS NOT NULL OR url LIKE '%&channel_id=%'""",
    ),
    "q22": Query(
        BID[:4] + [("dir1", TEXT), ("dir2", TEXT), ("dir3", TEXT)],
        """
        SELECT auction, bidder, price, channel,
            string_split(url, '/')[4], string_split(url, '/')[5], string_split(url, '/')[6]
        FROM bid""",
    ),
    "q23": Query(
        [("bidder", NUMBER), ("price", NUMBER), ("channel", TEXT), ("url", TEXT), ("bid_extra", TEXT)]
        + [
            ("person_id", NUMBER),
            ("name", TEXT),
            ("emailAddress", TEXT),
            ("creditCard", TEXT),
            ("city", TEXT),
            ("state", TEXT),
            ("person_extra", TEXT),
        ]
        + [(name if name not in ("dateTime", "extra") else "auction_" + name, kind) for name, kind in AUCTION[1:]],
        """
        SELECT bidder, price, channel, url, bid.extra, p.id, p.name, p.emailAddress, p.creditCard, p.city, p.state,
            p.extra, itemName, description, initialBid, reserve, a.dateTime, expires, seller, category, a.extra
        FROM person p, auction a, bid WHERE p.id = bidder AND p.id = seller""",
    ),
}


def load(connection, data):
    """Makes the tables `person`, `auction`, `bid` and `side_input` of the files that the generator wrote."""

    def struct(columns):
        return "STRUCT(" + ", ".join(f"{name} {kind}" for name, kind in columns) + ")"

    def duckdb_type(columns):
        kinds = {TIME: "TIMESTAMP_MS", TEXT: "VARCHAR", NUMBER: "BIGINT"}
        return [(name, kinds[kind]) for name, kind in columns]

    person = [
        ("id", NUMBER),
        ("name", TEXT),
        ("emailAddress", TEXT),
        ("creditCard", TEXT),
        ("city", TEXT),
        ("state", TEXT),
        ("dateTime", TIME),
        ("extra", TEXT),
    ]
    kinds = {"person": duckdb_type(person), "auction": duckdb_type(AUCTION), "bid": duckdb_type(BID)}
    columns = {"event_type": "INTEGER", **{kind: struct(fields) for kind, fields in kinds.items()}}
    # gzip, so that the files beside the tests can be read too.
    for number, kind in enumerate(kinds):
        connection.execute(
            f"CREATE TABLE {kind} AS SELECT unnest({kind}) FROM"
            f" read_json(?, format = 'newline_delimited', columns = {columns!r}) WHERE event_type = {number}",
            [os.path.join(data, "nexmark", "*.json*")],
        )
    connection.execute(
        "CREATE TABLE side_input AS FROM read_csv(?, header = false, columns = {'key': 'BIGINT', 'value': 'VARCHAR'})",
        [os.path.join(data, "side_input", "*.csv*")],
    )


def encode(value):
    """A value as JSON has it."""
    if isinstance(value, datetime.datetime):
        return value.strftime("%Y-%m-%d %H:%M:%S.") + f"{value.microsecond // 1000:03}"
    if isinstance(value, decimal.Decimal):
        return str(value)
    return value


def write(connection, name, query, path):
    """Computes a query and writes its file."""
    # What a division of decimals comes to is cast to the column's type, which it fits exactly.
    kinds = {NUMBER: "BIGINT", TEXT: "VARCHAR", TIME: "TIMESTAMP_MS", MONEY: "DECIMAL(23, 3)", "DOUBLE": "DOUBLE"}
    names = ", ".join(f"c{at}" for at in range(len(query.columns)))
    casts = ", ".join(f"c{at}::{kinds[kind]}" for at, (_, kind) in enumerate(query.columns))
    connection.execute(f"SELECT {casts} FROM ({query.sql}) AS result({names})")
    lines = []
    while rows := connection.fetchmany(50_000):
        lines.extend(json.dumps([encode(value) for value in row], separators=(",", ":")) for row in rows)
    lines.sort()
    columns = [{"name": name, "type": kind} for name, kind in query.columns]
    with open(path, "w", encoding="ascii") as out:
        out.write(json.dumps({"query": name, "columns": columns, **query.compare}) + "\n")
        out.writelines(line + "\n" for line in lines)
    return len(lines)


def main():
    if len(sys.argv) < 3:
        sys.exit(__doc__)
    data, reference, wanted = sys.argv[1], sys.argv[2], sys.argv[3:] or list(QUERIES)
    unknown = [name for name in wanted if name not in QUERIES]
    if unknown:
        sys.exit(f"there is no query {', '.join(unknown)}; there are {', '.join(QUERIES)}")
    os.makedirs(reference, exist_ok=True)
    connection = duckdb.connect()
    load(connection, data)
    for name in wanted:
        rows = write(connection, name, QUERIES[name], os.path.join(reference, f"{name}.jsonl"))
        print(f"{name}: {rows} rows", file=sys.stderr)


if __name__ == "__main__":
    main()
