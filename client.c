/* SPDX-License-Identifier: Apache-2.0 */
/*
 * client: a client's story: accepted, read while there is room for what it
 * asks, answered in its order, closed.
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
	FIRST_LARGEST = 16 * 1024, /* what the first replies are taken for */
	REPLY_COST = 64,           /* bytes a reply costs beside its own */
	FIRST_WINDOW = 10,         /* requests under way while nothing is known */
	WINDOW_GROWTH = 4,         /* small replies that allow one more */
	DRAIN_READS = 16,          /* of a client's last words */
	LINGER = 1000,             /* ms for the client to read the last reply */
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

	pool->stats.refused_clients++;
	log_some(LOG_NOTICE, "pool '%s': client %s refused%s, %llu connected",
		pool->conf->name, socket_peer(fd), n < 0 ? " silently" : "",
		(unsigned long long)pool->stats.client_connections);
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
	c->authenticated = !pool->conf->redis_auth;
	c->largest = FIRST_LARGEST;
	c->active_ms = proxy.loop.now_ms;
	c->id = ++proxy.next_client_id;
	c->next = pool->clients;
	if (pool->clients)
		pool->clients->prev = c;
	pool->clients = c;
	pool->stats.client_connections++;
	proxy.clients++;
	proxy.total_connections++;
	proxy.curr_connections++;
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

	loop_watch(&proxy.loop, &pool->listener.watch, LOOP_READ);
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
		(limit && pool->stats.client_connections >= limit);
}

