#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Check a proof with nothing but the host's verification key, and print the messages that it proves.

    verify_proof.py VKEY PROOF...
    verify_proof.py VKEY HEAD...

VKEY is what `bulla keys` prints, or @FILE; each PROOF is a file that `bulla prove` wrote.  A HEAD is one that `bulla prove --head`
wrote; one that goes on from an older head stands behind that.  This is docs/format.md, "Proofs", in
executable form and shares no code with the C implementation: where the two differ, one has a bug.

Exit status: 0 good; 1 no proof under this key; 2 cannot be read.
"""
import base64
import hashlib
import struct
import sys

import nacl.exceptions
import nacl.signing

ENTRY, WHOLE, BATCH = 0, 1, 2
REKEY = 7
PRODUCT = (4, 8)  # levels and height of every first key


class NoProof(Exception):
    pass


def demand(condition, what):
    if not condition:
        raise NoProof(what)


class Reader:
    def __init__(self, data):
        self.data, self.at = data, 0

    def take(self, n):
        demand(n <= len(self.data) - self.at, "ends too early")
        self.at += n
        return self.data[self.at - n:self.at]

    def number(self, size):
        return int.from_bytes(self.take(size), "little")

    def varint(self):
        value = shift = 0
        while True:
            byte = self.number(1)
            value |= (byte & 0x7F) << shift
            shift += 7
            if not byte & 0x80:
                demand((byte or shift == 7) and value < 1 << 64, "number in a longer form")
                return value
            demand(shift < 70, "number without end")

    def sized(self):
        return self.take(self.varint())

    def path(self):
        return [self.take(32) for _ in range(self.number(1))]

    def end(self):
        demand(self.at == len(self.data), "bytes left over")


def decode64(text):
    data = base64.b64decode(text, validate=True)
    demand(base64.b64encode(data).decode() == text, "base64 in another spelling")
    return data


# Trees of RFC 6962.

def sha256(data):
    return hashlib.sha256(data).digest()


def leaf_hash(leaf):
    return sha256(b"\0" + leaf)


def root_by_path(node, index, size, path):
    """The root of a tree of this size in which the node is leaf `index`."""
    demand(index < size, "leaf outside of its tree")
    last = size - 1
    for sibling in path:
        demand(last > 0, "path too long")
        if index & 1 or index == last:
            node = sha256(b"\1" + sibling + node)
            while not index & 1 and last:
                index, last = index >> 1, last >> 1
        else:
            node = sha256(b"\1" + node + sibling)
        index, last = index >> 1, last >> 1
    demand(last == 0, "path too short")
    return node


def root_of(nodes):
    if len(nodes) == 1:
        return nodes[0]
    half = 1 << (len(nodes) - 1).bit_length() - 1
    return sha256(b"\1" + root_of(nodes[:half]) + root_of(nodes[half:]))


# Keys.

def parse_vkey(text):
    name, key_id, typed = text.strip().split("+", 2)
    typed = decode64(typed)
    demand(typed[:13] == b"\xffbulla-kes-v1" and len(typed) == 45, "not a key of this kind")
    demand(key_id_of(name, typed[13:]).hex() == key_id, "key id and key differ")
    return name, typed[13:]


def key_id_of(name, public_key):
    return sha256(name.encode() + b"\n\xffbulla-kes-v1" + public_key)[:4]


def check_seal(public_key, shape, counter, signature, message):
    """From the last level to the first: each key signs what the level below leads to."""
    levels, height = shape
    size = 64 + 32 + 32 * height
    demand(len(signature) == levels * size and counter < 1 << levels * height, "size of the signature")
    for level in reversed(range(levels)):
        part = signature[level * size:][:size]
        index = counter >> height * (levels - 1 - level) & (1 << height) - 1
        try:
            nacl.signing.VerifyKey(part[64:96]).verify(message, part[:64])
        except (nacl.exceptions.BadSignatureError, ValueError):
            raise NoProof(f"signature of level {level}") from None
        node = part[64:96]
        for i in range(height):
            sibling = part[96 + 32 * i:][:32]
            pair = sibling + node if index >> i & 1 else node + sibling
            node = hashlib.blake2b(pair, digest_size=32).digest()
        message = b"bulla-kes-cert/v1" + bytes([level]) + bytes(14) + node
    demand(node == public_key, "not this key's seal")


# Statements.

def decode_commit(leaf):
    r = Reader(leaf)
    demand(r.take(2) == b"T\1", "not a commit")
    number, time, _, n_batches, root = r.number(8), r.number(8), r.take(16), r.number(4), r.take(32)
    events = [(r.number(1), r.take(r.number(2))) for _ in range(r.number(2))]
    r.end()
    return number, time, n_batches, root, events


def decode_batch(leaf):
    r = Reader(leaf)
    demand(r.take(2) == b"B\1" and len(leaf) == 119, "not a batch")
    r.take(1)
    journal, batch_no, first_seq, entries = r.take(16).hex(), r.number(8), r.number(8), r.number(4)
    return journal, batch_no, first_seq, entries, leaf[-32:]


def decode_fields(r):
    return [(r.take(r.number(2)), r.take(r.number(4))) for _ in range(r.number(2))]


def decode_context(leaf):
    r = Reader(leaf)
    demand(r.take(2) == b"C\1", "not a context")
    parent, fields = r.take(32), decode_fields(r)
    r.end()
    return parent, fields


def decode_entry(leaf):
    r = Reader(leaf)
    demand(r.take(2) == b"E\1", "not an entry")
    r.take(2)
    time, _, _, context = r.number(8), r.number(8), r.take(16), r.take(32)
    message = r.take(r.number(4))
    decode_fields(r)
    r.end()
    return time, context, message


# Proofs.

def read_succession(r):
    return r.sized(), r.path(), r.varint(), r.sized()


def check_link(origin, commit, path, counter, signature, key):
    """The commit is the last of the tree that its own seal is about."""
    number, time = decode_commit(commit)[:2]
    root = root_by_path(leaf_hash(commit), number, number + 1, path)
    checkpoint = [origin, str(number + 1), base64.b64encode(root).decode()]
    check_checkpoint(checkpoint, counter, time // 10**9, signature, key)
    return checkpoint


def check_checkpoint(checkpoint, counter, seconds, signature, key):
    public_key, shape, first = key
    number = int(checkpoint[1]) - 1
    demand(number >= first and counter == number - first, "the seal of another commit")
    message = "\n".join(["bulla-kes/v1", f"seal {counter}", f"time {seconds}", *checkpoint, ""])
    check_seal(public_key, shape, counter, signature, message.encode())


def follow(origin, successions, key):
    """Which key the successions lead to."""
    for link in successions:
        check_link(origin, *link, key)
        number, _, _, _, events = decode_commit(link[0])
        rekey = next((body for kind, body in events if kind == REKEY), None)
        demand(rekey and len(rekey) == 34, "a succession without a key")
        key = rekey[2:], (rekey[0], rekey[1]), number + 1
    return key


class Note:
    """A checkpoint and its seal: the last lines of every file."""

    def __init__(self, lines):
        self.checkpoint = [next(lines, "") for _ in range(3)]
        demand(next(lines, None) == "", "the end of the checkpoint")
        name, _, blob = next(lines, "").removeprefix("\u2014 ").partition(" ")
        demand(next(lines, None) == "" and next(lines, None) is None, "more than one signature")
        self.origin, blob = name, decode64(blob)
        self.key_id, self.counter, self.time = blob[:4], int.from_bytes(blob[4:12], "big"), int.from_bytes(blob[12:20], "big")
        self.signature = blob[20:]


class Head:
    """How far a ledger had come."""

    def __init__(self, text):
        lines = text.split("\n")
        self.successions, self.old, self.growth = [], None, []
        while lines[0].startswith("succession "):
            r = Reader(decode64(lines.pop(0)[11:]))
            self.successions.append(read_succession(r))
            r.end()
        if lines[0].startswith("old "):
            self.old = int(lines.pop(0)[4:])
            while lines[0]:
                self.growth.append(decode64(lines.pop(0)))
            lines.pop(0)
        self.note = Note(iter(lines))
        self.size, self.root = int(self.note.checkpoint[1]), decode64(self.note.checkpoint[2])

    def check(self, name, public_key, shape=PRODUCT, older=None):
        note = self.note
        demand(note.origin == name == note.checkpoint[0] and self.size > 0, "about another host")
        demand(str(self.size) == note.checkpoint[1], "size in another spelling")
        key = follow(name, self.successions, (public_key, shape, 0))
        demand(note.key_id == key_id_of(name, key[0]), "key id of the seal")
        check_checkpoint(note.checkpoint, note.counter, note.time, note.signature, key)
        if self.old is not None:
            demand(older and older.size == self.old, "goes on from another head")
            self.check_growth(older.root)

    def check_growth(self, old_root):
        """RFC 9162, section 2.1.4.2: one proof that leads to the roots of both trees."""
        demand(0 < self.old <= self.size, "goes on from a longer one")
        proof, f, s = list(self.growth), self.old - 1, self.size - 1
        if self.old == self.size:
            demand(not proof and old_root == self.root, "two histories")
            return
        while f & 1:
            f, s = f >> 1, s >> 1
        old = new = proof.pop(0) if f else old_root
        for sibling in proof:
            demand(s > 0, "proof of growth too long")
            if f & 1 or f == s:
                old, new = sha256(b"\1" + sibling + old), sha256(b"\1" + sibling + new)
                while not f & 1 and f:
                    f, s = f >> 1, s >> 1
            else:
                new = sha256(b"\1" + new + sibling)
            f, s = f >> 1, s >> 1
        demand(s == 0 and old == old_root and new == self.root, "two histories")


class Proof:
    def __init__(self, text):
        """Parts of the file; that they fit together is check()'s business."""
        lines = iter(text.split("\n"))
        demand(next(lines) == "c2sp.org/tlog-proof@v1", "not a proof of this kind")
        extra, index = next(lines), next(lines)
        demand(extra.startswith("extra ") and index.startswith("index "), "not a proof of this kind")
        self.index, self.path = index[6:], []
        for line in lines:
            if not line:
                break
            self.path.append(decode64(line))
        self.note = Note(lines)
        self.read_extra(Reader(decode64(extra[6:])))

    def read_extra(self, r):
        demand(r.number(1) == 1, "a newer format")
        self.extent = r.number(1)
        demand(self.extent in (ENTRY, WHOLE, BATCH), "a newer format")
        self.successions = [read_succession(r) for _ in range(r.varint())]
        self.commit = r.sized()
        self.batch_place, self.batch_path, self.batch = r.varint(), r.path(), r.sized()
        if self.extent == ENTRY:
            self.place, self.entry_path = r.varint(), r.path()
        self.entries = [r.sized() for _ in range(r.varint())]
        self.contexts = [r.sized() for _ in range(r.varint())]
        r.end()

    def check_seals(self, name, public_key, shape):
        note = self.note
        demand(note.origin == name, "about another host")
        key = follow(name, self.successions, (public_key, shape, 0))
        demand(note.key_id == key_id_of(name, key[0]), "key id of the seal")
        checkpoint = check_link(name, self.commit, self.path, note.counter, note.signature, key)
        demand(note.checkpoint == checkpoint, "checkpoint")
        number, time = decode_commit(self.commit)[:2]
        demand(self.index == str(number) and note.time == time // 10**9, "index or time")

    def check_entries(self, n, root):
        hashes = [leaf_hash(e) for e in self.entries]
        if self.extent == BATCH:
            demand(not hashes, "entries that should not be here")
        elif self.extent == ENTRY:
            demand(len(hashes) == 1 and root_by_path(hashes[0], self.place, n, self.entry_path) == root, "entry")
        else:
            demand(len(hashes) == n and root_of(hashes) == root, "entries")

    def check_contexts(self):
        known, used = {}, set()
        for leaf in self.contexts:
            parent, fields = decode_context(leaf)
            demand(parent in known if known else parent == bytes(32), "a context without its parent")
            used.add(parent)
            known[leaf_hash(leaf)] = known.get(parent, []) + fields
        for leaf in self.entries:
            context = decode_entry(leaf)[1]
            demand(context in known, "an entry without its context")
            used.add(context)
        demand(set(known) <= used, "a context of nobody")
        return known

    def check(self, name, public_key, shape=PRODUCT):
        """Yield (time, fields of the context, message) of each entry, all of it being proved."""
        self.check_seals(name, public_key, shape)
        _, _, n_batches, batches_root, _ = decode_commit(self.commit)
        demand(root_by_path(leaf_hash(self.batch), self.batch_place, n_batches, self.batch_path) == batches_root, "batch")
        _, _, _, n, root = decode_batch(self.batch)
        self.check_entries(n, root)
        known = self.check_contexts()
        return [(time, known[context], message) for time, context, message in map(decode_entry, self.entries)]


def main():
    if len(sys.argv) < 3:
        print(__doc__)
        return 2
    key = sys.argv[1]
    if key.startswith("@"):
        with open(key[1:], encoding="ascii") as f:
            key = f.read()
    status, older = 0, None
    for path in sys.argv[2:]:
        try:
            with open(path, "rb") as f:
                data = f.read()
        except OSError as e:
            print(f"{path}: {e}", file=sys.stderr)
            return 2
        try:
            if data.startswith((b"succession ", b"old ", b"bulla/")):
                head = Head(data.decode())
                head.check(*parse_vkey(key), older=older)
                print(f"{head.size} commits", flush=True)
                older = head
                continue
            for _, _, message in Proof(data.decode()).check(*parse_vkey(key)):
                sys.stdout.buffer.write(message + b"\n")
        except (NoProof, ValueError, IndexError, struct.error, StopIteration) as e:
            print(f"{path}: no proof: {e}", file=sys.stderr)
            status = 1
    return status


if __name__ == "__main__":
    sys.exit(main())
