/* SPDX-License-Identifier: Apache-2.0 */
/*
 * proxy: the model. Every noun of the program is a struct on this page.
 *
 *   client ----accept----> pool            a pool listens at one address
 *     | read, parse          | ring: hash -> server
 *     v                      v
 *   request --route--> part --forward--> server conn --> server (backend)
 *     ^  (one part, or      |
 *     |  one per server)    | the replies come first in, first out
 *     +------ (join) reply -+
 *
 * Two orders are the contract: a server answers its conn first in, first out;
 * a client gets its replies in the order in which it asked.
 *
 * A turn of the loop: read and parse every ready socket; go on with clients
 * that had to wait; one write per server conn that has something to send; one
 * write per client that has something to get; free what died. Nothing is freed
 * before that point, so no pointer goes bad under anybody's feet.
 */
#ifndef PROXY_H
#define PROXY_H

#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/types.h>

#include "command.h"
#include "conf.h"
#include "ketama.h"
#include "loop.h"
#include "parse.h"
#include "util.h"

#define VERSION "0.5.0"

struct client;
struct pool;
struct request;
struct server;

/* ---- conn.c: sockets and bytes ---------------------------------------- */

enum {
	READ_SIZE = 65536,    /* bytes of one read of what may have to be kept */
	BLOCK_SIZE = 16384,   /* a block that small messages share */
	LARGE = 16384,        /* from here on bytes move by ownership, not copy */
};

/* A stretch of memory: data[start..end) is in use. */
struct block {
	struct block *next;
	size_t start, end, cap;
	unsigned size;       /* which of those that are kept */
	bool mapped;         /* by itself, not of the heap */
	char data[];
};

/* Bytes on their way out, oldest first. */
struct queue {
	struct block *head, *tail;
	size_t bytes;
};

enum role {
	ROLE_LISTENER, ROLE_CLIENT, ROLE_SERVER, /* counted as connections */
	ROLE_STATS, ROLE_WAKEUP, ROLE_LOOKUP, ROLE_PARENT,
};

/* One socket. */
struct conn {
	struct watch watch;  /* first: the loop knows a conn by it */
	enum role role;
	bool flushing;       /* is on the list of this turn's writers */
	bool blocked;        /* a write came up short: wait for LOOP_WRITE */
	struct block *in;    /* input not parsed yet; NULL when there is none */
	char *rest;          /* the same, while it lies in the shared buffer */
	size_t rest_len;
	size_t need;         /* the message being received is at least so long */
	struct queue out;
	struct conn *next;   /* on the list of writers */
	struct conn *next_dead;
	int error;           /* errno of what ended it; 0: end of file */
	bool dead;           /* is to be freed at the end of the turn */
	uint64_t received, sent; /* bytes */
};

/* Memory for blocks, kept between turns and given back when idle. */
struct block *block_new(size_t cap);
/* The same for as much as peers like: NULL if there is no memory for it. */
struct block *block_try(size_t cap);
void block_free(struct block *block);
/* Give back what no turn needed lately. True: something is still kept. */
bool blocks_trim(void);

void queue_put_blocks(struct queue *q, const void *data, size_t len);
/* The three that run for every request and every reply are inline. */
static inline void queue_put(struct queue *q, const void *data, size_t len)
{
	struct block *tail = q->tail;

	if (!tail || tail->cap - tail->end < len) {
		queue_put_blocks(q, data, len);
		return;
	}
	memcpy(tail->data + tail->end, data, len);
	tail->end += len;
	q->bytes += len;
}
void queue_give(struct queue *q, struct block *block);
void queue_clear(struct queue *q);

enum io { IO_OK, IO_AGAIN, IO_EOF, IO_ERROR };

/*
 * Read once. IO_OK: there is input to look at (conn_input). The bytes stay
 * where they are until the next conn_read of any conn: what is left over then
 * must have been put away by conn_keep.
 */
