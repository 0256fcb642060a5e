# SPDX-License-Identifier: Apache-2.0
"""Benchmarks of reading: tail, verify, query."""

import os
import shutil
import subprocess
import sys
import time

import corpus
import peers
from ingest import run_pipe
from measure import Settings, bulla, cost, emit, median, quantile, rounds, scratch

# Writes lines that say when they were written, a hundred a second.
FEEDER = r'''
import os, sys, time
time.sleep(1)
next = time.monotonic()
for i in range(int(sys.argv[1])):
    next += 0.01
    time.sleep(max(0, next - time.monotonic()))
    os.write(1, b'%d %d a line that somebody waits for\n' % (i, time.monotonic_ns()))
time.sleep(0.5)
'''

_state = None


class State:
    """A state directory with the corpus in it, made once for all benchmarks that read it."""

    def __init__(self):
        self.corpus = corpus.main_corpus()
        self.context = scratch('read')
        self.path = self.context.__enter__() / 'state'
        run_pipe(self.corpus.raw, self.path)

    def files(self):
        return sorted(p for folder in ('journals', 'ledger') for p in (self.path / folder).iterdir())


def state():
    global _state
    _state = _state or State()
    return _state


def done():
    if _state:
        _state.context.__exit__(None, None, None)


# Latency of following.

def seen(reader, feeder):
    """Latencies in ms of the lines that came through, with their numbers; the feeder ends the measurement."""
    late, partial = {}, b''
    fd = reader.stdout.fileno()
    os.set_blocking(fd, False)
    while True:
        over = feeder.poll() is not None
        try:
            data = os.read(fd, 65536)
        except BlockingIOError:
            if over:
                return late
            time.sleep(0.0001)
            continue
        now = time.monotonic_ns()
        lines = (partial + data).split(b'\n')
        partial = lines.pop()
        for words in map(bytes.split, lines):
            if len(words) > 2 and words[2] == b'a':
                late[int(words[0])] = (now - int(words[1])) / 1e6


def follow(feeder_command, reader_command, **feeder_options):
    feeder = subprocess.Popen(feeder_command, stdin=subprocess.DEVNULL, **feeder_options)
    time.sleep(0.5)
    reader = subprocess.Popen(reader_command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE)
    try:
        return seen(reader, feeder)
    finally:
        reader.kill()
        reader.wait()
        feeder.wait()
        cost(['true'])


def tail_latency():
    n = 50 if Settings.tiny else 1000
    feed = [sys.executable, '-c', FEEDER, str(n)]
    with scratch('tail') as dir:
        ours = follow(bulla('run', '--state', dir / 'state', '--', *feed), bulla('tail', '--state', dir / 'state', '-o', 'cat'))
        with open(dir / 'plain', 'wb') as plain:
            theirs = follow(feed, ['tail', '-f', str(dir / 'plain')], stdout=plain)
    if not ours or not theirs:
        sys.exit('tail-latency: nothing was seen')
    mine, base = list(ours.values()), list(theirs.values())
    for name, q in [('p50', 0.5), ('p99', 0.99)]:
        emit('tail-latency', f'from write() to read() of the follower, {name}', quantile(mine, q), 'ms', quantile(base, q),
             'tail -f of a plain file', 'own', better='lower', n=len(mine), missed=n - len(mine), max=max(mine))


# Verify.

def verify():
    s = state()
    # 4: sealed and whole, but no key is pinned.
    ours, files, raw = rounds(
        lambda: cost(bulla('verify', '--state', s.path), check=False, stderr=subprocess.DEVNULL),
        lambda: cost(['sha256sum', *map(str, s.files())]),
        lambda: cost(['sha256sum', str(s.corpus.raw)]))
    n = s.corpus.n
    for name, theirs in [('sha256sum of the same files', files), ('sha256sum of the raw lines', raw)]:
        emit('verify', 'every entry, batch, commit and seal', median([n / c.cpu for c in ours]), 'entries/CPU-s',
             median([n / c.cpu for c in theirs]), name, s.corpus.name, n=n, runs=Settings.runs, wall=median([n / c.wall for c in ours]))


# Query.

def lines_of(command):
    done = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, check=False)
    return done.stdout.count(b'\n')


def query(*arguments):
    return bulla('query', '--state', state().path, *arguments)


def query_json():
    s = state()
    found = lines_of(query('-o', 'json'))
    if found < s.corpus.n:
        sys.exit(f'query-json: {found} entries came of {s.corpus.n}')
    ours, cat = rounds(lambda: cost(query('-o', 'json')), lambda: cost(f'cat "{s.corpus.raw}" | cat > /dev/null'))
    emit('query-json', 'all entries as JSON', median([found / c.cpu for c in ours]), 'entries/CPU-s',
         median([s.corpus.n / c.cpu for c in cat]), 'cat of the raw lines through a pipe', s.corpus.name, n=found, runs=Settings.runs,
         wall=median([found / c.wall for c in ours]))
    if peers.has_journal('query-json'):
        # Once: it takes long.  Its entries have twenty fields each, as its users have them; ours those of one identity.
        theirs = cost(peers.journalctl(s.corpus, '-o', 'json'))
        emit('query-json', 'all entries as JSON', median([found / c.cpu for c in ours]), 'entries/CPU-s', s.corpus.n / theirs.cpu,
             'journalctl -o json', s.corpus.name, n=found, runs=Settings.runs)


GREP = [
    # A pattern without capitals matches in any case; `(?-i)` or a capital makes it exact.
    ('a word that is there once', corpus.WORD_ONCE, ['-i']),
    ('an absent word, exact case', 'Xyzzynowhereatall', []),
    ('two words, 0.2 % of the entries', corpus.WORD_BURST, ['-i']),
]


def query_grep():
    s = state()
    tool, name = ([shutil.which('rg'), '-F', '--no-mmap', '-a'], 'rg -F') if shutil.which('rg') else (['grep', '-F', '-a'], 'grep -F')
    for what, word, flags in GREP:
        mine, theirs = query('-g', word, '-o', 'cat'), [*tool, *flags, word, str(s.corpus.raw)]
        found, expected = lines_of(mine), lines_of(theirs)
        if found != expected:
            sys.exit(f'query-grep {word}: {found} entries, {expected} lines')
        ours, base = rounds(lambda: cost(mine), lambda: cost(theirs, check=False))
        emit('query-grep', what, median([c.wall for c in ours]) * 1e3, 'ms', median([c.wall for c in base]) * 1e3,
             ' '.join([name, *flags]) + ' of the raw lines', s.corpus.name, better='lower', n=s.corpus.n, matches=found,
             runs=Settings.runs, cpu_ms=median([c.cpu for c in ours]) * 1e3)


def query_newest():
    s = state()
    found = lines_of(query('-n', '100', '-o', 'cat'))
    ours, base = rounds(lambda: cost(query('-n', '100', '-o', 'cat')), lambda: cost(['tail', '-n', '100', str(s.corpus.raw)]))
    emit('query-newest', 'the newest 100', median([c.wall for c in ours]) * 1e3, 'ms', median([c.wall for c in base]) * 1e3,
         'tail -n 100 of the raw lines', s.corpus.name, better='lower', n=s.corpus.n, matches=found, runs=Settings.runs,
         cpu_ms=median([c.cpu for c in ours]) * 1e3)
