# SPDX-License-Identifier: Apache-2.0
"""
What is looked for in a corpus.

The lines of the generator have words that are known; in any other file they are found, always the same ones in the same file.
"""

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


def word_once(lower):
    """A word that comes once, also within others, as near as can be to where five sixths of the text are over."""
    for pattern in WORD, re.compile(rb'[0-9A-Za-z]{6,20}'):
        place = {}
        for m in pattern.finditer(lower):
            place[m[0]] = -1 if m[0] in place else m.start()
        once = (w for w, at in place.items() if at >= 0)
        for word in sorted(once, key=lambda w: abs(place[w] - len(lower) * 5 // 6))[:1000]:
            if lower.count(word) == 1:
                return word
    return ABSENT.encode()


def find(path):
    """The needles of a file of lines."""
    text = path.read_bytes()
    lines = sample(text.rstrip(b'\n').split(b'\n'))
    any_case, found = collections.Counter(), collections.Counter()
    for line in lines:
        any_case.update({w.lower() for w in WORD.findall(line)})
    for line in lines[::20]:
        m = BETWEEN.search(line)
        if m:
            found[rb'%s\W{1,3}[0-9]+.*%s' % m.groups()] += 20
    n = len(lines)
    ordinary = nearest({w: c for w, c in any_case.items() if len(w) > 6} or {b'nothing': 1}, 0.05, n)
    regexp = nearest(found, 0.02, n) if found else rb'[0-9]+ms'
    needles = {'once': word_once(text.lower()), 'substring': ordinary[1:-1], 'regexp': regexp,
               'any_case': nearest(any_case or {b'nothing': 1}, 0.03, n)}
    return {k: v.decode() for k, v in needles.items()} | {'absent': ABSENT}


def of(corpus):
    """The needles of a corpus; `unit`: one whose lines are neither many nor few, as service-N is the name of source N."""
    counts = corpus.source_counts()
    known = {**KNOWN, 'absent': ABSENT} if corpus.seed else find(corpus.raw)
    ordered = sorted(counts, key=lambda s: (counts[s], s))
    return {**known, 'unit': f'_CONTAINER_NAME=service-{ordered[len(ordered) // 2]}', 'source': ordered[len(ordered) // 2]}
