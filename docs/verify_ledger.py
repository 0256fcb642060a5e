#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Check a ledger with nothing but its verification key.

    verify_ledger.py LEDGER [VKEY]

LEDGER is a state directory, its directory `ledger`, or the ledger's one file.  VKEY is what `bulla key` prints, or @FILE.  This is
docs/format.md in executable form and shares no code with the C implementation: where the two differ, one has a bug.

Of packed commits the ledger has no roots of batches: that all batches of a commit together are what was sealed is checked,
what the ledger says of each of them is not.  That takes the entries, and `bulla verify`.

Exit status: 0 good; 1 tampered with; 2 cannot be read; 3 good up to a torn end; 4 good, but under whose key?
"""
import base64
import hashlib
import os
import struct
import sys

import nacl.exceptions
import nacl.signing

HEADER, KEYS, COMMIT, PACKED = 1, 2, 3, 4
GENESIS, UP, DOWN, OPEN, CLOSE, REKEY = 1, 2, 3, 4, 5, 7
ABSENT = bytes(32)


class Tampered(Exception):
    pass


def demand(condition, what):
    if not condition:
        raise Tampered(what)


# Bytes.

class Reader:
    def __init__(self, data):
        self.data, self.at = data, 0

    def take(self, n):
        demand(n <= len(self.data) - self.at, "record ends too early")
        self.at += n
        return self.data[self.at - n:self.at]

    def number(self, size, signed=False):
        return int.from_bytes(self.take(size), "little", signed=signed)

    def varint(self):
        value, shift = 0, 0
        while True:
            byte = self.number(1)
            value |= (byte & 0x7F) << shift
            shift += 7
            if not byte & 0x80:
                demand((byte or shift == 7) and value < 1 << 64, "number in a longer form")
                return value
            demand(shift < 70, "number without end")

    def zigzag(self):
        value = self.varint()
        return value >> 1 ^ -(value & 1)

    def end(self):
        demand(self.at == len(self.data), "bytes left over")


class Bits:
    """Numbers as Elias and Golomb wrote them, the lowest bit of a byte first."""

    def __init__(self, data):
        self.data, self.at = data, 0

    def take(self, n):
        demand(self.at + n <= 8 * len(self.data), "record ends too early")
        value = 0
        for i in range(n):
            at = self.at + i
            value |= (self.data[at // 8] >> at % 8 & 1) << i
        self.at += n
        return value

    def number(self, order):
        zeroes = 0
        if order == 64:
            return 0
        while not self.take(1):
            zeroes += 1
            demand(zeroes + order <= 64, "number too large")
        value = ((1 << zeroes) - 1 << order) + self.take(zeroes + order)
        demand(value < 1 << 64, "number too large")
        return value


CRC_TABLE = []
for i in range(256):
    for _ in range(8):
        i = i >> 1 ^ (0x82F63B78 if i & 1 else 0)
    CRC_TABLE.append(i)


def crc32c(data):
    crc = 0xFFFFFFFF
    for byte in data:
        crc = CRC_TABLE[(crc ^ byte) & 0xFF] ^ crc >> 8
    return crc ^ 0xFFFFFFFF


def frames(data):
    """Yield (type, payload); the last is (None, what is behind the last whole frame)."""
    at = 0
    while at + 12 <= len(data):
        size, kind, crc = struct.unpack_from("<III", data, at)
        payload = data[at + 12:at + 12 + size]
        space = (12 + size + 7) // 8 * 8
        if kind == 0 or size > 17 << 20 or at + space > len(data) or crc32c(data[at:at + 8] + payload) != crc:
            break
        if any(data[at + 12 + size:at + space]):
            break
        yield kind, payload
        at += space
    yield None, data[at:]


# Trees of RFC 6962.

def sha256(data):
    return hashlib.sha256(data).digest()


def leaf_hash(leaf):
    return sha256(b"\0" + leaf)


class Tree:
    """A growing tree: the roots of its perfect subtrees, largest first."""

    def __init__(self, leaves=()):
        self.size, self.roots = 0, []
        for leaf in leaves:
            self.push(leaf)

    def push(self, node):
        n = self.size
        while n & 1:
            node = sha256(b"\1" + self.roots.pop() + node)
            n >>= 1
        self.roots.append(node)
        self.size += 1

    def root(self):
        if not self.roots:
            return sha256(b"")
        node = self.roots[-1]
        for left in reversed(self.roots[:-1]):
            node = sha256(b"\1" + left + node)
        return node


# Keys.

def key_tree_root(public_keys):
    while len(public_keys) > 1:
        public_keys = [hashlib.blake2b(a + b, digest_size=32).digest()
                       for a, b in zip(public_keys[::2], public_keys[1::2])]
    return public_keys[0]


def check_signature(public_key, message, signature, what):
    try:
        nacl.signing.VerifyKey(public_key).verify(message, signature)
    except (nacl.exceptions.BadSignatureError, ValueError):
        raise Tampered(what) from None


def parse_vkey(text):
    """<name>+<key id>+<base64 of type and key>: origin's name, public key."""
    name, key_id, typed = text.strip().split("+", 2)
    typed = base64.b64decode(typed, validate=True)
    demand(typed[:13] == b"\xffbulla-kes-v1" and len(typed) == 45, "not a key of this kind")
    demand(sha256(name.encode() + b"\n" + typed)[:4].hex() == key_id, "key id and key differ")
    return name, typed[13:]


