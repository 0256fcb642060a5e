# SPDX-License-Identifier: Apache-2.0
"""Benchmarks of taking entries in: pipes, memory, sizes, how soon an important entry is sealed."""

import ctypes
import os
import pathlib
import shutil
import subprocess
import sys
import time

import corpus
from measure import Settings, bulla, cost, emit, median, quantile, rounds, scratch, tree_sizes

# The producer tells its own cost, which is not ours: bash's `times` has a line for its children.
PRODUCER = 'cat "$1"; times > "$2"'


def producer_seconds(path):
    """What `times` of bash wrote: shell user and system, children user and system, as 0m0.123s."""
    def seconds(text):
        minutes, rest = text.rstrip('s').split('m')
        return 60 * int(minutes) + float(rest)
    return sum(map(seconds, path.read_text().split()))


def run_pipe(lines, state):
    """`bulla run` until all is sealed: (cost, CPU seconds of the producer)."""
    told = state.parent / 'producer'
    c = cost(bulla('run', '--state', state, '--', 'bash', '-c', PRODUCER, 'producer', lines, told))
    return c, producer_seconds(told)


def baseline_pipe(lines, consumer, out):
    told = out.parent / 'producer'
    c = cost(['bash', '-c', f'set -o pipefail; bash -c \'{PRODUCER}\' producer "$1" "$2" | {consumer} > "$3" && sync -d "$3"',
              'baseline', str(lines), str(told), str(out)])
    return c, producer_seconds(told)


def pipe_against(bench, c, against):
    """Ours and each baseline in turn; `against` is [(name, command)]."""
    with scratch('pipe') as dir:
        def ours():
            shutil.rmtree(dir / 'state', ignore_errors=True)
            return run_pipe(c.raw, dir / 'state')
        baselines = [lambda command=command: baseline_pipe(c.raw, command, dir / 'out') for _, command in against]
        ours_all, *others = rounds(ours, *baselines)

    def rate(results):
        return median([c.n / max(k.cpu - p, 1e-6) for k, p in results])
    for (name, _), results in zip(against, others):
        emit(bench, 'all processes but the producer, to sealed and durable', rate(ours_all), 'entries/CPU-s', rate(results), name,
             c.name, n=c.n, runs=Settings.runs, wall=median([c.n / k.wall for k, _ in ours_all]),
             with_producer=median([c.n / k.cpu for k, _ in ours_all]), producer_cpu_s=median([p for _, p in ours_all]))


def pipe_ingest():
    pipe_against('pipe-ingest', corpus.main_corpus(), [('cat > file, fdatasync', 'cat'), ('zstd -1 > file, fdatasync', 'zstd -1 -q')])


def pipe_ingest_small():
    pipe_against('pipe-ingest-small', corpus.small_corpus(), [('cat > file, fdatasync', 'cat')])
    idle_memory()


def private_kib(pid):
    text = pathlib.Path(f'/proc/{pid}/smaps_rollup').read_text()
    return sum(int(line.split()[1]) for line in text.splitlines() if line.startswith('Private_'))


def descendants(pid):
    for task in pathlib.Path(f'/proc/{pid}/task').iterdir():
        for child in map(int, (task / 'children').read_text().split()):
            yield child
            yield from descendants(child)


def idle_memory():
    """Private memory of the collector of a container that has written a burst, and then nothing for a while."""
    wait = 0.5 if Settings.tiny else 6
    script = f'seq 100000; echo; sleep {wait + 1}'
    with scratch('idle') as dir:
        cat = subprocess.Popen(['cat'], stdin=subprocess.PIPE, stdout=subprocess.DEVNULL)
        run = subprocess.Popen(bulla('run', '--state', dir / 'state', '--', 'sh', '-c', script), stdin=subprocess.DEVNULL)
        time.sleep(wait)
        kib = {}
        for pid in [run.pid, *descendants(run.pid)]:
            try:
                kib[pathlib.Path(f'/proc/{pid}/comm').read_text().strip()] = private_kib(pid)
            except OSError:
                pass
        plain = private_kib(cat.pid)
        cat.stdin.close()
        cat.wait()
        run.wait()
        cost(['true'])    # and whoever is left
    if 'bulla-collector' not in kib:
        print('memory-idle: the collector\'s memory cannot be read here', file=sys.stderr)
        return
    emit('memory-idle', 'private memory of a collector that waits', kib['bulla-collector'], 'KiB', plain, 'cat that waits', 'own',
         better='lower', run=kib.get('bulla-run', 0))


