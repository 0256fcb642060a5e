# SPDX-License-Identifier: Apache-2.0
"""
A thousand journals on one host, with real processes: what the kernel says of each in /proc, and of syncs in its trace.

The sources write two lines a second each, the host two thousand.  Beside it the same sources write into files through `cat`.
What the sources take themselves is not counted.
"""

import collections
import os
import pathlib
import shutil
import subprocess
import sys
import time

from ingest import descendants, private_kib
from measure import Settings, bulla, emit, reap, scratch

RATE = 2           # lines a second of each
SOURCE = 'bench_trickle'
SYNCS = ['syscalls:sys_enter_fdatasync', 'syscalls:sys_enter_fsync']


class Seen:
    """What processes of one name have, together."""

    def __init__(self):
        self.processes = self.kib = self.files = 0
        self.cpu_ms = 0.0


def processes():
    """Our descendants but the sources: pid and name."""
    found = {}
    for pid in descendants(os.getpid()):
        try:
            found[pid] = pathlib.Path(f'/proc/{pid}/comm').read_text().strip()
        except OSError:
            pass
    return {pid: name for pid, name in found.items() if not SOURCE.startswith(name) and name not in ('perf', 'sh')}


def cpu_ns(pids):
    """Each has one thread, whose time the scheduler knows to the nanosecond; ticks would be too coarse for a thousand."""
    ns = {}
    for pid in pids:
        try:
            ns[pid] = int(pathlib.Path(f'/proc/{pid}/schedstat').read_text().split()[0])
        except OSError:
            pass
    return ns


def syncs(seconds, pids):
    """fsync() and fdatasync() of these processes a second; None, after as many, where they cannot be counted."""
    start, trace = time.monotonic(), Settings.work / 'thousand.perf'
    if shutil.which('perf'):
        events = [word for event in SYNCS for word in ('-e', event)]
        done = subprocess.run(['perf', 'record', '-q', '-a', *events, '-o', trace, 'sleep', str(seconds)], stdin=subprocess.DEVNULL,
                              stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        if done.returncode == 0:
            said = subprocess.run(['perf', 'script', '-i', trace, '-F', 'pid'], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
            trace.unlink()
            return sum(int(word) in pids for word in said.stdout.split()) / seconds
    time.sleep(max(0, seconds - (time.monotonic() - start)))
    return None


def look(seconds):
    """({name: Seen}, syncs a second or None, seconds that passed)."""
    names = processes()
    before, start = cpu_ns(names), time.monotonic()
    count = syncs(seconds, names)
    after, passed = cpu_ns(names), time.monotonic() - start
    all = collections.defaultdict(Seen)
    for pid, name in names.items():
        if pid not in after or pid not in before:
            continue
        try:
            kib, files = private_kib(pid), len(os.listdir(f'/proc/{pid}/fd'))
        except OSError:
            continue
        s = all[name]
        s.processes, s.kib, s.files = s.processes + 1, s.kib + kib, s.files + files
        s.cpu_ms += (after[pid] - before[pid]) / 1e6 / passed
    return all, count, passed


def host(n, seconds, command):
    """Have n sources run for a while, and look at what is there beside them; `command(number, source)` is what starts one."""
    # All begin before the look does, and none ends before it is over.
    starting = 1 if Settings.tiny else 45
    started = time.monotonic()
    for i in range(n):
        lasts = starting + 2 * seconds + 5 - (time.monotonic() - started)
        subprocess.Popen(command(i, [Settings.build / 'bench' / SOURCE, f'{max(lasts, 1):.1f}', str(RATE), str(i)]),
                         stdin=subprocess.DEVNULL)
    time.sleep(max(0, starting - (time.monotonic() - started)))
    seen = look(seconds)
    reap()
    return seen


def total(all, key):
    return sum(getattr(s, key) for s in all.values())


def thousand():
    n, seconds = (10, 2) if Settings.tiny else (1000, 10)
    with scratch('thousand') as dir:
        ours, count, passed = host(n, seconds, lambda i, source: bulla('run', '--state', dir / 'state', '--', *source))
        plain, _, _ = host(n, seconds, lambda i, source: ['sh', '-c', '"$@" | exec cat > "$0"', str(dir / f'plain{i}'),
                                                          *map(str, source)])
    if not ours or not plain:
        print('thousand: /proc does not tell of our processes', file=sys.stderr)
        return
    each = {name: s.processes for name, s in sorted(ours.items())}
    beside = f'cat > file for each of {n}'
    more = dict(n=n, seconds=round(passed, 1), lines_per_second=n * RATE, processes=each)
    emit('thousand', f'private memory of all processes, {n} journals', total(ours, 'kib') / 1024, 'MiB', total(plain, 'kib') / 1024,
         beside, 'own', better='lower', **more, kib={name: s.kib // s.processes for name, s in ours.items()})
    emit('thousand', f'open descriptors, {n} journals', total(ours, 'files'), 'descriptors', total(plain, 'files'), beside, 'own',
         better='lower', **more, each={name: round(s.files / s.processes, 1) for name, s in ours.items()})
    emit('thousand', f'CPU, {n} journals', total(ours, 'cpu_ms'), 'ms/s', max(total(plain, 'cpu_ms'), 1e-3), beside, 'own',
         better='lower', **more, ms={name: round(s.cpu_ms, 1) for name, s in ours.items()})
    if count is None:
        print('thousand: perf, which counts syncs, does not work here', file=sys.stderr)
    elif count:
        emit('thousand', f'fsync and fdatasync, {n} journals', count, 'syncs/s', n, 'one for each journal and second', 'own',
             better='lower', **more)