enum io conn_read(struct conn *c);
/* The input not yet consumed, in one piece. */
static inline char *conn_input(const struct conn *c, size_t *len)
{
	if (c->in) {
		*len = c->in->end - c->in->start;
		return c->in->data + c->in->start;
	}
	*len = c->rest_len;
	return c->rest;
}
void conn_consume_block(struct conn *c, size_t len);
static inline void conn_consume(struct conn *c, size_t len)
{
	if (c->in) {
		conn_consume_block(c, len);
		return;
	}
	c->rest += len;
	c->rest_len -= len;
}
/* Consume the first len bytes and own them, or queue them elsewhere: without a
 * copy when they are large. */
struct block *conn_take(struct conn *c, size_t len);
void conn_move_any(struct conn *c, size_t len, struct queue *to);
static inline void conn_move(struct conn *c, size_t len, struct queue *to)
{
	if (c->in || len >= LARGE) {
		conn_move_any(c, len, to);
		return;
	}
	queue_put(to, c->rest, len);
	c->rest += len;
	c->rest_len -= len;
}
void conn_keep_rest(struct conn *c);
static inline void conn_keep(struct conn *c)
{
	if (c->rest_len)
		conn_keep_rest(c);
}
/* Forget the input. */
void conn_discard(struct conn *c);
/* Have the conn take other input for its own, and get its own for it. */
struct input {
	struct block *in;
	char *rest;
	size_t rest_len;
};
void conn_swap_input(struct conn *c, struct input *other);
/* Write what is queued, as much as the socket takes. IO_AGAIN: not all. */
enum io conn_write(struct conn *c);
/* Close the descriptor. */
void conn_close_socket(struct conn *c);
/* Close the descriptor and drop all bytes. The struct stays. */
void conn_close(struct conn *c);

/* Sockets, non-blocking and close-on-exec; -1 with errno. */
/* *what is the step that failed, for the log. */
int socket_listen(const struct conf_pool *conf, const char **what);
int socket_listen_tcp(const char *host, uint16_t port, int backlog,
	bool reuseport, const char **what);
/* The file of a unix socket, and its removal at the end: if it is still the same, for
 * another process may have taken the path over. */
struct socket_file {
	dev_t dev;
	ino_t ino;
};
struct socket_file socket_file(const char *path);
void socket_remove(const char *path, struct socket_file file);
int socket_connect(const struct sockaddr *addr, socklen_t len, bool *pending);
/* What became of it: 0, or the errno. A socket that is connected to itself is none. */
int socket_connected(int fd);
int socket_accept(int listener);
void socket_nodelay(int fd);
void socket_keepalive(int fd, const struct conf_pool *conf);
int socket_error(int fd);
/* "127.0.0.1:6379" or "unix"; static memory. */
const char *socket_peer(int fd);

/* ---- requests --------------------------------------------------------- */

/* Bytes of a reply that waits for its turn. */
struct reply {
	char *ptr;           /* small, or block->data, or NULL: no reply yet */
	size_t len;
	struct block *block;
	uint8_t type;        /* enum reply_type */
	char small[39];
};

enum part_kind {
	PART_REQUEST,
	PART_AUTH,  /* the rest are the proxy's own, on a new conn */
	PART_HELLO,
	PART_SELECT,
	PART_PROBE,
};

/* The piece of a request that goes to one server. It stays in the conn's queue
 * until its reply has come, whoever still waits for it. */
struct part {
	struct part *next;       /* behind it in the queue of the conn */
	struct request *request;
	uint64_t queued_us;      /* loop time when it was put there */
	uint64_t deadline_ms;    /* 0: none */
	uint64_t end;            /* its last byte, counted from the conn's first */
	uint32_t bytes;          /* of request */
	uint32_t index;          /* split: among the request's parts */
	uint8_t kind;            /* enum part_kind */
	bool over;               /* answered without the server: an orphan */
	bool maybe;              /* an mn behind it marks where no reply may come */
};