# The ledger.

class Journal:
    def __init__(self, handle, body, boot):
        self.handle, self.boot = handle, boot
        self.id, self.identity, self.previous, self.seed = body[:16], body[16:48], body[48:64], body[64:]
        self.batches = self.entries = self.bytes = self.mono_offset = 0
        self.closed = False


class Ledger:
    def __init__(self):
        self.header = self.up = False
        self.origin = self.first_key = self.host = None
        self.boot, self.time = bytes(16), 0
        self.tree = Tree()
        self.key, self.key_first, self.shape = None, 0, None
        self.levels, self.keys_upto = [], 0
        self.journals = []
        self.by_id = {}

    def take(self, kind, payload):
        r = Reader(payload)
        demand(self.header == (kind != HEADER), "no header, or two")
        demand(kind in (HEADER, KEYS, COMMIT, PACKED), f"record of unknown type {kind}")
        (self.take_header, self.take_keys, self.take_commit, self.take_packed)[kind - 1](r)

    def next_file(self):
        """What follows is the beginning of a file."""
        self.header = False

    def take_header(self, r):
        demand(r.take(8) == b"BULLALG1", "not a ledger")
        r.take(4)
        demand(r.number(4) == 0, "flags that must be understood, and are not")
        demand(r.number(8) == self.tree.size, "does not begin with the next commit")
        r.end()
        self.header = True

    def take_keys(self, r):
        counter, levels, height, first = r.number(8), r.number(1), r.number(1), r.number(1)
        demand(1 <= levels <= 4 and 1 <= height <= 8 and first < levels, "shape of the key")
        demand(self.shape in (None, (levels, height)), "shape of the key changed")
        if not self.levels:
            demand(counter == 0 and first == 0, "first trees of a key")
        else:
            demand(counter == self.keys_upto == self.tree.size - self.key_first, "trees out of turn")
            due = next((l for l in range(1, levels) if counter % (1 << height * (levels - l)) == 0), 0)
            demand(counter < 1 << height * levels and first == due, "wrong trees renewed")
        trees = self.levels[:first]
        for level in range(first, levels):
            certificate = r.take(64) if level else None
            tree = [r.take(32) for _ in range(1 << height)]
            if level:
                index = counter >> height * (levels - level) & (1 << height) - 1
                message = b"bulla-kes-cert/v1" + bytes([level]) + bytes(14) + key_tree_root(tree)
                check_signature(trees[level - 1][index], message, certificate, f"certificate of level {level}")
            trees.append(tree)
        r.end()
        root = key_tree_root(trees[0])
        demand(self.key in (None, root), "not the key that was named")
        self.levels, self.key, self.shape = trees, root, (levels, height)
        self.keys_upto = counter + (1 << height)

    def take_commit(self, r):
        number, time, n = r.varint(), r.number(8), r.varint()
        items = [[r.varint(), r.number(1), r.varint(), r.varint(), r.zigzag(), r.varint(), r.zigzag(), r.take(32)]
                 for _ in range(n)]
        events = [(r.number(1), r.take(r.varint())) for _ in range(r.varint())]
        signature = r.take(64)
        r.end()
        demand(all(item[-1] != ABSENT for item in items), "root of a batch")
        self.seal(number, time, items, events, signature, None)

    def take_packed(self, r):
        number, n, unit, base = r.varint(), r.varint(), r.varint(), r.zigzag()
        demand(1 <= n <= 4096 and unit, "packed record")
        handles = [r.varint() for _ in range(r.varint())]
        orders = list(r.take(7))
        demand(all(order <= 48 or order == 64 for order in orders), "packed record")
        for i in range(n):
            time, n_items = r.number(8), r.varint()
            n_events = r.varint()
            demand(n_items <= 65536 and n_events <= 4096, "packed record")
            events = [(r.number(1), r.take(r.varint())) for _ in range(n_events)]
            signature = r.take(64)
            root = r.take(32) if n_items else None
            self.seal(number + i, time, self.unpack(r, n_items, unit, base, handles, orders), events, signature, root)
        r.end()

    @staticmethod
    def unpack(r, n, unit, base, handles, orders):
        """The items of a packed commit, as a commit record has them."""
        bits, items, place = Bits(r.data[r.at:]), [], 0
        for _ in range(n):
            place += bits.number(orders[0])
            demand(place < len(handles), "batch of no journal")
            flags, entries, size, distance = (bits.number(order) for order in orders[1:5])
            span = bits.number(orders[5]) if entries else 0
            mono = bits.number(orders[6])
            items.append([handles[place], flags >> 1, entries + 1, size, -(base + distance * unit), span * unit,
                          mono >> 1 ^ -(mono & 1), bytes([flags & 1]) if flags & 1 else ABSENT])
            place += 1
        demand(bits.take(-bits.at % 8) == 0, "padding")
        r.take(bits.at // 8)
        for item in items:
            if item[-1] != ABSENT:
                item[-1] = r.take(32)
                demand(item[-1] != ABSENT, "root of a batch")
        return items

    def seal(self, number, time, items, events, signature, packed_root):
        demand(self.levels, "no trees for this seal")
        demand(number == self.tree.size, "commit out of turn")
        counter = number - self.key_first
        demand(counter < self.keys_upto, "no trees for this seal")
        boot, rekey = self.take_events(number, events)
        batches = self.take_items(time, boot, items)
        self.take_closes(events)
        root = Tree(leaf_hash(b) for b in batches).root()
        if any(item[-1] == ABSENT for item in items):
            root = packed_root
        demand(packed_root in (None, root), "root over the batches")
        leaf = leaf_hash(b"T\1" + struct.pack("<QQ", number, time) + boot + struct.pack("<I", len(items))
                         + root + struct.pack("<H", len(events))
                         + b"".join(struct.pack("<BH", kind, len(body)) + body for kind, body in events))
        self.tree.push(leaf)
        if number == 0:
            self.origin = "bulla/" + leaf[:16].hex()
        self.boot, self.time = boot, time

        levels, height = self.shape
        message = (f"bulla-kes/v1\nseal {counter}\ntime {time // 10**9}\n"
                   f"{self.origin}\n{number + 1}\n{base64.b64encode(self.tree.root()).decode()}\n")
        public_key = self.levels[-1][counter & (1 << height) - 1]
        check_signature(public_key, message.encode(), signature, "seal")
        if rekey:
            self.shape, self.key = (rekey[0], rekey[1]), rekey[2:]
            self.key_first, self.levels = number + 1, []

    def take_events(self, number, events):
        boot, rekey = self.boot, None
        kinds = [kind for kind, _ in events]
        demand(len(events) <= 4096 and all(len(body) <= 1024 for _, body in events), "too many events")
        demand((GENESIS in kinds) == (number == 0) and GENESIS not in kinds[1:], "genesis")
        demand(kinds.count(UP) + kinds.count(DOWN) <= 1 and kinds.count(REKEY) <= 1, "event doubled")
        demand(UP in kinds or self.up, "commit between down and up")
        for kind, body in events:
            if kind == GENESIS:
                self.first_key, self.host = body[2:34], body[76:]
                demand(len(body) == 76 + int.from_bytes(body[74:76], "little"), "genesis")
                demand(tuple(body[:2]) == self.shape and self.first_key == self.key, "genesis of another key")
            elif kind == UP:
                demand(len(body) == 17 and body[0] == self.up, "up event")
                boot = body[1:]
            elif kind == DOWN:
                demand(body == b"", "down event")
            elif kind == REKEY:
                demand(len(body) == 34 and 1 <= body[0] <= 4 and 1 <= body[1] <= 8, "rekey event")
                rekey = body
        self.up = DOWN not in kinds
        for kind, body in events:
            if kind == OPEN:
                demand(len(body) == 96 and body[:16] not in self.by_id, "open event")
                journal = Journal(len(self.journals), body, boot)
                self.journals.append(journal)
                self.by_id[journal.id] = journal
        return boot, rekey

    def take_items(self, time, boot, items):
        """The batch leaves that compact items stand for."""
        leaves, last = [], b""
        for handle, flags, entries, size, time_min, time_span, mono, root in items:
            demand(handle < len(self.journals) and flags <= 1, "batch of no journal")
            j = self.journals[handle]
            demand(not j.closed and last < j.id, "batches out of order, or after the close")
            demand(flags or j.boot == boot, "batch of an earlier boot")
            demand(1 <= entries < 1 << 32 and j.bytes + size < 1 << 64, "number of entries")
            last = j.id
            time_min = (time + time_min) % (1 << 64)
            demand(time_min + time_span < 1 << 64, "time of a batch")
            j.mono_offset = (j.mono_offset + mono + (1 << 63)) % (1 << 64) - (1 << 63)
            leaves.append(b"B\1" + bytes([flags]) + j.id
                          + struct.pack("<QQIQQQ", j.batches, j.entries, entries, size, time_min, time_min + time_span)
                          + j.boot + struct.pack("<q", j.mono_offset) + root)
            j.batches, j.entries, j.bytes = j.batches + 1, j.entries + entries, j.bytes + size
        return leaves

    def take_closes(self, events):
        for kind, body in events:
            if kind == CLOSE:
                demand(len(body) == 32 and body[:16] in self.by_id, "close event")
                j = self.by_id[body[:16]]
                demand(not j.closed and struct.unpack("<QQ", body[16:]) == (j.batches, j.entries), "counts at the close")
                j.closed = True


def verify(files, vkey=None):
    """Check all of a ledger, whose files follow each other.  Return what it says, and the bytes behind its end."""
    ledger, rest = Ledger(), b""
    for data in files:
        demand(not any(rest), f"commit {ledger.tree.size}: a file is torn, and another one follows it")
        ledger.next_file()
        for kind, rest in frames(data):
            if kind is None:
                break
            try:
                ledger.take(kind, rest)
            except Tampered as e:
                raise Tampered(f"commit {ledger.tree.size}: {e}") from None
            if vkey and ledger.tree.size >= 1:
                demand((ledger.origin, ledger.first_key) == vkey, "another origin, or another key, than the one given")
    demand(ledger.tree.size or not vkey, "no commit at all")
    return ledger, rest


def read_files(path):
    """The files of a ledger, by their names: those are numbers of 20 digits."""
    if os.path.isfile(path):
        names = [path]
    else:
        inner = os.path.join(path, "ledger")
        directory = inner if os.path.isdir(inner) else path
        names = [os.path.join(directory, name) for name in sorted(os.listdir(directory)) if name.endswith(".ledger")]
    files = []
    for name in names:
        with open(name, "rb") as f:
            files.append(f.read())
    return files


def main(arguments):
    if not 1 <= len(arguments) <= 2:
        print(__doc__, file=sys.stderr)
        return 2
    vkey = None
    if len(arguments) == 2:
        text = arguments[1]
        try:
            vkey = parse_vkey(open(text[1:]).read() if text.startswith("@") else text)
        except (OSError, Tampered, ValueError) as e:
            print(f"{text}: {e}", file=sys.stderr)
            return 2
    try:
        files = read_files(arguments[0])
    except OSError as e:
        print(e, file=sys.stderr)
        return 2
    try:
        ledger, rest = verify(files, vkey)
    except Tampered as e:
        print(f"TAMPERED: {e}")
        return 1
    print(f"origin   {ledger.origin} on {(ledger.host or b'').decode(errors='replace')}")
    print(f"commits  {ledger.tree.size}, the last at {ledger.time // 10**9}, root {ledger.tree.root().hex()}")
    for j in ledger.journals:
        print(f"journal  {j.id.hex()} {j.entries} entries in {j.batches} batches" + (", closed" if j.closed else ""))
    if any(rest):
        print(f"the last {len(rest.rstrip(bytes(1)))} bytes belong to no commit")
        return 3
    if not vkey:
        print("no key was given: whoever wrote this could have made its key, too")
        return 4
    print("OK")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
