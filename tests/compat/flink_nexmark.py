#!/usr/bin/env python3
"""Measures Nexmark's queries on Apache Flink, from files to a blackhole, and prints a JSON line for each.

Needs Python 3.9 or newer, the package `apache-flink` (tried with 2.3.0), and Java 17 with `javac`.

    riverrun generate nexmark --events 2000000 --parts 2 --out DATA
    tests/compat/flink_nexmark.py DATA [--queries q0,q5] [--parallelism 1,2]

Each query runs in a Java process of its own, on a cluster within it, tuned as Nexmark's guide says (flink_session.py): mini-batches of two
seconds and fifty thousand rows, aggregates in two phases, distinct ones split, objects reused, state in the heap, a checkpoint every
second, exactly once. Queries are those of examples/sql/nexmark with other WITH clauses; query 13 joins the small table as a plain one,
since files cannot be looked up in.

Before it is measured, the query runs once over the first events, so that loading classes and the first compilation are not
counted. Measured is from the statement to the end of the job: wall-clock time, and the CPU time of the Java process with all
its threads.
"""

import argparse
import glob
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time

from flink_session import COMPAT, created_table, options, session, statements, target, with_options

QUERIES = os.path.join(os.path.dirname(os.path.dirname(COMPAT)), "examples", "sql", "nexmark")
WARM_UP_EVENTS = 50_000
TICKS = os.sysconf("SC_CLK_TCK")
LOOKUP = re.compile(r"FOR SYSTEM_TIME AS OF \w+\.\w+ ")


def query_names():
    names = [os.path.basename(path)[:-4] for path in glob.glob(os.path.join(QUERIES, "q*.sql"))]
    return sorted(names, key=lambda name: int(name[1:]))


def cpu_seconds(process):
    """CPU seconds of a process and those below it, user and system."""
    total, children = 0.0, {}
    for path in glob.glob("/proc/[0-9]*/stat"):
        try:
            with open(path, encoding="ascii", errors="replace") as file:
                number, rest = file.read().split(" ", 1)
        except OSError:
            continue
        fields = rest[rest.rindex(")") + 2 :].split()
        children.setdefault(int(fields[1]), []).append((int(number), (int(fields[11]) + int(fields[12])) / TICKS))
    below = [process]
    while below:
        for child, seconds in children.get(below.pop(), []):
            total += seconds
            below.append(child)
    return total


def table(statement, data, work, name):
    """A CREATE TABLE with files to read and blackholes to write."""
    values, head = options(statement)
    if created_table(statement) == f"nexmark_{name}":
        if values["connector"] == "filesystem":
            return with_options(head, {**values, "path": f"file://{work}/out"})
        return with_options(head, {"connector": "blackhole"})
    return with_options(head, {"connector": "filesystem", "path": f"{data}/{values['topic']}", "format": values["format"]})


def execute(flink, data, work, name):
    """Runs the query over the files of `data`. Returns seconds: wall clock, CPU."""
    spent = None
    for script in ("ddl.sql", f"{name}.sql"):
        with open(os.path.join(QUERIES, script), encoding="utf-8") as file:
            for statement in statements(file.read()):
                if created_table(statement):
                    statement = table(statement, data, work, name)
                if target(statement):
                    begun, before = time.monotonic(), cpu_seconds(os.getpid())
                    flink.execute_sql(LOOKUP.sub("", statement)).wait()
                    spent = time.monotonic() - begun, cpu_seconds(os.getpid()) - before
                else:
                    flink.execute_sql(statement)
    for drop in ("VIEW IF EXISTS bid_as_read", "VIEW person", "VIEW auction", "VIEW bid", "TABLE nexmark",
                 "TABLE IF EXISTS side_input", f"TABLE nexmark_{name}"):
        flink.execute_sql(f"DROP {drop}")
    return spent


def measure(data, name, parallelism):
    """Runs one query, warmed up, in this process."""
    with tempfile.TemporaryDirectory() as work:
        warm_up = os.path.join(work, "warm-up")
        shutil.copytree(os.path.join(data, "side_input"), os.path.join(warm_up, "side_input"))
        os.makedirs(os.path.join(warm_up, "nexmark"))
        parts = sorted(glob.glob(os.path.join(data, "nexmark", "*.json")))
        for part in parts:
            with open(part, "rb") as file, open(os.path.join(warm_up, "nexmark", os.path.basename(part)), "wb") as out:
                for _, line in zip(range(WARM_UP_EVENTS // len(parts)), file):
                    out.write(line)
        # With the last checkpoint, after the end, files are committed; a blackhole needs none.
        last = "true" if name == "q10" else "false"
        flink = session(work, parallelism, **{"execution.checkpointing.checkpoints-after-tasks-finish": last})
        execute(flink, warm_up, work, name)
        wall, cpu = execute(flink, data, work, name)
        return {"query": name, "parallelism": parallelism, "wall_seconds": round(wall, 3), "cpu_seconds": round(cpu, 3)}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", help="folder that `riverrun generate nexmark` wrote")
    parser.add_argument("--queries", default=",".join(query_names()), help="e.g. q0,q5 [default: all]")
    parser.add_argument("--parallelism", default="1", help="one or several, e.g. 1,2 [default: 1]")
    parser.add_argument("--timeout", type=float, default=1800, help="seconds after which a query is given up [default: 1800]")
    parser.add_argument("--in-this-process", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    data = os.path.abspath(arguments.data)
    if arguments.in_this_process:
        print(json.dumps(measure(data, arguments.queries, int(arguments.parallelism))), flush=True)
        return
    for parallelism in arguments.parallelism.split(","):
        for name in arguments.queries.split(","):
            command = [sys.executable, __file__, data, "--queries", name, "--parallelism", parallelism, "--in-this-process"]
            line = {"query": name, "parallelism": int(parallelism)}
            try:
                done = subprocess.run(command, capture_output=True, text=True, timeout=arguments.timeout, check=False)
                if done.returncode == 0:
                    print(done.stdout.strip().splitlines()[-1], flush=True)
                    continue
                causes = [text for text in done.stderr.splitlines() if "Exception" in text or "Error" in text]
                line["error"] = causes[-1].strip() if causes else done.stderr.strip()[-300:]
            except subprocess.TimeoutExpired:
                line["error"] = f"not done after {arguments.timeout:.0f} s"
            print(json.dumps(line), flush=True)


if __name__ == "__main__":
    main()
