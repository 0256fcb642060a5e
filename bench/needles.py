# SPDX-License-Identifier: Apache-2.0
"""
What is looked for in a corpus.

The lines of the generator have words that are known; in any other file they are found, always the same ones in the same file.
"""

import bisect
import collections
import re

from corpus import WORD_ONCE

ABSENT = 'qzabsentword'
KNOWN = {'once': WORD_ONCE, 'substring': 'onnecti', 'regexp': 'timeout[^0-9]*[0-9]+ ?ms', 'any_case': 'error'}
WORD = re.compile(rb'[A-Za-z]{5,20}')
BETWEEN = re.compile(rb'([A-Za-z]{4,20})[^A-Za-z0-9\n]{1,3}[0-9]+[^\n]*?[^A-Za-z\n]([A-Za-z]{4,20})')
SAMPLE = 20_000    # lines whose words are counted


def nearest(counts, share, n):
    """The key whose count is nearest to a share of n; the first of the alphabet of several."""
    return min(sorted(counts), key=lambda k: abs(counts[k] - share * n))


def sample(lines):
    return lines[::max(1, len(lines) // SAMPLE)]


def word_once(text, lower):
    """A word that comes once in any case, also within others, and late."""
    words = collections.Counter(m[0].lower() for m in WORD.finditer(text))
    once = sorted((lower.find(w), w) for w, count in words.items() if count == 1 and lower.count(w) == 1)
    if not once:
        words = collections.Counter(re.findall(rb'[0-9A-Za-z]{6,20}', lower))
        once = sorted((lower.find(w), w) for w in sorted(words)[:2000] if words[w] == 1 and lower.count(w) == 1)
    return once[bisect.bisect(once, (len(text) * 5 // 6, b'')) - 1][1] if once else ABSENT.encode()


def find(path):
    """The needles of a file of lines."""
    text = path.read_bytes()
    lines = sample(text.rstrip(b'\n').split(b'\n'))
    exact, any_case, found = collections.Counter(), collections.Counter(), collections.Counter()
    for line in lines:
        words = set(WORD.findall(line))
        exact.update(words)
        any_case.update({w.lower() for w in words})
    for line in lines[::20]:
        m = BETWEEN.search(line)
        if m:
            found[rb'%s\W{1,3}[0-9]+.*%s' % m.groups()] += 20
    n = len(lines)
    ordinary = nearest({w: c for w, c in exact.items() if len(w) > 6} or {b'nothing': 1}, 0.05, n)
    regexp = nearest(found, 0.02, n) if found else rb'[0-9]+ms'
    needles = {'once': word_once(text, text.lower()), 'substring': ordinary[1:-1], 'regexp': regexp,
               'any_case': nearest(any_case or {b'nothing': 1}, 0.03, n)}
    return {k: v.decode() for k, v in needles.items()} | {'absent': ABSENT}


def of(corpus):
    """The needles of a corpus; `unit`: one whose lines are neither many nor few, as service-N is the name of source N."""
    counts = corpus.source_counts()
    known = {**KNOWN, 'absent': ABSENT} if corpus.seed else find(corpus.raw)
    ordered = sorted(counts, key=lambda s: (counts[s], s))
    return {**known, 'unit': f'_CONTAINER_NAME=service-{ordered[len(ordered) // 2]}', 'source': ordered[len(ordered) // 2]}
