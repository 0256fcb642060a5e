#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""check_ledger.py VERIFIER DIRECTORY GOLDEN: whether VERIFIER (docs/verify_ledger.py) takes what make_ledger wrote and the
golden ledger, and refuses every copy of them that differs."""
import importlib.util
import os
import sys


def load(path):
    spec = importlib.util.spec_from_file_location("verify_ledger", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


v = load(sys.argv[1])
directory, golden = sys.argv[2:]


def mend(data, at):
    """Make the checksum of the frame around byte `at` right, so that it is not what notices."""
    start = 0
    while True:
        size = int.from_bytes(data[start:start + 4], "little")
        space = (12 + size + 7) // 8 * 8
        if at < start + space:
            break
        start += space
    if start + 12 <= at < start + 12 + size:
        data[start + 8:start + 12] = v.crc32c(data[start:start + 8] + data[start + 12:start + 12 + size]).to_bytes(4, "little")


def refused(data, vkey, n_commits):
    try:
        ledger, rest = v.verify([bytes(data)], vkey)
    except v.Tampered:
        return True
    return ledger.tree.size < n_commits and any(rest)


def check_changes(data, vkey):
    n = v.verify([data], vkey)[0].tree.size
    whole = len(data.rstrip(b"\0"))
    free = range(12 + 8, 12 + 12)  # flags of the header that need not be understood
    passed = []
    for at in range(0, whole, 41):
        for flip in (1, 0x80):
            changed = bytearray(data[:whole + 8])
            changed[at] ^= flip
            mend(changed, at)
            if at not in free and not refused(changed, vkey, n):
                passed.append((at, flip))
    if passed:
        sys.exit(f"changes that passed: {passed}")
    return len(range(0, whole, 41)) * 2


with open(os.path.join(directory, "vkey")) as f:
    key = v.parse_vkey(f.read())
made, = v.read_files(directory)
ledger, rest = v.verify([made], key)
if ledger.tree.size < 20 or ledger.key_first == 0 or any(rest):
    sys.exit("the ledger is not the one that was made")
if not refused(made, (key[0], bytes(32)), 0) or not refused(made, ("bulla/" + 32 * "0", key[1]), 0):
    sys.exit("passed under another key")
tried = check_changes(made, key)
files = v.read_files(os.path.join(directory, "packed"))
packed, rest = v.verify(files, key)
if len(files) != 2 or v.PACKED not in [kind for kind, _ in v.frames(files[0])]:
    sys.exit("nothing is packed")
if packed.tree.root() != ledger.tree.root() or any(rest):
    sys.exit("packed it says something else")
for journal, other in zip(ledger.journals, packed.journals, strict=True):
    if vars(journal) != vars(other):
        sys.exit("packed it says something else of a journal")
if not refused(files[0] + files[1], key, packed.tree.size) or not refused(files[1], key, 1):
    sys.exit("passed without its beginning")
with open(golden, "rb") as f:
    story = f.read()
tried += check_changes(story, None)
print(f"took {ledger.tree.size} commits, refused {tried} changes")
