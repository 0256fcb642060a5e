# SPDX-License-Identifier: Apache-2.0
"""The servers whose logs bench/real-logs records: how they are set up, what is asked of them, and what befalls them."""

import fcntl
import os
import pathlib
import pwd
import shutil
import signal
import socket
import subprocess
import sys
import time

PACKAGES = ['nginx', 'haproxy', 'postgresql', 'redis-server', 'apache2-utils']
PIPE_SIZE = 1 << 20

NGINX = '''
daemon off;
pid {dir}/nginx.pid;
worker_processes 2;
error_log {error} info;
events {{ worker_connections 512; }}
http {{
    log_format main '$remote_addr - $remote_user [$time_local] "$request" $status $body_bytes_sent "$http_referer" '
                    '"$http_user_agent" "$http_x_forwarded_for" rt=$request_time id=$request_id';
    access_log {access} main;
    client_body_temp_path {dir}/body;
    proxy_temp_path {dir}/proxy;
    fastcgi_temp_path {dir}/fastcgi;
    uwsgi_temp_path {dir}/uwsgi;
    scgi_temp_path {dir}/scgi;
    server {{
        listen 127.0.0.1:{nginx};
        root {dir}/www;
        location /api/ {{ return 200 "{{}}"; }}
        location /old/ {{ return 301 /new/; }}
        location /private/ {{ deny all; }}
        location /broken/ {{ proxy_pass http://127.0.0.1:{nobody}; }}
    }}
}}
'''

HAPROXY = '''
global
    log fd@1 format raw daemon
    maxconn 500
defaults
    mode http
    log global
    option httplog
    timeout connect 1s
    timeout client 5s
    timeout server 5s
frontend web
    bind 127.0.0.1:{haproxy}
    option forwardfor
    capture request header User-Agent len 64
    capture request header Referer len 64
    acl dead path_beg /dead/
    use_backend nobody if dead
    default_backend app
backend app
    server web-1 127.0.0.1:{nginx} check inter 2s
    server web-2 127.0.0.1:{nginx} check inter 2s
backend nobody
    retries 0
    server gone 127.0.0.1:{nobody}
'''

POSTGRES = '''
listen_addresses = '127.0.0.1'
unix_socket_directories = ''
shared_buffers = 32MB
fsync = off
log_statement = all
log_min_duration_statement = 0
log_connections = on
log_disconnections = on
log_lock_waits = on
deadlock_timeout = 50ms
log_checkpoints = on
log_autovacuum_min_duration = 0
autovacuum_naptime = 5s
checkpoint_timeout = 30s
log_line_prefix = '%m [%p] %q%u@%d/%a '
'''

REDIS = '''
port {redis}
bind 127.0.0.1
dir {dir}
save 10 1000
loglevel debug
'''

AGENTS = ['Mozilla/5.0 (X11; Linux x86_64; rv:109.0) Gecko/20100101 Firefox/115.0', 'curl/7.88.1', 'kube-probe/1.29', 'Go-http-client/2.0',
          'Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/124.0.0.0 Safari/537.36',
          'python-requests/2.31.0', 'Prometheus/2.45.0']
WORDS = ['orders', 'payment', 'billing', 'session', 'catalog', 'search', 'account', 'invoice', 'basket', 'stock', 'report', 'metrics']
BAD_SQL = ['SELECT * FROM nosuch_{word};', 'INSERT INTO pgbench_branches VALUES ({n} % 2 + 1, 0, NULL);', 'SELECT {n} / 0;',
           'SELEC {n};', "SELECT '{word}'::int;", 'SELECT count(*) FROM pgbench_accounts WHERE aid = {n};',
           "SET statement_timeout = '5ms'; SELECT pg_sleep(0.1), {n};", 'UPDATE pgbench_tellers SET bid = NULL, nosuch = {n};']


def postgres_bin():
    """The directory of the newest PostgreSQL's programs; or None."""
    found = sorted(pathlib.Path('/usr/lib/postgresql').glob('*/bin/initdb'), key=lambda p: float(p.parts[-3]))
    return found[-1].parent if found else None


def program(name):
    return shutil.which(name, path=os.environ.get('PATH', '') + ':/usr/sbin:/sbin')


