# SPDX-License-Identifier: Apache-2.0
"""
The rows of the table measured with two builds that take turns, the other one and this one.

A machine that does something else at the same time, or is another one than yesterday's, makes figures differ by more than most
changes do.  Of two builds on the same input, one after the other, it hits both: so what counts is the ratio, of CPU time, of the time
that a query takes within a process, of bytes.  It is the median over all turns.
"""

import contextlib
import shutil
import subprocess
import sys

import needles
import rows
import table
from ingest import run_pipe
from measure import Settings, bulla, cost, median, rounds, scratch, tree_sizes

HEAD = ['what', 'before', 'now', 'now / before']
ALIGN = ['---', '---:', '---:', '---:']


@contextlib.contextmanager
def built(tree):
    """What is run is of that tree."""
    usual, Settings.build = Settings.build, tree
    try:
        yield
    finally:
        Settings.build = usual


class Versus:
    def __init__(self, title, before):
        self.trees = [before, Settings.build]
        print(f'{title}\n\n{table.line(HEAD)}\n{table.line(ALIGN)}', flush=True)

    def turns(self, function):
        """[results before], [results now] of function(name of the build), called with either build in turn."""
        def of(tree, name):
            def once():
                with built(tree):
                    return function(name)
            return once
        return rounds(*(of(tree, name) for tree, name in zip(self.trees, ['before', 'now'])))

    def row(self, what, unit, before, now, rate_of=None):
        """`rate_of`: thousands that were handled in the seconds told; else the values are told as they are."""
        values = [median(v) for v in (before, now)]
        ratio = median([b / max(a, 1e-9) for a, b in zip(before, now)])
        shown = [rate_of / max(v, 1e-6) for v in values] if rate_of else values
        print(table.line([what, *(f'{table.figure(v)} {unit}' for v in shown), f'{ratio:.2f}']), flush=True)


def by_name(name):
    return next(r for r in rows.INGEST + rows.SIZES + rows.QUERIES + rows.ALL if r.name == name)


def ingest(v, c, dir):
    k = c.n / 1e3
    both = v.turns(lambda name: table.pipe_and_keep(c, dir / f'piped-{name}'))
    for name, used in [('pipe', lambda r, p, _: r.cpu - p), ('pipe-keep', lambda r, p, q: r.cpu - p + q.cpu)]:
        v.row(by_name(name).what, 'k entries/CPU-s', *([used(*t) for t in turns] for turns in both), rate_of=k)
    v.row('of it packing', 'k entries/CPU-s', *([q.cpu for _, _, q in turns] for turns in both), rate_of=k)


def imports(v, c, dir):
    """What is imported as JSON is what this build shows, so that both take in the same bytes."""
    file = c.export()
    for form in 'export', 'json':
        if form == 'json':
            file = table.our_json(c, dir, dir / 'export-now')
        both = v.turns(lambda name, form=form, file=file: table.Import(form, file, c, dir / f'{form}-{name}')())
        v.row(by_name(form).what, 'k entries/CPU-s', *([r.cpu for r in turns] for turns in both), rate_of=c.n / 1e3)


def states(v, c, dir, memory):
    """The log at log pace, packed by each build: what it takes, and where queries are asked."""
    merging = []
    for build, tree in zip(['before', 'now'], v.trees):
        with built(tree):
            once, merged = (table.play(c, memory / f'{build}-{pieces}', pieces)['keep_cpu_s'] for pieces in (1, 2))
        merging.append([max(merged - once, 1e-3)])
    for name, pieces in [('fresh', 1), ('compacted', 2)]:
        size = [[tree_sizes(memory / f'{build}-{pieces}')[0] / c.n] for build in ('before', 'now')]
        v.row(by_name(name).what, 'bytes/entry', *size)
    v.row(f'{by_name("merge").what}, once', 'k entries/CPU-s', *merging, rate_of=c.n / 1e3)
    for build in 'before', 'now':
        shutil.copytree(memory / f'{build}-1', dir / f'played-{build}')


def queries(v, c, dir):
    wanted = needles.of(c)
    for row in rows.QUERIES:
        if not row.words:
            continue
        words = [w.format(**wanted) for w in row.words]
        both = v.turns(lambda name, words=words: table.asked(dir / f'played-{name}', words)['fastest_ms'])
        v.row(f'{row.what}, in process', 'ms', *both)


def everything(v, c, dir):
    words = by_name('json-out').words
    both = v.turns(lambda name: cost(bulla('query', '--state', dir / f'played-{name}', *table.command_of(words))))
    v.row(f'{by_name("json-out").what}, CPU', 'k entries/CPU-s', *([r.cpu for r in turns] for turns in both), rate_of=c.n / 1e3)
    for name, state in [('verify', 'played'), ('verify-tails', 'tails')]:
        # 4: sealed and whole, but no key is pinned.
        both = v.turns(lambda build, state=state: cost(bulla('verify', '--state', dir / f'{state}-{build}'), check=False,
                                                       stderr=subprocess.DEVNULL))
        v.row(by_name(name).what, 'k entries/CPU-s', *([r.cpu for r in turns] for turns in both), rate_of=c.n / 1e3)


def run(before, seed, input):
    c, why = table.corpus_for(seed, input)
    if c is None:
        print(f'SKIP: {why}', file=sys.stderr)
        return 77
    title = f'`{table.command_line(seed, input)} --against`, {c.name}, {Settings.runs} turns:'
    with scratch('versus') as dir, table.in_memory(dir) as memory:
        v = Versus(title, before.resolve())
        ingest(v, c, dir)
        imports(v, c, dir)
        states(v, c, dir, memory)
        queries(v, c, dir)
        for name, tree in zip(['before', 'now'], v.trees):
            with built(tree):
                run_pipe(c.raw, dir / f'tails-{name}')
        everything(v, c, dir)
    return 0