/* What a request that was split keeps to put the replies together again. */
struct split {
	uint8_t join;            /* enum join */
	bool resp3;              /* what its client spoke then */
	uint32_t nparts;
	uint32_t waiting;        /* parts not yet answered */
	uint32_t nkeys;
	struct part *parts;      /* nparts */
	struct reply *replies;   /* nparts: kept until all are there */
	uint32_t *counts;        /* nparts: keys of each */
	uint32_t scanned, servers; /* SCAN: index of the server, of how many */
	uint32_t *owner;         /* nkeys: which part answers the key; of these four
	                          * arrays the memory is the split's own */
	struct arg *keys;        /* memcached: nkeys; values are matched by key */
};

/* What the log may say of a request; made only if it may have to. */
struct note {
	uint64_t started_us, sent_us; /* queued, and all written to the server */
	char name[24], server[64];
	char key[64];                 /* its beginning */
};

/* One command as received, until the last byte of its reply is written. */
struct request {
	struct request *next;    /* behind it in its client's order */
	struct client *client;   /* NULL: nobody waits for it any more */
	const struct command *command;  /* one of the two, or neither */
	const struct mc_command *mc;
	struct split *split;     /* NULL: `part` is all there is */
	struct note *note;       /* NULL: nothing is to be logged */
	uint32_t refs;           /* parts in a server's queue, plus the client */
	bool done;               /* the reply is complete */
	bool failed;             /* an error that the proxy made is counted */
	struct part part;        /* filled in when it is queued */
	struct reply reply;      /* while it waits for earlier ones */
};

/* ---- client.c: accept, read, limits, write, close ----------------------- */

enum {
	FIRST_LARGEST = 16384,   /* what the first replies are taken for */
};

struct client {
	struct conn conn;        /* first */
	struct pool *pool;
	struct client *prev, *next;  /* all of the pool */
	struct request *head, *tail; /* not yet answered, in order */
	uint32_t pending;        /* how many */
	uint32_t small;          /* replies in a row that were not LARGE */
	bool redis;              /* the protocol, as when it came */
	bool authenticated;
	bool resp3;
	bool eof;                /* it sends nothing more, but may still read */
	bool closing;            /* no more requests; ends when all is written */
	bool draining;           /* the same, but what has come is still done */
	bool paused;             /* requests have come for which there is no room */
	bool barrier;            /* those that follow wait until all is answered */
	bool lingering;          /* all is written: wait for its end of file */
	bool resumed;            /* is on the list of those that go on */
	size_t held;             /* bytes of replies that wait for earlier ones */
	size_t largest;          /* bytes: how large its replies are of late */
	uint64_t swallow;        /* bytes of a refused data block to skip */
	struct parse parse;
	struct server_conn *stalled; /* whose queue is full: wait for it */
	struct client *next_stalled, *next_resumed;
	struct timer timer;      /* idle, or lingering too long */
	uint64_t active_ms;      /* when something last came from it or went to it */
	uint64_t overdue_ms;     /* a server was late then, and had it wait; or 0 */
	uint64_t id;
	char *name;              /* CLIENT SETNAME */
};

/* Somebody waits at the listener. */
void client_arrived(struct pool *pool);
/* Take so many of those at most. False: there is nobody any more. */
bool client_accept(struct pool *pool, int batch);
void client_ready(struct client *c, unsigned events);
/* Have client_resume called this turn or the next: what the client waited for
 * may have come. */
void client_wake(struct client *c);
void client_resume(struct client *c);
void client_flush(struct client *c);
void client_drain(struct client *c);
/* `why` is logged; NULL: an orderly end. */
void client_close(struct client *c, const char *why);
/* Its pool has other limits now. */
void client_reconfigured(struct client *c);
/* Send nothing more: the rest of the input is not looked at. */
void client_finish(struct client *c);
/* Requests that follow go other ways to the servers: they wait until all so far is
 * answered. The other: so does the one at the front of the input. */
void client_barrier(struct client *c);
void client_wait(struct client *c);
/* How large a reply was, or that none came: so the client's window is found. */
void client_note_reply(struct client *c, size_t len);
void client_note_failure(struct client *c);
/* A server did not answer in time: what the client was not let ask meanwhile
 * has waited as long, and does not wait for that server again. */
void client_overdue(struct client *c);

