/* SPDX-License-Identifier: Apache-2.0 */

#include "bench/workload.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

/*
 * What a template's letters stand for: %d a skewed number, %x eight hex digits that recur, %u a longer such identifier, %i
 * an address, %w a word, %p a path.
 */
/* clang-format off */
static const char *const templates[] = {
	"%i - - \"GET /%p HTTP/1.1\" 200 %d \"-\" \"Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36\" %d",
	"%i - - \"POST /api/v1/%p HTTP/2.0\" 201 %d \"https://%w.example.org/%p\" \"okhttp/4.9.%d\" rt=0.%d",
	"%i - - \"GET /static/%p?v=%d HTTP/1.1\" 304 0 \"-\" \"curl/7.88.1\" upstream=%i:8080 id=%u",
	"{\"level\":\"info\",\"msg\":\"request %w\",\"trace_id\":\"%u\",\"path\":\"/%p\",\"status\":200,\"bytes\":%d,\"ms\":%d}",
	"{\"level\":\"warn\",\"msg\":\"slow query on %w\",\"trace_id\":\"%u\",\"rows\":%d,\"ms\":%d,\"db\":\"%w\",\"pool\":%d}",
	"{\"level\":\"debug\",\"logger\":\"%w.%w\",\"msg\":\"cache %w miss\",\"key\":\"%w:%d:%x\",\"ttl\":%d}",
	"level=info component=%w msg=\"compaction of %w finished\" blocks=%d bytes=%d took=%dms id=%u",
	"level=error component=%w err=\"dial tcp %i:5432: connect: connection refused\" retry=%d trace=%u",
	"level=info caller=%w.go:%d ts=%d msg=\"handled request\" method=GET path=/%p code=200 span=%x",
	"LOG:  checkpoint complete: wrote %d buffers (0.%d%); write=%d s, sync=0.%d s, total=%d s; distance=%d kB",
	"LOG:  duration: %d.%d ms  statement: SELECT * FROM %w WHERE id = $1 AND owner = '%u' LIMIT %d",
	"\tat org.example.%w.%w.Handler.process(Handler.java:%d)",
	"\tat java.base/java.util.concurrent.ThreadPoolExecutor.runWorker(ThreadPoolExecutor.java:%d) ~[%w-%d.jar]",
	"INFO  [pool-%d-thread-%d] o.e.%w.%w - Accepted connection %x from %i:%d, session %u for tenant %w",
	"WARN  [http-nio-8080-exec-%d] o.e.%w.Retry - attempt %d of call %u to %w failed, backing off %d ms",
	"Accepted publickey for %w from %i port %d ssh2: ED25519 SHA256:%u%u",
	"pam_unix(sshd:session): session opened for user %w(uid=%d) by (uid=0)",
	"I1123 %d.%d       1 reconciler.go:%d] operationExecutor.MountVolume started for volume \"%w-%x\" pod \"%w-%x\" (UID: \"%u\")",
	"time=\"2026-11-23T19:%d:%d.%dZ\" level=info msg=\"container %w\" id=%u%u%u%u namespace=k8s.io",
	"%w: job %d finished: %d items read, %d written, %d skipped; next run in %d s",
	"connection %x: received frame type=%d stream=%d flags=0x%x length=%d",
	"%d %w DEBUG user %w moved from %p to %p after %d steps, score %d, seed %x",
	"eviction: scanned %d keys, freed %d bytes, %d clients waiting",
	"processed batch %u of partition %d at offset %d, lag %d, rebalance generation %d on broker %i",
};
/* clang-format on */

static const char *const words[] = {
	"orders",  "payment", "billing", "session", "gateway", "ingress", "user",    "catalog",
	"search",  "mailer",  "worker",	 "index",   "replica", "primary", "cache",   "token",
	"account", "invoice", "basket",	 "stock",   "report",  "audit",	  "metrics", "queue",
	"render",  "upload",  "storage", "network", "volume",  "policy",  "tenant",  "archive",
};

