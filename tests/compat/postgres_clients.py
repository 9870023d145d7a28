#!/usr/bin/env python3
"""Checks that Python's clients of PostgreSQL find their way on a server of Riverrun.

    riverrun server --data-dir D &
    tests/compat/postgres_clients.py [HOST:PORT]

SQLAlchemy looks at tables, reads, writes and streams, over psycopg2 and psycopg; pandas reads frames; asyncpg prepares statements. It makes a table
`clients_<driver>` for each driver and drops it again. What fails is said, and the exit code is 1.

Wants the packages sqlalchemy, psycopg2-binary, psycopg[binary], asyncpg, greenlet and pandas.
"""

import asyncio
import datetime
import decimal
import sys
import time

import asyncpg
import pandas
from sqlalchemy import MetaData, Table, create_engine, exc, func, inspect, select, text

ADDRESS = sys.argv[1] if len(sys.argv) > 1 else "127.0.0.1:5433"
HOST, PORT = ADDRESS.rsplit(":", 1)
# A topic outlives its table: each run has topics of its own.
RUN = time.time_ns()
AT = datetime.datetime(2020, 1, 2, 3, 4, 5, 678000)
ROWS = [
    {"id": 1, "name": "it's", "at_": AT, "price": decimal.Decimal("1.25"), "ok": True, "share": 0.5},
    {"id": 2, "name": None, "at_": None, "price": None, "ok": None, "share": None},
    {"id": 3, "name": "c", "at_": AT, "price": decimal.Decimal("-7.00"), "ok": False, "share": 2.0},
]
COLUMNS = [
    ("id", "BIGINT"), ("name", "TEXT"), ("at_", "TIMESTAMP"), ("price", "NUMERIC(10, 2)"), ("ok", "BOOLEAN"), ("share", "DOUBLE PRECISION"),
]
failures = []


def check(what, found, expected):
    if found != expected:
        failures.append(what)
        print(f"FAILED {what}: expected {expected!r}, found {found!r}")
    else:
        print(f"ok     {what}")


def create(table):
    return (
        f"CREATE TABLE {table} (id BIGINT, name STRING, at_ TIMESTAMP(3), price DECIMAL(10, 2), ok BOOLEAN, share DOUBLE) "
        f"WITH ('connector' = 'riverrun', 'topic' = '{table}_{RUN}', 'format' = 'json')"
    )


def sqlalchemy(driver):
    """Definitions, reflection, reading and writing with one driver of SQLAlchemy's."""
    name = f"clients_{driver}"
    url = f"postgresql+{driver}://tester@{HOST}:{PORT}/riverrun"
    engine = create_engine(url, connect_args={"options": "-c execution.runtime_mode=batch"})
    with engine.begin() as connection:
        connection.execute(text(f"DROP TABLE IF EXISTS {name}"))
        connection.execute(text(create(name)))
    inspector = inspect(engine)
    check(f"{driver}: tables", name in inspector.get_table_names(), True)
    check(f"{driver}: schemas", inspector.get_schema_names(), ["information_schema", "public"])
    columns = [(column["name"], str(column["type"])) for column in inspector.get_columns(name)]
    check(f"{driver}: columns", columns, COLUMNS)
    check(f"{driver}: primary key", inspector.get_pk_constraint(name)["constrained_columns"], [])
    check(f"{driver}: foreign keys", inspector.get_foreign_keys(name), [])
    check(f"{driver}: indexes", inspector.get_indexes(name), [])
    check(f"{driver}: comment", inspector.get_table_comment(name), {"text": None})
    everything = MetaData()
    everything.reflect(engine, views=True)
    check(f"{driver}: reflection", name in everything.tables, True)

    table = Table(name, MetaData(), autoload_with=engine)
    with engine.begin() as connection:
        connection.execute(table.insert(), ROWS)
        found = connection.execute(select(table).order_by(table.c.id)).mappings().all()
        check(f"{driver}: rows", [dict(row) for row in found], ROWS)
        grouped = select(table.c.ok, func.count().label("n")).where(table.c.id.in_([1, 3])).group_by(table.c.ok).order_by(table.c.ok)
        check(f"{driver}: groups", [tuple(row) for row in connection.execute(grouped)], [(False, 1), (True, 1)])
        between = text(f"SELECT id FROM {name} WHERE at_ BETWEEN :a AND :b AND name = :name")
        values = {"a": AT - datetime.timedelta(days=1), "b": AT, "name": "it's"}
        check(f"{driver}: parameters", connection.execute(between, values).scalars().all(), [1])
    try:
        with engine.connect() as connection:
            connection.execute(text(f"SELECT nothing FROM {name}"))
        check(f"{driver}: an error", None, "ProgrammingError")
    except exc.DBAPIError as error:
        check(f"{driver}: an error", type(error).__name__, "ProgrammingError")

    frame = pandas.read_sql(text(f"SELECT id, share, at_ FROM {name} WHERE id <> :id ORDER BY id"), engine, params={"id": 2})
    check(f"{driver}: pandas.read_sql", (frame["id"].tolist(), frame["share"].tolist()), ([1, 3], [0.5, 2.0]))
    check(f"{driver}: pandas.read_sql_table", len(pandas.read_sql_table(name, engine)), 3)

    # A query without end: rows come through a cursor, and the query stops when it is closed.
    following = create_engine(url)
    with following.connect().execution_options(stream_results=True, max_row_buffer=1) as connection:
        result = connection.execute(text(f"SELECT id FROM {name}"))
        check(f"{driver}: a query without end", sorted(result.fetchone()[0] for _ in ROWS), [1, 2, 3])
        result.close()
    with engine.begin() as connection:
        connection.execute(text(f"DROP TABLE {name}"))


async def asyncpg_alone():
    """Prepared statements with parameters whose types the server tells."""
    settings = {"execution.runtime_mode": "batch"}
    connection = await asyncpg.connect(host=HOST, port=int(PORT), user="tester", database="riverrun", server_settings=settings)
    name = "clients_asyncpg"
    await connection.execute(f"DROP TABLE IF EXISTS {name}")
    await connection.execute(create(name))
    await connection.executemany(f"INSERT INTO {name} VALUES ($1, $2, $3, $4, $5, $6)", [tuple(row.values()) for row in ROWS])
    found = await connection.fetch(f"SELECT * FROM {name} WHERE id >= $1 AND at_ <= $2 ORDER BY id LIMIT $3", 1, AT, 10)
    check("asyncpg: rows", [dict(row) for row in found], [ROWS[0], ROWS[2]])
    row = await connection.fetchrow("SELECT DATE '2020-01-02' AS d, TIME '10:00:00' AS t, X'01FF' AS b, MAP['a', 1] AS m")
    check("asyncpg: types", tuple(row), (datetime.date(2020, 1, 2), datetime.time(10), b"\x01\xff", '{"a":1}'))
    async with connection.transaction():
        ids = [row["id"] async for row in connection.cursor(f"SELECT id FROM {name} ORDER BY id", prefetch=2)]
    check("asyncpg: a cursor", ids, [1, 2, 3])
    await connection.execute(f"DROP TABLE {name}")
    await connection.close()


def main():
    for driver in ["psycopg2", "psycopg"]:
        sqlalchemy(driver)
    asyncio.run(asyncpg_alone())
    print(f"{len(failures)} failed" if failures else "all is well")
    sys.exit(1 if failures else 0)


if __name__ == "__main__":
    main()
