/* SPDX-License-Identifier: Apache-2.0 */
/*
 * server: a backend's story: its conns and their queues, deadlines, failures,
 * ejection and return.
 */
#include "proxy.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "util.h"

enum {
	MAX_REPLY = 1 << 30,            /* bytes of one reply */
	MIN_RETRY = 10,                 /* ms between two probes */
	MIN_FAILING = 1000,             /* ms that a failure is remembered */
	PROBE_TIMEOUT = 5000,           /* ms, where the pool has no timeout */
	LONGEST_WAIT = 5000,            /* ms for those that a reload replaced */
	ON_ITS_WAY = 50,                /* ms after a pause: sent before its end */
	LOOKUP_ERROR = -1,              /* as errno: the name does not resolve */
	REFUSED_GREETING = -2,          /* AUTH, HELLO or SELECT got an error */
};

static void server_conn_fail(struct server_conn *sc, int error);
static void server_connect(struct server_conn *sc);

/* What a client is told of an error; strerror where there is one. */
static const char *reason(int error)
{
	switch (error) {
	case 0: return "unknown";
	case LOOKUP_ERROR: return strerror(EHOSTDOWN);
	case REFUSED_GREETING: return "Server refused AUTH, HELLO or SELECT";
	default: return error_text(error);
	}
}

/* ---- parts and the queue of a conn --------------------------------------- */

/* The first with time left: all behind it run out no earlier. */
static void first_live(struct server_conn *sc, struct part *part)
{
	sc->live = part;
	if (part->deadline_ms)
		pool_expect(sc->server->pool, part->deadline_ms);
}

static inline void queue_part(struct server_conn *sc, struct part *part,
	size_t bytes, int timeout)
{
	part->next = NULL;
	part->queued_us = proxy.loop.now_us;
	part->bytes = (uint32_t)bytes;
	sc->queued += bytes;
	part->end = sc->queued;
	part->deadline_ms = timeout ? proxy.loop.now_ms + (uint64_t)timeout : 0;
	if (sc->tail)
		sc->tail->next = part;
	else
		sc->head = part;
	sc->tail = part;
	sc->pending++;
}

static int conn_timeout(const struct server_conn *sc)
{
	int timeout = sc->server->pool->conf->timeout;

	return !timeout && sc->probe ? PROBE_TIMEOUT : timeout;
}

/* What the proxy itself asks. */
static void queue_own(struct server_conn *sc, enum part_kind kind, size_t bytes)
{
	struct part *part = xcalloc(1, sizeof(*part));

	part->kind = (uint8_t)kind;
	queue_part(sc, part, bytes, conn_timeout(sc));
	if (!sc->live)
		first_live(sc, part);
}

static struct part *unqueue_part(struct server_conn *sc)
{
	struct part *part = sc->head;

	sc->head = part->next;
	if (!sc->head)
		sc->tail = NULL;
	if (sc->live == part)
		sc->live = part->next;
	sc->pending--;
	return part;
}

bool server_refuses(const struct server_conn *sc, const struct client *c)
{
	return c && c->overdue_ms &&
		c->overdue_ms + ON_ITS_WAY > proxy.loop.now_ms &&
		sc->server->late_ms >= c->overdue_ms;
}

static void stall(struct server_conn *sc, struct client *c)
{
	if (c->stalled)
		return;
	c->stalled = sc;
	c->next_stalled = sc->stalled;
	sc->stalled = c;
}

/* The first of a turn has more to do, and one that finds the queue full. */
static APART void push_apart(struct server_conn *sc, struct part *part,
	struct client *c, bool full)
{
	if (!sc->live)
		first_live(sc, part);
	proxy_flush_later(&sc->conn);
	if (full && c)
		stall(sc, c);
}

void server_push(struct server_conn *sc, struct part *part, size_t bytes,
	struct client *c)
{
	struct server *s = sc->server;
	const struct conf_pool *conf = s->pool->conf;
	bool full = sc->conn.out.bytes > (size_t)conf->server_max_queue;

	queue_part(sc, part, bytes, conf->timeout);
	s->stats->requests++;
	s->stats->request_bytes += bytes;
	if (!sc->live || !sc->conn.flushing || full)
		push_apart(sc, part, c, full);
}

static void wake_stalled(struct server_conn *sc)
{
	while (sc->stalled) {
		struct client *c = sc->stalled;
		sc->stalled = c->next_stalled;
		c->stalled = NULL;
		/* Until now it waited for us. */
		c->active_ms = proxy.loop.now_ms;
		client_wake(c);
	}
}

