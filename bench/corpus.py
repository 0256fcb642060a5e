# SPDX-License-Identifier: Apache-2.0
"""
The lines that are measured with, made once and kept below the build tree.

The big corpus, c1m, comes from the generator of the test data (BULLA_TESTDATA, or ../shared/data beside the source tree):
1,000,000 lines of 660 sources, 207 bytes each.  Without it the workload of bench/workload.c stands in, as "own".  Other forms
of the same entries, and other seeds, are made when somebody asks for them.
"""

import collections
import importlib.util
import os
import pathlib
import shutil
import struct
import subprocess
import sys
import time

from measure import Settings

ROOT = pathlib.Path(__file__).resolve().parent.parent
WORD_ONCE, WORD_BURST = 'xyzzyneedleonce', 'upstream ledger unreachable'
TINY, FULL, OWN, SMALL = 2000, 1_000_000, 500_000, 4_000_000
NS_PER_DAY = 86_400_000_000_000
START_NS, NS_BETWEEN = 1_767_603_600_000_000_000, 500_000
BOOT, MACHINE = '8a1f7c3e5b2d49f0a6c4e8d1b3f5a7c9', '4c4c4544004d3610805ac4c04f4d3532'


class Corpus:
    """
    `raw`: lines; `when`: 16 bytes per line, u64 ns and u32 source; `images`: what each source is made of, a line each; `name` says
    where they come from.
    """

    def __init__(self, name, stem, n, seed=None):
        self.name, self.n, self.seed = name, n, seed
        self.raw = Settings.work / f'{stem}.raw'
        self.when = Settings.work / f'{stem}.when'
        self.images = Settings.work / f'{stem}.images'

    def source_counts(self):
        """How many lines each source has."""
        data = self.when.read_bytes()
        return collections.Counter(source for _, source, _ in struct.iter_unpack('=QII', data))

    def unit(self, source):
        """The name of a source in the export form."""
        if not self.seed:
            return f'service-{source}.service'
        module, pack = generator()
        return module.Corpus(Arguments(self.n, self.seed, pack)).sources[source].unit

    def c_arguments(self):
        if self.seed:
            made(self.images, lambda to: write_images(self, to))
        images = ['--images', str(self.images)] if self.images.exists() else []
        return ['--corpus', str(self.raw), '--when', str(self.when), *images, '--name', self.name]

    def export(self):
        """The same entries in the Journal Export Format, each with the fields that a container's have in journald."""
        path = self.raw.with_suffix('.export')
        return made(path, lambda to: write_form(self, 'export', to) if self.seed else export_own(self, to))

    def json_lines(self):
        """The same as JSON lines with what tells the source, 562 bytes an entry of c1m; or None, where there is no generator."""
        path = self.raw.with_suffix('.jsonl')
        return made(path, lambda to: write_form(self, 'jsonl', to)) if self.seed else None


def made(path, produce):
    """A file that `produce(path)` makes, under a temporary name, unless it is there."""
    if not path.exists():
        start, new = time.monotonic(), path.with_name(path.name + '.new')
        produce(new)
        new.rename(path)
        print(f'made {path.name}: {path.stat().st_size} bytes, {time.monotonic() - start:.0f} s', file=sys.stderr)
    return path


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
    hosts, containers, zipf, rate = 20, 30, 0.9, 2000.0

    def __init__(self, n, seed, pack):
        self.n, self.seed, self.pack = n, seed, str(pack)


def generate(corpus, raw, when):
    """Lines as `gencorpus.py -f raw` writes them, beside each its time and source."""
    module, pack = generator()
    source = module.Corpus(Arguments(corpus.n, corpus.seed, pack))
    number = {id(s): i for i, s in enumerate(source.sources)}
    with open(raw, 'wb') as lines, open(when, 'wb') as whens:
        for e in source.entries():
            lines.write((e[5] + '\n').encode('utf-8', 'surrogateescape'))
            whens.write(struct.pack('=QII', e[1], number[id(e[0])], 0))


def write_images(corpus, path):
    """The image of each source, or of a unit that has none its program."""
    module, pack = generator()
    source = module.Corpus(Arguments(corpus.n, corpus.seed, pack))
    path.write_text(''.join(f'{s.image or s.comm}\n' for s in source.sources))


def write_form(corpus, form, path):
    """The entries as gencorpus.py writes them in one of its forms."""
    module, pack = generator()
    source, form = module.Corpus(Arguments(corpus.n, corpus.seed, pack)), module.FORMATS[form]
    for s in source.sources:
        form.prepare(s)
    with open(path, 'wb') as out:
        module.write_stream(source, form, out)