/* ---- reply.c: requests until they are answered, replies in order ------- */

/* A request at the end of the client's order; NULL: of nobody's. */
struct request *request_new(struct client *c);
/* The client has gone; what servers still owe it will be dropped. */
void client_forget_requests(struct client *c);
/* Answer in its turn; the bytes are copied. */
void client_answer(struct client *c, const char *bytes, size_t len);
/* An error of the proxy's, in the words of the pool's protocol. */
void client_error(struct client *c, const char *text);
void request_free(struct request *r);
static inline void request_release(struct request *r)
{
	if (--r->refs == 0)
		request_free(r);
}
void request_fail(struct request *r, const char *why);
/* The reply is complete; the bytes are copied, or the block is taken. */
void request_answer(struct request *r, const char *bytes, size_t len);
void request_answer_block(struct request *r, struct block *block);
/* Note for the log, if it may be wanted, what the request is and where it went;
 * when a part was written; and what came of it. */
void request_note(struct request *r, const struct arg *name,
	const struct arg *key, const struct server *s);
void request_log(struct request *r);
/* Count an error that the proxy makes, once for each request. */
void request_count_error(struct request *r);
/* "-ERR reason\r\n" or "SERVER_ERROR reason\r\n" to `out`; the length. */
size_t error_line(bool redis, const char *reason, char *out, size_t room);

/* Keep, or give away, a reply that cannot be written yet. */
void reply_keep(struct reply *reply, enum reply_type type, struct conn *from,
	size_t len);
void reply_set(struct reply *reply, enum reply_type type, const char *bytes,
	size_t len);
void reply_clear(struct reply *reply);

/* A part has its reply: `len` bytes at the front of the conn's input, which
 * this consumes. False: such a reply does not fit the request; the client has
 * been told and the conn is not to be trusted. */
bool part_reply(struct part *part, enum reply_type type, struct conn *from,
	size_t len);
/* No reply will come: answer with the reason. The part's memory stays in the
 * queue it is on. */
void part_fail(struct part *part, const char *reason);
/* The part has left the conn's queue for good. */
static inline void part_release(struct part *part)
{
	request_release(part->request);
}

/* Give back the requests kept for reuse. */
void requests_trim(void);

/* ---- request.c: parse, route, forward ----------------------------------- */

/* Take on the request at the front of the client's input. False: there is no
 * whole one, or there will be no more. */
bool request_parse(struct client *c, char *data, size_t len);
/* May the memcached request be answered so? */
bool reply_fits(const struct request *r, enum reply_type type, size_t len);
/* The command's name as Redis writes it in errors: "object|encoding". */
void command_lower(const struct command *cmd, char *out, size_t room);
void request_free_scratch(void);

/* ---- split.c: one request over several servers, several replies in one - */

/* Send each server its keys: those at argv[keys[i]]. */
void split_redis(struct client *c, const struct command *cmd,
	const struct arg *argv, const uint32_t *keys, size_t nkeys);
/* The same for get, gets, gat and gats: `first` is the first key's word. */
void split_memcached(struct client *c, const struct mc_command *cmd,
	const struct arg *argv, size_t argc, size_t first);
/* Send the same bytes to every server; `quiet`: nobody is told what they say. */
void split_all(struct client *c, bool quiet, const struct command *cmd,
	const struct mc_command *mc, enum join how, const char *frame, size_t len);
void split_scan(struct client *c, const struct command *cmd,
	const struct arg *argv, size_t argc);
/* INFO, when a server must be asked for its version first. False: none can. */
bool split_info(struct client *c, const struct arg *argv, size_t argc);
bool split_reply(struct part *part, enum reply_type type, struct conn *from,
	size_t len);
void split_fail(struct part *part, const char *reason);
void split_free(struct split *split);
void split_free_scratch(void);

/* ---- local.c: what the proxy answers itself ---------------------------- */

void local_answer(struct client *c, const struct command *cmd,
	const struct arg *argv, size_t argc);
void local_memcached(struct client *c, const struct mc_command *cmd,
	const struct arg *argv, size_t argc);

