# SPDX-License-Identifier: Apache-2.0
"""
The rows of the table measured with two builds at once, the other one and this one.

A machine that does something else at the same time, or is another one than yesterday's, makes figures differ by more than most
changes do.  Two builds on the same input at the same time, each on half of the processors and on the other half next time, are hit
alike: so what counts is the ratio, of CPU time, of the time that a query takes within a process, of bytes.  It is the median of all
turns.  Figures are worse than those of the table, where nothing runs beside what is measured.
"""

import contextlib
import shutil
import sys

import needles
import rows
import table
from ingest import run_pipe
from measure import Settings, at_once, bulla, cost, median, scratch, tree_sizes, turns

BUILDS = ['before', 'now']
HEAD = ['what', *BUILDS, 'now / before']
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

    def of_each(self, function):
        """function(name of the build) for either build."""
        def of(tree, name):
            def once():
                with built(tree):
                    return function(name)
            return once
        return [of(tree, name) for tree, name in zip(self.trees, BUILDS)]

    def turns(self, function):
        """[results before], [results now] of function(name of the build)."""
        return turns(self.of_each(function))

    def row(self, what, unit, before, now, rate_of=None):
        """`rate_of`: thousands that were handled in the seconds told; else the values are told as they are."""
        values = [median(v) for v in (before, now)]
        ratio = median([b / max(a, 1e-9) for a, b in zip(before, now)])
        shown = [rate_of / max(v, 1e-6) for v in values] if rate_of else values
        print(table.line([what, *(f'{table.figure(v)} {unit}' for v in shown), f'{ratio:.2f}']), flush=True)


def ingest(v, c, dir):
    k = c.n / 1e3
    both = v.turns(lambda name: table.pipe_and_keep(c, dir / name / 'piped'))
    for name, used in [('pipe', lambda r, p, _: r.cpu - p), ('pipe-keep', lambda r, p, q: r.cpu - p + q.cpu)]:
        v.row(rows.BY_NAME[name].what, 'k entries/CPU-s', *([used(*t) for t in results] for results in both), rate_of=k)
    v.row('of it packing', 'k entries/CPU-s', *([q.cpu for _, _, q in results] for results in both), rate_of=k)


def imports(v, c, dir):
    """What is imported as JSON is what this build shows, so that both take in the same bytes."""
    file = c.export()
    for form in 'export', 'json':
        if form == 'json':
            file = table.our_json(c, dir, dir / 'now' / 'export')
        both = v.turns(lambda name, form=form, file=file: table.Import(form, file, c, dir / name / form)())
        v.row(rows.BY_NAME[form].what, 'k entries/CPU-s', *([r.cpu for r in results] for results in both), rate_of=c.n / 1e3)


def states(v, c, dir, memory):
    """The log at log pace, packed by each build: what it takes, and where queries are asked."""
    once, merged = (at_once(v.of_each(lambda name, n=n: table.play(c, memory / name / f'{n}', n)['keep_cpu_s'])) for n in (1, 2))
    merging = [[max(m - o, 1e-3)] for o, m in zip(once, merged)]
    for name, pieces in [('fresh', 1), ('compacted', 2)]:
        size = [[tree_sizes(memory / build / f'{pieces}')[0] / c.n] for build in BUILDS]
        v.row(rows.BY_NAME[name].what, 'bytes/entry', *size)
    v.row(f'{rows.BY_NAME["merge"].what}, once', 'k entries/CPU-s', *merging, rate_of=c.n / 1e3)
    for build in BUILDS:
        shutil.copytree(memory / build / '1', dir / build / 'played')


def queries(v, c, dir):
    wanted = needles.of(c)
    for row in rows.QUERIES:
        if not row.words:
            continue
        words = [w.format(**wanted) for w in row.words]
        both = v.turns(lambda name, words=words: table.asked(dir / name / 'played', words)['fastest_ms'])
        v.row(f'{row.what}, in process', 'ms', *both)


def everything(v, c, dir):
    words = rows.BY_NAME['json-out'].words
    both = v.turns(lambda name: cost(bulla('query', '--state', dir / name / 'played', *table.command_of(words))))
    v.row(f'{rows.BY_NAME["json-out"].what}, CPU', 'k entries/CPU-s', *([r.cpu for r in results] for results in both), rate_of=c.n / 1e3)
    for name, state in [('verify', 'played'), ('verify-tails', 'tails')]:
        both = v.turns(lambda build, state=state: table.verify(dir / build / state))
        v.row(rows.BY_NAME[name].what, 'k entries/CPU-s', *([r.cpu for r in results] for results in both), rate_of=c.n / 1e3)


def run(before, seed, input):
    c, why = table.corpus_for(seed, input)
    if c is None:
        print(f'SKIP: {why}', file=sys.stderr)
        return 77
    title = f'`{table.command_line(seed, input)} --against`, {c.name}, {Settings.runs} turns:'
    c.c_arguments()    # what these name is made once, not by both
    with scratch('versus') as dir, table.in_memory(dir) as memory:
        v = Versus(title, before.resolve())
        for name in BUILDS:
            (dir / name).mkdir()
            (memory / name).mkdir()
        ingest(v, c, dir)
        imports(v, c, dir)
        states(v, c, dir, memory)
        queries(v, c, dir)
        at_once(v.of_each(lambda name: run_pipe(c.raw, dir / name / 'tails')))
        everything(v, c, dir)
    return 0
