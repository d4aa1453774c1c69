/* SPDX-License-Identifier: Apache-2.0 */
/*
 * client: a client's story: accepted, read while there is room for what it
 * asks, written to, closed.
 */
#include "proxy.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "util.h"

enum {
	ACCEPT_BATCH = 64,         /* of one listener in one turn */
	ACCEPT_RETRY = 100,        /* ms until a failed accept is tried again */
	AHEAD = 4,                 /* clients more than another worker has, */
	AHEAD_WAIT = 2,            /* ms left to that one for the next client */
	REPLY_COST = 64,           /* bytes a reply costs beside its own */
	FIRST_WINDOW = 10,         /* requests under way while nothing is known */
	WINDOW_GROWTH = 4,         /* small replies that allow one more */
	DRAIN_READS = 16,          /* of a client's last words */
	LINGER = 1000,             /* ms for the client to read the last reply */
	OF_LATE = 10000,           /* ms since it last asked or was answered */
	FIRST_WORDS = 200,         /* ms for one that has just come, at the end */
};

/* ---- accept --------------------------------------------------------------- */

static const char *refusal(const struct pool *pool)
{
	return pool->conf->redis ? "-ERR max number of clients reached\r\n" :
		"SERVER_ERROR out of connections\r\n";
}

static void refuse(struct pool *pool, int fd)
{
	const char *text = refusal(pool);
	ssize_t n = write(fd, text, strlen(text));

	pool->stats->refused_clients++;
	log_some(LOG_NOTICE, "pool '%s': client %s refused%s, %llu connected",
		pool->conf->name, socket_peer(fd), n < 0 ? " silently" : "",
		(unsigned long long)
		counters_sum(&pool->stats->client_connections));
	close(fd);
}

static void client_timer(struct timer *timer);

static void idle_watch(struct client *c)
{
	int idle = c->pool->conf->client_idle_timeout;

	if (idle)
		timer_set(&proxy.loop, &c->timer, c->active_ms + (uint64_t)idle,
			client_timer);
}

static void client_new(struct pool *pool, int fd)
{
	struct client *c = xcalloc(1, sizeof(*c));

	c->conn.role = ROLE_CLIENT;
	c->conn.watch.fd = fd;
	c->pool = pool;
	c->redis = pool->conf->redis;
	c->authenticated = !pool->conf->redis_auth;
	c->largest = FIRST_LARGEST;
	c->active_ms = proxy.loop.now_ms;
	c->id = ++proxy.next_client_id;
	c->next = pool->clients;
	if (pool->clients)
		pool->clients->prev = c;
	pool->clients = c;
	pool->stats->client_connections++;
	proxy.clients++;
	proxy.stats->total_connections++;
	proxy.stats->curr_connections++;
	if (!pool->conf->listen.is_unix)
		socket_nodelay(fd);
	socket_keepalive(fd, pool->conf);
	idle_watch(c);
	if (log_wants(LOG_INFO))
		log_info("accepted c %d on '%s' from '%s'", fd,
			pool->conf->name, socket_peer(fd));
	if (loop_watch(&proxy.loop, &c->conn.watch, LOOP_READ) < 0)
		client_close(c, strerror(errno));
}

static void accept_again(struct timer *timer)
{
	struct pool *pool = (struct pool *)((char *)timer -
		offsetof(struct pool, accept_again));

	pool->accept_waited = true;
	loop_watch(&proxy.loop, &pool->listener.watch, LOOP_READ);
}

static void accept_later(struct pool *pool, int wait)
{
	/* The listener would report on and on. */
	loop_watch(&proxy.loop, &pool->listener.watch, 0);
	timer_set(&proxy.loop, &pool->accept_again,
		proxy.loop.now_ms + (uint64_t)wait, accept_again);
}

/* All workers hear of a client that comes, and whoever is awake would take all
 * of a burst. */
static bool is_ahead(const struct pool *pool)
{
	uint64_t least = counters_least(&pool->stats->client_connections);

	return pool->stats->client_connections > least + least / 8 + AHEAD;
}

