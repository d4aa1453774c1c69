/* SPDX-License-Identifier: Apache-2.0 */
/*
 * stats: the counters' one list, and what is made of it: the JSON that
 * twemproxy's readers know, and the table of -D. The port answers with the
 * JSON at once; to a client that speaks HTTP, in HTTP.
 */
#include "proxy.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "util.h"

enum {
	HTTP_WAIT = 250,     /* ms to wait for a client that speaks first */
	STATS_LINGER = 2000, /* ms for a reader to take its answer */
	STATS_CLIENTS = 64,  /* readers at a time */
	ACCEPT_RETRY = 100,  /* ms until a failed accept is tried again */
	HTTP_MAX = 8192,     /* bytes of a request */
};

/* What a figure is, for Prometheus. */
enum kind { COUNTER, GAUGE, MICROSECONDS /* a gauge, shown in seconds */ };

struct counter {
	const char *name, *meaning;
	uint16_t offset; /* in the figures */
	uint8_t kind;    /* enum kind */
	const char *metric; /* its name in /metrics if not made of `name` */
};

#define POOL(name, kind, meaning) \
	{ #name, meaning, offsetof(struct pool_stats, name), kind, NULL }
#define SERVER(name, kind, meaning) \
	{ #name, meaning, offsetof(struct server_stats, name), kind, NULL }
#define SERVER_AS(name, kind, metric, meaning) \
	{ #name, meaning, offsetof(struct server_stats, name), kind, metric }
#define LATENCY(name, metric, meaning) \
	{ #name, meaning, offsetof(struct server_stats, name), MICROSECONDS, \
		metric }

/* twemproxy's first, in its order; then ours. */
static const struct counter pool_counters[] = {
	POOL(client_eof, COUNTER, "clients that closed their connection or sent QUIT"),
	POOL(client_err, COUNTER, "client connections that ended in an error"),
	POOL(client_connections, GAUGE, "clients connected now"),
	POOL(server_ejects, COUNTER, "times a server was ejected"),
	POOL(forward_error, COUNTER, "requests answered by an error of the proxy"),
	POOL(fragments, COUNTER, "parts made of requests that were split"),
	POOL(refused_clients, COUNTER, "clients refused at a limit"),
	POOL(parse_errors, COUNTER, "clients closed because their framing was lost"),
	POOL(refused_unknown, COUNTER, "requests with an unknown command"),
	POOL(refused_arity, COUNTER, "requests with a wrong number of words"),
	POOL(refused_unsupported, COUNTER, "requests for what a proxy cannot do"),
	POOL(refused_cross_server, COUNTER, "requests with keys at different servers"),
	POOL(refused_auth, COUNTER, "requests before AUTH"),
	POOL(servers_live, GAUGE, "servers that are neither ejected nor failed of late"),
	POOL(ring_checksum, GAUGE, "equal in two proxies that route alike"),
};

static const struct counter server_counters[] = {
	SERVER(server_eof, COUNTER, "connections that the server closed"),
	SERVER(server_err, COUNTER, "connections that ended in an error"),
	SERVER(server_timedout, COUNTER, "connections that did not answer in time"),
	SERVER(server_connections, GAUGE, "connections to the server now"),
	SERVER_AS(server_ejected_at, MICROSECONDS, "ejected_timestamp_seconds",
		"last ejection, since the epoch"),
	SERVER(requests, COUNTER, "requests and parts of requests sent"),
	SERVER_AS(request_bytes, COUNTER, "request_bytes_total", "bytes of those"),
	SERVER(responses, COUNTER, "replies given to clients"),
	SERVER_AS(response_bytes, COUNTER, "response_bytes_total", "bytes of those"),
	SERVER(in_queue, GAUGE, "requests not yet written to the server"),
	SERVER(in_queue_bytes, GAUGE, "bytes of those"),
	SERVER(out_queue, GAUGE, "requests written that await a reply"),
	SERVER(out_queue_bytes, GAUGE, "bytes of those"),
	SERVER(ejected, GAUGE, "1 while the server is ejected"),
	SERVER(retired, COUNTER, "connections given up with requests under way"),
	SERVER(probes, COUNTER, "probes of the ejected server"),
	LATENCY(latency_p50_us, "latency_p50_seconds",
		"half of the responses came within this time"),
	LATENCY(latency_p99_us, "latency_p99_seconds",
		"99 of 100 responses came within this time"),
	LATENCY(latency_p999_us, "latency_p999_seconds",
		"999 of 1000 responses came within this time"),
};

enum {
	POOL_COUNTERS = sizeof(pool_counters) / sizeof(pool_counters[0]),
	SERVER_COUNTERS = sizeof(server_counters) / sizeof(server_counters[0]),
};

static uint64_t value(const struct counter *counter, const void *figures)
{
	uint64_t v;

	memcpy(&v, (const char *)figures + counter->offset, sizeof(v));
	return v;
}

/* ---- latency: 16 buckets of equal width for each power of two ------------------- */

static unsigned latency_bucket(uint64_t us)
{
	unsigned power = 0;

	if (us < LATENCY_STEPS)
		return (unsigned)us;
	if (us >> LATENCY_POWERS)
		return LATENCY_BUCKETS - 1;
	for (unsigned step = 16; step; step /= 2)
		if (us >> (power + step))
			power += step;
	return (power - 3) * LATENCY_STEPS +
		(unsigned)(us >> (power - 4)) % LATENCY_STEPS;
}

/* The first value that belongs to the bucket behind this one. */
static uint64_t latency_end(unsigned bucket)
{
	unsigned power = bucket / LATENCY_STEPS + 3;

	if (bucket < LATENCY_STEPS)
		return bucket + 1;
	return ((uint64_t)LATENCY_STEPS + bucket % LATENCY_STEPS + 1) << (power - 4);
}

void stats_latency(struct server_stats *stats, uint64_t us)
{
	/* What was sent in one turn and answered in one took equally long. */
	static uint64_t last_us;
	static unsigned last_bucket;

	if (us != last_us) {
		last_us = us;
		last_bucket = latency_bucket(us);
	}
	stats->latency_us += us;
	stats->latency[last_bucket]++;
}

/* The middle of the bucket in which the wanted-th response lies. */
static uint64_t quantile(const struct server_stats *stats, uint64_t wanted)
{
	uint64_t seen = 0;

	for (unsigned i = 0; i < LATENCY_BUCKETS && wanted; i++) {
		seen += stats->latency[i];
		if (seen >= wanted)
			return i < LATENCY_STEPS ? i :
				(latency_end(i - 1) + latency_end(i)) / 2;
	}
	return 0;
}

/* Bytes of memory in use; 0 where the system has no such file. */
static uint64_t memory_bytes(void)
{
	int fd = open("/proc/self/statm", O_RDONLY | O_CLOEXEC);
	char text[128];
	const char *second;
	ssize_t n = -1;

	if (fd >= 0) {
		n = read(fd, text, sizeof(text) - 1);
		close(fd);
	}
	text[n > 0 ? n : 0] = '\0';
	second = strchr(text, ' ');
	return second ? strtoull(second, NULL, 10) *
		(uint64_t)getpagesize() : 0;
}

/* ---- what is not counted but so ----------------------------------------------- */

void stats_update(void)
{
	for (size_t p = 0; p < proxy.npools; p++)
		for (size_t i = 0; i < proxy.pools[p]->conf->nservers; i++) {
			struct server *s = proxy.pools[p]->servers[i];
			uint64_t count[2], bytes[2];

			server_queues(s, count, bytes);
			s->stats->in_queue = count[0];
			s->stats->in_queue_bytes = bytes[0];
			s->stats->out_queue = count[1];
			s->stats->out_queue_bytes = bytes[1];
			s->stats->ejected = s->ejected;
			s->stats->failing = server_failing(s);
		}
	proxy.stats->memory_bytes = memory_bytes();
	proxy.stats->loop_max_us = proxy.loop.turn_max_us;
}

static void stats_collect(void)
{
	stats_update();
	if (proxy.process == PROCESS_PARENT)
		workers_collect();
	for (size_t p = 0; p < proxy.npools; p++) {
		struct pool *pool = proxy.pools[p];

		pool->stats->servers_live = pool_live(pool);
		/* 53 bits, all that a number of JSON can hold exactly. */
		pool->stats->ring_checksum = ring_checksum(&pool->ring) >> 11;
		for (size_t i = 0; i < pool->conf->nservers; i++) {
			struct server_stats *s = pool->servers[i]->stats;
			uint64_t total = s->responses;

			s->latency_p50_us = quantile(s, (total + 1) / 2);
			s->latency_p99_us = quantile(s, total - total / 100);
			s->latency_p999_us = quantile(s, total - total / 1000);
		}
	}
}

/* ---- JSON --------------------------------------------------------------------- */

static void json_string(struct text *t, const char *s)
{
	text_add(t, "\"", 1);
	for (; *s; s++) {
		unsigned char c = (unsigned char)*s;
		if (c == '"' || c == '\\')
			text_printf(t, "\\%c", c);
		else if (c < 0x20)
			text_printf(t, "\\u%04x", c);
		else
			text_add(t, s, 1);
	}
	text_add(t, "\"", 1);
}

static void json_server(struct text *t, const struct server *s)
{
	json_string(t, s->conf->name);
	text_printf(t, ": {");
	for (size_t i = 0; i < SERVER_COUNTERS; i++)
		text_printf(t, "%s\"%s\":%llu", i ? ", " : "",
			server_counters[i].name, (unsigned long long)
			value(&server_counters[i], s->stats));
	text_printf(t, "}");
}

static void json_pool(struct text *t, const struct pool *pool)
{
	json_string(t, pool->conf->name);
	text_printf(t, ": {");
	for (size_t i = 0; i < POOL_COUNTERS; i++)
		text_printf(t, "\"%s\":%llu, ", pool_counters[i].name,
			(unsigned long long)value(&pool_counters[i],
			pool->stats));
	for (size_t i = 0; i < pool->conf->nservers; i++) {
		if (i)
			text_printf(t, ",");
		json_server(t, pool->servers[i]);
	}
	text_printf(t, "}");
}

static unsigned serving(void)
{
	return proxy.process == PROCESS_PARENT ? workers_running() : 1;
}

/* The spacing is that of twemproxy, which some readers rely on. */
static void stats_json(struct text *t)
{
	char host[256] = "unknown";

	gethostname(host, sizeof(host) - 1);
	text_printf(t, "{\"service\":\"nutcracker\", \"source\":");
	json_string(t, host);
	text_printf(t, ", \"version\":\"%s\", \"uptime\":%llu, "
		"\"timestamp\":%lld, \"total_connections\":%llu, "
		"\"curr_connections\":%llu, \"memory_bytes\":%llu, "
		"\"loop_max_us\":%llu, \"reloads\":%llu, "
		"\"reload_failures\":%llu, \"last_reload_failed\":%d, "
		"\"workers\":%u, \"worker_restarts\":%u, ", VERSION,
		(unsigned long long)((proxy.loop.now_us - proxy.start_us) /
		1000000), (long long)time(NULL),
		(unsigned long long)proxy.stats->total_connections,
		(unsigned long long)proxy.stats->curr_connections,
		(unsigned long long)proxy.stats->memory_bytes,
		(unsigned long long)proxy.stats->loop_max_us,
		(unsigned long long)proxy.reloads,
		(unsigned long long)proxy.reload_failures, proxy.reload_failed,
		serving(), workers_restarts());
	for (size_t i = 0; i < proxy.npools; i++) {
		if (i)
			text_printf(t, ",");
		json_pool(t, proxy.pools[i]);
	}
	text_printf(t, "}\n");
}

/* ---- Prometheus: text format 0.0.4 ------------------------------------------------- */

static void label(struct text *t, const char *name, const char *text)
{
	text_printf(t, "%s=\"", name);
	for (; *text; text++) {
		if (*text == '\n')
			text_printf(t, "\\n");
		else if (*text == '"' || *text == '\\')
			text_printf(t, "\\%c", *text);
		else
			text_add(t, text, 1);
	}
	text_printf(t, "\"");
}

/* HELP and TYPE; the metric's whole name goes to `name`. */
static void metric_head(struct text *t, const char *scope,
	const struct counter *c, char *name, size_t room)
{
	if (c->metric)
		snprintf(name, room, "nutcracker_%s_%s", scope, c->metric);
	else
		snprintf(name, room, "nutcracker_%s_%s%s", scope,
			strncmp(c->name, "server_", 7) == 0 ? c->name + 7 : c->name,
			c->kind == COUNTER ? "_total" : "");
	text_printf(t, "# HELP %s %s\n# TYPE %s %s\n", name, c->meaning, name,
		c->kind == COUNTER ? "counter" : "gauge");
}

static void metric_value(struct text *t, unsigned kind, uint64_t v)
{
	if (kind == MICROSECONDS)
		text_printf(t, "} %.6f\n", (double)v / 1e6);
	else
		text_printf(t, "} %llu\n", (unsigned long long)v);
}

static void labels(struct text *t, const char *name, const struct pool *pool,
	const struct server *s)
{
	text_printf(t, "%s{", name);
	label(t, "pool", pool->conf->name);
	if (s) {
		text_printf(t, ",");
		label(t, "server", s->conf->name);
	}
}

static void pool_metrics(struct text *t)
{
	char name[96];

	for (size_t i = 0; i < POOL_COUNTERS; i++) {
		metric_head(t, "pool", &pool_counters[i], name, sizeof(name));
		for (size_t p = 0; p < proxy.npools; p++) {
			const struct pool *pool = proxy.pools[p];
			labels(t, name, pool, NULL);
			metric_value(t, pool_counters[i].kind,
				value(&pool_counters[i], pool->stats));
		}
	}
}

static void server_metrics(struct text *t)
{
	char name[96];

	for (size_t i = 0; i < SERVER_COUNTERS; i++) {
		metric_head(t, "server", &server_counters[i], name, sizeof(name));
		for (size_t p = 0; p < proxy.npools; p++)
			for (size_t k = 0; k < proxy.pools[p]->conf->nservers; k++) {
				const struct server *s = proxy.pools[p]->servers[k];
				labels(t, name, proxy.pools[p], s);
				metric_value(t, server_counters[i].kind,
					value(&server_counters[i], s->stats));
			}
	}
}

/* One line for each power of two, at which the buckets are exact. */
static void latency_metrics(struct text *t, const struct pool *pool,
	const struct server *s)
{
	uint64_t seen = 0;
	unsigned i = 0;

	for (unsigned power = 6; power < LATENCY_POWERS; power += 2) {
		while (i < LATENCY_BUCKETS && latency_end(i) <= (uint64_t)1 << power)
			seen += s->stats->latency[i++];
		labels(t, "nutcracker_server_latency_seconds_bucket", pool, s);
		text_printf(t, ",le=\"%.6f\"} %llu\n",
			(double)((uint64_t)1 << power) / 1e6,
			(unsigned long long)seen);
	}
	while (i < LATENCY_BUCKETS)
		seen += s->stats->latency[i++];
	labels(t, "nutcracker_server_latency_seconds_bucket", pool, s);
	text_printf(t, ",le=\"+Inf\"} %llu\n", (unsigned long long)seen);
	labels(t, "nutcracker_server_latency_seconds_sum", pool, s);
	text_printf(t, "} %.6f\n", (double)s->stats->latency_us / 1e6);
	labels(t, "nutcracker_server_latency_seconds_count", pool, s);
	text_printf(t, "} %llu\n", (unsigned long long)seen);
}

static void process_metric(struct text *t, const char *name, const char *type,
	const char *meaning, uint64_t v)
{
	text_printf(t, "# HELP nutcracker_%s %s\n# TYPE nutcracker_%s %s\n"
		"nutcracker_%s %llu\n", name, meaning, name, type, name,
		(unsigned long long)v);
}

/* What each worker has of the whole; of one process there is nothing to say. */
static void worker_metrics(struct text *t)
{
	process_metric(t, "workers", "gauge", "processes that serve", serving());
	process_metric(t, "worker_restarts_total", "counter",
		"workers that died and were started again", workers_restarts());
	if (proxy.process != PROCESS_PARENT)
		return;
	text_printf(t, "# HELP nutcracker_worker_connections its listeners, "
		"clients and servers, now\n"
		"# TYPE nutcracker_worker_connections gauge\n");
	for (unsigned w = 1; w <= proxy.options.workers; w++)
		text_printf(t, "nutcracker_worker_connections{worker=\"%u\"} "
			"%llu\n", w, (unsigned long long)
			workers_process(w)->curr_connections);
	text_printf(t, "# HELP nutcracker_worker_requests_total requests and parts "
		"it sent\n# TYPE nutcracker_worker_requests_total counter\n");
	for (unsigned w = 1; w <= proxy.options.workers; w++)
		text_printf(t, "nutcracker_worker_requests_total{worker=\"%u\"} "
			"%llu\n", w, (unsigned long long)workers_requests(w));
}

static void stats_metrics(struct text *t)
{
	process_metric(t, "uptime_seconds", "gauge", "since the start",
		(proxy.loop.now_us - proxy.start_us) / 1000000);
	process_metric(t, "connections_total", "counter",
		"listeners, clients and servers ever", proxy.stats->total_connections);
	process_metric(t, "connections", "gauge", "the same, now",
		proxy.stats->curr_connections);
	process_metric(t, "memory_bytes", "gauge", "resident memory",
		proxy.stats->memory_bytes);
	text_printf(t, "# HELP nutcracker_loop_max_seconds longest turn of the "
		"event loop\n# TYPE nutcracker_loop_max_seconds gauge\n"
		"nutcracker_loop_max_seconds %.6f\n",
		(double)proxy.stats->loop_max_us / 1e6);
	process_metric(t, "reloads_total", "counter", "configurations taken over",
		proxy.reloads);
	process_metric(t, "reload_failures_total", "counter",
		"configurations refused", proxy.reload_failures);
	process_metric(t, "last_reload_failed", "gauge",
		"1 if the last reload was refused", proxy.reload_failed);
	worker_metrics(t);
	pool_metrics(t);
	server_metrics(t);
	text_printf(t, "# HELP nutcracker_server_latency_seconds from queueing a "
		"request to its response\n"
		"# TYPE nutcracker_server_latency_seconds histogram\n");
	for (size_t p = 0; p < proxy.npools; p++)
		for (size_t k = 0; k < proxy.pools[p]->conf->nservers; k++)
			latency_metrics(t, proxy.pools[p],
				proxy.pools[p]->servers[k]);
}

static void describe(const char *what, const struct counter *list, size_t count)
{
	fprintf(stderr, "%s stats:\n", what);
	for (size_t i = 0; i < count; i++)
		fprintf(stderr, "  %-22s\"%s%s\"\n", list[i].name,
			list[i].meaning,
			list[i].kind == MICROSECONDS ? ", us" : "");
	fprintf(stderr, "\n");
}

void stats_describe(void)
{
	describe("pool", pool_counters, POOL_COUNTERS);
	describe("server", server_counters, SERVER_COUNTERS);
}

/* ---- the port -------------------------------------------------------------------- */

/* One reader. */
struct reader {
	struct conn conn; /* first */
	struct reader *prev, *next;
	struct timer timer;
	bool speaks;   /* has begun to ask */
	bool answered;
};

static struct conn listener = { .watch = { .fd = -1 } };
static struct reader *readers;
static unsigned nreaders;
static char *unix_path;
static struct socket_file unix_file;

static void reader_close(struct reader *r)
{
	timer_stop(&r->timer);
	conn_close(&r->conn);
	if (r->prev)
		r->prev->next = r->next;
	else
		readers = r->next;
	if (r->next)
		r->next->prev = r->prev;
	nreaders--;
	proxy_bury(&r->conn);
}

static struct reader *timer_reader(struct timer *timer)
{
	return (struct reader *)((char *)timer - offsetof(struct reader, timer));
}

static void too_slow(struct timer *timer)
{
	reader_close(timer_reader(timer));
}

/* Send what is there, then wait for the reader to close: closing with its
 * request unread could throw the answer away. */
static void reader_flush(struct reader *r)
{
	enum io result = conn_write(&r->conn);

	if (result == IO_ERROR) {
		reader_close(r);
		return;
	}
	if (result == IO_OK)
		shutdown(r->conn.watch.fd, SHUT_WR);
	if (loop_watch(&proxy.loop, &r->conn.watch, LOOP_READ |
	    (result == IO_AGAIN ? LOOP_WRITE : 0)) < 0)
		reader_close(r);
}

enum speech { RAW, HTTP_GET, HTTP_HEAD };

static void answer(struct reader *r, const char *status, const char *type,
	const struct text *body, enum speech speech)
{
	struct text head = { 0 };

	r->answered = true;
	if (speech != RAW) {
		text_printf(&head, "HTTP/1.1 %s\r\nContent-Type: %s\r\n"
			"Content-Length: %zu\r\nConnection: close\r\n\r\n",
			status, type, body->len);
		queue_put(&r->conn.out, head.ptr, head.len);
		text_free(&head);
	}
	if (speech != HTTP_HEAD)
		queue_put(&r->conn.out, body->ptr, body->len);
	timer_set(&proxy.loop, &r->timer, proxy.loop.now_ms + STATS_LINGER,
		too_slow);
	reader_flush(r);
}

static void answer_raw(struct timer *timer)
{
	struct text body = { 0 };

	stats_collect();
	stats_json(&body);
	answer(timer_reader(timer), NULL, NULL, &body, RAW);
	text_free(&body);
}

/* ---- what HTTP can ask for ------------------------------------------------------------ */

static int hex(char c)
{
	const char *digits = "0123456789abcdef0123456789ABCDEF", *at;

	at = c ? strchr(digits, c) : NULL;
	return at ? (int)(at - digits) % 16 : -1;
}

/* The value of a name in "a=1&b=2", %XX and + decoded; NULL if it is not there.
 * The caller frees it. */
static char *parameter(const char *query, const char *end, const char *name,
	size_t *len)
{
	size_t n = strlen(name);

	while (query < end) {
		const char *stop = memchr(query, '&', (size_t)(end - query));
		char *out, *to;

		if (!stop)
			stop = end;
		if ((size_t)(stop - query) <= n || query[n] != '=' ||
		    memcmp(query, name, n) != 0) {
			query = stop + 1;
			continue;
		}
		to = out = xmalloc((size_t)(stop - query));
		for (query += n + 1; query < stop; query++) {
			if (*query == '%' && stop - query > 2 &&
			    hex(query[1]) >= 0 && hex(query[2]) >= 0) {
				*to++ = (char)(hex(query[1]) * 16 + hex(query[2]));
				query += 2;
			} else {
				*to++ = *query == '+' ? ' ' : *query;
			}
		}
		*to = '\0';
		*len = (size_t)(to - out);
		return out;
	}
	return NULL;
}

static struct pool *pool_named(const char *name)
{
	for (size_t i = 0; i < proxy.npools; i++)
		if (strcmp(proxy.pools[i]->conf->name, name) == 0)
			return proxy.pools[i];
	return NULL;
}

/* Pools without a live server, one a line. False if there are such. */
static bool health(struct text *t, const struct pool *only)
{
	bool good = serving() != 0;

	if (!good)
		text_printf(t, "no worker\n");
	for (size_t i = 0; i < proxy.npools; i++) {
		const struct pool *pool = proxy.pools[i];
		if ((only && pool != only) || pool_live(pool))
			continue;
		good = false;
		text_printf(t, "%s: no live server\n", pool->conf->name);
	}
	if (good)
		text_printf(t, "ok\n");
	return good;
}

static const char ok[] = "200 OK", not_found[] = "404 Not Found",
	bad_request[] = "400 Bad Request";

static const char *get_health(struct text *t, const char *query, const char *end)
{
	size_t len;
	char *name = parameter(query, end, "pool", &len);
	struct pool *pool = name ? pool_named(name) : NULL;
	const char *status = ok;

	if (name && !pool) {
		text_printf(t, "no pool '%s'\n", name);
		status = not_found;
	} else if (!health(t, pool)) {
		status = "503 Service Unavailable";
	}
	free(name);
	return status;
}

static const char *get_route(struct text *t, const char *query, const char *end)
{
	size_t len, key_len = 0;
	char *name = parameter(query, end, "pool", &len);
	char *key = parameter(query, end, "key", &key_len);
	struct pool *pool = name ? pool_named(name) : NULL;
	const char *status = ok;

	if (!name || !key) {
		text_printf(t, "/route?pool=NAME&key=KEY\n");
		status = bad_request;
	} else if (!pool) {
		text_printf(t, "no pool '%s'\n", name);
		status = not_found;
	} else {
		pool_show_route(pool, key, key_len, t);
	}
	free(name);
	free(key);
	return status;
}

static bool is_path(const char *path, const char *end, const char *name)
{
	size_t len = (size_t)(end - path);

	return strlen(name) == len && memcmp(path, name, len) == 0;
}

/* A first line that ends in "HTTP/1.1" or its like: its path; NULL if it is
 * none. */
static const char *http_path(const char *request, size_t len)
{
	const char *line_end = memchr(request, '\n', len);
	const char *space = memchr(request, ' ', len);

	for (const char *s = space; s && line_end && s + 6 < line_end; s++)
		if (memcmp(s, " HTTP/", 6) == 0)
			return space + 1;
	return NULL;
}

/* "GET /path?query HTTP/1.1" */
static void answer_http(struct reader *r, const char *request, size_t len,
	const char *path)
{
	const char *end = path, *query, *stop;
	bool head = path - request == 5 && memcmp(request, "HEAD", 4) == 0;
	bool get = path - request == 4 && memcmp(request, "GET", 3) == 0;
	const char *status = ok, *type = "text/plain; charset=utf-8";
	struct text body = { 0 };

	for (stop = path; stop < request + len && *stop > ' '; stop++)
		continue;
	while (end < stop && *end != '?')
		end++;
	query = end < stop ? end + 1 : stop;
	stats_collect();
	if (!get && !head) {
		status = "405 Method Not Allowed";
		text_printf(&body, "GET or HEAD\n");
	} else if (is_path(path, end, "/") || is_path(path, end, "/stats")) {
		type = "application/json";
		stats_json(&body);
	} else if (is_path(path, end, "/metrics")) {
		type = "text/plain; version=0.0.4; charset=utf-8";
		stats_metrics(&body);
	} else if (is_path(path, end, "/health")) {
		status = get_health(&body, query, stop);
	} else if (is_path(path, end, "/route")) {
		status = get_route(&body, query, stop);
	} else {
		status = not_found;
		text_printf(&body, "/ /stats /metrics /health /route\n");
	}
	answer(r, status, type, &body, head ? HTTP_HEAD : HTTP_GET);
	text_free(&body);
}

static void reader_read(struct reader *r)
{
	enum io result = conn_read(&r->conn);
	const char *data, *path;
	size_t len;

	if (result == IO_AGAIN)
		return;
	if (result == IO_EOF && !r->answered) {
		answer_raw(&r->timer);
		return;
	}
	if (result == IO_EOF && r->conn.out.head) {
		/* It says no more, but reads. */
		loop_watch(&proxy.loop, &r->conn.watch, LOOP_WRITE);
		return;
	}
	if (result != IO_OK) {
		reader_close(r);
		return;
	}
	data = conn_input(&r->conn, &len);
	if (r->answered) {
		conn_discard(&r->conn);
	} else if (memchr(data, '\n', len)) {
		path = http_path(data, len);
		if (path)
			answer_http(r, data, len, path);
		else
			answer_raw(&r->timer);
		if (r->conn.watch.fd >= 0)
			conn_discard(&r->conn);
	} else if (len > HTTP_MAX) {
		reader_close(r);
	} else {
		/* It speaks first: give it the time for the rest. */
		conn_keep(&r->conn);
		if (!r->speaks)
			timer_set(&proxy.loop, &r->timer,
				proxy.loop.now_ms + STATS_LINGER, too_slow);
		r->speaks = true;
	}
}

static void reader_new(int fd)
{
	struct reader *r = xcalloc(1, sizeof(*r));

	r->conn.role = ROLE_STATS;
	r->conn.watch.fd = fd;
	r->next = readers;
	if (readers)
		readers->prev = r;
	readers = r;
	nreaders++;
	timer_set(&proxy.loop, &r->timer, proxy.loop.now_ms + HTTP_WAIT,
		answer_raw);
	if (loop_watch(&proxy.loop, &r->conn.watch, LOOP_READ) < 0)
		reader_close(r);
}

/* The oldest that has been sent all of its answer, and has only to close. */
static void close_served_reader(void)
{
	struct reader *served = NULL;

	for (struct reader *r = readers; r; r = r->next)
		if (r->answered && !r->conn.out.head)
			served = r;
	if (served)
		reader_close(served);
}

static struct timer accept_again;

static void listen_again(struct timer *timer)
{
	(void)timer;
	loop_watch(&proxy.loop, &listener.watch, LOOP_READ);
}

void stats_ready(struct conn *c, unsigned events)
{
	struct reader *r = (struct reader *)c;

	if (c != &listener) {
		if (events & LOOP_WRITE)
			reader_flush(r);
		if (c->watch.fd >= 0 && events & (LOOP_READ | LOOP_ERROR))
			reader_read(r);
		return;
	}
	for (int i = 0; i < STATS_CLIENTS; i++) {
		int fd = socket_accept(c->watch.fd);
		if (fd < 0) {
			/* Out of descriptors: it would be reported on and on. */
			if (errno != EAGAIN && errno != EWOULDBLOCK &&
			    errno != ECONNABORTED) {
				loop_watch(&proxy.loop, &c->watch, 0);
				timer_set(&proxy.loop, &accept_again,
					proxy.loop.now_ms + ACCEPT_RETRY,
					listen_again);
			}
			return;
		}
		if (nreaders >= STATS_CLIENTS)
			close_served_reader();
		if (nreaders < STATS_CLIENTS)
			reader_new(fd);
		else
			close(fd);
	}
}

int stats_open(const char *addr, uint16_t port, bool share, char **error)
{
	const char *what;

	listener.role = ROLE_STATS;
	if (addr[0] == '/') {
		struct conf_pool conf = { .backlog = SOMAXCONN };
		char *end, *mode;

		conf.listen.host = unix_path = xstrdup(addr);
		conf.listen.is_unix = true;
		/* A blank in a directory's name begins no mode. */
		mode = strrchr(unix_path, ' ');
		if (mode && !strchr(mode, '/')) {
			*mode++ = '\0';
			conf.listen.mode = (unsigned)strtoul(mode, &end, 8);
			if (*end || conf.listen.mode - 1 > 0776) {
				*error = xasprintf("statistics: '%s' is not a "
					"file mode from 1 to 0777", mode);
				return -1;
			}
		}
		listener.watch.fd = socket_listen(&conf, &what);
		if (listener.watch.fd >= 0)
			unix_file = socket_file(unix_path);
	} else {
		listener.watch.fd = socket_listen_tcp(addr, port, SOMAXCONN,
			share, &what);
	}
	if (listener.watch.fd < 0) {
		*error = xasprintf("statistics: %s on '%s:%u' failed: %s", what,
			addr, (unsigned)port, strerror(errno));
		return -1;
	}
	if (loop_watch(&proxy.loop, &listener.watch, LOOP_READ) < 0) {
		*error = xasprintf("statistics: %s", strerror(errno));
		return -1;
	}
	return 0;
}

void stats_forget(void)
{
	/* What it has to be told of closing is the parent's loop, not ours. */
	while (readers) {
		struct reader *next = readers->next;
		close(readers->conn.watch.fd);
		queue_clear(&readers->conn.out);
		conn_discard(&readers->conn);
		free(readers);
		readers = next;
	}
	nreaders = 0;
	close(listener.watch.fd);
	listener.watch.fd = -1;
	memset(&accept_again, 0, sizeof(accept_again));
	free(unix_path);
	unix_path = NULL;
}

void stats_close(void)
{
	timer_stop(&accept_again);
	while (readers)
		reader_close(readers);
	if (listener.watch.fd >= 0 && unix_path)
		socket_remove(unix_path, unix_file);
	free(unix_path);
	unix_path = NULL;
	conn_close(&listener);
}
