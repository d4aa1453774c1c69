/* SPDX-License-Identifier: Apache-2.0 */
/* conn: sockets and bytes: listen, accept, connect, read, write, close. */
#include "proxy.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <unistd.h>

#include "util.h"

enum {
	SPARE_SIZES = 17,   /* BLOCK_SIZE, and twice that, up to 1 GB */
	SPARE_BYTES = 1 << 26, /* kept for the next turns, all sizes together */
	SHARED_SIZE = 131072, /* bytes of one read, one of those sizes */
	HUGE = 1 << 20,     /* bytes, from which on a new block takes the place of
	                     * spares, and grows eightfold */
	WRITE_VECTOR = 32,  /* blocks handed to one write */
};

/* Bytes, from which on a block is a mapping of its own. Sanitizers want all in
 * the heap, of which they know where it ends. */
#ifndef MAPPED
#define MAPPED 32768
#endif

/* Every socket is read into this; what is left over is copied out, or keeps the
 * block if it is large: a new one takes its place. */
static struct block *shared;

/* By size: large ones cost more than small ones to have from the system and to
 * give back, as their pages are cleared (a SET of 100 KB: a third). */
static struct {
	struct block *list;
	unsigned count;
	unsigned unused; /* the fewest there were since the last trim */
} spares[SPARE_SIZES];

static size_t spare_bytes;

/* The smallest size kept that is large enough; SPARE_SIZES if none is. */
static unsigned spare_size(size_t cap)
{
	unsigned size = 0;

	while (size < SPARE_SIZES && (size_t)BLOCK_SIZE << size < cap)
		size++;
	return size;
}

/* NULL: there is no memory for it. One that is large is not of the heap, where
 * any small thing behind it would keep it from going back to the system, unless
 * the system gives no more mappings, of which it has only so many. */
