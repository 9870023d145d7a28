"""What the scripts that run SQL on Apache Flink share: sessions, statements, and what stands in for Riverrun's own tables.

Needs the package `apache-flink` (tried with 2.3.0) and Java 17 with `javac`.
"""

import glob
import os
import re
import subprocess
import zipfile

import pyflink
from pyflink.table import EnvironmentSettings, TableEnvironment

COMPAT = os.path.dirname(os.path.abspath(__file__))

# As Nexmark's guide for Flink says, with state in the heap, which is the fastest there is.
TUNED = {
    "table.exec.mini-batch.enabled": "true",
    "table.exec.mini-batch.allow-latency": "2 s",
    "table.exec.mini-batch.size": "50000",
    "table.optimizer.agg-phase-strategy": "TWO_PHASE",
    "table.optimizer.distinct-agg.split.enabled": "true",
    "pipeline.object-reuse": "true",
    "state.backend.type": "hashmap",
    "execution.checkpointing.interval": "1 s",
    "execution.checkpointing.mode": "EXACTLY_ONCE",
    "table.local-time-zone": "UTC",
}


def session(work, parallelism, **settings):
    """A session on a cluster within its own process, whose files are in the folder `work`."""
    os.environ.setdefault("JVM_ARGS", "-Xmx6g")
    environment = TableEnvironment.create(EnvironmentSettings.in_streaming_mode())
    config = {
        **TUNED,
        "parallelism.default": str(parallelism),
        "execution.checkpointing.dir": f"file://{work}/checkpoints",
        "taskmanager.memory.managed.size": "512m",
        "taskmanager.numberOfTaskSlots": str(parallelism),
        **settings,
    }
    for key, value in config.items():
        environment.get_config().set(key, value)
    jar = count_char_jar(work)
    environment.execute_sql(f"CREATE TEMPORARY SYSTEM FUNCTION count_char AS 'CountChar' LANGUAGE JAVA USING JAR '{jar}'")
    return environment


def count_char_jar(work):
    """Compiles the user-defined function of query 14."""
    classes = os.path.join(work, "classes")
    jar = os.path.join(work, "count_char.jar")
    if not os.path.exists(jar):
        path = ":".join(glob.glob(os.path.join(os.path.dirname(pyflink.__file__), "lib", "flink-*.jar")))
        source = os.path.join(COMPAT, "flink", "CountChar.java")
        subprocess.run(["javac", "-proc:none", "-cp", path, "-d", classes, source], check=True)
        with zipfile.ZipFile(jar, "w") as out:
            out.write(os.path.join(classes, "CountChar.class"), "CountChar.class")
    return jar


def statements(text):
    """The statements of a script: cut at semicolons that are neither in quotes nor in a comment."""
    tokens = re.findall(r"--[^\n]*|'(?:[^']|'')*'|`[^`]*`|;|[^-'`;]+|-", text)
    found = [[]]
    for token in tokens:
        if token == ";":
            found.append([])
        elif not token.startswith("--"):
            found[-1].append(token)
    return [text for text in ("".join(tokens).strip() for tokens in found) if text]


def created_table(statement):
    """The name of the table that a statement creates, or None."""
    match = re.match(r"CREATE\s+(?:TEMPORARY\s+)?TABLE\s+`?(\w+)`?", statement, re.IGNORECASE)
    return match and match.group(1)


def target(statement):
    """The name of the table that a statement inserts into, or None."""
    match = re.match(r"INSERT\s+INTO\s+`?(\w+)`?", statement, re.IGNORECASE)
    return match and match.group(1)


def options(statement):
    """The options in the last WITH clause of a CREATE TABLE, and the statement up to that clause."""
    head, with_clause = re.match(r"(.*\))\s*WITH\s*\((.*)\)$", statement, re.IGNORECASE | re.DOTALL).groups()
    return dict(re.findall(r"'([^']*)'\s*=\s*'([^']*)'", with_clause)), head


def with_options(head, values):
    """A CREATE TABLE with other options."""
    return head + " WITH (" + ", ".join(f"'{key}' = '{value}'" for key, value in values.items()) + ")"
