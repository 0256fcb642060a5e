# SPDX-License-Identifier: Apache-2.0
"""
One table of all that storage is asked for, each row beside its bar and beside what Debian offers, measured in the same run.

What is measured, and its bar, stands in rows.py.  Queries are asked as a user asks them: `bulla query` on a state directory that
was played at log pace and packed, warm, by a process that has the machine's processors; and once more within a process.  Other
programs only ever make a query slower: so it is the fastest run that is held against the bar, and the median is told beside it.
"""

import json
import os
import pathlib
import re
import shlex
import shutil
import subprocess
import sys

import corpus
import needles
import peers
import rows
from importing import IMPORTED
from ingest import run_pipe
from measure import Settings, bulla, cost, median, rounds, scratch, tree_sizes

MEMORY = pathlib.Path('/dev/shm')
HEAD = ['what', 'ours', 'CPU', 'memory', 'bar', 'reached', 'beside it']
ALIGN = ['---', '---:', '---:', '---:', '---:', '---', '---']


def say(text):
    print(text, file=sys.stderr, flush=True)


def figure(value):
    """Three digits, and no more than are known."""
    if value >= 100:
        return f'{value:,.0f}'
    return f'{value:.3g}' if value >= 1 else f'{value:.2g}'


def line(cells):
    return '| ' + ' | '.join(cells) + ' |'


class Table:
    """Prints its rows as they come."""

    def __init__(self, title):
        self.most_kib = 0
        print(f'{title}\n\n{line(HEAD)}\n{line(ALIGN)}', flush=True)

    def add(self, row, value, cpu='', kib=None, beside=(), within=None, usual=None):
        """`value`: ours, in the row's unit; `within`: ms in a process that was there already; `usual`: the median, where `value` is not."""
        ok, bar = rows.reached(row, value), ''
        if row.bar is not None:
            bar = f'{"≥" if row.at_least else "≤"} {row.bar:,}'
        said = '' if ok is None else 'yes' if ok else 'in process' if rows.reached(row, within) else '**no**'
        more = [f'median {figure(usual)}'] if usual else []
        more += [f'{figure(within)} in process'] if within is not None else []
        ours = f'{figure(value)} {row.unit}' + (f' ({", ".join(more)})' if more else '')
        memory = f'{figure(kib / 1024)} MiB' if kib else ''
        self.most_kib = max(self.most_kib, kib or 0)
        print(line([row.what, ours, cpu, memory, bar, said, '; '.join(b for b in beside if b)]), flush=True)

    def end(self):
        memory = self.most_kib / 1024
        print(line(['most memory of a query', f'{figure(memory)} MiB', '', '', f'≤ {rows.MEMORY_BAR}',
                    'yes' if memory <= rows.MEMORY_BAR else '**no**', '']) + '\n', flush=True)


def repeat(runs, command):
    """(wall ms, fastest and median; CPU ms as median; the most KiB); more than one run is preceded by one that warms up."""
    all = runs + (runs > 1)
    done = subprocess.run([Settings.build / 'bench' / 'bench_repeat', str(all), *map(str, command)], stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE, text=True)
    took = [[float(x) for x in text.split()] for text in done.stdout.splitlines()][all > runs:]
    if len(took) != runs or done.returncode not in (0, 1):
        raise RuntimeError(f'{shlex.join(map(str, command))}: exit status {done.returncode}: {done.stderr}')
    return min(t[0] for t in took), median([t[0] for t in took]), median([t[1] for t in took]), max(t[2] for t in took)


def ms(fastest, usual, cpu, _):
    return f'{figure(fastest)} ms ({"median " + figure(usual) + ", " if usual != fastest else ""}CPU {figure(cpu)})'


# The machine.