/* The reply to INFO, after a server's own reply to it (or an error). */
struct block *local_info(struct pool *pool, bool resp3, const struct arg *argv,
	size_t argc, const char *info, size_t len);

/* ---- server.c: backends ------------------------------------------------ */

enum conn_state {
	CONN_RESOLVING,  /* the name is being looked up */
	CONN_CONNECTING,
	CONN_FAILING,    /* could not even start; ends with the turn */
	CONN_GREETING,   /* AUTH, HELLO, SELECT sent; the queue waits */
	CONN_WAITING,    /* the same, until those that it replaces have answered */
	CONN_READY,
};

struct address {
	struct sockaddr_storage addr;
	socklen_t len;
};

/* One conn to a backend. */
struct server_conn {
	struct conn conn;        /* first */
	struct server *server;
	struct server_conn **place; /* where the server points to it; NULL for a
	                             * probe, and once it is retired */
	struct server_conn *prev, *next; /* all of the server */
	enum conn_state state;
	bool redis;              /* the protocol, as when it was opened */
	bool resp3;
	bool probe;              /* carries no requests of clients */
	bool failed;             /* has been counted as a failure */
	bool replaced;           /* by a reload: those in its place wait for it, */
	uint64_t wait_until_ms;  /* but no longer */
	unsigned first, tried;   /* of the server's addresses: where it began, how
	                          * many it has tried so far */
	struct address peer;     /* the one tried last */
	struct part *head, *tail; /* awaiting replies, oldest first */
	struct part *live;       /* the first with time left; NULL: none */
	uint32_t pending;        /* length of that queue */
	uint64_t queued;         /* bytes ever put into the queue */
	uint64_t heard_us;       /* when it last said something, */
	uint64_t good_us, late_us; /* had a reply in time, or too late */
	struct queue greeting;   /* goes out before the queue does */
	struct parse parse;
	struct client *stalled;  /* clients that wait for room in the queue */
};

enum {
	LATENCY_STEPS = 16,    /* per power of two: 6 % wide, read at the middle */
	LATENCY_POWERS = 27,   /* up to 2^27 us, 134 s */
	LATENCY_BUCKETS = LATENCY_STEPS * (LATENCY_POWERS - 3),
};

/* Figures, named as in the statistics: uint64_t and nothing else, so that those
 * of several workers can be added up. */
struct server_stats {
	uint64_t server_eof, server_err, server_timedout;
	uint64_t server_connections;
	uint64_t server_ejected_at;  /* us since the epoch */
	uint64_t requests, request_bytes, responses, response_bytes;
	uint64_t retired;            /* conns that did not answer in time */
	uint64_t probes;             /* of the server while it was ejected */
	uint64_t latency_us;         /* of all responses together */
	uint64_t latency[LATENCY_BUCKETS]; /* responses by their latency */
	/* From here on brought up to date only when somebody asks. */
	uint64_t in_queue, in_queue_bytes;   /* not yet all written */
	uint64_t out_queue, out_queue_bytes; /* awaiting replies */
	uint64_t ejected, failing;           /* 0 or 1 */
	uint64_t latency_p50_us, latency_p99_us, latency_p999_us;
};

/* One backend. */
struct server {
	struct pool *pool;
	uint32_t index;
	struct conf_server *conf; /* its own copy */
	struct server *next;     /* on the list of those that leave */
	bool ejected;
	bool leaving;            /* not in the configuration any more */
	bool numeric;            /* its address needs no lookup */
	unsigned failures;       /* in a row */
	uint64_t late_ms;        /* when it last let a request run out of time */
	uint64_t failed_ms;      /* its last failure, 0 if it has replied since */
	struct timer retry;      /* when to probe an ejected server */
	struct server_conn **slots; /* server_connections, and as many for RESP3 */
	struct server_conn *conns;  /* all, retired ones and the probe included */
	struct address *addresses;  /* what the name last stood for */
	unsigned naddresses;
	unsigned first_address;  /* to try, modulo naddresses */
	struct lookup *lookup;   /* under way, or NULL */
	struct timer refresh;    /* when to look its name up again */
	struct server_stats *stats;
};

