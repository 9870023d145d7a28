#!/usr/bin/env python3
"""Measures Nexmark's queries on Apache Flink and on Riverrun in turns, over the same files, and prints the ratios as a Markdown table.

Needs what flink_nexmark.py needs, and a release build of Riverrun.

    riverrun generate nexmark --events 2000000 --parts 2 --out DATA
    tests/compat/nexmark_against_flink.py DATA --riverrun target/release/riverrun [--queries q0,q5] [--parallelism 1,2]

A ratio is Flink's seconds by Riverrun's: of CPU time of all threads, and by the clock. Each query runs on Flink, warmed up, and then
several times on Riverrun, of which the median by CPU time counts. A query that Flink cannot run has no ratio.
"""

import argparse
import json
import math
import os
import subprocess
import sys

from flink_nexmark import query_names

FLINK = os.path.join(os.path.dirname(os.path.abspath(__file__)), "flink_nexmark.py")


def flink(data, query, parallelism):
    """Seconds on Flink, (wall clock, CPU), or why there are none."""
    command = [sys.executable, FLINK, data, "--queries", query, "--parallelism", str(parallelism)]
    line = json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip().splitlines()[-1])
    if "error" in line:
        return None, line["error"]
    return (line["wall_seconds"], line["cpu_seconds"]), None


def riverrun(binary, data, query, parallelism, rounds):
    """Seconds on Riverrun, (wall clock, CPU): the median run by CPU time."""
    command = [binary, "bench", "nexmark", "--files", data, "--blackhole", "--queries", query]
    command += ["--parallelism", str(parallelism), "--output", "json"]
    runs = []
    for _ in range(rounds):
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            sys.exit(f"{query}: {done.stderr.strip()}")
        line = json.loads(done.stdout.strip().splitlines()[-1])
        runs.append((line["wall_seconds"], line["cpu_seconds"]))
    return sorted(runs, key=lambda run: run[1])[len(runs) // 2]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", help="folder that `riverrun generate nexmark` wrote")
    parser.add_argument("--riverrun", default="target/release/riverrun", help="the program [default: target/release/riverrun]")
    parser.add_argument("--queries", default=",".join(query_names()), help="e.g. q0,q5 [default: all]")
    parser.add_argument("--parallelism", default="1,2", help="one or several [default: 1,2]")
    parser.add_argument("--rounds", type=int, default=3, help="runs on Riverrun [default: 3]")
    arguments = parser.parse_args()
    data = os.path.abspath(arguments.data)
    for parallelism in arguments.parallelism.split(","):
        print(f"Parallelism {parallelism}:\n")
        print("| | Flink, CPU s | Riverrun, CPU s | ratio, CPU time | ratio, wall time |")
        print("|---|---|---|---|---|", flush=True)
        ratios = []
        for query in arguments.queries.split(","):
            theirs, reason = flink(data, query, parallelism)
            ours = riverrun(arguments.riverrun, data, query, parallelism, arguments.rounds)
            if theirs is None:
                print(f"| {query} | - | {ours[1]:.1f} | | |", flush=True)
                print(f"{query} on Flink: {reason}", file=sys.stderr)
                continue
            ratios.append(theirs[1] / ours[1])
            print(f"| {query} | {theirs[1]:.1f} | {ours[1]:.1f} | {ratios[-1]:.1f} | {theirs[0] / ours[0]:.1f} |", flush=True)
        mean = math.exp(sum(map(math.log, ratios)) / len(ratios)) if ratios else math.nan
        print(f"\nGeometric mean of the ratios of CPU time: {mean:.1f}; lowest: {min(ratios, default=math.nan):.1f}\n", flush=True)


if __name__ == "__main__":
    main()