static APART struct block *block_make(size_t cap, unsigned size)
{
	struct block *block = MAP_FAILED;

	if (cap >= MAPPED)
		block = mmap(NULL, sizeof(*block) + cap, PROT_READ | PROT_WRITE,
			MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (block != MAP_FAILED) {
		block->mapped = true;
	} else {
		block = malloc(sizeof(*block) + cap);
		if (!block)
			return NULL;
		block->mapped = false;
	}
	block->cap = cap;
	block->size = size;
	block->next = NULL;
	block->start = block->end = 0;
	return block;
}

static APART void block_give_back(struct block *block)
{
	if (block->mapped)
		munmap(block, sizeof(*block) + block->cap);
	else
		free(block);
}

/* There is one. */
static inline struct block *spare_take(unsigned size)
{
	struct block *block = spares[size].list;

	spares[size].list = block->next;
	spare_bytes -= block->cap;
	if (--spares[size].count < spares[size].unused)
		spares[size].unused = spares[size].count;
	return block;
}

/* What is kept and what is new are not both needed. */
static void spares_give_way(size_t bytes)
{
	for (unsigned i = SPARE_SIZES; i-- > 0;) {
		while (bytes && spares[i].list) {
			struct block *block = spare_take(i);

			bytes -= block->cap < bytes ? block->cap : bytes;
			block_give_back(block);
		}
	}
}

/* None is left of this size. NULL: there is no memory for it. */
static APART struct block *block_new_of_size(unsigned size)
{
	size_t cap = (size_t)BLOCK_SIZE << size;

	if (cap >= HUGE)
		spares_give_way(cap);
	return block_make(cap, size);
}

/* NULL: there is no memory for it. */
static inline struct block *block_of_size(unsigned size)
{
	struct block *block;

	if (!spares[size].list)
		return block_new_of_size(size);
	block = spare_take(size);
	block->next = NULL;
	block->start = block->end = 0;
	return block;
}

struct block *block_try(size_t cap)
{
	unsigned size = cap < BLOCK_SIZE ? SPARE_SIZES : spare_size(cap);

	return size < SPARE_SIZES ? block_of_size(size) :
		block_make(cap, SPARE_SIZES);
}

struct block *block_new(size_t cap)
{
	struct block *block = block_try(cap);

	if (!block)
		out_of_memory();
	return block;
}

static inline struct block *small_block(void)
{
	struct block *block = block_of_size(0);

	if (!block)
		out_of_memory();
	return block;
}

void block_free(struct block *block)
{
	unsigned size;

	if (!block)
		return;
	size = block->size;
	if (size == SPARE_SIZES || block->cap > SPARE_BYTES - spare_bytes) {
		block_give_back(block);
		return;
	}
	block->next = spares[size].list;
	spares[size].list = block;
	spares[size].count++;
	spare_bytes += block->cap;
}

bool blocks_trim(void)
{
	block_free(shared);
	shared = NULL;
	for (unsigned i = 0; i < SPARE_SIZES; i++) {
		for (unsigned n = spares[i].unused; n > 0; n--)
			block_give_back(spare_take(i));
		spares[i].unused = spares[i].count;
	}
	return spare_bytes > 0;
}

static void queue_add(struct queue *q, struct block *block)
{
	if (q->tail)
		q->tail->next = block;
	else
		q->head = block;
	q->tail = block;
}

void queue_give(struct queue *q, struct block *block)
{
	queue_add(q, block);
	q->bytes += block->end - block->start;
}

/* What the last block has no room for. */
static APART void put_many(struct queue *q, const char *from, size_t len)
{
	while (len) {
		size_t n;

		if (!q->tail || q->tail->end == q->tail->cap)
			queue_add(q, small_block());
		n = q->tail->cap - q->tail->end;
		if (n > len)
			n = len;
		memcpy(q->tail->data + q->tail->end, from, n);
		q->tail->end += n;
		from += n;
		len -= n;
	}
}

void queue_put_blocks(struct queue *q, const void *data, size_t len)
{
	struct block *block;

	q->bytes += len;
	if (q->tail || len > BLOCK_SIZE) {
		put_many(q, data, len);
		return;
	}
	block = small_block();
	block->end = len;
	q->head = q->tail = block;
	memcpy(block->data, data, len);
}

void queue_clear(struct queue *q)
{
	struct block *next;

	for (struct block *block = q->head; block; block = next) {
		next = block->next;
		block_free(block);
	}
	q->head = q->tail = NULL;
	q->bytes = 0;
}

/* Take the first n bytes off. */
static void queue_drop(struct queue *q, size_t n)
{
	q->bytes -= n;
	while (q->head && n >= q->head->end - q->head->start) {
		struct block *done = q->head;
		n -= done->end - done->start;
		q->head = done->next;
		block_free(done);
	}
	if (q->head)
		q->head->start += n;
	else
		q->tail = NULL;
}

/* Room in c->in for the message that is being received: all of it when its
 * length is known, but no more than twice what has come, so that a length that
 * is only announced costs nothing; eight times when it is huge, for what is not
 * touched yet costs nothing either, and copies do. False: there is no memory for one so large,
 * which is the end of the conn, and of nobody else's. */
static bool make_room(struct conn *c, size_t need)
{
	struct block *in = c->in, *larger;
	size_t have = in->end - in->start, cap, growth = have < HUGE ? 2 : 8;

	cap = need > have + READ_SIZE ? need : have + READ_SIZE;
	if (cap / growth > have)
		cap = have * growth + READ_SIZE;
	if (cap <= in->cap) {
		if (in->start)
			memmove(in->data, in->data + in->start, have);
		in->start = 0;
		in->end = have;
		return true;
	}
	larger = block_try(cap);
	if (!larger)
		return false;
	memcpy(larger->data, in->data + in->start, have);
	larger->end = have;
	block_free(in);
	c->in = larger;
	return true;
}

/* No bytes have come: why. */
static APART enum io not_read(struct conn *c, ssize_t n)
{
	if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK))
		return IO_AGAIN;
	c->error = n < 0 ? errno : 0;
	return n < 0 ? IO_ERROR : IO_EOF;
}

