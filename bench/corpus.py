# SPDX-License-Identifier: Apache-2.0
"""
The lines that are measured with, made once and kept below the build tree.

The big corpus, c1m, comes from the generator of the test data (BULLA_TESTDATA, or ../shared/data beside the source tree):
1,000,000 lines of 660 sources, 207 bytes each.  Without it the workload of bench/workload.c stands in, as "own".
"""

import importlib.util
import os
import pathlib
import struct
import subprocess
import sys
import time

from measure import Settings

ROOT = pathlib.Path(__file__).resolve().parent.parent
WORD_ONCE, WORD_BURST = 'xyzzyneedleonce', 'upstream ledger unreachable'
TINY, FULL, OWN, SMALL = 2000, 1_000_000, 500_000, 4_000_000


class Corpus:
    """`raw`: lines; `when`: 16 bytes per line, u64 ns and u32 source; `name` says where they come from."""

    def __init__(self, name, stem, n):
        self.name, self.n = name, n
        self.raw = Settings.work / f'{stem}.raw'
        self.when = Settings.work / f'{stem}.when'

    def c_arguments(self):
        return ['--corpus', str(self.raw), '--when', str(self.when), '--name', self.name]


def generator():
    """gencorpus.py as a module, and the pack of templates; or None."""
    data = pathlib.Path(os.environ.get('BULLA_TESTDATA') or ROOT.parent / 'shared' / 'data') / 'corpus'
    if not (data / 'gencorpus.py').exists() or not (data / 'loghub-pack.json').exists():
        return None
    sys.dont_write_bytecode = True
    spec = importlib.util.spec_from_file_location('gencorpus', data / 'gencorpus.py')
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module, data / 'loghub-pack.json'


class Arguments:
    """What gencorpus.py's own command line has by default."""
    seed, hosts, containers, zipf, rate = 1, 20, 30, 0.9, 2000.0

    def __init__(self, n, pack):
        self.n, self.pack = n, str(pack)


def generate(n, raw, when, export):
    """Lines as `gencorpus.py -f raw` writes them, beside each its time and source; and the same in journal export form."""
    module, pack = generator()
    source = module.Corpus(Arguments(n, pack))
    form = module.FORMATS['export']
    number = {}
    for s in source.sources:
        number[id(s)] = len(number)
        form.prepare(s)
    with open(raw, 'wb') as lines, open(when, 'wb') as whens, open(export, 'wb') as exports:
        for i, e in enumerate(source.entries()):
            lines.write((e[5] + '\n').encode('utf-8', 'surrogateescape'))
            whens.write(struct.pack('=QII', e[1], number[id(e[0])], 0))
            if i < n // 10:
                exports.write(form.line(*e).encode('utf-8', 'surrogateescape'))


def make(corpus, produce):
    """Run `produce(raw, when)` under temporary names, unless the files are there."""
    if corpus.raw.exists() and corpus.when.exists():
        return corpus
    raw, when = corpus.raw.with_suffix('.new'), corpus.when.with_suffix('.new-when')
    start = time.monotonic()
    produce(raw, when)
    when.rename(corpus.when)
    raw.rename(corpus.raw)
    print(f'made {corpus.raw.name}: {corpus.n} lines, {corpus.raw.stat().st_size} bytes, {time.monotonic() - start:.0f} s',
          file=sys.stderr)
    return corpus


def bench_lines(n, raw, when, *more):
    subprocess.run([Settings.build / 'bench' / 'bench_lines', str(n), raw, when, *more], check=True)


def export_file():
    """Some of the corpus' entries in journal export form, or None."""
    path = Settings.work / ('tiny.export' if Settings.tiny else 'c1m.export')
    return path if path.exists() else None


def main_corpus():
    if generator() is None:
        n = TINY if Settings.tiny else OWN
        return make(Corpus('own', f'own-{n}', n), lambda raw, when: bench_lines(n, raw, when))
    n, stem = (TINY, 'tiny') if Settings.tiny else (FULL, 'c1m')
    corpus = Corpus('c1m' if n == FULL else 'c1m-tiny', stem, n)
    return make(corpus, lambda raw, when: generate(n, raw, when, Settings.work / f'{stem}.export'))


def small_corpus():
    """Lines of a dozen bytes."""
    n = TINY if Settings.tiny else SMALL
    return make(Corpus('own-small', f'small-{n}', n), lambda raw, when: bench_lines(n, raw, when, 'small'))