def missing():
    """What has to be installed."""
    needed = ['nginx', 'haproxy', 'redis-server', 'redis-cli', 'redis-benchmark', 'ab', 'pgbench', 'psql']
    return [n for n in needed if not program(n)] + ([] if postgres_bin() else ['initdb'])


class Source:
    """Something that writes lines into a pipe; `path` for who opens its log by name."""

    def __init__(self, dir, name):
        self.name, self.path = name, dir / f'{name}.pipe'
        os.mkfifo(self.path, 0o600)
        # For writing as well: without a writer it would be at its end.
        self.fd = os.open(self.path, os.O_RDWR | os.O_NONBLOCK)
        fcntl.fcntl(self.fd, 1031, PIPE_SIZE)    # F_SETPIPE_SZ

    def writer(self):
        return open(self.path, 'wb', buffering=0)


class Server:
    """A process in the foreground; `stop` is the signal that ends it."""

    def __init__(self, port, command, out, stop, **options):
        self.port, self.command, self.out, self.signal, self.options = port, [str(c) for c in command], out, stop, options
        self.process = None

    def start(self):
        with self.out.writer() as out:
            self.process = subprocess.Popen(self.command, stdin=subprocess.DEVNULL, stdout=out, stderr=out, start_new_session=True,
                                            **self.options)
        for _ in range(300):
            try:
                socket.create_connection(('127.0.0.1', self.port), timeout=1).close()
                return
            except OSError:
                time.sleep(0.1)
            if self.process.poll() is not None:
                break
        sys.exit(f'{self.command[0]} does not start')

    def stop(self):
        self.process.send_signal(self.signal)
        try:
            self.process.wait(20)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()

    def reload(self, number):
        self.process.send_signal(number)


class Scene:
    """All servers, with their pipes, in one directory."""

    def __init__(self, dir, ports, seed):
        self.dir, self.seed, self.over = dir, seed, False
        dir.chmod(0o711)
        self.port = dict(zip(['nginx', 'haproxy', 'postgres', 'redis'], ports))
        names = ['nginx-access', 'nginx-error', 'haproxy', 'postgres', 'redis']
        self.sources = [Source(dir, name) for name in names]
        self.access, self.error, *others = self.sources
        # Port 1: nobody is there.
        words = dict(self.port, dir=dir, access=self.access.path, error=self.error.path, nobody=1)
        for name, text in [('nginx.conf', NGINX), ('haproxy.cfg', HAPROXY), ('redis.conf', REDIS)]:
            (dir / name).write_text(text.format(**words))
        www = dir / 'www'
        www.mkdir()
        for i, word in enumerate(WORDS):
            (www / f'{word}.html').write_text(f'<h1>{word}</h1>\n' * (i * i + 1))
        self.nginx = Server(self.port['nginx'], [program('nginx'), '-e', self.error.path, '-p', dir, '-c', dir / 'nginx.conf'],
                            self.error, signal.SIGQUIT)
        self.haproxy = Server(self.port['haproxy'], [program('haproxy'), '-W', '-db', '-f', dir / 'haproxy.cfg'], others[0], signal.SIGTERM)
        self.redis = Server(self.port['redis'], [program('redis-server'), dir / 'redis.conf'], others[2], signal.SIGTERM)
        self.postgres = self.init_postgres(others[1])

    def init_postgres(self, out):
        """Its own data directory, as somebody without privileges: it refuses to run as root."""
        bin, data, options = postgres_bin(), self.dir / 'data', {}
        data.mkdir(0o700)
        if os.geteuid() == 0:
            names = {u.pw_name for u in pwd.getpwall()}
            user = pwd.getpwnam('postgres' if 'postgres' in names else 'nobody')
            os.chown(data, user.pw_uid, user.pw_gid)
            options = dict(user=user.pw_uid, group=user.pw_gid, extra_groups=[])
        subprocess.run([bin / 'initdb', '-D', data, '-A', 'trust', '-U', 'app', '-E', 'UTF8', '--locale=C', '-N'], cwd='/', check=True,
                       stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, **options)
        with open(data / 'postgresql.conf', 'a') as f:
            f.write(POSTGRES + f'port = {self.port["postgres"]}\n')
        return Server(self.port['postgres'], [bin / 'postgres', '-D', data], out, signal.SIGINT, cwd='/', **options)

    def start(self):
        for s in self.nginx, self.haproxy, self.redis, self.postgres:
            s.start()
        self.run('pgbench', '-i', '-q', '-s', '2', *self.database(), 'postgres')

    def stop(self):
        for s in self.haproxy, self.nginx, self.redis, self.postgres:
            s.stop()

    def database(self):
        return ['-h', '127.0.0.1', '-p', str(self.port['postgres']), '-U', 'app']

    def run(self, name, *arguments):
        """A client, to its end; what it thinks of what it got does not matter: some of it is meant to fail."""
        if self.over:
            return
        subprocess.run([program(name), *map(str, arguments)], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                       stderr=subprocess.DEVNULL, timeout=120, check=False, env=dict(os.environ, LC_ALL='C'))

    def disturb(self, round):
        """While the load of a round is on."""
        time.sleep(0.5)
        what = [lambda: self.nginx.reload(signal.SIGHUP), lambda: self.haproxy.reload(signal.SIGUSR2),
                lambda: self.postgres.reload(signal.SIGHUP), lambda: self.run('redis-cli', '-p', self.port['redis'], 'bgsave'),
                lambda: self.again(self.nginx), lambda: self.again(self.redis), lambda: self.again(self.haproxy),
                lambda: self.again(self.postgres)]
        what[round % len(what)]()

    def again(self, server):
        server.stop()
        time.sleep(0.3)
        server.start()