/* Out of descriptors: refuse one with the descriptor kept for that. */
static void refuse_at_limit(struct pool *pool)
{
	int fd;

	if (proxy.spare_fd < 0)
		proxy.spare_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
	if (proxy.spare_fd < 0)
		return;
	close(proxy.spare_fd);
	fd = socket_accept(pool->listener.watch.fd);
	if (fd >= 0)
		refuse(pool, fd);
	proxy.spare_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
}

static bool is_full(const struct pool *pool)
{
	uint64_t limit = (uint64_t)pool->conf->client_connections;

	return proxy.clients >= proxy.max_clients ||
		(limit && counters_sum(&pool->stats->client_connections) >= limit);
}

bool client_accept(struct pool *pool, int batch)
{
	for (int i = 0; i < batch; i++) {
		int fd = socket_accept(pool->listener.watch.fd);

		if (fd >= 0 && is_full(pool)) {
			refuse(pool, fd);
		} else if (fd >= 0) {
			client_new(pool, fd);
		} else if (errno == EAGAIN || errno == EWOULDBLOCK) {
			return false;
		} else if (errno != ECONNABORTED) {
			log_some(LOG_ERR, "accept on '%s' failed, again in %d ms: %s",
				pool->conf->name, ACCEPT_RETRY, strerror(errno));
			if (errno == EMFILE || errno == ENFILE)
				refuse_at_limit(pool);
			accept_later(pool, ACCEPT_RETRY);
			return false;
		}
	}
	return true;
}

void client_arrived(struct pool *pool)
{
	/* One at a time leaves some for the other workers; those that they do
	 * not take in time, as one does that hangs, are ours. */
	if (proxy.process != PROCESS_WORKER || pool->accept_waited)
		client_accept(pool, ACCEPT_BATCH);
	else if (is_ahead(pool))
		accept_later(pool, AHEAD_WAIT);
	else
		client_accept(pool, 1);
	pool->accept_waited = false;
}

/* ---- limits ------------------------------------------------------------------ */

/*
 * May another request of this client be taken on? Its replies are bounded
 * together: those written but not read by it, those that wait for earlier
 * ones, and those under way, which are expected to be as large as the last
 * ones were. How many may be under way grows with the small replies there have
 * been: a few are no promise that a thousand large ones do not follow, which
 * the servers would send whether the client reads them or not.
 */
static bool has_room(const struct client *c)
{
	size_t unread = c->conn.out.bytes + c->held +
		(size_t)c->pending * (c->largest + REPLY_COST);

	/* Nothing is under way: so with each request of most clients, which saves 1 %
	 * of a GET's instructions. */
	if (!unread)
		return !c->stalled;
	return !c->stalled && !(c->barrier && c->head) &&
		unread < (size_t)c->pool->conf->client_max_unread &&
		c->pending < FIRST_WINDOW + c->small / WINDOW_GROWTH &&
		c->pending < (uint32_t)c->pool->conf->client_max_requests;
}

/* No reply came in time, or will come. Those behind must not wait as long one
 * window after the other. */
void client_note_failure(struct client *c)
{
	client_note_reply(c, 0);
	if (c->small < UINT32_MAX / 2)
		c->small += c->pending * WINDOW_GROWTH;
}

void client_overdue(struct client *c)
{
	/* A client that does not take its replies made itself wait. */
	if ((c->paused || !(c->conn.watch.events & LOOP_READ)) &&
	    !c->conn.blocked)
		c->overdue_ms = proxy.loop.now_ms;
}

static bool wants_input(const struct client *c)
{
	return !c->eof && !c->closing;
}

/* It waits for input and nothing else, as nearly all do nearly always. */
static bool is_reading(const struct client *c)
{
	return c->conn.watch.events == LOOP_READ && !c->conn.blocked;
}

static bool is_ending(const struct client *c)
{
	return c->eof || c->closing || c->draining;
}

static void update_watch(struct client *c)
{
	unsigned events = c->conn.blocked ? LOOP_WRITE : 0;

	if ((wants_input(c) && has_room(c)) || c->lingering)
		events |= LOOP_READ;
	if (loop_watch(&proxy.loop, &c->conn.watch, events) < 0)
		client_close(c, strerror(errno));
}

void client_wake(struct client *c)
{
	if (c->resumed)
		return;
	c->resumed = true;
	c->next_resumed = proxy.resumed;
	proxy.resumed = c;
}