def zstd_rate(path):
    """MB/s that zstd -1 takes in, in memory."""
    done = subprocess.run(['zstd', '-b1', '-i2', path], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    return float(re.findall(r'([0-9.]+) MB/s, +[0-9.]+ MB/s', done.stdout)[-1])


def machine(table):
    """Where there is no generator of the corpus nothing is said of it."""
    lines = corpus.main_corpus().json_lines() if corpus.generator() else None
    if lines:
        table.add(rows.MACHINE, zstd_rate(lines))


# Ingest.

def pipe_and_keep(c, state):
    """The cost of running the producer, its own CPU time within that, and the cost of packing what came."""
    shutil.rmtree(state, ignore_errors=True)
    run, producer = run_pipe(c.raw, state)
    return run, producer, cost(bulla('keep', '--once', '--state', state), stderr=subprocess.DEVNULL)


def pipe(table, c, dir):
    """Without the producer's share; then what packing takes on top, into the state that all else is not measured on."""
    ours, plain = rounds(lambda: pipe_and_keep(c, dir / 'piped'), lambda: cost(f'zstd -3 -q -c "{c.raw}" > "{dir}/plain" && sync -d "{dir}/plain"'))
    k = c.n / 1e3
    cpu, all = [r.cpu - p for r, p, _ in ours], [r.cpu - p + q.cpu for r, p, q in ours]
    zstd = f'zstd -3 > file {figure(median([k / p.cpu for p in plain]))}'
    for name, used, wall in [('pipe', cpu, [r.wall for r, _, _ in ours]), ('pipe-keep', all, [r.wall + q.wall for r, _, q in ours])]:
        table.add(rows.BY_NAME[name], median([k / max(s, 1e-6) for s in used]), f'{median(used):.2f} s',
                  beside=[zstd, f'ours {figure(k / median(wall))} k entries/s'])


class Import:
    def __init__(self, form, file, c, state):
        self.form, self.file, self.c, self.state = form, file, c, state

    def __call__(self):
        shutil.rmtree(self.state, ignore_errors=True)
        r = cost(bulla('import', '--format', self.form, '--state', self.state, self.file), stderr=subprocess.PIPE)
        found = IMPORTED.search(r.errors)
        if not found or int(found[1].replace(b',', b'')) != self.c.n:
            sys.exit(f'import: not {self.c.n} entries: {r.errors.decode(errors="replace")}')
        return r


def our_json(c, dir, state):
    """Where there is no journalctl: what we show of what we imported, every time without our own fields."""
    path = dir / 'ours.json'
    with open(path, 'wb') as out:
        subprocess.run(bulla('query', '--state', state, '-o', 'json', '--all'), stdout=out, stdin=subprocess.DEVNULL, check=True)
    return path


def imports(table, c, dir, there):
    k, beside = c.n / 1e3, []
    if there:
        _, theirs = peers.import_journal(c)
        beside = [f'systemd-journal-remote {figure(k / theirs.cpu)}, once']
    for name in 'export', 'json':
        file = c.export() if name == 'export' else peers.journal_json(c) if there else our_json(c, dir, dir / 'export')
        ours, = rounds(Import(name, file, c, dir / name))
        table.add(rows.BY_NAME[name], median([k / r.cpu for r in ours]), f'{median([r.cpu for r in ours]):.2f} s',
                  beside=[*beside, f'ours {figure(median([k / r.wall for r in ours]))} k entries/s'])
    cost(bulla('keep', '--once', '--state', dir / 'export'), stderr=subprocess.DEVNULL)


# Sizes.

def play(c, state, pieces):
    """Have `state` made at log pace, in memory; what bench_play says."""
    done = cost([Settings.build / 'bench' / 'bench_play', *c.c_arguments(), '--dir', state.parent, state, str(pieces),
                 Settings.build / 'bulla'], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    return json.loads(done.output)


def sizes(table, c, dir, memory, there):
    fresh, merged = (play(c, memory / f'played-{pieces}', pieces) for pieces in (1, 2))

    def each(size):
        return f'{figure(size / c.n)}'
    raw = [f'zstd -{level} of the raw lines {each(peers.zstd_size(c.raw, level))}' for level in (3, 19)]
    journal = f'journald {each(peers.tree_bytes(peers.journal(c)))}' if there else ''
    structured = c.json_lines() or c.export()
    what = 'JSON lines' if c.json_lines() else 'export stream'
    # The higher level takes minutes, so it is told of c1m alone.
    levels = (3, 19) if c.seed == 1 else (3,)
    whole = [f'zstd -{level} of the {what} {each(peers.zstd_size(structured, level))}' for level in levels]
    for name, state, beside in [('full-speed', dir / 'piped', raw), ('fresh', memory / 'played-1', raw),
                                ('compacted', memory / 'played-2', raw), ('imported', dir / 'export', [*whole, journal])]:
        used, _ = tree_sizes(state)
        ledger = tree_sizes(state / 'ledger')[0]
        table.add(rows.BY_NAME[name], used / c.n, beside=[*beside, f'ours of it in the ledger {each(ledger)}'])
    extra = max(merged['keep_cpu_s'] - fresh['keep_cpu_s'], 1e-3)
    table.add(rows.BY_NAME['merge'], c.n / 1e3 / extra, f'{extra:.2f} s')


# Queries.

ARGUMENTS = {'grep': '-g', 'limit': '-n', 'count-by': '--count-by', 'output': '-o'}


def command_of(words):
    """What the protocol's words are on the command line."""
    arguments = []
    for word, value in zip(words[::2], words[1::2]):
        if word == 'match':
            arguments.append(value)
        elif word == 'histogram':
            arguments += ['--histogram', f'{int(value) // 10**9}s']
        elif word != 'newest':
            arguments += [ARGUMENTS[word], value]
    return arguments + (['-o', 'cat'] if 'grep' in words or 'limit' in words else [])


def count_lines(command):
    """Lines that it prints; 1 is the exit status of searches that find nothing."""
    done = subprocess.run(list(map(str, command)), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE)
    if done.returncode not in (0, 1):
        sys.exit(f'{shlex.join(map(str, command))}: exit status {done.returncode}')
    return done.stdout.count(b'\n')


def beside_query(c, words, unit, there, found):
    """What ripgrep and journalctl take for the same; journalctl cannot count."""
    said, counted = [], 'count-by' in words
    if words[0] == 'grep' and shutil.which('rg'):
        command = ['rg', '-S', '-a', *(['-c'] if counted else []), words[1], c.raw]
        theirs = count_lines(command)
        if theirs != found and not counted:
            say(f'{words[1]}: {found} entries, but {theirs} lines of ripgrep')
        said.append('rg ' + ms(*repeat(Settings.runs, command)))
    arguments = {'grep': ['-o', 'cat', '-g', words[1]], 'newest': ['-o', 'cat', '-n', '100'],
                 'match': ['-o', 'cat', '-n', '100', f'_SYSTEMD_UNIT={unit}'], 'output': ['-o', 'json', '--all']}
    if there and words[0] in arguments and not counted:
        # Once, for it takes seconds.
        theirs = repeat(1, peers.journalctl(c, *arguments[words[0]]))
        said.append(f'journalctl {ms(*theirs)}' if words[0] != 'output' else f'journalctl {figure(c.n / theirs[0])} k entries/s')
    return said


def asked(state, words):
    done = subprocess.run([Settings.build / 'bench' / 'bench_ask', state, str(Settings.runs), str(min(os.cpu_count(), 4)), *words],
                          stdout=subprocess.PIPE, check=True)
    return json.loads(done.stdout)


def queries(table, c, state, there):
    wanted = needles.of(c)
    unit = c.unit(wanted['source'])
    say('looked for: ' + ', '.join(f'{k} {v}' for k, v in wanted.items()))
    for row in rows.QUERIES:
        if not row.words:
            fastest, usual, cpu, kib = repeat(Settings.runs, bulla('query', '--help'))
            table.add(row, fastest, f'{figure(cpu)} ms', kib, usual=usual)
            continue
        words = [w.format(**wanted) for w in row.words]
        command = bulla('query', '--state', state, *command_of(words))
        found = count_lines(command)
        fastest, usual, cpu, kib = repeat(Settings.runs, command)
        within = asked(state, words)['fastest_ms']
        matches = f'{found:,} line{"s" * (found != 1)}' if words[0] == 'grep' and 'count-by' not in words else ''
        table.add(row, fastest, f'{figure(cpu)} ms', kib, [matches, *beside_query(c, words, unit, there, found)], within, usual)


def verify(state):
    """The cost of it.  It ends with 4: sealed and whole, but no key is pinned."""
    return cost(bulla('verify', '--state', state), check=False, stderr=subprocess.DEVNULL)


def everything(table, c, state, tails, there):
    row, k = rows.BY_NAME['json-out'], c.n / 1e3
    fastest, _, cpu, kib = repeat(Settings.runs, bulla('query', '--state', state, *command_of(row.words)))
    table.add(row, k / fastest * 1e3, f'{cpu / 1e3:.2f} s', kib, beside_query(c, row.words, None, there, c.n))
    for name, where in [('verify', state), ('verify-tails', tails)]:
        ours, = rounds(lambda where=where: verify(where))
        beside = []
        if there and name == 'verify':
            theirs = cost(peers.journalctl(c, '--verify'), check=False, stderr=subprocess.DEVNULL)
            beside = [f'journalctl --verify, which has no seals to check, {figure(k / theirs.cpu)}']
        table.add(rows.BY_NAME[name], median([k / r.cpu for r in ours]), f'{median([r.cpu for r in ours]):.2f} s',
                  beside=[*beside, f'ours {figure(median([k / r.wall for r in ours]))} k entries/s'])


# All of it.

def command_line(seed, input):
    named = (f' --seed {seed}' if seed else '') + (f' --input {pathlib.Path(input).name}' if input else '')
    return f'tools/bench --table{named}'


def corpus_for(seed, input):
    """The corpus, or a reason why there is none."""
    if input:
        path = pathlib.Path(input)
        return (corpus.file_corpus(path), None) if path.is_file() and path.stat().st_size else (None, f'{input} has no lines')
    if seed and corpus.generator() is None:
        return None, 'the corpus\'s generator is not here (BULLA_TESTDATA)'
    return (corpus.seeded_corpus(seed) if seed else corpus.main_corpus()), None


def in_memory(dir):
    """A directory where a hundred thousand syncs take no time, or the one on the disk."""
    return scratch('bulla-table', MEMORY if os.access(MEMORY, os.W_OK) else dir)


def run(seed, input):
    c, why = corpus_for(seed, input)
    if c is None:
        print(f'SKIP: {why}', file=sys.stderr)
        return 77
    there = peers.has_journal('table')
    version = re.search(r'v?[0-9][\w.~-]*', subprocess.run(bulla('--version'), stdout=subprocess.PIPE, text=True).stdout or '')
    title = (f'`{command_line(seed, input)}`, {c.name}: {c.n:,} lines, sources: {len(c.source_counts()):,}, '
             f'{c.raw.stat().st_size / c.n:.0f} bytes each; load {os.getloadavg()[0]:.1f}{", bulla " + version[0] if version else ""}:')
    with scratch('table') as dir, in_memory(dir) as memory:
        table = Table(title)
        machine(table)
        pipe(table, c, dir)
        imports(table, c, dir, there)
        sizes(table, c, dir, memory, there)
        # As it is on a disk, and as it was before it was packed.
        shutil.copytree(memory / 'played-1', dir / 'played')
        queries(table, c, dir / 'played', there)
        run_pipe(c.raw, dir / 'tails')
        everything(table, c, dir / 'played', dir / 'tails', there)
        table.end()
    return 0
