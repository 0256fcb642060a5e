# SPDX-License-Identifier: Apache-2.0
"""CPU time of whole families of processes, medians, and the lines of JSON that tools/bench prints."""

import contextlib
import ctypes
import json
import os
import pathlib
import pickle
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
import traceback

PR_SET_CHILD_SUBREAPER = 36


class Settings:
    """What the command line of tools/bench says; set once, at its start."""
    build = None        # pathlib.Path of the build tree
    work = None         # where states and outputs go; on the disk that is measured
    runs = 3
    tiny = False


def adopt():
    """Whoever outlives its parent becomes our child, so that its CPU time comes to us."""
    if ctypes.CDLL(None, use_errno=True).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) != 0:
        sys.exit('cannot become a subreaper: CPU time of daemons would be lost')


def begin(build, runs, tiny):
    Settings.build, Settings.runs, Settings.tiny = pathlib.Path(build).resolve(), runs, tiny
    Settings.work = Settings.build / 'bench-data'
    Settings.work.mkdir(exist_ok=True)
    adopt()


def bulla(*arguments):
    """The command line of a bulla command; its programs lie beside each other in the build tree."""
    return [str(Settings.build / 'bulla'), *map(str, arguments)]


@contextlib.contextmanager
def scratch(name, where=None):
    """An empty directory on the measured disk, or elsewhere, removed afterwards."""
    path = pathlib.Path(tempfile.mkdtemp(prefix=name + '-', dir=where or Settings.work))
    try:
        yield path
    finally:
        shutil.rmtree(path, ignore_errors=True)


def reap():
    """Wait until no child and no adopted grandchild is left."""
    while True:
        try:
            os.wait()
        except ChildProcessError:
            return


def children_cpu():
    r = resource.getrusage(resource.RUSAGE_CHILDREN)
    return r.ru_utime + r.ru_stime


class Cost:
    def __init__(self, wall, cpu, output, errors):
        self.wall, self.cpu, self.output, self.errors = wall, max(cpu, 1e-6), output, errors


def cost(command, check=True, stdout=None, **options):
    """
    Run a command (a list, or a text for sh) to its end and that of all it started.

    `wall` ends with the command itself, `cpu` with the last of its descendants.  Output goes to /dev/null, or with
    stdout=PIPE and stderr=PIPE into the result.
    """
    shell = isinstance(command, str)
    before, start = children_cpu(), time.monotonic()
    # wait4() by Popen: no other child may be running.
    done = subprocess.run(['sh', '-c', command] if shell else command, stdin=subprocess.DEVNULL,
                          stdout=stdout or subprocess.DEVNULL, **options)
    wall = time.monotonic() - start
    reap()
    if check and done.returncode != 0:
        sys.exit(f'{command}: exit status {done.returncode}')
    return Cost(wall, children_cpu() - before, done.stdout, done.stderr)


def rounds(*functions):
    """
    Call all functions in turn, runs + 1 times, and return a list of results for each; the first round warms up.

    Taking turns, what else the machine does hits all of them alike.
    """
    results = [[] for _ in functions]
    for i in range(1 if Settings.tiny else Settings.runs + 1):
        for f, r in zip(functions, results):
            value = f()
            if i > 0 or Settings.tiny:
                r.append(value)
    return results


class Aside:
    """A function that runs in a process of its own, on some processors only; CPU time of all that it starts is its own."""

    def __init__(self, cpus, function):
        from_it, to_us = os.pipe()
        self.pid = os.fork()
        if self.pid == 0:
            try:
                os.close(from_it)
                os.sched_setaffinity(0, cpus)
                adopt()
                with os.fdopen(to_us, 'wb') as out:
                    pickle.dump(function(), out)
                os._exit(0)
            except BaseException:
                traceback.print_exc()
                os._exit(1)
        os.close(to_us)
        self.result = os.fdopen(from_it, 'rb')

    def wait(self):
        """What it returned."""
        with self.result:
            said = self.result.read()
        if os.waitpid(self.pid, 0)[1] != 0:
            sys.exit(1)
        return pickle.loads(said)


def at_once(functions, turn=0):
    """Call two functions at the same time, each on half of the processors, which they swap from turn to turn; both results."""
    cpus = sorted(os.sched_getaffinity(0))
    halves = [cpus[:len(cpus) // 2] or cpus, cpus[len(cpus) // 2:]]
    started = [Aside(halves[(k + turn) % 2], f) for k, f in enumerate(functions)]
    return [s.wait() for s in started]


def turns(functions):
    """Like rounds(), of two functions that are called at once: what else the machine does hits both alike."""
    results = [], []
    for i in range(1 if Settings.tiny else Settings.runs + 1):
        done = at_once(functions, i)
        if i > 0 or Settings.tiny:
            for r, value in zip(results, done):
                r.append(value)
    return results


def median(values):
    return statistics.median(values)


def quantile(values, q):
    values = sorted(values)
    return values[round(q * (len(values) - 1))]


def emit(bench, what, value, unit, baseline, against, corpus, better='higher', **more):
    """Print a result.  `ratio` is ours divided by the baseline's, whatever is better."""
    def short(x):
        return float(f'{x:.6g}') if isinstance(x, float) else x
    line = dict(bench=bench, what=what, value=short(float(value)), unit=unit, baseline=short(float(baseline)),
                ratio=float(f'{value / baseline:.4g}') if baseline else None, against=against, better=better, corpus=corpus)
    line.update((k, short(v)) for k, v in more.items())
    print(json.dumps(line), flush=True)


def used_size(path):
    """Bytes of a file without the zeroes at its end, which are space kept ahead."""
    return len(path.read_bytes().rstrip(b'\0'))


def tree_sizes(path):
    """(bytes used, bytes on disk) of all files below a directory."""
    files = [p for p in path.rglob('*') if p.is_file()]
    return sum(map(used_size, files)), sum(p.stat().st_blocks * 512 for p in files)