def bytes_per_entry():
    c = corpus.main_corpus()
    with scratch('size') as dir:
        run_pipe(c.raw, dir / 'state')
        used, disk = tree_sizes(dir / 'state')
        ledger = tree_sizes(dir / 'state' / 'ledger')[0]
    for name, command in [('zstd -3 of the raw lines', 'zstd -3 -q -c'), ('lz4 of the raw lines', 'lz4 -1 -q -c')]:
        size = int(cost(f'{command} "{c.raw}" | wc -c', stdout=subprocess.PIPE).output)
        emit('bytes-per-entry', 'full speed, one source', used / c.n, 'bytes/entry', size / c.n, name, c.name, better='lower',
             n=c.n, ledger=ledger / c.n, on_disk=disk / c.n)
    # 660 tails with a tick a second; in memory, for the sizes are what counts.
    where = '/dev/shm' if os.access('/dev/shm', os.W_OK) else str(Settings.work)
    run_program('pace', c, '--dir', where)


def segment():
    run_program('segment', corpus.main_corpus(), '--dir', '/dev/shm' if os.access('/dev/shm', os.W_OK) else str(Settings.work))


def query():
    run_program('query', corpus.main_corpus(), '--dir', '/dev/shm' if os.access('/dev/shm', os.W_OK) else str(Settings.work))


def aggregator():
    run_program('aggregator', corpus.main_corpus(), '--dir', '/dev/shm' if os.access('/dev/shm', os.W_OK) else str(Settings.work))


def find():
    run_program('find', corpus.main_corpus())


def run_program(name, c, *more):
    """A benchmark in C prints its own lines."""
    arguments = [*c.c_arguments(), '--dir', str(Settings.work), '--runs', str(Settings.runs), *more]
    subprocess.run([Settings.build / 'bench' / f'bench_{name}', *arguments, *(['--tiny'] if Settings.tiny else [])], check=True)


def store_ingest():
    run_program('store', corpus.main_corpus())


def hash_share():
    run_program('hash', corpus.main_corpus())


def commit_latency():
    run_program('commit', corpus.main_corpus())
    urgent_seal()


# inotify(7), for want of it in the standard library.
IN_MODIFY = 2

# Writes N important lines at odd moments and tells when each was written.
URGENT = r'''
import os, sys, time
time.sleep(0.6)
for i in range(int(sys.argv[2])):
    time.sleep(0.45 + 0.0137 * (i % 7))
    with open(sys.argv[1], 'a') as f:
        f.write(f'{time.monotonic_ns()}\n')
    os.write(1, b'<1>disk is on fire\n')
time.sleep(0.5)
'''


def urgent_seal():
    """From write() of an important line to the write of the key's state, which is the last step of its commit but one."""
    n = 3 if Settings.tiny else 20
    libc = ctypes.CDLL(None, use_errno=True)
    with scratch('urgent') as dir:
        state, told = dir / 'state', dir / 'told'
        cost(bulla('run', '--state', state, '--', 'true'))    # so that the key is there to be watched
        fd = libc.inotify_init1(os.O_CLOEXEC)
        libc.inotify_add_watch(fd, os.fsencode(state / 'seal' / 'key'), IN_MODIFY)
        run = subprocess.Popen(bulla('run', '--level-prefix', '--state', state, '--', sys.executable, '-c', URGENT, told, str(n)),
                               stdin=subprocess.DEVNULL)
        sealed, sync_ms, plain = [], [], plain_file(dir)
        os.set_blocking(fd, False)
        while run.poll() is None:
            try:
                os.read(fd, 4096)
                sealed.append(time.monotonic_ns())
            except BlockingIOError:
                time.sleep(0.0002)
            # The baseline in between, while nothing is due.
            if len(sync_ms) < len(sealed) and 150e6 < time.monotonic_ns() - sealed[-1] < 300e6:
                sync_ms.append(sync_once(plain, len(sync_ms)))
        os.close(fd)
        os.close(plain)
        cost(['true'])
        written = list(map(int, told.read_text().split()))
    ms = [(min(s for s in sealed if s > w) - w) / 1e6 for w in written if any(s > w for s in sealed)]
    if ms and sync_ms:
        emit('commit-latency', 'priority 1: from write() to sealed, all processes', median(ms), 'ms', median(sync_ms), 'pwrite+fdatasync',
             'own', better='lower', n=len(ms), p99=quantile(ms, 0.99), p50=median(ms))


def plain_file(dir):
    fd = os.open(dir / 'plain', os.O_WRONLY | os.O_CREAT, 0o600)
    os.posix_fallocate(fd, 0, 1 << 20)
    os.fsync(fd)
    return fd


def sync_once(fd, number):
    """Milliseconds of one small durable write."""
    start = time.monotonic_ns()
    os.pwrite(fd, b'x' * 512, 512 * number)
    os.fdatasync(fd)
    return (time.monotonic_ns() - start) / 1e6