# Loads: each runs beside the others for a round.

def web(scene, random):
    """Pages that are there and not, through haproxy and straight, a few dozen of each."""
    for _ in range(30):
        word, n = random.choice(WORDS), random.randrange(100000)
        path = random.choice([f'{word}.html', f'{word}.html', f'{word}.html?page={n}', f'api/v1/{word}/{n}', f'api/v1/{word}/{n}',
                              f'api/v2/{word}?user={n}', f'old/{word}', f'missing/{word}/{n}.png', f'private/{n}', f'broken/{word}',
                              f'dead/{word}'])
        port = scene.port['haproxy' if random.random() < 0.8 else 'nginx']
        more = ['-i'] if random.random() < 0.1 else ['-k'] if random.random() < 0.3 else []
        scene.run('ab', '-q', '-n', random.randrange(8, 120), '-c', random.randrange(1, 5), '-H', f'User-Agent: {random.choice(AGENTS)}',
                  '-H', f'Referer: https://shop.example.com/{random.choice(WORDS)}', *more, f'http://127.0.0.1:{port}/{path}')


def crawler(scene, random):
    web(scene, random)


def sql(scene, random):
    """Transactions, queries over a connection each, and statements that fail."""
    kind = random.choice(['tpcb-like', 'simple-update', 'select-only'])
    scene.run('pgbench', '-n', '-c', 3, '-t', 150, '-b', kind, *scene.database(), 'postgres')
    scene.run('pgbench', '-n', '-C', '-c', 2, '-t', 20, '-M', 'prepared', '-b', 'select-only', *scene.database(), 'postgres')
    for _ in range(6):
        text = random.choice(BAD_SQL).format(word=random.choice(WORDS), n=random.randrange(100000))
        scene.run('psql', '-q', *scene.database(), '-d', 'postgres', '-c', text)
    if random.random() < 0.3:
        scene.run('psql', '-q', *scene.database(), '-d', f'no_{random.choice(WORDS)}', '-c', 'SELECT 1')


def cache(scene, random):
    """A connection for each request, as badly written clients do it."""
    port = scene.port['redis']
    scene.run('redis-benchmark', '-p', port, '-q', '-k', 0, '-c', random.randrange(2, 10), '-n', random.randrange(100, 400), '-r', 10000,
              '-t', random.choice(['set', 'get', 'lpush', 'incr']), '-d', random.randrange(8, 200))
    scene.run('redis-cli', '-p', port, random.choice(['flushdb', 'bgrewriteaof', 'ping', 'bgsave']))


LOADS = [web, crawler, sql, cache]