static inline enum io read_once(struct conn *c, char *to, size_t room,
	size_t *got)
{
	ssize_t n;

	do
		n = recv(c->watch.fd, to, room, 0);
	while (n < 0 && errno == EINTR);
	if (n <= 0)
		return not_read(c, n);
	c->received += (uint64_t)n;
	*got = (size_t)n;
	return IO_OK;
}

/* The beginning of the message has been put away. */
static APART enum io read_more(struct conn *c)
{
	size_t kept = c->in->end - c->in->start, got = 0;
	enum io result;

	if (kept >= LARGE || c->need > READ_SIZE) {
		if ((c->need > c->in->cap - c->in->start ||
		    c->in->end == c->in->cap) && !make_room(c, c->need)) {
			c->error = ENOMEM;
			return IO_ERROR;
		}
		result = read_once(c, c->in->data + c->in->end,
			c->in->cap - c->in->end, &got);
		c->in->end += got;
		return result;
	}
	/* A small piece goes in front of what is read now. */
	result = read_once(c, shared->data + kept, READ_SIZE - kept, &got);
	if (result != IO_OK)
		return result;
	memcpy(shared->data, c->in->data + c->in->start, kept);
	block_free(c->in);
	c->in = NULL;
	c->rest = shared->data;
	c->rest_len = kept + got;
	return IO_OK;
}

enum io conn_read(struct conn *c)
{
	if (!shared)
		shared = block_new(SHARED_SIZE);
	if (c->in)
		return read_more(c);
	c->rest = shared->data;
	/* A client's input may have to be kept, and clients are many. */
	return read_once(c, shared->data,
		c->role == ROLE_SERVER ? SHARED_SIZE : READ_SIZE, &c->rest_len);
}

void conn_consume_block(struct conn *c, size_t len)
{
	c->in->start += len;
	if (c->in->start == c->in->end) {
		block_free(c->in);
		c->in = NULL;
	}
}

/* Give the shared block away, with `len` bytes of the input in it; what is
 * behind them goes to the new one. */
static struct block *give_shared(struct conn *c, size_t len)
{
	struct block *block = shared;

	block->start = (size_t)(c->rest - block->data);
	block->end = block->start + len;
	shared = block_new(SHARED_SIZE);
	c->rest_len -= len;
	memcpy(shared->data, c->rest + len, c->rest_len);
	c->rest = shared->data;
	return block;
}

/* Take it off what was read last; nearly all that was read is it, or a copy is
 * made. */
static struct block *take_rest(struct conn *c, size_t len)
{
	struct block *block;

	if (len > SHARED_SIZE / 2)
		return give_shared(c, len);
	block = block_new(len);
	memcpy(block->data, c->rest, len);
	block->end = len;
	c->rest += len;
	c->rest_len -= len;
	return block;
}

struct block *conn_take(struct conn *c, size_t len)
{
	struct block *block = c->in, *left;
	size_t more;

	if (!block)
		return take_rest(c, len);
	if (len < LARGE) {
		block = block_new(len);
		memcpy(block->data, c->in->data + c->in->start, len);
		block->end = len;
		conn_consume_block(c, len);
		return block;
	}
	more = block->end - block->start - len;
	c->in = NULL;
	if (more) {
		left = block_new(more);
		memcpy(left->data, block->data + block->start + len, more);
		left->end = more;
		block->end -= more;
		c->in = left;
	}
	return block;
}

void conn_move_any(struct conn *c, size_t len, struct queue *to)
{
	size_t have;

	if (len >= LARGE && (c->in || len > SHARED_SIZE / 2)) {
		queue_give(to, conn_take(c, len));
		return;
	}
	queue_put(to, conn_input(c, &have), len);
	conn_consume(c, len);
}

