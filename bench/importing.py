# SPDX-License-Identifier: Apache-2.0
"""Benchmarks of taking over what others have logged."""

import re
import subprocess
import sys

import corpus
import peers
from measure import Settings, bulla, cost, emit, median, rounds, scratch

IMPORTED = re.compile(rb'imported ([0-9,]+) entr')


class Imports:
    """`bulla import` of a file into a new state directory at each call.  All go at the end: to remove one takes the next one's time."""

    def __init__(self, dir, form, file, n):
        self.dir, self.form, self.file, self.n, self.made = dir, form, file, n, 0

    def __call__(self):
        self.made += 1
        state = self.dir / f'{self.form}-{self.made}'
        c = cost(bulla('import', '--format', self.form, '--state', state, self.file), stderr=subprocess.PIPE)
        found = IMPORTED.search(c.errors)
        if not found or int(found[1].replace(b',', b'')) != self.n:
            sys.exit(f'import: not {self.n} entries: {c.errors.decode(errors="replace")}')
        return c


def import_form(c, form, what, file, against):
    """Beside writing the same bytes; `against`: further baselines, as (name, entries per CPU-second)."""
    with scratch('import') as dir:
        ours, plain = rounds(Imports(dir, form, file, c.n), lambda: cost(f'cat "{file}" > "{dir}/plain" && sync -d "{dir}/plain"'))
    value = median([c.n / k.cpu for k in ours])
    for name, base in [('cat > file, fdatasync', median([c.n / k.cpu for k in plain])), *against]:
        emit('import', what, value, 'entries/CPU-s', base, name, c.name, n=c.n, runs=Settings.runs, bytes=file.stat().st_size,
             wall=median([c.n / k.wall for k in ours]))


def import_peers():
    """All processes, to sealed and durable."""
    c, against = corpus.main_corpus(), []
    there = peers.has_journal('import')
    if there:
        # Once: it takes long, and it is what the other benchmarks read.
        _, theirs = peers.import_journal(c)
        against.append(('systemd-journal-remote, of the same export stream', c.n / theirs.cpu))
    import_form(c, 'export', 'a journal export stream, all processes, to sealed and durable', c.export(), against)
    if there:
        import_form(c, 'json', 'JSON lines of journalctl, all processes, to sealed and durable', peers.journal_json(c), against)
