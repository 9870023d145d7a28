#!/usr/bin/env python3
"""Runs the scripts in examples/sql on Apache Flink, and compares what they come to with the expected results beside the tests.

Needs Python 3.9 or newer, the packages `apache-flink` (tried with 2.3.0) and `duckdb`, and Java 17 with `javac`.

    tests/compat/flink_scripts.py [examples/sql/nexmark/q5.sql ...]

The scripts are run as they are but for one thing: Flink does not have our connector, so the WITH clause of a table of 'riverrun' is
replaced by one of Flink's 'filesystem', which reads (or writes) the same records in files. `ddl.sql` of the script's
folder, if there is one, is run before it. Exit code 1: a script failed, or its result is not what is expected.
"""

import argparse
import collections
import csv
import glob
import gzip
import json
import os
import shutil
import sys
import tempfile

from access_log_reference import rows as access_log_rows
from expected_results import Expected
from flink_session import COMPAT, created_table, options, session, statements, target, with_options

ROOT = os.path.dirname(os.path.dirname(COMPAT))
FIXTURES = os.path.join(ROOT, "tests", "fixtures")

# What Flink does not do, with the reason.
NOT_ON_FLINK = {
    "nexmark/q6": "OVER does not take rows that change",
    "nexmark/q12": "windows of processing time that are open when the input ends are dropped, so a short run has no result",
    "nexmark/q13": "files cannot be looked up in",
}


def prepare(data):
    """Puts what the tables read into the folder: one folder per topic."""
    os.makedirs(os.path.join(data, "nexmark"))
    with gzip.open(os.path.join(FIXTURES, "nexmark", "events.json.gz")) as events:
        with open(os.path.join(data, "nexmark", "part-0.json"), "wb") as out:
            shutil.copyfileobj(events, out)
    os.makedirs(os.path.join(data, "side_input"))
    with open(os.path.join(data, "side_input", "part-0.csv"), "w", encoding="ascii") as out:
        out.writelines(f"{key},value {key}\n" for key in range(10_000))
    os.makedirs(os.path.join(data, "nginx"))
    with open(os.path.join(data, "nginx", "part-0.json"), "w", encoding="ascii") as out:
        log, _ = access_log_rows(os.path.join(ROOT, "src", "demo", "access.log.gz"))
        for ip, time, status, size, path, _ in log:
            row = {"ip": ip, "time": f"{time}Z", "status": int(status), "bytes": size, "path": path}
            out.write(json.dumps(row) + "\n")


def substituted(statement, data, outputs, sinks):
    """The statement with our connector replaced by files."""
    name = created_table(statement)
    if not name:
        return statement
    values, head = options(statement)
    if values.get("connector") == "filesystem" and name in sinks:
        outputs[name] = values["path"]
        shutil.rmtree(values["path"], ignore_errors=True)
    if values.get("connector") != "riverrun":
        return statement
    if name not in sinks:
        form = "csv" if values["format"] == "csv" else "json"
        return with_options(head, {"connector": "filesystem", "path": f"{data}/{values['topic']}", "format": form})
    outputs[name] = f"{data}/out/{name}"
    changes = "PRIMARY KEY" in head.upper() or values["format"] == "debezium-json"
    form = "debezium-json" if changes else values["format"]
    return with_options(head, {"connector": "filesystem", "path": outputs[name], "format": form})


def result(path, names):
    """The rows in a sink's files, as a counter: what is inserted, less what is retracted."""
    found = collections.Counter()
    for file in glob.glob(os.path.join(path, "**", "*"), recursive=True):
        base = os.path.basename(file)
        if not os.path.isfile(file) or base.startswith((".", "_")):
            continue
        # Columns by which a table is partitioned are in the names of folders: dt=2015-07-14/hm=23%3A59
        folders = [part.split("=", 1) for part in os.path.relpath(file, path).split(os.sep)[:-1] if "=" in part]
        with open(file, encoding="utf-8", newline="") as lines:
            if folders:
                for row in csv.reader(lines):
                    found[tuple(row + [value.replace("%3A", ":") for _, value in folders])] += 1
                continue
            for line in lines:
                row = json.loads(line)
                changes = [(row, 1)]
                if "op" in row:
                    changes = [(row["before"], -1), (row["after"], 1)]
                for values, weight in changes:
                    if values is not None:
                        found[tuple(values[name] for name in values)] += weight
    return found


def run(script, data, parallelism):
    """Runs one script. Returns what is wrong, or nothing."""
    folder = os.path.basename(os.path.dirname(script))
    name = os.path.splitext(os.path.basename(script))[0]
    text = ""
    for path in (os.path.join(os.path.dirname(script), "ddl.sql"), script):
        if os.path.exists(path):
            with open(path, encoding="utf-8") as file:
                text += file.read()
    all_statements = statements(text)
    sinks = {target(statement) for statement in all_statements} - {None}
    outputs = {}
    flink = session(data, parallelism)
    for statement in all_statements:
        executed = flink.execute_sql(substituted(statement, data, outputs, sinks))
        if target(statement):
            executed.wait()
    if not os.path.exists(os.path.join(FIXTURES, folder, f"{name}.jsonl.gz")):
        return ""
    expected = Expected(os.path.join(FIXTURES, folder), name)
    (path,) = outputs.values()
    return expected.differs(result(path, expected.names))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("scripts", nargs="*", help="scripts to run [default: all in examples/sql]")
    parser.add_argument("--parallelism", type=int, default=1)
    arguments = parser.parse_args()
    scripts = arguments.scripts or sorted(glob.glob(os.path.join(ROOT, "examples", "sql", "**", "*.sql"), recursive=True))
    failed = 0
    with tempfile.TemporaryDirectory() as data:
        prepare(data)
        for script in scripts:
            script = os.path.abspath(script)
            name = os.path.relpath(os.path.splitext(script)[0], os.path.join(ROOT, "examples", "sql"))
            if os.path.basename(script) == "ddl.sql":
                continue
            try:
                wrong = run(script, data, arguments.parallelism)
            except Exception as error:  # pylint: disable=broad-exception-caught; what Flink throws has many types
                wrong = str(error).strip().splitlines()[-1] if str(error).strip() else repr(error)
                causes = [line for line in str(error).splitlines() if "Caused by" in line or "Exception:" in line]
                wrong = causes[-1].strip() if causes else wrong
            if wrong and name in NOT_ON_FLINK:
                print(f"{name}: not on Flink: {NOT_ON_FLINK[name]} ({wrong})", flush=True)
            elif wrong:
                failed += 1
                print(f"{name}: WRONG: {wrong}", flush=True)
            else:
                print(f"{name}: right", flush=True)
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