struct server *server_new(struct pool *pool, uint32_t index);
/* What is under way is answered with the reason. */
void server_free(struct server *s, const char *why);
/* The pool has a new configuration, in which the server is the index-th; what
 * it was before is `old`. */
void server_reconfigure(struct server *s, uint32_t index,
	const struct conf_pool *old);
/* It failed when it was last asked, not longer ago than a dead one is left alone:
 * after that it may be back, as far as anybody knows. */
bool server_failing(const struct server *s);
/* Take no new requests; free it when s->conns is NULL. */
void server_leave(struct server *s);
/* A request of this client for this conn would not be answered in time, counting
 * what it has waited already. Fail it instead of forwarding it. */
bool server_refuses(const struct server_conn *sc, const struct client *c);
/* The part's `bytes` have been put into sc->conn.out: it waits for its reply.
 * With too much queued the client, if there is one, has to wait until
 * client_wake. */
void server_push(struct server_conn *sc, struct part *part, size_t bytes,
	struct client *c);
void server_unstall(struct client *c);
void server_preconnect(struct server *s);
void server_ready(struct server_conn *sc, unsigned events);
void server_flush(struct server_conn *sc);
/* Answer what has run out of time, and let go on what has waited for long enough;
 * *next becomes the earliest deadline left if that is earlier, or *next is 0. */
void server_expire(struct server *s, uint64_t *next);
/* A lookup has ended (resolve_ready). */
void server_resolved(void *server, struct address *list, unsigned count);
/* Requests and their bytes: [0] not yet all written, [1] awaiting replies. */
void server_queues(const struct server *s, uint64_t count[2],
	uint64_t bytes[2]);

/* resolve.c: names, off the loop. */
struct lookup;
int resolve_open(void);  /* descriptor that becomes readable; -1 with errno */
void resolve_close(void);
/* Answers of lookups that ended, to `found` (addresses are the receiver's). */
void resolve_ready(void (*found)(void *owner, struct address *list,
	unsigned count));
struct lookup *resolve_start(const char *host, uint16_t port, void *owner);
void resolve_cancel(struct lookup *lookup);
/* A numeric address or a unix path needs no lookup: 0 if it is one. */
int resolve_numeric(const struct conf_addr *addr, struct address *out);

/* ---- pool ---------------------------------------------------------------- */

/* What a reload changed, for its line in the log. */
struct reload {
	unsigned pools_added, pools_removed, servers_added, servers_removed;
};

struct pool_stats {
	uint64_t client_eof, client_err;
	uint64_t client_connections;
	uint64_t server_ejects, forward_error, fragments;
	uint64_t refused_clients;      /* at a limit */
	uint64_t parse_errors;         /* clients whose framing was lost */
	uint64_t refused_unknown;      /* requests: no such command */
	uint64_t refused_arity;        /* wrong number of words */
	uint64_t refused_unsupported;  /* not to be had through a proxy */
	uint64_t refused_cross_server; /* keys at different servers */
	uint64_t refused_auth;         /* not authenticated */
	/* Up to date only when somebody asks. */
	uint64_t servers_live, ring_checksum;
};

struct pool {
	struct conn listener;    /* first */
	struct socket_file file; /* of a unix socket */
	struct conf_pool *conf;  /* its own */
	struct server **servers; /* conf->nservers, in index order */
	struct server *leaving;  /* not in the configuration any more, but with
	                          * requests under way */
	struct pool *next;       /* on the list of those that leave */
	uint64_t leave_by_ms;    /* no request is waited for any longer */
	struct ring ring;
	char redis_version[24];  /* of a server; empty: none has told */
	bool no_resp3;           /* a server does not know HELLO 3 */
	bool no_meta_set;        /* or ms, of memcached */
	struct client *clients;
	struct timer expiry;     /* no later than the first deadline */
	struct timer accept_again; /* after a failed accept, or for others */
	bool accept_waited;      /* the others have had their chance */
	struct pool_stats *stats;
};