void server_unstall(struct client *c)
{
	struct client **at;

	if (!c->stalled)
		return;
	for (at = &c->stalled->stalled; *at != c; at = &(*at)->next_stalled)
		continue;
	*at = c->next_stalled;
	c->stalled = NULL;
}

/* ---- failures, ejection, return -------------------------------------------- */

static uint64_t epoch_us(void)
{
	struct timespec now;

	clock_gettime(CLOCK_REALTIME, &now);
	return (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000;
}

static void probe_start(struct timer *timer);

static struct server *timer_server(struct timer *timer)
{
	return (struct server *)((char *)timer - offsetof(struct server, retry));
}

static void probe_again(struct server *s)
{
	int wait = s->pool->conf->server_retry_timeout;

	/* The parent of workers only knows what they found. */
	if (proxy.process == PROCESS_PARENT)
		return;
	if (wait < MIN_RETRY)
		wait = MIN_RETRY;
	timer_set(&proxy.loop, &s->retry, proxy.loop.now_ms + (uint64_t)wait,
		probe_start);
}

static void server_eject(struct server *s)
{
	s->ejected = true;
	s->failures = 0;
	s->pool->stats->server_ejects++;
	s->stats->server_ejected_at = epoch_us();
	log_notice("pool '%s': server '%s' (%s) ejected, next probe in %d ms",
		s->pool->conf->name, s->conf->name, s->conf->addr.text,
		s->pool->conf->server_retry_timeout);
	pool_update_ring(s->pool);
	probe_again(s);
}

static void server_failure(struct server *s)
{
	s->failed_ms = proxy.loop.now_ms;
	if (!s->pool->conf->auto_eject_hosts || s->ejected || s->leaving)
		return;
	s->failures++;
	if (s->failures >= (unsigned)s->pool->conf->server_failure_limit)
		server_eject(s);
}

/* Its silence at a request that was queued then. One silence is one failure,
 * however many conns it is met on. */
static void server_silence(struct server *s, uint64_t queued_us)
{
	if (queued_us / 1000 >= s->failed_ms)
		server_failure(s);
}

/* Our own lack of something says nothing of the server. */
static bool is_ours(int error)
{
	return error == EMFILE || error == ENFILE || error == ENOBUFS ||
		error == ENOMEM || error == EADDRNOTAVAIL ||
		error == ENOSPC; /* in epoll's set */
}

bool server_failing(const struct server *s)
{
	int wait = s->pool->conf->server_retry_timeout;

	return s->failed_ms && proxy.loop.now_ms - s->failed_ms <
		(uint64_t)(wait < MIN_FAILING ? MIN_FAILING : wait);
}

static void server_return(struct server *s)
{
	if (!s->ejected)
		return;
	timer_stop(&s->retry);
	s->ejected = false;
	s->failures = 0;
	s->failed_ms = 0;
	log_notice("pool '%s': server '%s' (%s) is back",
		s->pool->conf->name, s->conf->name, s->conf->addr.text);
	pool_update_ring(s->pool);
}

/* ---- life of a conn ---------------------------------------------------------- */

static void greet(struct server_conn *sc, enum part_kind kind,
	const char *bytes)
{
	size_t len = strlen(bytes);

	queue_put(&sc->greeting, bytes, len);
	queue_own(sc, kind, len);
}

/* AUTH, HELLO 3 and SELECT come before all traffic; so do their replies. */
static void prepare_greeting(struct server_conn *sc)
{
	const struct conf_pool *conf = sc->server->pool->conf;
	char *text;

	if (!conf->redis)
		return;
	if (conf->redis_auth) {
		text = xasprintf("*2\r\n$4\r\nAUTH\r\n$%zu\r\n%s\r\n",
			strlen(conf->redis_auth), conf->redis_auth);
		greet(sc, PART_AUTH, text);
		free(text);
	}
	if (sc->resp3)
		greet(sc, PART_HELLO, "*2\r\n$5\r\nHELLO\r\n$1\r\n3\r\n");
	if (conf->redis_db) {
		char db[12];
		int len = snprintf(db, sizeof(db), "%d", conf->redis_db);
		text = xasprintf("*2\r\n$6\r\nSELECT\r\n$%d\r\n%s\r\n", len, db);
		greet(sc, PART_SELECT, text);
		free(text);
	}
}

/* Its place in the list, count if it has none there. */
static unsigned address_place(const struct address *list, unsigned count,
	const struct address *wanted)
{
	unsigned i = 0;

	while (i < count && (list[i].len != wanted->len ||
	       memcmp(&list[i].addr, &wanted->addr, wanted->len) != 0))
		i++;
	return i;
}

static struct server_conn *server_conn_new(struct server *s, bool resp3,
	bool probe)
{
	struct server_conn *sc = xcalloc(1, sizeof(*sc));

	sc->conn.role = ROLE_SERVER;
	sc->conn.watch.fd = -1;
	sc->server = s;
	sc->redis = s->pool->conf->redis;
	sc->resp3 = resp3;
	sc->probe = probe;
	sc->next = s->conns;
	if (s->conns)
		s->conns->prev = sc;
	s->conns = sc;
	proxy.stats->total_connections++;
	prepare_greeting(sc);
	return sc;
}

static void unlink_conn(struct server_conn *sc)
{
	if (sc->prev)
		sc->prev->next = sc->next;
	else
		sc->server->conns = sc->next;
	if (sc->next)
		sc->next->prev = sc->prev;
	if (sc->place)
		*sc->place = NULL;
	sc->place = NULL;
}

/* Requests for a key stay in order over a reload. Older conns are behind newer
 * ones in the list. */
static bool must_wait(const struct server_conn *sc)
{
	for (const struct server_conn *at = sc->next; at; at = at->next)
		if (at->replaced && !at->failed && at->live &&
		    at->resp3 == sc->resp3)
			return true;
	return false;
}

static void go_ahead(struct server_conn *sc)
{
	sc->state = CONN_READY;
	if (sc->conn.out.head)
		proxy_flush_later(&sc->conn);
}

static void server_conn_ready(struct server_conn *sc)
{
	if (sc->probe || !must_wait(sc)) {
		go_ahead(sc);
		return;
	}
	/* Not for ever: one of them may be stuck. */
	if (sc->state != CONN_WAITING)
		sc->wait_until_ms = proxy.loop.now_ms + LONGEST_WAIT;
	sc->state = CONN_WAITING;
	pool_expect(sc->server->pool, sc->wait_until_ms);
}

static void wake_waiting(struct server *s)
{
	for (struct server_conn *sc = s->conns; sc; sc = sc->next)
		if (sc->state == CONN_WAITING)
			server_conn_ready(sc);
}

/* Take the conn out of the model; what it still had to answer is answered with
 * the reason. */
static void server_conn_end(struct server_conn *sc, const char *why)
{
	wake_stalled(sc);
	unlink_conn(sc);
	if (sc->state >= CONN_GREETING)
		sc->server->stats->server_connections--;
	conn_close(&sc->conn);
	queue_clear(&sc->greeting);
	if (sc->replaced)
		wake_waiting(sc->server);
	while (sc->head) {
		struct part *part = unqueue_part(sc);
		if (part->kind != PART_REQUEST) {
			free(part);
			continue;
		}
		if (!part->over)
			part_fail(part, why);
		part_release(part);
	}
	proxy_bury(&sc->conn);
}

static void say_close(const struct server_conn *sc, int error)
{
	const struct server *s = sc->server;

	log_some(sc->pending || sc->state != CONN_READY ? LOG_NOTICE : LOG_INFO,
		"close s %d '%s' of pool '%s' eof %d pending %u: %s",
		sc->conn.watch.fd, s->conf->addr.text, s->pool->conf->name,
		error == 0, sc->pending,
		error == 0 ? "closed by the server" : reason(error));
}

static void server_conn_fail(struct server_conn *sc, int error)
{
	struct server *s = sc->server;
	bool evidence = sc->pending || sc->state < CONN_WAITING;

	say_close(sc, error);
	if (error == 0)
		s->stats->server_eof++;
	else if (error == ETIMEDOUT)
		s->stats->server_timedout++;
	else
		s->stats->server_err++;
	/* A server may close a conn that nobody waits for: no failure. */
	if (sc->probe && s->ejected && !s->leaving)
		probe_again(s);
	else if (!sc->probe && evidence && !sc->failed && !is_ours(error))
		server_failure(s);
	server_conn_end(sc, reason(error));
}

/* Nothing was heard for as long as a request may take, the last one queued then:
 * no new requests. It stays as long as one that it carries still has time. */
static void server_conn_retire(struct server_conn *sc, uint64_t queued_us)
{
	struct server *s = sc->server;

	/* The next one begins behind the address that was silent. */
	if (sc->state == CONN_CONNECTING)
		s->first_address = address_place(s->addresses, s->naddresses,
			&sc->peer) + 1;
	if (sc->probe) {
		server_conn_fail(sc, ETIMEDOUT);
		return;
	}
	if (!sc->failed) {
		log_some(LOG_NOTICE, "pool '%s': server '%s' (%s) does not answer",
			s->pool->conf->name, s->conf->name, s->conf->addr.text);
		s->stats->server_timedout++;
		s->stats->retired++;
		sc->failed = true;
		server_silence(s, queued_us);
	}
	if (sc->replaced)
		wake_waiting(s);
	if (sc->place)
		*sc->place = NULL;
	sc->place = NULL;
	for (struct client *c = sc->stalled; c; c = c->next_stalled)
		client_overdue(c);
	wake_stalled(sc);
	if (!sc->live)
		server_conn_end(sc, reason(ETIMEDOUT));
}

/* Fails at the end of the turn: whoever called may be using the conn. */
static void fail_later(struct server_conn *sc, int error)
{
	sc->conn.error = error;
	sc->state = CONN_FAILING;
	proxy_flush_later(&sc->conn);
}

static void server_connected(struct server_conn *sc)
{
	struct server *s = sc->server;

	log_info("connected s %d to server '%s' of pool '%s'",
		sc->conn.watch.fd, s->conf->addr.text, s->pool->conf->name);
	socket_keepalive(sc->conn.watch.fd, s->pool->conf);
	if (loop_watch(&proxy.loop, &sc->conn.watch, LOOP_READ) < 0) {
		fail_later(sc, errno);
		return;
	}
	s->stats->server_connections++;
	s->first_address = address_place(s->addresses, s->naddresses, &sc->peer);
	sc->conn.blocked = false;
	sc->state = CONN_GREETING;
	if (sc->greeting.head)
		proxy_flush_later(&sc->conn);
	else
		server_conn_ready(sc);
}

/* Try the addresses of the server one after the other. */
static void server_connect(struct server_conn *sc)
{
	struct server *s = sc->server;
	int error = LOOKUP_ERROR;

	if (!sc->tried)
		sc->first = s->first_address;
	while (sc->tried < s->naddresses) {
		const struct address *to = &s->addresses[
			(sc->first + sc->tried++) % s->naddresses];
		bool pending = false;
		int fd = socket_connect((const struct sockaddr *)&to->addr,
			to->len, &pending);

		sc->peer = *to;
		if (fd < 0) {
			error = errno;
			continue;
		}
		sc->conn.watch.fd = fd;
		proxy.stats->curr_connections++;
		sc->state = CONN_CONNECTING;
		if (pending)
			error = loop_watch(&proxy.loop, &sc->conn.watch,
				LOOP_WRITE) < 0 ? errno : 0;
		else
			error = socket_connected(fd);
		if (!error && !pending)
			server_connected(sc);
		if (!error)
			return;
		conn_close_socket(&sc->conn);
	}
	fail_later(sc, error);
}

/* Numeric addresses are known from the start, a name is asked for each time. */
static void server_open(struct server_conn *sc)
{
	struct server *s = sc->server;

	if (s->numeric) {
		server_connect(sc);
		return;
	}
	sc->state = CONN_RESOLVING;
	if (!s->lookup)
		s->lookup = resolve_start(s->conf->addr.host,
			s->conf->addr.port, s);
}

static void refresh(struct timer *timer);

static void refresh_later(struct server *s)
{
	int wait = s->pool->conf->dns_refresh;

	timer_stop(&s->refresh);
	/* The parent of workers looks up nothing. */
	if (wait && !s->numeric && proxy.process != PROCESS_PARENT)
		timer_set(&proxy.loop, &s->refresh,
			proxy.loop.now_ms + (uint64_t)wait, refresh);
}

static void refresh(struct timer *timer)
{
	struct server *s = (struct server *)((char *)timer -
		offsetof(struct server, refresh));

	/* Nobody uses the name now: it is looked up when somebody does. */
	if (s->conns && !s->lookup)
		s->lookup = resolve_start(s->conf->addr.host,
			s->conf->addr.port, s);
}

/* No new requests: those that it carries are answered, then it is closed. */
static void server_conn_leave(struct server_conn *sc)
{
	if (sc->place)
		*sc->place = NULL;
	sc->place = NULL;
	wake_stalled(sc);
	if (!sc->live)
		server_conn_end(sc, "unknown");
}

void server_resolved(void *owner, struct address *list, unsigned count)
{
	struct server *s = owner;
	struct server_conn *sc, *next;

	s->lookup = NULL;
	if (!count)
		log_some(LOG_NOTICE, "pool '%s': name of server '%s' does not resolve",
			s->pool->conf->name, s->conf->addr.text);
	/* The list may come in another order each time. */
	if (s->naddresses)
		s->first_address = address_place(list, count,
			&s->addresses[s->first_address % s->naddresses]);
	free(s->addresses);
	s->addresses = xmalloc((count ? count : 1) * sizeof(*list));
	memcpy(s->addresses, list, count * sizeof(*list));
	s->naddresses = count;
	for (sc = s->conns; sc; sc = next) {
		next = sc->next;
		if (sc->state == CONN_RESOLVING) {
			server_connect(sc);
		} else if (sc->place && count &&
			   address_place(list, count, &sc->peer) == count) {
			log_notice("pool '%s': server '%s' has moved",
				s->pool->conf->name, s->conf->addr.text);
			server_conn_leave(sc);
		}
	}
	refresh_later(s);
}

struct server_conn *server_conn_open(struct server *s, unsigned slot, bool resp3)
{
	struct server_conn *sc = server_conn_new(s, resp3, false);

	sc->place = &s->slots[slot];
	*sc->place = sc;
	server_open(sc);
	return sc;
}

void server_preconnect(struct server *s)
{
	server_conn_for(s, 0, false);
}

static void probe_start(struct timer *timer)
{
	struct server *s = timer_server(timer);
	const char *ping = s->pool->conf->redis ?
		"*1\r\n$4\r\nPING\r\n" : "version\r\n";
	struct server_conn *sc = server_conn_new(s, false, true);

	s->stats->probes++;
	queue_put(&sc->conn.out, ping, strlen(ping));
	queue_own(sc, PART_PROBE, strlen(ping));
	server_open(sc);
}

/* ---- replies --------------------------------------------------------------------- */

/* An error by which a server says that it is of no use to anybody now. */
static bool is_useless(const struct request *r, const char *data, size_t len)
{
	static const char loading[] = "-LOADING", down[] = "-MASTERDOWN";

	/* A script can say what it likes. */
	if (r->command && (strncmp(r->command->name, "EVAL", 4) == 0 ||
	    strncmp(r->command->name, "FCALL", 5) == 0))
		return false;
	return (len > sizeof(loading) &&
		memcmp(data, loading, sizeof(loading) - 1) == 0) ||
		(len > sizeof(down) && memcmp(data, down, sizeof(down) - 1) == 0);
}

static bool greeting_left(const struct server_conn *sc)
{
	return sc->head && sc->head->kind != PART_REQUEST &&
		sc->head->kind != PART_PROBE;
}

/* How much of the refusal of a password is told: some servers quote what they do
 * not understand, cut at a length of theirs. */
static int told(const char *text, int len, const char *password)
{
	/* A reload may have taken the password away since. */
	int n = password ? (int)strlen(password) : 0;

	for (int i = 0; i < len; i++)
		if (strchr("'`\"", text[i]) || (n && len - i >= n &&
		    memcmp(text + i, password, (size_t)n) == 0))
			return i;
	return len;
}

static bool knows_no_hello(const char *data, size_t len)
{
	static const char unknown[] = "-ERR unknown command", noproto[] = "-NOPROTO";

	return (len > sizeof(unknown) &&
		memcmp(data, unknown, sizeof(unknown) - 1) == 0) ||
		(len > sizeof(noproto) &&
		memcmp(data, noproto, sizeof(noproto) - 1) == 0);
}

/* A reply to what the proxy itself asked. False: the conn is of no use. */
static bool own_reply(struct server_conn *sc, struct part *part,
	const char *data, size_t len)
{
	static const char *const names[] = {
		[PART_AUTH] = "AUTH", [PART_HELLO] = "HELLO",
		[PART_SELECT] = "SELECT", [PART_PROBE] = "probe",
	};
	const struct server *s = sc->server;
	enum part_kind kind = part->kind;
	bool refused = sc->parse.type == REPLY_ERROR;
	int shown = len > 2 && len < 200 ? (int)len - 2 : 0;

	free(part);
	if (refused) {
		if (kind == PART_AUTH)
			shown = told(data, shown, s->pool->conf->redis_auth);
		/* It is older than RESP3, and no worse for that. */
		if (kind == PART_HELLO && knows_no_hello(data, len)) {
			sc->failed = true;
			pool_without_resp3(s->pool);
		}
		log_some(LOG_WARN, "pool '%s': server '%s' refused %s: %.*s",
			s->pool->conf->name, s->conf->addr.text, names[kind],
			shown, data);
		return false;
	}
	if (kind == PART_PROBE) {
		server_return(sc->server);
	} else if (!greeting_left(sc)) {
		/* What is not all sent cannot have been answered. */
		if (sc->greeting.head)
			return false;
		server_conn_ready(sc);
	}
	return true;
}

/* Has any byte of the part been written? A server may answer before it has all,
 * but not before it has anything. */
static bool has_begun(const struct server_conn *sc, const struct part *part)
{
	return part->end - part->bytes <
		sc->queued - sc->conn.out.bytes - sc->greeting.bytes;
}

/* What the reply to the first part says of the server. */
static inline void judge(struct server_conn *sc, const char *data, size_t len)
{
	struct server *s = sc->server;

	if (sc->parse.type == REPLY_ERROR &&
	    is_useless(sc->head->request, data, len)) {
		server_failure(s);
	} else if (sc->head->over) {
		sc->late_us = proxy.loop.now_us;
	} else {
		s->failures = 0;
		s->failed_ms = 0;
		sc->good_us = proxy.loop.now_us;
	}
}

/* One whole reply is at the front of the input. False: the conn has ended. */
static bool server_reply(struct server_conn *sc, const char *data, size_t len)
{
	struct server *s = sc->server;
	enum reply_type type = sc->parse.type;
	struct part *part;
	bool fits;

	if (type == REPLY_PUSH) {
		conn_consume(&sc->conn, len);
		return true;
	}
	if (!sc->head || !has_begun(sc, sc->head)) {
		log_some(LOG_WARN, "pool '%s': server '%s' sent a reply nobody asked for",
			s->pool->conf->name, s->conf->addr.text);
		server_conn_fail(sc, EINVAL);
		return false;
	}
	if (sc->head->kind == PART_REQUEST)
		judge(sc, data, len);
	if (sc->head->maybe && !(len == 4 && memcmp(data, "MN\r\n", 4) == 0)) {
		/* It did reply; the mn is still to come. */
		part = sc->head;
		part->maybe = false;
		fits = part_reply(part, type, &sc->conn, len);
		part->over = true;
		if (!fits)
			server_conn_fail(sc, EINVAL);
		return fits;
	}
	part = unqueue_part(sc);
	if (part->kind != PART_REQUEST) {
		bool probe = part->kind == PART_PROBE;
		bool good = own_reply(sc, part, data, len);

		conn_consume(&sc->conn, len);
		if (good && !probe)
			return true;
		if (good)
			server_conn_end(sc, "");
		else
			server_conn_fail(sc, REFUSED_GREETING);
		return false;
	}
	fits = part_reply(part, type, &sc->conn, len);
	part_release(part);
	if (!fits) {
		log_some(LOG_WARN, "pool '%s': server '%s' sent a reply that does not "
			"fit its request", s->pool->conf->name,
			s->conf->addr.text);
		server_conn_fail(sc, EINVAL);
	}
	return fits;
}

static void server_read(struct server_conn *sc)
{
	enum io result = conn_read(&sc->conn);

	if (result == IO_AGAIN)
		return;
	if (result != IO_OK) {
		server_conn_fail(sc, sc->conn.error);
		return;
	}
	sc->heard_us = proxy.loop.now_us;
	for (;;) {
		size_t len;
		const char *data = conn_input(&sc->conn, &len);
		enum parse_result parsed;

		if (!len)
			break;
		parsed = sc->redis ? redis_reply(&sc->parse, data, len) :
			memcached_reply(&sc->parse, data, len);
		if (parsed == PARSE_MORE && len <= MAX_REPLY) {
			sc->conn.need = sc->parse.need;
			break;
		}
		if (parsed == PARSE_MORE)
			sc->parse.error = "reply too long";
		if (parsed != PARSE_DONE) {
			log_some(LOG_WARN, "pool '%s': server '%s': %s",
				sc->server->pool->conf->name,
				sc->server->conf->addr.text, sc->parse.error);
			server_conn_fail(sc, EINVAL);
			return;
		}
		if (!server_reply(sc, data, sc->parse.pos))
			return;
		parse_reset(&sc->parse);
		sc->conn.need = 0;
	}
	conn_keep(&sc->conn);
	/* What a retired conn waited for has come. */
	if (!sc->place && !sc->probe && !sc->live)
		server_conn_end(sc, reason(ETIMEDOUT));
}

void server_ready(struct server_conn *sc, unsigned events)
{
	if (sc->state == CONN_CONNECTING) {
		int error = socket_connected(sc->conn.watch.fd);

		if (!error) {
			server_connected(sc);
		} else if (sc->tried < sc->server->naddresses) {
			conn_close_socket(&sc->conn);
			server_connect(sc);
		} else {
			server_conn_fail(sc, error);
		}
		return;
	}
	if (events & LOOP_WRITE) {
		sc->conn.blocked = false;
		proxy_flush_later(&sc->conn);
	}
	if (events & (LOOP_READ | LOOP_ERROR))
		server_read(sc);
}

/* Greeting and traffic have a queue each, but only one may be sent at a time. */
static void flush_greeting(struct server_conn *sc)
{
	struct queue traffic = sc->conn.out;
	enum io result;

	if (sc->conn.blocked)
		return;
	sc->conn.out = sc->greeting;
	result = conn_write(&sc->conn);
	sc->greeting = sc->conn.out;
	sc->conn.out = traffic;
	if (result == IO_ERROR) {
		server_conn_fail(sc, sc->conn.error);
		return;
	}
	sc->conn.blocked = result == IO_AGAIN;
	if (loop_watch(&proxy.loop, &sc->conn.watch, LOOP_READ |
	    (sc->conn.blocked ? LOOP_WRITE : 0)) < 0)
		server_conn_fail(sc, errno);
}

/* For the log: these have now been written. */
static void note_sent(struct server_conn *sc)
{
	uint64_t sent = sc->queued - sc->conn.out.bytes;

	for (struct part *p = sc->head; p && p->end <= sent; p = p->next)
		if (p->kind == PART_REQUEST && p->request->note &&
		    !p->request->note->sent_us)
			p->request->note->sent_us = proxy.loop.now_us;
}

void server_flush(struct server_conn *sc)
{
	enum io result;

	switch (sc->state) {
	case CONN_FAILING:
		server_conn_fail(sc, sc->conn.error);
		return;
	case CONN_GREETING:
		flush_greeting(sc);
		return;
	case CONN_READY:
		break;
	default:
		return;
	}
	if (sc->conn.blocked)
		return;
	result = conn_write(&sc->conn);
	if (result == IO_ERROR) {
		server_conn_fail(sc, sc->conn.error);
		return;
	}
	sc->conn.blocked = result == IO_AGAIN;
	if (proxy.noting)
		note_sent(sc);
	if ((sc->conn.blocked || sc->conn.watch.events != LOOP_READ) &&
	    loop_watch(&proxy.loop, &sc->conn.watch, LOOP_READ |
	    (sc->conn.blocked ? LOOP_WRITE : 0)) < 0)
		server_conn_fail(sc, errno);
	else if (sc->stalled && sc->conn.out.bytes <
		 (size_t)sc->server->pool->conf->server_max_queue / 2)
		wake_stalled(sc);
}

/* ---- deadlines -------------------------------------------------------------------- */

static void earliest(uint64_t *next, uint64_t at)
{
	if (!*next || at < *next)
		*next = at;
}

static void conn_expire(struct server_conn *sc, uint64_t *next)
{
	bool silent = false, tardy = false;
	uint64_t queued_us = 0;  /* the last that has run out */

	while (sc->live && sc->live->deadline_ms &&
	       sc->live->deadline_ms <= proxy.loop.now_ms) {
		struct part *part = sc->live;

		sc->live = part->next;
		sc->server->late_ms = proxy.loop.now_ms;
		queued_us = part->queued_us;
		silent = silent || sc->heard_us <= part->queued_us;
		tardy = tardy || (sc->late_us > part->queued_us &&
			sc->good_us <= part->queued_us);
		if (!part->over && part->kind == PART_REQUEST) {
			if (part->request->client)
				client_overdue(part->request->client);
			part_fail(part, reason(ETIMEDOUT));
		}
		part->over = true;
	}
	if (sc->live && sc->live->deadline_ms)
		earliest(next, sc->live->deadline_ms);
	if (sc->state == CONN_WAITING && sc->wait_until_ms <= proxy.loop.now_ms)
		go_ahead(sc);
	else if (sc->state == CONN_WAITING)
		earliest(next, sc->wait_until_ms);
	/* It does answer, but all too late. */
	if (tardy && !silent)
		server_silence(sc->server, queued_us);
	if (queued_us && (silent || sc->probe || (!sc->place && !sc->live)))
		server_conn_retire(sc, queued_us);
}

void server_expire(struct server *s, uint64_t *next)
{
	struct server_conn *sc, *following;

	for (sc = s->conns; sc; sc = following) {
		following = sc->next;
		conn_expire(sc, next);
	}
}

/* ---- the server --------------------------------------------------------------------- */

struct server *server_new(struct pool *pool, uint32_t index)
{
	struct server *s = xcalloc(1, sizeof(*s));
	struct address address;

	s->pool = pool;
	s->index = index;
	s->conf = conf_server_copy(&pool->conf->servers[index]);
	s->stats = counters_new(sizeof(*s->stats));
	s->slots = xcalloc((size_t)pool->conf->server_connections * 2,
		sizeof(*s->slots));
	if (resolve_numeric(&s->conf->addr, &address) == 0) {
		s->numeric = true;
		s->addresses = xmalloc(sizeof(address));
		s->addresses[0] = address;
		s->naddresses = 1;
	}
	return s;
}

void server_free(struct server *s, const char *why)
{
	while (s->conns)
		server_conn_end(s->conns, why);
	resolve_cancel(s->lookup);
	timer_stop(&s->refresh);
	timer_stop(&s->retry);
	free(s->slots);
	free(s->addresses);
	counters_free(s->stats);
	conf_server_free(s->conf);
	free(s);
}

static void conns_leave(struct server *s)
{
	struct server_conn *sc, *next;

	for (sc = s->conns; sc; sc = next) {
		next = sc->next;
		sc->replaced = !sc->probe;
		if (sc->probe)
			server_conn_end(sc, "unknown");
		else if (sc->place)
			server_conn_leave(sc);
	}
}

/* Who waits already waits as long from now as who comes now: deadlines in a queue
 * are in order. */
static void deadlines_begin_anew(struct server_conn *sc)
{
	int timeout = conn_timeout(sc);

	for (struct part *part = sc->live; part; part = part->next)
		part->deadline_ms = timeout ?
			proxy.loop.now_ms + (uint64_t)timeout : 0;
	if (sc->live)
		first_live(sc, sc->live);
}

void server_leave(struct server *s)
{
	s->leaving = true;
	s->stats = counters_detach(s->stats, sizeof(*s->stats));
	timer_stop(&s->retry);
	timer_stop(&s->refresh);
	conns_leave(s);
}

static bool same_text(const char *a, const char *b)
{
	return a == b || (a && b && strcmp(a, b) == 0);
}

void server_reconfigure(struct server *s, uint32_t index,
	const struct conf_pool *old)
{
	const struct conf_pool *conf = s->pool->conf;

	s->index = index;
	conf_server_free(s->conf);
	s->conf = conf_server_copy(&conf->servers[index]);
	/* Conns that greeted otherwise, or lie elsewhere in the slots, are not
	 * for new requests. */
	if (!same_text(conf->redis_auth, old->redis_auth) ||
	    conf->redis_db != old->redis_db ||
	    conf->server_connections != old->server_connections) {
		conns_leave(s);
		/* A probe that was under way left with them. */
		if (s->ejected)
			probe_again(s);
		free(s->slots);
		s->slots = xcalloc((size_t)conf->server_connections * 2,
			sizeof(*s->slots));
	}
	for (struct server_conn *sc = s->conns; sc && conf->timeout != old->timeout;
	     sc = sc->next)
		deadlines_begin_anew(sc);
	if (conf->dns_refresh != old->dns_refresh)
		refresh_later(s);
	if (timer_is_set(&s->retry) && conf->server_retry_timeout !=
	    old->server_retry_timeout)
		probe_again(s);
	if (s->ejected && !conf->auto_eject_hosts) {
		timer_stop(&s->retry);
		s->ejected = false;
		s->failures = 0;
	}
}

void server_queues(const struct server *s, uint64_t count[2],
	uint64_t bytes[2])
{
	count[0] = count[1] = bytes[0] = bytes[1] = 0;
	for (const struct server_conn *sc = s->conns; sc; sc = sc->next) {
		uint64_t sent = sc->queued - sc->conn.out.bytes -
			sc->greeting.bytes;
		for (const struct part *p = sc->head; p; p = p->next) {
			int out = p->end <= sent;
			count[out]++;
			bytes[out] += p->bytes;
		}
	}
}
