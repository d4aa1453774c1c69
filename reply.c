/* SPDX-License-Identifier: Apache-2.0 */
/*
 * reply: requests from when they are taken on until they are answered: replies
 * that come early are kept, and each client gets its own in its order.
 */
#include "proxy.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- bytes that wait -------------------------------------------------------- */

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

/* ---- requests, in the client's order ------------------------------------------ */

static struct request *requests_free;

void request_free(struct request *r)
{
	if (r->split)
		split_free(r->split);
	if (r->note)
		free(r->note);
	if (r->reply.block)
		block_free(r->reply.block);
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
	/* One by one, without the room for a small reply, and without what
	 * server_push sets: half of the memory. */
	r->next = NULL;
	r->client = c;
	r->command = NULL;
	r->mc = NULL;
	r->split = NULL;
	r->note = NULL;
	r->refs = 1;
	r->done = r->failed = false;
	r->part.request = r;
	r->part.index = 0;
	r->part.kind = PART_REQUEST;
	r->part.over = r->part.maybe = false;
	r->reply.ptr = NULL;
	r->reply.len = 0;
	r->reply.block = NULL;
	if (!c)
		return r;
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

static APART void write_waiting(struct client *c)
{
	while (c->head && c->head->done) {
		reply_write(c, &c->head->reply);
		pop(c);
	}
}

/* The first request has been answered into c->conn.out: so may others be that
 * waited behind it. */
static void advance(struct client *c)
{
	pop(c);
	if (c->head && c->head->done)
		write_waiting(c);
	proxy_flush_later(&c->conn);
}

void client_forget_requests(struct client *c)
{
	while (c->head)
		pop(c);
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

/* ---- parts -------------------------------------------------------------------------------- */

size_t error_line(bool redis, const char *why, char *out, size_t room)
{
	int n = snprintf(out, room, "%s %s\r\n",
		redis ? "-ERR" : "SERVER_ERROR", why);

	return (size_t)n < room ? (size_t)n : room - 1;
}

void request_count_error(struct request *r)
{
	if (!r->failed && r->client)
		r->client->pool->stats->forward_error++;
	r->failed = true;
}

void request_fail(struct request *r, const char *why)
{
	char line[256];

	if (!r->client)
		return;
	request_count_error(r);
	request_answer(r, line, error_line(r->client->redis, why, line,
		sizeof(line)));
}

void client_error(struct client *c, const char *text)
{
	request_fail(request_new(c), text);
}

void part_fail(struct part *part, const char *why)
{
	struct request *r = part->request;

	part->over = true;
	if (r->client)
		client_note_failure(r->client);
	if (r->split)
		split_fail(part, why);
	else
		request_fail(r, why);
}

void client_note_reply(struct client *c, size_t len)
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

/* May the memcached request be answered so? One that may not tells of its server. */
static APART bool check_fit(const struct request *r, enum reply_type type,
	struct conn *from, size_t len)
{
	bool fits = reply_fits(r, type, len);

	if (!fits && r->mc->kind == MC_META_SET)
		((struct server_conn *)from)->server->pool->no_meta_set = true;
	return fits;
}

bool part_reply(struct part *part, enum reply_type type, struct conn *from,
	size_t len)
{
	struct request *r = part->request;
	struct client *c = r->client;
	struct server_stats *stats = ((struct server_conn *)from)->server->stats;

	/* Nobody waits for it: timed out, noreply, or the client has gone. */
	if (part->over || !c) {
		conn_consume(from, len);
		return !r->mc || check_fit(r, type, from, len);
	}
	stats->responses++;
	stats->response_bytes += len;
	stats_latency(stats, proxy.loop.now_us - part->queued_us);
	client_note_reply(c, len);
	if (r->split)
		return split_reply(part, type, from, len);
	if (part->maybe) {
		/* Only the mn came: there is no reply. */
		conn_consume(from, len);
		request_answer(r, "", 0);
		return true;
	}
	if (r->mc && !check_fit(r, type, from, len)) {
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