void client_accept(struct pool *pool)
{
	for (int i = 0; i < ACCEPT_BATCH; i++) {
		int fd = socket_accept(pool->listener.watch.fd);

		if (fd >= 0 && is_full(pool)) {
			refuse(pool, fd);
		} else if (fd >= 0) {
			client_new(pool, fd);
		} else if (errno == EAGAIN || errno == EWOULDBLOCK) {
			return;
		} else if (errno != ECONNABORTED) {
			log_some(LOG_ERR, "accept on '%s' failed, again in %d ms: %s",
				pool->conf->name, ACCEPT_RETRY, strerror(errno));
			if (errno == EMFILE || errno == ENFILE)
				refuse_at_limit(pool);
			/* Not at once: the listener would report on and on. */
			loop_watch(&proxy.loop, &pool->listener.watch, 0);
			timer_set(&proxy.loop, &pool->accept_again,
				proxy.loop.now_ms + ACCEPT_RETRY, accept_again);
			return;
		}
	}
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

	return !c->stalled && unread < (size_t)c->pool->conf->client_max_unread &&
		c->pending < FIRST_WINDOW + c->small / WINDOW_GROWTH &&
		c->pending < (uint32_t)c->pool->conf->client_max_requests;
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

/* Everything is written: is there anything left to be done for it? */
static void end_if_done(struct client *c)
{
	if (c->head || c->conn.out.head || c->lingering || c->paused)
		return;
	if (c->closing || c->draining)
		client_linger(c);
	else if (c->eof)
		client_close(c, NULL);
}

static void client_parse(struct client *c)
{
	c->paused = false;
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
	if (c->closing)
		conn_discard(&c->conn);
	else
		conn_keep(&c->conn);
	end_if_done(c);
	if (c->conn.watch.fd >= 0 && (c->paused || c->closing || !is_reading(c)))
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

	if (result == IO_AGAIN)
		return;
	if (result == IO_ERROR) {
		client_close(c, strerror(c->conn.error));
	} else if (c->lingering) {
		if (result == IO_EOF)
			client_close(c, NULL);
		else
			conn_discard(&c->conn);
	} else if (result == IO_EOF) {
		client_eof(c);
	} else {
		c->active_ms = proxy.loop.now_ms;
		client_parse(c);
	}
}

/* What it has sent so far is taken, if there is room for it, no more after
 * that. */
void client_drain(struct client *c)
{
	enum io result = IO_OK;

	if (c->closing || c->eof)
		return;
	/* Not for ever: it may send faster than this reads. */
	for (int i = 0; i < DRAIN_READS && result == IO_OK && !c->paused &&
	     !c->closing; i++) {
		result = conn_read(&c->conn);
		if (result == IO_OK)
			client_parse(c);
		if (c->conn.watch.fd < 0)
			return;
	}
	if (c->lingering)
		return;
	c->eof = true;
	if (!c->head && !c->conn.out.head && !c->paused && !c->closing) {
		client_close(c, NULL);
		return;
	}
	c->draining = true;
	timer_set(&proxy.loop, &c->timer, proxy.loop.now_ms +
		(uint64_t)proxy.options.shutdown_timeout, client_timer);
	update_watch(c);
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
		client_close(c, strerror(socket_error(c->conn.watch.fd)));
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
		client_close(c, c->lingering ? NULL : "does not read its replies");
	else if (c->head || c->active_ms + idle > proxy.loop.now_ms)
		timer_set(&proxy.loop, &c->timer, proxy.loop.now_ms +
			(c->head ? idle : c->active_ms + idle -
			proxy.loop.now_ms), client_timer);
	else
		client_close(c, "idle");
}

/* ---- replies, in order --------------------------------------------------------------- */

void reply_set(struct reply *reply, enum reply_type type, const char *bytes,
	size_t len)
{
	reply->type = (uint8_t)type;
	reply->len = len;
	if (len <= sizeof(reply->small)) {
		reply->block = NULL;
		reply->ptr = reply->small;
	} else {
		reply->block = block_new(len);
		reply->block->end = len;
		reply->ptr = reply->block->data;
	}
	memcpy(reply->ptr, bytes, len);
}

void reply_keep(struct reply *reply, enum reply_type type, struct conn *from,
	size_t len)
{
	size_t have;

	if (len < LARGE) {
		reply_set(reply, type, conn_input(from, &have), len);
		conn_consume(from, len);
		return;
	}
	reply->type = (uint8_t)type;
	reply->len = len;
	reply->block = conn_take(from, len);
	reply->ptr = reply->block->data + reply->block->start;
}

void reply_clear(struct reply *reply)
{
	block_free(reply->block);
	reply->block = NULL;
	reply->ptr = NULL;
	reply->len = 0;
}

static void reply_write(struct client *c, struct reply *reply)
{
	c->held -= reply->len;
	if (reply->len >= LARGE && reply->block) {
		queue_give(&c->conn.out, reply->block);
		reply->block = NULL;
	} else {
		queue_put(&c->conn.out, reply->ptr, reply->len);
	}
	reply_clear(reply);
}

static struct request *requests_free;

void request_release(struct request *r)
{
	if (--r->refs)
		return;
	split_free(r->split);
	free(r->note);
	reply_clear(&r->reply);
	r->next = requests_free;
	requests_free = r;
}

void requests_trim(void)
{
	while (requests_free) {
		struct request *next = requests_free->next;
		free(requests_free);
		requests_free = next;
	}
}

struct request *request_new(struct client *c)
{
	struct request *r = requests_free;

	if (r)
		requests_free = r->next;
	else
		r = xmalloc(sizeof(*r));
	/* All but the room for a small reply. */
	memset(r, 0, offsetof(struct request, reply.small));
	r->refs = 1;
	if (!c)
		return r;
	r->client = c;
	if (c->tail)
		c->tail->next = r;
	else
		c->head = r;
	c->tail = r;
	c->pending++;
	return r;
}

static void copy_word(char *out, size_t room, const struct arg *word)
{
	size_t len = word->len < room ? word->len : room - 1;

	memcpy(out, word->ptr, len);
	out[len] = '\0';
}

void request_note(struct request *r, const struct arg *name,
	const struct arg *key, const struct server *s)
{
	struct arg server = { s->conf->name, strlen(s->conf->name) };

	r->note = xcalloc(1, sizeof(*r->note));
	r->note->started_us = proxy.loop.now_us;
	copy_word(r->note->name, sizeof(r->note->name), name);
	copy_word(r->note->key, sizeof(r->note->key), key);
	copy_word(r->note->server, sizeof(r->note->server), &server);
}

void request_log(struct request *r)
{
	const struct note *n = r->note;
	uint64_t now = proxy.loop.now_us, sent = n->sent_us ? n->sent_us : now;
	uint64_t slow = (uint64_t)proxy.options.slow * 1000;
	const char *peer = socket_peer(r->client->conn.watch.fd);

	if (slow && now - n->started_us >= slow)
		log_some(LOG_ALWAYS, "slow request: %.3f ms, %.3f queued and %.3f "
			"at the server: %s '%s' server '%s' client '%s'%s",
			(double)(now - n->started_us) / 1e3,
			(double)(sent - n->started_us) / 1e3,
			(double)(now - sent) / 1e3, n->name, n->key, n->server,
			peer, r->failed ? " error" : "");
	else
		log_debug("request done on c %d '%s' %.3f ms %s '%s' server '%s' "
			"error %d", r->client->conn.watch.fd, peer,
			(double)(now - n->started_us) / 1e3, n->name, n->key,
			n->server, r->failed);
}

static void pop(struct client *c)
{
	struct request *r = c->head;

	c->head = r->next;
	if (!c->head)
		c->tail = NULL;
	c->pending--;
	r->client = NULL;
	request_release(r);
}

/* The first request has been answered into c->conn.out: so may others be that
 * waited behind it. */
static void advance(struct client *c)
{
	pop(c);
	while (c->head && c->head->done) {
		reply_write(c, &c->head->reply);
		pop(c);
	}
	proxy_flush_later(&c->conn);
}

void request_answer(struct request *r, const char *bytes, size_t len)
{
	struct client *c = r->client;

	if (!c)
		return;
	if (r->note)
		request_log(r);
	if (r == c->head) {
		queue_put(&c->conn.out, bytes, len);
		advance(c);
		return;
	}
	reply_set(&r->reply, REPLY_STATUS, bytes, len);
	r->done = true;
	c->held += len;
}

void request_answer_block(struct request *r, struct block *block)
{
	size_t len = block->end - block->start;
	struct client *c = r->client;

	if (len < LARGE || !c) {
		request_answer(r, block->data + block->start, len);
		block_free(block);
		return;
	}
	if (r->note)
		request_log(r);
	if (r == c->head) {
		queue_give(&c->conn.out, block);
		advance(c);
		return;
	}
	r->reply.block = block;
	r->reply.ptr = block->data + block->start;
	r->reply.len = len;
	r->done = true;
	c->held += len;
}

void client_answer(struct client *c, const char *bytes, size_t len)
{
	if (c->head) {
		request_answer(request_new(c), bytes, len);
		return;
	}
	queue_put(&c->conn.out, bytes, len);
	proxy_flush_later(&c->conn);
}

void client_finish(struct client *c)
{
	c->closing = true;
	proxy_flush_later(&c->conn);
}

/* ---- parts -------------------------------------------------------------------------------- */

size_t error_line(const struct pool *pool, const char *why, char *out,
	size_t room)
{
	int n = snprintf(out, room, "%s %s\r\n",
		pool->conf->redis ? "-ERR" : "SERVER_ERROR", why);

	return (size_t)n < room ? (size_t)n : room - 1;
}

void request_count_error(struct request *r)
{
	if (!r->failed && r->client)
		r->client->pool->stats.forward_error++;
	r->failed = true;
}

void request_fail(struct request *r, const char *why)
{
	char line[256];

	if (!r->client)
		return;
	request_count_error(r);
	request_answer(r, line, error_line(r->client->pool, why, line,
		sizeof(line)));
}

void client_error(struct client *c, const char *text)
{
	request_fail(request_new(c), text);
}

static void note_size(struct client *c, size_t len)
{
	if (len >= LARGE)
		c->small = 0;
	else if (c->small < UINT32_MAX)
		c->small++;
	if (len > c->largest || c->largest == FIRST_LARGEST)
		c->largest = len;
	else
		c->largest -= (c->largest - len) >> 3;
}

/* No reply came in time, or will come. Those behind must not wait as long one
 * window after the other. */
static void note_failure(struct client *c)
{
	note_size(c, 0);
	if (c->small < UINT32_MAX / 2)
		c->small += c->pending * WINDOW_GROWTH;
}

void part_fail(struct part *part, const char *why)
{
	struct request *r = part->request;

	part->over = true;
	if (r->client)
		note_failure(r->client);
	if (r->split)
		split_fail(part, why);
	else
		request_fail(r, why);
}

void part_release(struct part *part)
{
	request_release(part->request);
}

bool part_reply(struct part *part, enum reply_type type, struct conn *from,
	size_t len)
{
	struct request *r = part->request;
	struct client *c = r->client;
	struct server_stats *stats = &((struct server_conn *)from)->server->stats;

	/* Nobody waits for it: timed out, noreply, or the client has gone. */
	if (part->over || !c) {
		conn_consume(from, len);
		return true;
	}
	stats->responses++;
	stats->response_bytes += len;
	stats_latency(stats, proxy.loop.now_us - part->queued_us);
	note_size(c, len);
	if (r->split)
		return split_reply(part, type, from, len);
	if (part->maybe) {
		/* Only the mn came: there is no reply. */
		conn_consume(from, len);
		request_answer(r, "", 0);
		return true;
	}
	if (!reply_fits(r, type)) {
		conn_consume(from, len);
		request_fail(r, strerror(EINVAL));
		return false;
	}
	if (r->note)
		request_log(r);
	if (r == c->head) {
		conn_move(from, len, &c->conn.out);
		advance(c);
		return true;
	}
	reply_keep(&r->reply, type, from, len);
	r->done = true;
	c->held += len;
	return true;
}

/* ---- write and close ------------------------------------------------------------------------ */

void client_flush(struct client *c)
{
	if (!c->conn.blocked) {
		enum io result = conn_write(&c->conn);

		if (result == IO_ERROR) {
			client_close(c, strerror(c->conn.error));
			return;
		}
		c->conn.blocked = result == IO_AGAIN;
	}
	end_if_done(c);
	if (c->conn.watch.fd < 0)
		return;
	/* It was paused, and there may be room again. */
	if ((c->paused || (wants_input(c) &&
	    !(c->conn.watch.events & LOOP_READ))) && has_room(c))
		client_wake(c);
	else if (!is_reading(c))
		update_watch(c);
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
		pool->stats.client_err++;
	else
		pool->stats.client_eof++;
	pool->stats.client_connections--;
	proxy.clients--;
	server_unstall(c);
	not_resumed(c);
	timer_stop(&c->timer);
	while (c->head)
		pop(c);
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