static void not_resumed(struct client *c)
{
	struct client **at = &proxy.resumed;

	if (!c->resumed)
		return;
	while (*at != c)
		at = &(*at)->next_resumed;
	*at = c->next_resumed;
	c->resumed = false;
}

/* ---- read ---------------------------------------------------------------------- */

static void client_linger(struct client *c)
{
	c->lingering = true;
	/* Closing with input unread would throw the last reply away. */
	shutdown(c->conn.watch.fd, SHUT_WR);
	timer_set(&proxy.loop, &c->timer, proxy.loop.now_ms + LINGER,
		client_timer);
}

/* It ends, once everything is done for it and written: is it? */
static APART void end_if_done(struct client *c)
{
	if (c->head || c->conn.out.head || c->lingering || c->paused)
		return;
	if (c->closing || c->draining)
		client_linger(c);
	else if (c->eof)
		client_close(c, NULL);
}

/* It ends: what is left over is kept only if more of it is to be done. */
static APART void parsed_last(struct client *c)
{
	if (c->closing)
		conn_discard(&c->conn);
	else
		conn_keep(&c->conn);
	end_if_done(c);
	if (c->conn.watch.fd >= 0)
		update_watch(c);
}

static void client_parse(struct client *c)
{
	c->paused = false;
	if (!c->head)
		c->barrier = false;
	while (!c->closing) {
		size_t len;
		char *data = conn_input(&c->conn, &len);

		if (!len)
			break;
		c->paused = !has_room(c);
		if (c->paused || !request_parse(c, data, len))
			break;
	}
	if (c->conn.watch.fd < 0)
		return;
	if (is_ending(c)) {
		parsed_last(c);
		return;
	}
	conn_keep(&c->conn);
	if (c->paused || !is_reading(c))
		update_watch(c);
}

void client_resume(struct client *c)
{
	c->resumed = false;
	client_parse(c);
}

static void client_eof(struct client *c)
{
	if (c->conn.in)
		log_some(LOG_NOTICE, "eof c %d '%s' discarding incomplete request of %zu "
			"bytes", c->conn.watch.fd, socket_peer(c->conn.watch.fd),
			c->conn.in->end - c->conn.in->start);
	c->eof = true;
	end_if_done(c);
	if (c->conn.watch.fd >= 0)
		update_watch(c);
}

static void client_read(struct client *c)
{
	enum io result = conn_read(&c->conn);

	if (result == IO_OK && !c->lingering) {
		c->active_ms = proxy.loop.now_ms;
		client_parse(c);
		if (c->draining && c->conn.watch.fd >= 0)
			client_drain(c);
	} else if (result == IO_OK) {
		conn_discard(&c->conn);
	} else if (result == IO_ERROR) {
		client_close(c, strerror(c->conn.error));
	} else if (result == IO_EOF && c->lingering) {
		client_close(c, NULL);
	} else if (result == IO_EOF) {
		client_eof(c);
	}
}

/* What it has sent so far is taken, if there is room for it, no more after
 * that. One that has only just connected is about to ask: it may. */
void client_drain(struct client *c)
{
	enum io result = IO_OK;

	/* Not for ever: it may send faster than this reads. */
	for (int i = 0; i < DRAIN_READS && result == IO_OK && !c->paused &&
	     !c->closing && !c->eof && !c->lingering; i++) {
		result = conn_read(&c->conn);
		if (result == IO_OK) {
			c->active_ms = proxy.loop.now_ms;
			client_parse(c);
		}
		if (c->conn.watch.fd < 0)
			return;
	}
	if (c->lingering)
		return;
	if (!c->conn.received && result == IO_AGAIN) {
		c->draining = true;
		timer_set(&proxy.loop, &c->timer,
			proxy.loop.now_ms + FIRST_WORDS, client_timer);
		return;
	}
	if (!c->closing)
		c->eof = true;
	/* Who has asked of late may just be asking again: it is not reset. */
	if (!c->head && !c->conn.out.head && !c->paused && !c->closing &&
	    c->active_ms + OF_LATE < proxy.loop.now_ms) {
		client_close(c, NULL);
		return;
	}
	c->draining = true;
	timer_set(&proxy.loop, &c->timer, proxy.loop.now_ms +
		(uint64_t)proxy.options.shutdown_timeout, client_timer);
	end_if_done(c);
	update_watch(c);
}