static uint64_t next(struct workload *w)
{
	uint64_t z = w->random += 0x9e3779b97f4a7c15ull;

	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ull;
	z = (z ^ (z >> 27)) * 0x94d049bb133111ebull;
	return z ^ (z >> 31);
}

/* Small numbers are frequent: the size is even over the magnitudes. */
static uint32_t skewed(struct workload *w)
{
	uint64_t r = next(w);

	return (uint32_t) ((r >> 32) & ((1u << (2 + r % 19)) - 1));
}

/* Half of all identifiers were seen a moment ago. */
static uint64_t identifier(struct workload *w)
{
	uint64_t r = next(w), *slot = &w->recent[r % 64];

	if (r >> 63)
		*slot = next(w);
	return *slot;
}

static const char *word(struct workload *w)
{
	return words[next(w) & next(w) & 31];
}

static void slot(struct workload *w, char kind, struct buf *to)
{
	uint64_t r;

	switch (kind) {
	case 'd':
		buf_printf(to, "%u", skewed(w));
		break;
	case 'x':
		buf_printf(to, "%08x", (uint32_t) identifier(w));
		break;
	case 'u':
		buf_printf(to, "%016llx", (unsigned long long) identifier(w));
		break;
	case 'i':
		r = next(w) & next(w);
		buf_printf(to, "10.%u.%u.%u", (unsigned) (r & 3), (unsigned) (r >> 8 & 15),
			   (unsigned) (r >> 16 & 255));
		break;
	case 'w':
		buf_str(to, word(w));
		break;
	case 'p':
		buf_printf(to, "%s/%s/%u", word(w), word(w), skewed(w));
		break;
	default:
		buf_char(to, kind);
	}
}

static void expand(struct workload *w, const char *template, struct buf *to)
{
	for (const char *p = template; *p; p++) {
		if (*p == '%' && p[1] != '\0')
			slot(w, *++p, to);
		else
			buf_char(to, *p);
	}
}

void workload_init(struct workload *w, uint64_t total, bool small)
{
	double sum = 0, at = 0;
	uint32_t k = 0;

	*w = (struct workload){ .random = 1, .total = total, .small = small };
	w->time_ns = 1763884800000000000ull;
	for (int i = 1; i <= WORKLOAD_SOURCES; i++)
		sum += pow(i, -0.9);
	for (size_t i = 0; i < ELEMENTS(w->busy); i++) {
		while (k + 1 < WORKLOAD_SOURCES &&
		       at + pow(k + 1, -0.9) / sum < (double) i / ELEMENTS(w->busy))
			at += pow(++k, -0.9) / sum;
		w->busy[i] = k;
	}
	for (size_t i = 0; i < ELEMENTS(w->recent); i++)
		w->recent[i] = next(w);
}

static void next_source(struct workload *w)
{
	uint64_t r = next(w);
	/* Bursts of 1, 2, ... lines, each with 0.6 the chance of the one before; 0.5 ms a line. */
	double gap = -log(1 - (double) (r >> 40) / (1 << 24)) * 2.5 * 500000;

	w->source = w->busy[r % ELEMENTS(w->busy)];
	w->time_ns += (uint64_t) gap;
	w->burst_left = 1;
	while (next(w) % 10 < 6 && w->burst_left < 12)
		w->burst_left++;
}

void workload_next(struct workload *w, struct buf *to)
{
	uint64_t burst = w->total * 61 / 100;

	if (w->burst_left == 0)
		next_source(w);
	w->burst_left--;
	w->time_ns += 1000;
	if (w->small)
		buf_printf(to, "%s %u", word(w), skewed(w));
	else if (w->made == w->total * 83 / 100)
		buf_str(to, "job finished with marker " WORKLOAD_WORD_ONCE " after 3 tries");
	else if (w->made >= burst && w->made < burst + w->total / 500)
		buf_printf(to, "FATAL " WORKLOAD_WORD_BURST ": timeout after 3000 ms, attempt %u",
			   (unsigned) (w->made - burst));
	else
		expand(w, templates[(w->source * 7 + next(w) % 4) % ELEMENTS(templates)], to);
	buf_char(to, '\n');
	w->made++;
}