void conn_keep_rest(struct conn *c)
{
	size_t len = c->rest_len, cap = len;

	/* What is to become a large message gets its room at once: the block
	 * that it lies in, if that is no more than what has come allows. */
	if (c->need > READ_SIZE) {
		cap = len * 2 + READ_SIZE;
		if (cap >= SHARED_SIZE && c->need <= SHARED_SIZE -
		    (size_t)(c->rest - shared->data)) {
			c->in = give_shared(c, len);
			return;
		}
		if (cap > c->need)
			cap = c->need;
	}
	c->in = block_new(cap);
	memcpy(c->in->data, c->rest, len);
	c->in->end = len;
	c->rest = NULL;
	c->rest_len = 0;
}

/* What came of an attempt to write: n bytes are gone, or errno says why not. */
static APART enum io written(struct conn *c, ssize_t n, size_t asked)
{
	if (n < 0) {
		if (errno == EAGAIN || errno == EWOULDBLOCK)
			return IO_AGAIN;
		c->error = errno;
		return IO_ERROR;
	}
	queue_drop(&c->out, (size_t)n);
	c->sent += (uint64_t)n;
	return (size_t)n < asked ? IO_AGAIN : IO_OK;
}

static APART enum io write_blocks(struct conn *c)
{
	struct iovec vector[WRITE_VECTOR];
	size_t asked = 0;
	int count = 0;
	ssize_t n;

	for (struct block *b = c->out.head; b && count < WRITE_VECTOR;
	     b = b->next) {
		vector[count].iov_base = b->data + b->start;
		vector[count].iov_len = b->end - b->start;
		asked += b->end - b->start;
		count++;
	}
	do
		n = writev(c->watch.fd, vector, count);
	while (n < 0 && errno == EINTR);
	return written(c, n, asked);
}

static APART enum io write_all(struct conn *c)
{
	enum io result = IO_OK;

	while (c->out.head && result == IO_OK)
		result = write_blocks(c);
	return result;
}

enum io conn_write(struct conn *c)
{
	struct block *block = c->out.head;
	size_t len;
	ssize_t n;

	if (!block)
		return IO_OK;
	if (block->next)
		return write_all(c);
	/* The only one, as nearly always. */
	len = block->end - block->start;
	do
		n = send(c->watch.fd, block->data + block->start, len, 0);
	while (n < 0 && errno == EINTR);
	if (n != (ssize_t)len)
		return written(c, n, len);
	c->sent += len;
	c->out.head = c->out.tail = NULL;
	c->out.bytes = 0;
	block_free(block);
	return IO_OK;
}

void conn_discard(struct conn *c)
{
	block_free(c->in);
	c->in = NULL;
	c->rest = NULL;
	c->rest_len = 0;
}

void conn_swap_input(struct conn *c, struct input *other)
{
	struct input own = { c->in, c->rest, c->rest_len };

	c->in = other->in;
	c->rest = other->rest;
	c->rest_len = other->rest_len;
	*other = own;
}

void conn_close_socket(struct conn *c)
{
	if (c->watch.fd < 0)
		return;
	loop_forget(&proxy.loop, &c->watch);
	close(c->watch.fd);
	c->watch.fd = -1;
	/* Readers of the statistics are not counted in them. */
	if (c->role <= ROLE_SERVER)
		proxy.stats->curr_connections--;
}

void conn_close(struct conn *c)
{
	conn_close_socket(c);
	queue_clear(&c->out);
	conn_discard(c);
}

/* ---- sockets ------------------------------------------------------------ */

/* accept4 and SOCK_NONBLOCK are not everywhere; this is. */
static int prepare(int fd)
{
	int flags;

	if (fd < 0)
		return -1;
	flags = fcntl(fd, F_GETFL);
	if (flags < 0 || fcntl(fd, F_SETFL, flags | O_NONBLOCK) < 0 ||
	    fcntl(fd, F_SETFD, FD_CLOEXEC) < 0) {
		int saved = errno;
		close(fd);
		errno = saved;
		return -1;
	}
	return fd;
}

int socket_accept(int listener)
{
	int fd;

	do
		fd = accept(listener, NULL, NULL);
	while (fd < 0 && errno == EINTR);
	return prepare(fd);
}