/* The conn for a key's hash, opened if need be. Never NULL; one that cannot be
 * opened fails its parts at the end of the turn. */
struct server_conn *server_conn_open(struct server *s, unsigned slot, bool resp3);
static inline struct server_conn *server_conn_for(struct server *s,
	uint32_t hash, bool resp3)
{
	unsigned count = (unsigned)s->pool->conf->server_connections;
	/* By key: requests for one key stay in order. */
	unsigned slot = (count > 1 ? hash % count : 0) + (resp3 ? count : 0);

	return s->slots[slot] ? s->slots[slot] :
		server_conn_open(s, slot, resp3);
}
/* A pool with its ring; no socket is open yet. The configuration is taken. */
struct pool *pool_new(struct conf_pool *conf);
void pool_free(struct pool *pool);
/* Have its socket (a worker has it of its parent), then take clients and connect
 * to servers. 0, or -1: *error is a sentence that the caller frees. */
int pool_listen(struct pool *pool, char **error);
int pool_serve(struct pool *pool, char **error);
/* Take no more clients and no more requests. */
void pool_drain(struct pool *pool);
/* Go on by another configuration, which is taken, for the same address. What
 * has not changed keeps its conns and counters. */
void pool_reconfigure(struct pool *pool, struct conf_pool *conf,
	struct reload *counts);
/* How many servers of that configuration are new to the pool. */
size_t pool_new_servers(const struct pool *pool, const struct conf_pool *conf);
/* Free what left and is done. False: the pool itself left and is done. */
bool pool_sweep(struct pool *pool);
/* It leaves: its counters and those of its servers are in nobody's sums. */
void pool_leave(struct pool *pool);
/* The server for a key, or NULL when none is live. */
static inline struct server *pool_route(struct pool *pool, const char *key,
	size_t len, uint32_t *hash)
{
	const struct conf_pool *conf = pool->conf;
	struct server *s;
	uint32_t index = 0;

	if (conf->nservers > 1 || conf->server_connections > 1)
		*hash = ring_hash(conf->hash,
			conf->has_hash_tag ? conf->hash_tag : NULL, key, len);
	else
		*hash = 0;
	if (conf->nservers > 1) {
		if (!pool->ring.npoints)
			return NULL;
		index = ring_pick(&pool->ring, *hash);
	}
	s = pool->servers[index];
	return s->ejected ? NULL : s;
}
/* Servers that are neither ejected nor failing. */
unsigned pool_live(const struct pool *pool);
/* One of its servers does not know HELLO 3. Clients that speak RESP3 end, so that
 * they come again and are told. */
void pool_without_resp3(struct pool *pool);
/* Some request of the pool is not yet answered by its server. */
bool pool_busy(const struct pool *pool);
/* "server name<TAB>address\n" of the server that has the key now. */
void pool_show_route(struct pool *pool, const char *key, size_t len,
	struct text *t);
void pool_update_ring(struct pool *pool);
/* A deadline has been set: have the pool look again then. */
void pool_expect(struct pool *pool, uint64_t deadline_ms);

/* ---- proxy.c: the process ------------------------------------------------ */

struct options {
	bool test_conf, daemonize, describe, help, version;
	int verbosity;
	const char *output, *conf_file, *stats_addr, *pid_file, *route;
	uint16_t stats_port;
	int slow;                /* ms from which a request is logged; 0: never */
	int shutdown_timeout;    /* ms for requests under way at the end */
	unsigned workers;        /* 1: one process does all */
};

/* Those that have something to write at the end of the turn, in the order in which
 * it came: as a rule, that is also how it reaches a server over several conns. */
struct writers {
	struct conn *head, *tail;
};

enum process { PROCESS_ALONE, PROCESS_PARENT, PROCESS_WORKER };

struct process_stats {
	uint64_t total_connections, curr_connections; /* listeners too */
	/* Up to date only when somebody asks. */
	uint64_t memory_bytes;
	uint64_t loop_max_us;
	uint64_t updates;        /* how often that was done, of a worker */
	uint64_t generation;     /* of the counters: reloads it has taken over */
};