/* Its peer has ended both ways, and is not read from now: what it has sent before is
 * still to be done, as far as no reply has to be written. On a unix socket this is
 * all that a close is. */
static APART void hung_up(struct client *c)
{
	int error = socket_error(c->conn.watch.fd);

	/* It would be reported on and on. */
	if (!error && !c->conn.blocked && (wants_input(c) || c->paused))
		loop_forget(&proxy.loop, &c->conn.watch);
	else
		client_close(c, error ? strerror(error) : NULL);
}

void client_ready(struct client *c, unsigned events)
{
	if (events & LOOP_WRITE) {
		c->conn.blocked = false;
		proxy_flush_later(&c->conn);
	}
	if (c->conn.watch.events & LOOP_READ) {
		if (events & (LOOP_READ | LOOP_ERROR))
			client_read(c);
	} else if (events & LOOP_ERROR) {
		hung_up(c);
	}
}

void client_reconfigured(struct client *c)
{
	if (!c->pool->conf->redis_auth)
		c->authenticated = true;
	if (!c->lingering) {
		timer_stop(&c->timer);
		idle_watch(c);
	}
	client_wake(c);
}

static void client_timer(struct timer *timer)
{
	struct client *c = (struct client *)((char *)timer -
		offsetof(struct client, timer));
	uint64_t idle = (uint64_t)c->pool->conf->client_idle_timeout;

	if (c->lingering || c->draining)
		client_close(c, c->lingering || !c->conn.received ? NULL :
			c->conn.out.head ? "does not read its replies" :
			"was not answered in time");
	else if (!idle)
		return; /* since a reload */
	else if (c->head || c->stalled)
		timer_set(&proxy.loop, &c->timer, proxy.loop.now_ms + idle,
			client_timer);
	else if (c->active_ms + idle > proxy.loop.now_ms)
		timer_set(&proxy.loop, &c->timer, c->active_ms + idle, client_timer);
	else
		client_close(c, "idle");
}

void client_barrier(struct client *c)
{
	c->barrier = c->head != NULL;
}

void client_wait(struct client *c)
{
	c->barrier = c->paused = true;
}

void client_finish(struct client *c)
{
	c->closing = true;
	proxy_flush_later(&c->conn);
}

/* ---- write and close ------------------------------------------------------------------------ */

/* It was paused, and there may be room again. */
static APART void go_on(struct client *c)
{
	if ((c->paused || (wants_input(c) &&
	    !(c->conn.watch.events & LOOP_READ))) && has_room(c))
		client_wake(c);
	else if (!is_reading(c))
		update_watch(c);
}

void client_flush(struct client *c)
{
	if (!c->conn.blocked) {
		enum io result = conn_write(&c->conn);

		if (result == IO_ERROR) {
			client_close(c, strerror(c->conn.error));
			return;
		}
		c->conn.blocked = result == IO_AGAIN;
		c->active_ms = proxy.loop.now_ms;
	}
	if (is_ending(c)) {
		end_if_done(c);
		if (c->conn.watch.fd < 0)
			return;
	}
	if (c->paused || !is_reading(c))
		go_on(c);
}

static void say_close(const struct client *c, const char *why)
{
	bool eof = c->eof || c->lingering;

	if (!log_wants(LOG_INFO))
		return;
	log_info("close c %d '%s' eof %d pending %u rb %llu sb %llu: %s",
		c->conn.watch.fd, socket_peer(c->conn.watch.fd), eof, c->pending,
		(unsigned long long)c->conn.received,
		(unsigned long long)c->conn.sent,
		why ? why : "done");
}

void client_close(struct client *c, const char *why)
{
	struct pool *pool = c->pool;

	say_close(c, why);
	if (why)
		pool->stats->client_err++;
	else
		pool->stats->client_eof++;
	pool->stats->client_connections--;
	proxy.clients--;
	server_unstall(c);
	not_resumed(c);
	timer_stop(&c->timer);
	client_forget_requests(c);
	conn_close(&c->conn);
	if (c->prev)
		c->prev->next = c->next;
	else
		pool->clients = c->next;
	if (c->next)
		c->next->prev = c->prev;
	free(c->name);
	c->name = NULL;
	proxy_bury(&c->conn);
}