void socket_nodelay(int fd)
{
	int on = 1;

	/* Fails on unix sockets, where it is not needed. */
	(void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
}

void socket_keepalive(int fd, const struct conf_pool *conf)
{
	int on = 1;

	if (!conf->tcpkeepalive)
		return;
	if (setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof(on)) < 0) {
		log_warn("keepalive on fd %d of pool '%s' failed, ignored: %s",
			fd, conf->name, strerror(errno));
		return;
	}
#ifdef TCP_KEEPIDLE
	if (conf->tcpkeepidle)
		(void)setsockopt(fd, IPPROTO_TCP, TCP_KEEPIDLE,
			&conf->tcpkeepidle, sizeof(int));
#endif
#ifdef TCP_KEEPINTVL
	if (conf->tcpkeepintvl)
		(void)setsockopt(fd, IPPROTO_TCP, TCP_KEEPINTVL,
			&conf->tcpkeepintvl, sizeof(int));
#endif
#ifdef TCP_KEEPCNT
	if (conf->tcpkeepcnt)
		(void)setsockopt(fd, IPPROTO_TCP, TCP_KEEPCNT,
			&conf->tcpkeepcnt, sizeof(int));
#endif
}

int socket_error(int fd)
{
	int error = 0;
	socklen_t len = sizeof(error);

	if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &len) < 0)
		return errno;
	return error;
}

/* With a port that nobody listens at, TCP may choose that very port to come from. */
static bool meets_itself(int fd)
{
	struct sockaddr_storage here, there;
	socklen_t len = sizeof(here), other = sizeof(there);

	memset(&here, 0, sizeof(here));
	memset(&there, 0, sizeof(there));
	return getsockname(fd, (struct sockaddr *)&here, &len) == 0 &&
		getpeername(fd, (struct sockaddr *)&there, &other) == 0 &&
		here.ss_family != AF_UNIX && len == other &&
		memcmp(&here, &there, len) == 0;
}

int socket_connected(int fd)
{
	/* Closed so, it does not keep the port from who is to listen there. */
	const struct linger reset = { .l_onoff = 1, .l_linger = 0 };
	int error = socket_error(fd);

	if (error || !meets_itself(fd))
		return error;
	(void)setsockopt(fd, SOL_SOCKET, SO_LINGER, &reset, sizeof(reset));
	return ECONNREFUSED;
}

int socket_connect(const struct sockaddr *addr, socklen_t len, bool *pending)
{
	int fd = prepare(socket(addr->sa_family, SOCK_STREAM, 0));

	if (fd < 0)
		return -1;
	if (addr->sa_family != AF_UNIX)
		socket_nodelay(fd);
	*pending = false;
	if (connect(fd, addr, len) < 0) {
		if (errno != EINPROGRESS && errno != EINTR) {
			int saved = errno;
			close(fd);
			errno = saved;
			return -1;
		}
		*pending = true;
	}
	return fd;
}

/* The path may be taken over only from a socket nobody answers on. */
static int unlink_stale(const struct sockaddr_un *sun)
{
	struct stat st;
	int fd, refused;

	if (lstat(sun->sun_path, &st) < 0)
		return errno == ENOENT ? 0 : -1;
	if (!S_ISSOCK(st.st_mode)) {
		errno = EEXIST;
		return -1;
	}
	/* Non-blocking: the queue of a living owner may be full. */
	fd = prepare(socket(AF_UNIX, SOCK_STREAM, 0));
	if (fd < 0)
		return -1;
	refused = connect(fd, (const struct sockaddr *)sun, sizeof(*sun)) < 0 &&
		errno == ECONNREFUSED;
	close(fd);
	if (!refused) {
		errno = EADDRINUSE;
		return -1;
	}
	return unlink(sun->sun_path);
}

struct socket_file socket_file(const char *path)
{
	struct stat st;

	if (lstat(path, &st) < 0)
		return (struct socket_file){ 0 };
	return (struct socket_file){ st.st_dev, st.st_ino };
}

