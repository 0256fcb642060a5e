# SPDX-License-Identifier: Apache-2.0
"""
What Debian offers beside us: systemd's journal, zstd, ripgrep.

None of it is needed: what is not there is skipped, and said.
"""

import json
import os
import shutil
import subprocess
import sys

from measure import cost

JOURNAL_REMOTE = '/lib/systemd/systemd-journal-remote'


def skip(bench, missing, package):
    print(f'{bench}: nothing beside {missing}, which is not here (Debian: {package})', file=sys.stderr)


def has_journal(bench):
    """Whether systemd's journal can be measured beside `bench`; what is missing is said."""
    there = os.access(JOURNAL_REMOTE, os.X_OK) and shutil.which('journalctl')
    if not there:
        skip(bench, 'systemd-journal-remote and journalctl', 'systemd-journal-remote')
    return bool(there)


def import_journal(corpus):
    """Have systemd-journal-remote import a corpus: (directory of its files, what that cost)."""
    dir, export = corpus.raw.with_suffix('.journal'), corpus.export()
    new = dir.with_name(dir.name + '.new')
    for old in dir, new:
        shutil.rmtree(old, ignore_errors=True)
    new.mkdir()
    c = cost([JOURNAL_REMOTE, f'--output={new}/peer.journal', str(export)], stderr=subprocess.DEVNULL)
    new.rename(dir)
    return dir, c


def journal(corpus):
    """The directory with a corpus as a journal of systemd's."""
    dir = corpus.raw.with_suffix('.journal')
    return dir if dir.exists() else import_journal(corpus)[0]


def journalctl(corpus, *arguments):
    return ['journalctl', '-D', str(journal(corpus)), '--no-pager', '-q', *arguments]


def journal_json(corpus):
    """A corpus as `journalctl -o json` shows it, every field whole."""
    path = corpus.raw.with_suffix('.json')
    if not path.exists():
        new = path.with_name(path.name + '.new')
        with open(new, 'wb') as out:
            subprocess.run(journalctl(corpus, '-o', 'json', '--all'), stdout=out, stdin=subprocess.DEVNULL, check=True)
        new.rename(path)
    return path


def zstd_size(path, level):
    """Bytes that zstd makes of a file.  High levels take minutes, and the size is always the same: it is kept beside the file."""
    kept = path.with_name(path.name + '.sizes')
    sizes = json.loads(kept.read_text()) if kept.exists() else {}
    if str(level) not in sizes:
        done = subprocess.run(f'zstd -{level} -T1 -q -c "{path}" | wc -c', shell=True, stdout=subprocess.PIPE, check=True)
        sizes[str(level)] = int(done.stdout)
        kept.write_text(json.dumps(sizes))
    return sizes[str(level)]


def tree_bytes(dir):
    return sum(p.stat().st_blocks * 512 for p in dir.rglob('*') if p.is_file())