struct proxy {
	struct options options;
	enum process process;
	struct loop loop;
	struct pool **pools;     /* in index order */
	size_t npools;
	struct pool *leaving;    /* not in the configuration any more, but with
	                          * clients that wait for replies */
	struct writers flush_servers, flush_clients;
	struct conn *dead;       /* freed when the turn is over */
	struct client *resumed;  /* clients that go on although nothing came */
	struct timer trim;       /* give memory back */
	struct process_stats *stats;
	uint64_t clients, max_clients;
	uint64_t next_client_id;
	uint64_t start_us;
	int spare_fd;            /* given up to be able to refuse at the limit */
	uint64_t reloads, reload_failures;
	bool reload_failed;      /* the last one */
	bool noting;             /* the log may want to know of requests */
	bool stopping;           /* no new requests; ends when all are answered */
	bool hurry;              /* ends without waiting for that */
};

extern struct proxy proxy;

/* Take over a configuration, given as the text of its file: whole or not at all. */
void proxy_reload(const char *text, size_t len);
/* Life of a worker, which has just been forked: with what it hears its parent by,
 * and the signals to unblock. Returns the exit status. */
int proxy_work(unsigned number, struct conn *parent, const sigset_t *signals);
/* Write at the end of the turn. */
void proxy_flush_add(struct conn *c);
static inline void proxy_flush_later(struct conn *c)
{
	if (!c->flushing)
		proxy_flush_add(c);
}
/* Free at the end of the turn. */
void proxy_bury(struct conn *c);

/* ---- workers.c: several processes, and counters that they share ---------- */

/* Make room for the counters of `needed` pools and servers, and for those that
 * reloads bring: four times as many. 0, or -1 with errno. Without it, counters
 * are the memory of one process. */
int counters_open(size_t needed);
/* Are there so many free? */
bool counters_room(size_t needed);
/* A reload begins: what is taken from now on is of the next generation. */
void counters_next(void);
/* Zeroed; all processes take and free them in the same order. */
void *counters_new(size_t size);
void counters_free(void *counters);
/* The owner goes on with a copy of its own; the place is free. */
void *counters_detach(void *counters, size_t size);
/* One counter, over all workers. */
uint64_t counters_sum(const uint64_t *counter);
/* The same, of the worker that has least. */
uint64_t counters_least(const uint64_t *counter);

/* In the parent. Fork; the children do not return from here. */
void workers_start(void);
/* SIGCHLD has come: start again what died, after a while if it died young. */
void workers_reap(void);
unsigned workers_running(void);
/* The first byte of what the parent says. */
enum worker_message {
	WORKER_FIGURES, WORKER_LISTEN, WORKER_RELOAD, WORKER_LEVEL,
	WORKER_REOPEN, WORKER_STOP,
};
void workers_tell(enum worker_message what);
void workers_kill(void);
/* Bring the parent's counters up to date: the sums of the workers'. */
void workers_collect(void);
/* Of one worker, from 1. */
const struct process_stats *workers_process(unsigned worker);
uint64_t workers_requests(unsigned worker);
unsigned workers_restarts(void);
/* Have all take over a configuration; `pools` are new and listen. */
void workers_reload(const char *text, size_t len, struct pool *const *pools,
	size_t npools);

/* In a worker. The parent has said something. */
void workers_ready(void);
/* The socket of the next pool that is new; -1 with errno. */
int workers_listener(void);

/* ---- stats.c ------------------------------------------------------------ */

/* Listen; an address with a slash in front is a unix socket; `share` lets
 * another process listen there too. -1: *error is a
 * sentence that the caller frees. */
int stats_open(const char *addr, uint16_t port, bool share, char **error);
void stats_close(void);
/* In a worker: close what is the parent's. */
void stats_forget(void);
void stats_ready(struct conn *c, unsigned events);
/* Bring up to date the figures that are not counted. */
void stats_update(void);
/* What -D prints, to standard error. */
void stats_describe(void);
/* Count a response by how long it took. */
void stats_latency(struct server_stats *stats, uint64_t us);

#endif