def entries_own(corpus):
    """(ns, source, line without its newline) of a corpus that did not come from the generator."""
    with open(corpus.raw, 'rb') as lines, open(corpus.when, 'rb') as whens:
        for line in lines:
            ns, source, _ = struct.unpack('=QII', whens.read(16))
            yield ns, source, line[:-1]


def export_own(corpus, path):
    """As above, of made up containers."""
    with open(path, 'wb') as out:
        for ns, source, line in entries_own(corpus):
            name = f'service-{source}'
            out.write(f'__REALTIME_TIMESTAMP={ns // 1000}\n__MONOTONIC_TIMESTAMP={ns // 1000 % 10**12}\n'
                      f'_BOOT_ID={BOOT}\n_MACHINE_ID={MACHINE}\n_HOSTNAME=node-{source % 20:02}\n_TRANSPORT=stdout\n'
                      f'_SYSTEMD_UNIT={name}.service\n_SYSTEMD_CGROUP=/system.slice/{name}.service\n_COMM=service\n'
                      f'_UID=1000\n_GID=1000\nSYSLOG_IDENTIFIER={name}\nCONTAINER_NAME={name}\n'
                      f'CONTAINER_ID_FULL={(source + 1) * 0x9e3779b97f4a7c15:064x}\nSTREAM=stdout\nPRIORITY=6\n'
                      f'_PID={1000 + source}\nMESSAGE\n'.encode() + struct.pack('<Q', len(line)) + line + b'\n\n')


def make(corpus, produce):
    """Have the lines of a corpus and their times made by `produce(raw, when)`."""
    def both(to):
        when = corpus.when.with_name(corpus.when.name + '.new')
        produce(to, when)
        when.rename(corpus.when)
    made(corpus.raw, both)
    return corpus


def bench_lines(n, raw, when, *more):
    subprocess.run([Settings.build / 'bench' / 'bench_lines', str(n), raw, when, *more], check=True)


def main_corpus():
    if generator() is None:
        n = TINY if Settings.tiny else OWN
        return make(Corpus('own', f'own-{n}', n), lambda raw, when: bench_lines(n, raw, when))
    return seeded_corpus(1)


def seeded_corpus(seed):
    """c1m, or what the generator makes of another seed."""
    n, stem = (TINY, 'tiny') if Settings.tiny else (FULL, 'c1m')
    stem += f'-seed{seed}' if seed != 1 else ''
    corpus = Corpus(stem if n == FULL else f'c1m-{stem}', stem, n, seed)
    return make(corpus, lambda raw, when: generate(corpus, raw, when))


def file_corpus(path):
    """Any file of lines.  Times and sources are those of its .when and .images, or else one source has them, 2,000 a second."""
    stem = 'input-' + path.stem + ('-tiny' if Settings.tiny else '')
    data = path.read_bytes()
    data = b'\n'.join(data.split(b'\n')[:TINY]) if Settings.tiny else data
    data += b'' if data.endswith(b'\n') else b'\n'
    n, beside = data.count(b'\n'), path.with_suffix('.when')
    corpus = Corpus(path.name, stem, n)
    # What was made of another file of this name is of no use.
    if not corpus.raw.exists() or corpus.raw.read_bytes() != data:
        for old in Settings.work.glob(f'{stem}.*'):
            shutil.rmtree(old) if old.is_dir() else old.unlink()
        corpus.raw.write_bytes(data)
    whens = beside.read_bytes()[:16 * n] if beside.exists() else b''
    if len(whens) < 16 * n:
        whens = b''.join(struct.pack('=QII', START_NS + i * NS_BETWEEN, 0, 0) for i in range(n))
    corpus.when.write_bytes(some_days_ago(whens))
    if path.with_suffix('.images').exists():
        shutil.copy(path.with_suffix('.images'), corpus.images)
    return corpus


def some_days_ago(whens):
    """Times on days that are over, for only those are merged to the end."""
    last = max(ns for ns, _, _ in struct.iter_unpack('=QII', whens))
    days = max(0, -(-(last - time.time_ns() + 2 * NS_PER_DAY) // NS_PER_DAY))
    if days == 0:
        return whens
    return b''.join(struct.pack('=QII', ns - days * NS_PER_DAY, source, 0) for ns, source, _ in struct.iter_unpack('=QII', whens))


def small_corpus():
    """Lines of a dozen bytes."""
    n = TINY if Settings.tiny else SMALL
    return make(Corpus('own-small', f'small-{n}', n), lambda raw, when: bench_lines(n, raw, when, 'small'))
