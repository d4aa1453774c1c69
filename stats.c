/* SPDX-License-Identifier: Apache-2.0 */
/*
 * stats: the counters' one list, and what is made of it: the JSON that
 * twemproxy's readers know, and the table of -D. The port answers with the
 * JSON at once; to a client that speaks HTTP, in HTTP.
 */
#include "proxy.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "util.h"

enum {
	HTTP_WAIT = 50,      /* ms to wait for a client that speaks first */
	STATS_LINGER = 2000, /* ms for a reader to take its answer */
	STATS_CLIENTS = 64,  /* readers at a time */
	HTTP_MAX = 8192,     /* bytes of a request */
};

struct counter {
	const char *name, *meaning;
	size_t offset; /* in pool_stats or server_figures */
};

/* What is shown of a server: its counters, and its queues as they are now. */
struct server_figures {
	struct server_stats stats;
	uint64_t in_queue, in_queue_bytes, out_queue, out_queue_bytes;
};

#define POOL(name, meaning) { #name, meaning, offsetof(struct pool_stats, name) }
#define SERVER(name, meaning) \
	{ #name, meaning, offsetof(struct server_figures, stats.name) }
#define QUEUE(name, meaning) { #name, meaning, offsetof(struct server_figures, name) }

static const struct counter pool_counters[] = {
	POOL(client_eof, "clients that closed their connection or sent QUIT"),
	POOL(client_err, "client connections that ended in an error"),
	POOL(client_connections, "clients connected now"),
	POOL(server_ejects, "times a server was ejected"),
	POOL(forward_error, "requests answered by an error of the proxy"),
	POOL(fragments, "parts made of requests that were split"),
};

static const struct counter server_counters[] = {
	SERVER(server_eof, "connections that the server closed"),
	SERVER(server_err, "connections that ended in an error"),
	SERVER(server_timedout, "connections that did not answer in time"),
	SERVER(server_connections, "connections to the server now"),
	SERVER(server_ejected_at, "last ejection, us since the epoch"),
	SERVER(requests, "requests and parts of requests sent"),
	SERVER(request_bytes, "bytes of those"),
	SERVER(responses, "replies given to clients"),
	SERVER(response_bytes, "bytes of those"),
	QUEUE(in_queue, "requests not yet written to the server"),
	QUEUE(in_queue_bytes, "bytes of those"),
	QUEUE(out_queue, "requests written that await a reply"),
	QUEUE(out_queue_bytes, "bytes of those"),
};

enum {
	POOL_COUNTERS = sizeof(pool_counters) / sizeof(pool_counters[0]),
	SERVER_COUNTERS = sizeof(server_counters) / sizeof(server_counters[0]),
};

static uint64_t value(const void *figures, const struct counter *counter)
{
	uint64_t v;

	memcpy(&v, (const char *)figures + counter->offset, sizeof(v));
	return v;
}

static void server_figures(const struct server *s, struct server_figures *f)
{
	uint64_t count[2], bytes[2];

	server_queues(s, count, bytes);
	f->stats = s->stats;
	f->in_queue = count[0];
	f->in_queue_bytes = bytes[0];
	f->out_queue = count[1];
	f->out_queue_bytes = bytes[1];
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
	struct server_figures figures;

	server_figures(s, &figures);
	json_string(t, s->conf->name);
	text_printf(t, ": {");
	for (size_t i = 0; i < SERVER_COUNTERS; i++)
		text_printf(t, "%s\"%s\":%llu", i ? ", " : "",
			server_counters[i].name, (unsigned long long)
			value(&figures, &server_counters[i]));
	text_printf(t, "}");
}

static void json_pool(struct text *t, const struct pool *pool)
{
	json_string(t, pool->conf->name);
	text_printf(t, ": {");
	for (size_t i = 0; i < POOL_COUNTERS; i++)
		text_printf(t, "\"%s\":%llu, ", pool_counters[i].name,
			(unsigned long long)value(&pool->stats,
			&pool_counters[i]));
	for (size_t i = 0; i < pool->conf->nservers; i++) {
		if (i)
			text_printf(t, ",");
		json_server(t, pool->servers[i]);
	}
	text_printf(t, "}");
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
		"\"curr_connections\":%llu, ", VERSION,
		(unsigned long long)((proxy.loop.now_us - proxy.start_us) /
		1000000), (long long)time(NULL),
		(unsigned long long)proxy.total_connections,
		(unsigned long long)proxy.curr_connections);
	for (size_t i = 0; i < proxy.npools; i++) {
		if (i)
			text_printf(t, ",");
		json_pool(t, proxy.pools[i]);
	}
	text_printf(t, "}\n");
}