void socket_remove(const char *path, struct socket_file file)
{
	struct socket_file now = socket_file(path);

	if (now.ino == file.ino && now.dev == file.dev)
		unlink(path);
}

static int listen_unix(const struct conf_pool *conf, const char **what)
{
	struct sockaddr_un sun;
	int fd;

	*what = "bind";
	if (strlen(conf->listen.host) >= sizeof(sun.sun_path)) {
		errno = ENAMETOOLONG;
		return -1;
	}
	memset(&sun, 0, sizeof(sun));
	sun.sun_family = AF_UNIX;
	snprintf(sun.sun_path, sizeof(sun.sun_path), "%s", conf->listen.host);
	if (unlink_stale(&sun) < 0)
		return -1;
	fd = prepare(socket(AF_UNIX, SOCK_STREAM, 0));
	if (fd < 0)
		return -1;
	if (bind(fd, (struct sockaddr *)&sun, sizeof(sun)) < 0)
		goto failed;
	*what = "chmod";
	if (conf->listen.mode && chmod(sun.sun_path, conf->listen.mode) < 0)
		goto failed;
	*what = "listen";
	if (listen(fd, conf->backlog) < 0)
		goto failed;
	return fd;
failed:
	{
		int saved = errno;
		close(fd);
		errno = saved;
	}
	return -1;
}

int socket_listen_tcp(const char *host, uint16_t port, int backlog,
	bool reuseport, const char **what)
{
	struct addrinfo hints, *list;
	char service[8];
	int fd, on = 1, saved;

	memset(&hints, 0, sizeof(hints));
	hints.ai_socktype = SOCK_STREAM;
	hints.ai_flags = AI_PASSIVE | AI_NUMERICSERV;
	snprintf(service, sizeof(service), "%u", (unsigned)port);
	*what = "address resolution";
	if (getaddrinfo(strcmp(host, "*") == 0 ? NULL : host, service, &hints,
		&list) != 0) {
		errno = EADDRNOTAVAIL;
		return -1;
	}
	*what = "socket";
	fd = prepare(socket(list->ai_family, SOCK_STREAM, 0));
	if (fd < 0)
		goto failed;
	(void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
#ifdef SO_REUSEPORT
	if (reuseport)
		(void)setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &on, sizeof(on));
#else
	(void)reuseport;
#endif
	*what = "bind";
	if (bind(fd, list->ai_addr, list->ai_addrlen) < 0)
		goto failed;
	*what = "listen";
	if (listen(fd, backlog) < 0)
		goto failed;
	freeaddrinfo(list);
	return fd;
failed:
	saved = errno;
	if (fd >= 0)
		close(fd);
	freeaddrinfo(list);
	errno = saved;
	return -1;
}

int socket_listen(const struct conf_pool *conf, const char **what)
{
	if (conf->listen.is_unix)
		return listen_unix(conf, what);
	return socket_listen_tcp(conf->listen.host, conf->listen.port,
		conf->backlog, conf->reuseport, what);
}

const char *socket_peer(int fd)
{
	static char text[INET6_ADDRSTRLEN + 16];
	struct sockaddr_storage addr;
	socklen_t len = sizeof(addr);
	const struct sockaddr_in *ip4 = (const struct sockaddr_in *)&addr;
	const struct sockaddr_in6 *ip6 = (const struct sockaddr_in6 *)&addr;
	bool six;
	char host[INET6_ADDRSTRLEN];

	if (getpeername(fd, (struct sockaddr *)&addr, &len) < 0)
		return "unknown";
	if (addr.ss_family == AF_UNIX)
		return "unix";
	six = addr.ss_family == AF_INET6;
	if (!inet_ntop(addr.ss_family, six ? (const void *)&ip6->sin6_addr :
		(const void *)&ip4->sin_addr, host, sizeof(host)))
		return "unknown";
	snprintf(text, sizeof(text), "%s:%u", host,
		(unsigned)ntohs(six ? ip6->sin6_port : ip4->sin_port));
	return text;
}
