# SPDX-License-Identifier: Apache-2.0
"""The rows of the table of `tools/bench --table`: what each is called, in which unit, and the bar that was set for it."""

from collections import namedtuple

# `bar`: the least, where more is better (`at_least`), else the most.  `words`: what a query asks, in the protocol's words; a word in
# braces is one of the needles.
Row = namedtuple('Row', 'name what unit bar at_least words', defaults=[None, False, None])

RATE, SIZE, MS = 'k entries/CPU-s', 'bytes/entry', 'ms'

# What tells machines apart.
MACHINE = Row('machine', 'the machine: zstd -1 of c1m as JSON lines, one thread, in memory', 'MB/s')

INGEST = [
    Row('pipe', 'from a pipe, to sealed and durable', RATE, 1000, True),
    Row('pipe-keep', 'the same, and packed', RATE, 400, True),
    Row('export', 'a journal export stream, to sealed and durable', RATE, 300, True),
    Row('json', 'JSON lines of journalctl, to sealed and durable', RATE, 300, True),
]

SIZES = [
    Row('full-speed', 'full speed, one source, packed', SIZE, 25),
    Row('fresh', 'log pace, packed', SIZE, 25),
    Row('compacted', 'log pace, two segments merged', SIZE, 20),
    Row('imported', 'imported with all fields of journald, packed', SIZE),
    Row('merge', 'merging', RATE, 100, True),
]

QUERIES = [
    Row('start', 'nothing: what starting the process takes', MS),
    Row('absent', 'a word that is nowhere', MS, 2, words=['grep', '{absent}']),
    Row('once', 'a word that is there once', MS, 2, words=['grep', '{once}']),
    # The bars are of counting, as the peer was measured; showing all is told beside it.
    Row('substring', 'how many have a part of a word, in any case', MS, 20, words=['grep', '{substring}', 'count-by', '_HOSTNAME']),
    Row('regexp', 'how many match a regular expression', MS, 40, words=['grep', '{regexp}', 'count-by', '_HOSTNAME']),
    Row('any-case', 'how many have a word, in any case', MS, 60, words=['grep', '{any_case}', 'count-by', '_HOSTNAME']),
    Row('substring-shown', 'the entries with a part of a word, in any case', MS, words=['grep', '{substring}']),
    Row('regexp-shown', 'the entries that match a regular expression', MS, words=['grep', '{regexp}']),
    Row('any-case-shown', 'the entries with a word, in any case', MS, words=['grep', '{any_case}']),
    Row('newest', 'newest 100', MS, 5, words=['newest', '1', 'limit', '100']),
    Row('unit', 'newest 100 of one unit', MS, 2, words=['match', '{unit}', 'newest', '1', 'limit', '100']),
    Row('count', 'how many of each unit', MS, 1, words=['count-by', '_CONTAINER_NAME']),
    Row('histogram', 'how many in each 10 s', MS, 3, words=['histogram', '10000000000']),
]

ALL = [
    Row('json-out', 'everything as JSON', 'k entries/s', 1000, True, words=['output', 'json']),
    Row('verify', 'verify all, packed', RATE, 1000, True),
    Row('verify-tails', 'verify all, before it is packed', RATE, 1000, True),
]

BY_NAME = {row.name: row for row in INGEST + SIZES + QUERIES + ALL}

# MiB that a query may take.
MEMORY_BAR = 100


def reached(row, value):
    """Whether a value is as good as its bar, or None without one."""
    if row.bar is None or value is None:
        return None
    return value >= row.bar if row.at_least else value <= row.bar