static void describe(const char *what, const struct counter *list, size_t count)
{
	fprintf(stderr, "%s stats:\n", what);
	for (size_t i = 0; i < count; i++)
		fprintf(stderr, "  %-20s\"%s\"\n", list[i].name, list[i].meaning);
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
	bool answered;
};

static struct conn listener = { .watch = { .fd = -1 } };
static struct reader *readers;
static unsigned nreaders;
static char *unix_path;

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

static void answer(struct reader *r, const char *status, const char *type,
	const struct text *body, bool http)
{
	struct text head = { 0 };

	r->answered = true;
	if (http) {
		text_printf(&head, "HTTP/1.1 %s\r\nContent-Type: %s\r\n"
			"Content-Length: %zu\r\nConnection: close\r\n\r\n",
			status, type, body->len);
		queue_put(&r->conn.out, head.ptr, head.len);
		text_free(&head);
	}
	queue_put(&r->conn.out, body->ptr, body->len);
	timer_set(&proxy.loop, &r->timer, proxy.loop.now_ms + STATS_LINGER,
		too_slow);
	reader_flush(r);
}

static void answer_raw(struct timer *timer)
{
	struct text body = { 0 };

	stats_json(&body);
	answer(timer_reader(timer), NULL, NULL, &body, false);
	text_free(&body);
}

static bool is_path(const char *path, size_t len, const char *name)
{
	return strlen(name) == len && memcmp(path, name, len) == 0;
}

/* "GET /path?query HTTP/1.1" */
static void answer_http(struct reader *r, const char *request, size_t len)
{
	const char *path = request + 4, *end = path;
	struct text body = { 0 };

	while (end < request + len && *end != ' ' && *end != '?' &&
	       *end != '\r' && *end != '\n')
		end++;
	if (is_path(path, (size_t)(end - path), "/") ||
	    is_path(path, (size_t)(end - path), "/stats")) {
		stats_json(&body);
		answer(r, "200 OK", "application/json", &body, true);
	} else {
		text_printf(&body, "there is / and /stats\n");
		answer(r, "404 Not Found", "text/plain", &body, true);
	}
	text_free(&body);
}

static void reader_read(struct reader *r)
{
	enum io result = conn_read(&r->conn);
	const char *data;
	size_t len;

	if (result == IO_AGAIN)
		return;
	if (result != IO_OK && !r->answered && result == IO_EOF) {
		answer_raw(&r->timer);
		return;
	}
	if (result != IO_OK) {
		reader_close(r);
		return;
	}
	data = conn_input(&r->conn, &len);
	if (r->answered) {
		conn_discard(&r->conn);
	} else if (len >= 4 && memcmp(data, "GET ", 4) != 0) {
		conn_discard(&r->conn);
		answer_raw(&r->timer);
	} else if (len >= 4 && memchr(data, '\n', len)) {
		answer_http(r, data, len);
		if (r->conn.watch.fd >= 0)
			conn_discard(&r->conn);
	} else if (len > HTTP_MAX) {
		reader_close(r);
	} else {
		/* It speaks first: give it the time for the rest. */
		conn_keep(&r->conn);
		timer_set(&proxy.loop, &r->timer,
			proxy.loop.now_ms + STATS_LINGER, too_slow);
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
	for (;;) {
		int fd = socket_accept(c->watch.fd);
		if (fd < 0)
			return;
		if (nreaders < STATS_CLIENTS)
			reader_new(fd);
		else
			close(fd);
	}
}

int stats_open(const char *addr, uint16_t port, char **error)
{
	const char *what;

	listener.role = ROLE_STATS;
	if (addr[0] == '/') {
		struct conf_pool conf = { .backlog = SOMAXCONN };
		conf.listen.host = unix_path = xstrdup(addr);
		conf.listen.is_unix = true;
		listener.watch.fd = socket_listen(&conf, &what);
	} else {
		listener.watch.fd = socket_listen_tcp(addr, port, SOMAXCONN,
			true, &what);
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

void stats_close(void)
{
	while (readers)
		reader_close(readers);
	if (listener.watch.fd >= 0 && unix_path)
		unlink(unix_path);
	free(unix_path);
	unix_path = NULL;
	conn_close(&listener);
}
