# SPDX-License-Identifier: Apache-2.0
"""Benchmarks of shipping commits from a host to an aggregator, both on this machine."""

import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time

import reading
from measure import Settings, bulla, children_cpu, cost, emit, median, reap, rounds, scratch

LISTENING = re.compile(rb'listening on port (\d+)')


class Aggregator:
    """`bulla serve` on a port of its own; cpu: what both ends have used when all is over."""

    def __init__(self, store):
        self.before = children_cpu()
        self.process = subprocess.Popen(bulla('serve', '--listen', '127.0.0.1:0', '--store', store), stdin=subprocess.DEVNULL,
                                        stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
        found = None
        while not found:
            line = self.process.stderr.readline()
            if not line:
                sys.exit('forward: bulla serve does not start')
            found = LISTENING.search(line)
        self.url = f'http://127.0.0.1:{int(found[1])}'
        # Whatever else it says must not fill the pipe.
        threading.Thread(target=self.process.stderr.read, daemon=True).start()

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        if self.process.wait() != 0:
            sys.exit('forward: bulla serve failed')
        reap()
        return children_cpu() - self.before


def ship(state, dir, check):
    """Forward all commits into an empty store: (CPU seconds of both ends, wall seconds)."""
    shutil.rmtree(dir / 'store', ignore_errors=True)
    shutil.rmtree(state / 'receipts', ignore_errors=True)
    aggregator = Aggregator(dir / 'store')
    start = time.monotonic()
    done = subprocess.run(bulla('forward', '--once', '--to', aggregator.url, '--state', state), stdin=subprocess.DEVNULL,
                          stderr=subprocess.PIPE)
    wall = time.monotonic() - start
    if done.returncode != 0:
        sys.exit(f'forward: exit status {done.returncode}: {done.stderr.decode(errors="replace")}')
    if check:
        found = reading.lines_of(bulla('query', '--at', aggregator.url, '-o', 'cat', '-n', 'all'))
        if found < check:
            sys.exit(f'forward: {found} entries arrived of {check}')
    return aggregator.stop(), wall


def sink(listener, path):
    """The least a receiver can be: HTTP PUT into a file, made durable, answered with 201.  Ends after one request."""
    connection, _ = listener.accept()
    with connection, open(path, 'wb') as out:
        head = b''
        while b'\r\n\r\n' not in head:
            head += connection.recv(65536)
        head, _, body = head.partition(b'\r\n\r\n')
        if b'100-continue' in head.lower():
            connection.sendall(b'HTTP/1.1 100 Continue\r\n\r\n')
        left = int(re.search(rb'content-length: *(\d+)', head.lower())[1])
        buffer = memoryview(bytearray(1 << 20))
        out.write(body)
        left -= len(body)
        while left > 0 and (n := connection.recv_into(buffer)):
            out.write(buffer[:n])
            left -= n
        out.flush()
        os.fdatasync(out.fileno())
        connection.sendall(b'HTTP/1.1 201 Created\r\nContent-Length: 0\r\n\r\n')


def put(file, dir):
    """curl and the sink: CPU seconds of both."""
    before = children_cpu()
    with socket.create_server(('127.0.0.1', 0)) as listener:
        port = listener.getsockname()[1]
        child = os.fork()
        if child == 0:
            sink(listener, dir / 'sunk')
            os._exit(0)
    cost(['curl', '-sS', '-f', '-T', str(file), f'http://127.0.0.1:{port}/'])
    return children_cpu() - before


def forward():
    s = reading.state()
    n = s.corpus.n
    with scratch('forward') as dir:
        with open(dir / 'bytes', 'wb') as out:
            for f in s.files():
                out.write(f.read_bytes().rstrip(b'\0'))
        ship(s.path, dir, n)
        ours, curl, copy = rounds(lambda: ship(s.path, dir, 0), lambda: put(dir / 'bytes', dir),
                                  lambda: cost(f'cp "{dir}/bytes" "{dir}/copy" && sync -d "{dir}/copy"'))
        size = (dir / 'bytes').stat().st_size
    value = median([n / cpu for cpu, _ in ours])
    more = dict(n=n, runs=Settings.runs, wall=median([n / wall for _, wall in ours]), bytes=size)
    what = 'both ends, every leaf and seal verified, durable'
    emit('forward', what, value, 'entries/CPU-s', median([n / cpu for cpu in curl]), 'curl PUT of the same bytes into a file',
         s.corpus.name, **more)
    emit('forward', what, value, 'entries/CPU-s', median([n / c.cpu for c in copy]), 'cp and fdatasync of the same bytes',
         s.corpus.name, **more)
