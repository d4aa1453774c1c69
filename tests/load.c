/* SPDX-License-Identifier: Apache-2.0 */
/*
 * load: mixed requests over many connections, of which every byte of every
 * reply is known beforehand.
 *
 * Each connection owns its keys, so it knows what they hold. A value names its
 * key and its version and goes on with bytes that only this key and version
 * have: a reply that went to the wrong client, or the right one cut, doubled or
 * late, cannot pass for what was expected. What is expected is kept as short
 * segments and compared while it arrives, so that large values cost no memory.
 */
#include "bench.h"

#include <stdbool.h>
#include <stdint.h>

enum {
	STRINGS = 24,     /* keys of each connection, by what they hold */
	COUNTERS = 4,
	HASHES = 3,       /* these and lists only in Redis */
	LISTS = 2,
	FIRST_COUNTER = STRINGS,
	FIRST_HASH = FIRST_COUNTER + COUNTERS,
	FIRST_LIST = FIRST_HASH + HASHES,
	KEYS = FIRST_LIST + LISTS,
	PIECES = 16,      /* of a string, fields of a hash, elements of a list */
	MULTI = 20,       /* keys in one request at most */
	NAME_MAX_LEN = 240,
	LINE_MAX_LEN = 4096,
	READ_SIZE = 256 * 1024,
	OUT_ENOUGH = 256 * 1024, /* unsent bytes at which no more is made */
	NOISE = 1 << 20,
	ABSENT = -1,
	ADDRESSES = 16,
};

/* What a string holds is the sum of its pieces (SET, then APPENDs). */
struct piece {
	uint32_t version;
	int32_t len;      /* ABSENT: a field that is not there */
};

struct key {
	uint32_t gen;     /* grows when nobody knows what the key holds */
	uint32_t version; /* of the newest piece */
	uint32_t stamp;   /* grows with every change: is a cas number still good? */
	uint32_t flags;
	int count;        /* pieces, elements; of a hash: fields that are there */
	int pending;      /* unanswered requests that name it */
	bool present;     /* counters */
	bool shrunk;      /* memcached keeps the width of a number that got shorter */
	bool cas_known;
	uint32_t cas_stamp;
	uint64_t cas;
	int64_t number;
	struct piece piece[PIECES];
};

enum seg_kind {
	SEG_TEXT,         /* exactly these bytes */
	SEG_VALUE,        /* exactly this piece */
	SEG_CAS,          /* a cas number, remembered */
	SEG_LINE,         /* a line that starts with `first` (0: any) */
	SEG_BULK,         /* nil, or any value of the key */
	SEG_ITEM,         /* no item, or any item of the key */
};

struct seg {
	enum seg_kind kind;
	char first;
	int key;
	uint32_t gen;
	uint32_t version; /* of the piece; of SEG_CAS the stamp */
	size_t off;       /* SEG_TEXT: where in the request's text */
	size_t len;
};

struct request {
	struct request *next;
	const char *name;
	bool write;
	bool counted;
	int64_t made;     /* ms */
	int nkeys;
	int key[MULTI];
	int nsegs, segs_cap;
	struct seg *seg;
	size_t text_len, text_cap;
	char *text;
};

enum state { CONN_OFF, CONN_CONNECTING, CONN_UP, CONN_DONE };

struct conn {
	int id;
	int fd;
	enum state state;
	int64_t retry_at;  /* CONN_OFF: when to connect again */
	int64_t rest_until; /* makes no requests before */
	struct key key[KEYS];
	struct request *head, **tail; /* unanswered, in order */
	struct request *making;       /* the one being made */
	int outstanding, target;
	bool fenced;
	int at;            /* segment of the head being compared */
	size_t at_pos;     /* bytes of it that have been */
	size_t skip;       /* bytes to come that nobody looks at */
	char *out;
	size_t out_len, out_sent, out_cap;
	char *rest;        /* received, and too little to judge */
	size_t rest_len;
};

enum family { STRING, COUNTER, HASH, LIST, SCALAR, EVERY };

static const struct {
	int first, count;
} families[] = {
	[STRING] = { 0, STRINGS },
	[COUNTER] = { FIRST_COUNTER, COUNTERS },
	[HASH] = { FIRST_HASH, HASHES },
	[LIST] = { FIRST_LIST, LISTS },
	[SCALAR] = { 0, FIRST_HASH },
	[EVERY] = { 0, KEYS },
};

/* A kind of request: on 1 to `max` keys, or on none when max is 0. */
struct op {
	const char *name;
	int weight;
	unsigned flags;
	enum family family;
	uint32_t max;
	void (*make)(struct conn *c, int k); /* k: the first key */
};
enum {
	OP_BASIC = 1,     /* every backend knows it */
	OP_LOOSE = 2,     /* its reply can be judged without knowing the data */
	OP_WRITE = 4,
};

struct address {
	struct sockaddr_storage sa;
	socklen_t len;
};

static struct {
	bool memcached, chop, basic, loose, errors_ok, lost_ok, quiet;
	int conns, depth;
	long requests;
	uint32_t size;
	uint64_t seed;
	int seconds, wait, calm, pause;
	int64_t max;
	const char *prefix, *password;
	int naddresses;
	struct address address[ADDRESSES];
} opt = {
	.conns = 10, .depth = 16, .requests = 10000, .size = 1000,
	.seed = 1, .seconds = 300, .wait = 20,
};

static struct {
	long made, right, errors, wrong, lost, closes;
	long late; /* errors when there should be none any more */
	double bytes;
	int64_t slowest;
	const char *slowest_name;
	struct {
		char text[100];
		long count;
	} error[8];
} sum;

static uint64_t rng;
static char *noise;
static char *scratch;
static int64_t now;
static int64_t last_progress;
static int64_t calm_at;
static bool stopping;
static bool stuck;
static volatile sig_atomic_t told; /* by SIGTERM, to stop */

static void *
grow(void *ptr, size_t size)
{
	ptr = realloc(ptr, size);
	if (ptr == NULL)
		die("load: realloc: %s", strerror(errno));
	return ptr;
}

/* splitmix64 of Sebastiano Vigna. */
static uint64_t
mix(uint64_t x)
{
	x += 0x9e3779b97f4a7c15u;
	x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
	x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
	return x ^ (x >> 31);
}

static uint32_t
rnd(uint32_t n)
{
	rng++;
	return (uint32_t)(((mix(rng) >> 32) * n) >> 32);
}

/* Small ones often, large ones seldom, 0 and the limit among them. */
static uint32_t
size_random(void)
{
	uint32_t shift = rnd(18);

	if (rnd(500) == 0)
		return opt.size;
	return rnd(opt.size + 1) >> shift;
}

/* Some keys are long. Names of a memcached pool must not pass 250 bytes. */
static int
key_name(const struct conn *c, int k, uint32_t gen, char *name)
{
	int len, least = k % 8 == 3 ? 200 : 0;

	len = snprintf(name, NAME_MAX_LEN, "%s:%d:%d:%u", opt.prefix, c->id, k,
	    (unsigned)gen);
	for (; len < least; len++)
		name[len] = (char)('a' + len % 26);
	name[len] = '\0';
	return len;
}

static size_t
value_head(const struct conn *c, int k, uint32_t gen, uint32_t version,
    char *head)
{
	return (size_t)snprintf(head, NAME_MAX_LEN, "%s:%d:%d:%u@%u@", opt.prefix,
	    c->id, k, (unsigned)gen, (unsigned)version);
}

/* Where in the noise the value's bytes from `pos` on lie, and how many. */
static const char *
value_noise(const struct conn *c, const struct seg *s, size_t pos, size_t *n)
{
	uint64_t h = mix(((uint64_t)(unsigned)c->id << 40) +
	    ((uint64_t)(unsigned)s->key << 32) + s->version + s->gen * 77777u);
	size_t off = (size_t)(h + pos) % NOISE;

	if (*n > NOISE - off)
		*n = NOISE - off;
	return noise + off;
}

/*
 * The bytes of a value from `pos` on: at least one, as many as lie together.
 * `head` is the caller's space.
 */
static const char *
value_at(const struct conn *c, const struct seg *s, size_t pos, size_t *n,
    char *head)
{
	size_t len = value_head(c, s->key, s->gen, s->version, head);

	*n = s->len - pos;
	if (pos < len) {
		if (*n > len - pos)
			*n = len - pos;
		return head + pos;
	}
	return value_noise(c, s, pos, n);
}

static void
out_bytes(struct conn *c, const void *ptr, size_t len)
{
	if (c->out_len + len > c->out_cap) {
		c->out_cap = (c->out_len + len) * 2;
		c->out = grow(c->out, c->out_cap);
	}
	memcpy(c->out + c->out_len, ptr, len);
	c->out_len += len;
}

static void
out_text(struct conn *c, const char *fmt, ...)
{
	char text[LINE_MAX_LEN];
	va_list ap;
	int n;

	va_start(ap, fmt);
	n = vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	out_bytes(c, text, (size_t)n);
}

static void
out_value(struct conn *c, int k, const struct piece *p)
{
	struct seg s = {
		.key = k, .gen = c->key[k].gen, .version = p->version,
		.len = (size_t)p->len,
	};
	char head[NAME_MAX_LEN];
	size_t pos, n;
	const char *ptr;

	for (pos = 0; pos < s.len; pos += n) {
		ptr = value_at(c, &s, pos, &n, head);
		out_bytes(c, ptr, n);
	}
}

/* The request being made expects one more segment. */
static struct seg *
want(struct conn *c, enum seg_kind kind)
{
	struct request *r = c->making;
	struct seg *s;

	if (r->nsegs == r->segs_cap) {
		r->segs_cap = r->segs_cap * 2 + 4;
		r->seg = grow(r->seg, (size_t)r->segs_cap * sizeof(*r->seg));
	}
	s = &r->seg[r->nsegs++];
	memset(s, 0, sizeof(*s));
	s->kind = kind;
	return s;
}

static void
want_text(struct conn *c, const char *fmt, ...)
{
	struct request *r = c->making;
	char text[LINE_MAX_LEN];
	struct seg *s;
	va_list ap;
	size_t n;

	va_start(ap, fmt);
	n = (size_t)vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	if (r->text_len + n > r->text_cap) {
		r->text_cap = (r->text_len + n) * 2;
		r->text = grow(r->text, r->text_cap);
	}
	memcpy(r->text + r->text_len, text, n);
	if (r->nsegs > 0 && r->seg[r->nsegs - 1].kind == SEG_TEXT) {
		r->seg[r->nsegs - 1].len += n;
	} else {
		s = want(c, SEG_TEXT);
		s->off = r->text_len;
		s->len = n;
	}
	r->text_len += n;
}

static void
want_piece(struct conn *c, int k, const struct piece *p)
{
	struct seg *s;

	if (p->len == 0)
		return;
	s = want(c, SEG_VALUE);
	s->key = k;
	s->gen = c->key[k].gen;
	s->version = p->version;
	s->len = (size_t)p->len;
}

static void
want_line(struct conn *c, char first)
{
	want(c, SEG_LINE)->first = first;
}

static void
want_any(struct conn *c, enum seg_kind kind, int k)
{
	struct seg *s = want(c, kind);

	s->key = k;
	s->gen = k == ABSENT ? 0 : c->key[k].gen;
}

/* A number, when the data is known; in loose mode any. */
static void
want_number(struct conn *c, int64_t n)
{
	if (opt.loose)
		want_line(c, ':');
	else
		want_text(c, ":%lld\r\n", (long long)n);
}

/*
 * A key of the family, noted in the request. Where errors are
 * allowed a key is in one request at a time only: nobody knows what an error
 * has left, and the key gets a new name then. ABSENT when all are in use.
 */
static int
key_pick(struct conn *c, enum family family)
{
	struct request *r = c->making;
	int first = families[family].first, count = families[family].count;
	int i, k = first + (int)rnd((uint32_t)count);

	if (opt.errors_ok) {
		for (i = 0; i < count && c->key[k].pending > 0; i++)
			k = k + 1 < first + count ? k + 1 : first;
		if (c->key[k].pending > 0)
			return ABSENT;
	}
	c->key[k].pending++;
	r->key[r->nkeys++] = k;
	return k;
}

static bool
key_present(const struct key *k)
{
	return k->count > 0 || k->present;
}

static void
key_clear(struct key *k)
{
	int i;

	k->count = 0;
	k->present = false;
	k->shrunk = false;
	k->stamp++;
	for (i = 0; i < PIECES; i++)
		k->piece[i].len = ABSENT;
}

/* A new piece of random length at place i. */
static struct piece *
key_piece(struct key *k, int i)
{
	struct piece *p = &k->piece[i];

	p->version = ++k->version;
	p->len = (int32_t)size_random();
	if (opt.loose && p->len < 64)
		p->len = 64; /* shorter ones do not name their key */
	k->stamp++;
	return p;
}

static struct piece *
key_set(struct key *k)
{
	key_clear(k);
	k->count = 1;
	return key_piece(k, 0);
}

static long
key_length(const struct key *k)
{
	long len = 0;
	int i;

	for (i = 0; i < k->count; i++)
		len += k->piece[i].len;
	return len;
}

/* ---- Redis requests ---- */

static void
words(struct conn *c, int n, const char *name)
{
	out_text(c, "*%d\r\n$%d\r\n%s\r\n", n, (int)strlen(name), name);
}

static void
word(struct conn *c, const char *text)
{
	out_text(c, "$%d\r\n%s\r\n", (int)strlen(text), text);
}

static void
word_key(struct conn *c, int k)
{
	char name[NAME_MAX_LEN];

	key_name(c, k, c->key[k].gen, name);
	word(c, name);
}

static void
word_value(struct conn *c, int k, const struct piece *p)
{
	out_text(c, "$%d\r\n", (int)p->len);
	out_value(c, k, p);
	out_bytes(c, "\r\n", 2);
}

static void
want_bulk_piece(struct conn *c, int k, const struct piece *p)
{
	if (p->len == ABSENT) {
		want_text(c, "$-1\r\n");
		return;
	}
	want_text(c, "$%d\r\n", (int)p->len);
	want_piece(c, k, p);
	want_text(c, "\r\n");
}

/* What GET of a string or counter must answer. */
static void
want_bulk(struct conn *c, int k)
{
	struct key *key = &c->key[k];
	char digits[32];
	int i;

	if (opt.loose) {
		want_any(c, SEG_BULK, k);
	} else if (!key_present(key)) {
		want_text(c, "$-1\r\n");
	} else if (k >= FIRST_COUNTER) {
		snprintf(digits, sizeof(digits), "%lld", (long long)key->number);
		want_text(c, "$%d\r\n%s\r\n", (int)strlen(digits), digits);
	} else {
		want_text(c, "$%ld\r\n", key_length(key));
		for (i = 0; i < key->count; i++)
			want_piece(c, k, &key->piece[i]);
		want_text(c, "\r\n");
	}
}

static void
redis_ping(struct conn *c, int k)
{
	(void)k;
	words(c, 1, "PING");
	want_text(c, "+PONG\r\n");
}

static void
redis_get(struct conn *c, int k)
{

	words(c, 2, "GET");
	word_key(c, k);
	want_bulk(c, k);
}

static void
redis_set(struct conn *c, int k)
{
	bool expire = rnd(4) == 0;

	words(c, expire && !opt.basic ? 5 : 3, rnd(2) ? "SET" : "set");
	word_key(c, k);
	word_value(c, k, key_set(&c->key[k]));
	if (expire && !opt.basic) {
		word(c, "EX");
		word(c, "100000");
	}
	want_text(c, "+OK\r\n");
}

static void
redis_mget(struct conn *c, int k)
{
	struct request *r = c->making;
	int i;

	words(c, r->nkeys + 1, rnd(2) ? "MGET" : "mget");
	want_text(c, "*%d\r\n", r->nkeys);
	for (i = 0; i < r->nkeys; i++) {
		k = r->key[i];
		word_key(c, k);
		if (opt.loose && k >= FIRST_COUNTER)
			want_any(c, SEG_BULK, ABSENT);
		else
			want_bulk(c, k);
	}
}

static void
redis_mset(struct conn *c, int k)
{
	struct request *r = c->making;
	int i;

	words(c, 2 * r->nkeys + 1, "MSET");
	for (i = 0; i < r->nkeys; i++) {
		k = r->key[i];
		word_key(c, k);
		word_value(c, k, key_set(&c->key[k]));
	}
	want_text(c, "+OK\r\n");
}

static void
redis_del(struct conn *c, int k)
{
	struct request *r = c->making;
	int i, gone = 0;

	words(c, r->nkeys + 1, opt.basic || rnd(2) ? "DEL" : "UNLINK");
	for (i = 0; i < r->nkeys; i++) {
		k = r->key[i];
		word_key(c, k);
		gone += key_present(&c->key[k]);
		key_clear(&c->key[k]);
	}
	want_number(c, gone);
}

static void
redis_touch(struct conn *c, int k)
{
	struct request *r = c->making;
	int i, there = 0;

	words(c, r->nkeys + 1, "TOUCH");
	for (i = 0; i < r->nkeys; i++) {
		k = r->key[i];
		word_key(c, k);
		there += key_present(&c->key[k]);
	}
	want_number(c, there);
}

static void
redis_exists(struct conn *c, int k)
{

	words(c, 2, "EXISTS");
	word_key(c, k);
	want_number(c, key_present(&c->key[k]));
}

static void
redis_incr(struct conn *c, int k)
{
	struct key *key;
	char digits[16];
	int by;

	key = &c->key[k];
	if (!key->present)
		key->number = 0;
	key->present = true;
	by = opt.basic ? 1 : (int)rnd(1000) - 500;
	key->number += by;
	if (by == 1) {
		words(c, 2, "INCR");
		word_key(c, k);
	} else {
		words(c, 3, "INCRBY");
		word_key(c, k);
		snprintf(digits, sizeof(digits), "%d", by);
		word(c, digits);
	}
	want_number(c, key->number);
}

static void
redis_append(struct conn *c, int k)
{
	struct key *key;

	if (c->key[k].count == PIECES) {
		redis_ping(c, k);
		return;
	}
	key = &c->key[k];
	words(c, 3, "APPEND");
	word_key(c, k);
	word_value(c, k, key_piece(key, key->count));
	key->count++;
	want_number(c, key_length(key));
}

static void
redis_strlen(struct conn *c, int k)
{

	words(c, 2, "STRLEN");
	word_key(c, k);
	want_number(c, key_length(&c->key[k]));
}

static void
redis_getset(struct conn *c, int k)
{

	want_bulk(c, k);
	words(c, 3, "GETSET");
	word_key(c, k);
	word_value(c, k, key_set(&c->key[k]));
}

static void
redis_setnx(struct conn *c, int k)
{
	struct key *key, new;

	key = &c->key[k];
	new = *key;
	words(c, 3, "SETNX");
	word_key(c, k);
	word_value(c, k, key_set(&new));
	want_number(c, !key_present(key));
	if (key_present(key))
		key->version = new.version;
	else
		*key = new;
}

static const char *
field(int i)
{
	static const char *const names[PIECES] = {
		"name", "address", "city", "d", "e", "f", "g", "h",
		"i", "j", "k", "l", "m", "n", "o", "a rather long name of a field",
	};

	return names[i];
}

static void
field_set(struct conn *c, int k, int i)
{
	struct key *key = &c->key[k];

	key->count += key->piece[i].len == ABSENT;
	word(c, field(i));
	word_value(c, k, key_piece(key, i));
}

static void
redis_hset(struct conn *c, int k)
{
	int before, i;

	before = c->key[k].count;
	i = (int)rnd(PIECES);
	words(c, 4, "HSET");
	word_key(c, k);
	field_set(c, k, i);
	want_number(c, c->key[k].count - before);
}

static void
redis_hmset(struct conn *c, int k)
{

	words(c, 8, "HMSET");
	word_key(c, k);
	field_set(c, k, 0);
	field_set(c, k, 1);
	field_set(c, k, 2);
	want_text(c, "+OK\r\n");
}

static void
redis_hget(struct conn *c, int k)
{
	int i = (int)rnd(PIECES);

	words(c, 3, "HGET");
	word_key(c, k);
	word(c, field(i));
	want_bulk_piece(c, k, &c->key[k].piece[i]);
}

static void
redis_hmget(struct conn *c, int k)
{
	int i, n = 1 + (int)rnd(PIECES);

	words(c, n + 2, "HMGET");
	word_key(c, k);
	want_text(c, "*%d\r\n", n);
	for (i = 0; i < n; i++) {
		word(c, field(i));
		want_bulk_piece(c, k, &c->key[k].piece[i]);
	}
}

static void
redis_hdel(struct conn *c, int k)
{
	int i = (int)rnd(PIECES);
	struct piece *p;

	p = &c->key[k].piece[i];
	words(c, 3, "HDEL");
	word_key(c, k);
	word(c, field(i));
	want_number(c, p->len != ABSENT);
	c->key[k].count -= p->len != ABSENT;
	p->len = ABSENT;
}

/* GET of a hash: an error that belongs to one request, and to no other. */
static void
redis_wrong_type(struct conn *c, int k)
{

	words(c, 2, "GET");
	word_key(c, k);
	if (c->key[k].count == 0)
		want_text(c, "$-1\r\n");
	else
		want_text(c, "-WRONGTYPE Operation against a key holding the "
		    "wrong kind of value\r\n");
}

static void
redis_push(struct conn *c, int k)
{
	bool left = rnd(2) == 0;
	struct key *key;
	int i;

	if (c->key[k].count == PIECES) {
		redis_ping(c, k);
		return;
	}
	key = &c->key[k];
	i = key->count++;
	if (left) {
		i = 0;
		memmove(key->piece + 1, key->piece,
		    (PIECES - 1) * sizeof(key->piece[0]));
	}
	words(c, 3, left ? "LPUSH" : "RPUSH");
	word_key(c, k);
	word_value(c, k, key_piece(key, i));
	want_number(c, key->count);
}

static void
redis_pop(struct conn *c, int k)
{
	struct key *key;

	key = &c->key[k];
	words(c, 2, "LPOP");
	word_key(c, k);
	want_bulk_piece(c, k, &key->piece[0]);
	if (key->count == 0)
		return;
	memmove(key->piece, key->piece + 1,
	    (PIECES - 1) * sizeof(key->piece[0]));
	key->piece[--key->count].len = ABSENT;
}

static void
redis_range(struct conn *c, int k)
{
	int i;

	words(c, 4, "LRANGE");
	word_key(c, k);
	word(c, "0");
	word(c, "-1");
	want_text(c, "*%d\r\n", c->key[k].count);
	for (i = 0; i < c->key[k].count; i++)
		want_bulk_piece(c, k, &c->key[k].piece[i]);
}

static const struct op redis_ops[] = {
	{ "PING", 2, OP_BASIC | OP_LOOSE, STRING, 0, redis_ping },
	{ "GET", 20, OP_BASIC | OP_LOOSE, STRING, 1, redis_get },
	{ "SET", 20, OP_BASIC | OP_LOOSE | OP_WRITE, STRING, 1, redis_set },
	{ "MGET", 8, OP_BASIC | OP_LOOSE, SCALAR, MULTI, redis_mget },
	{ "MSET", 6, OP_BASIC | OP_LOOSE | OP_WRITE, STRING, 8, redis_mset },
	{ "DEL", 3, OP_BASIC | OP_LOOSE | OP_WRITE, SCALAR, 6, redis_del },
	{ "DEL of any", 2, OP_WRITE, EVERY, 6, redis_del },
	{ "EXISTS", 2, OP_BASIC | OP_LOOSE, SCALAR, 1, redis_exists },
	{ "INCR", 6, OP_BASIC | OP_LOOSE | OP_WRITE, COUNTER, 1, redis_incr },
	{ "TOUCH", 2, OP_LOOSE, EVERY, 6, redis_touch },
	{ "APPEND", 4, OP_WRITE, STRING, 1, redis_append },
	{ "STRLEN", 2, 0, STRING, 1, redis_strlen },
	{ "GETSET", 3, OP_LOOSE | OP_WRITE, STRING, 1, redis_getset },
	{ "SETNX", 3, OP_LOOSE | OP_WRITE, STRING, 1, redis_setnx },
	{ "HSET", 4, OP_WRITE, HASH, 1, redis_hset },
	{ "HMSET", 3, OP_WRITE, HASH, 1, redis_hmset },
	{ "HGET", 4, 0, HASH, 1, redis_hget },
	{ "HMGET", 3, 0, HASH, 1, redis_hmget },
	{ "HDEL", 2, OP_WRITE, HASH, 1, redis_hdel },
	{ "GET of a hash", 2, 0, HASH, 1, redis_wrong_type },
	{ "LPUSH/RPUSH", 4, OP_WRITE, LIST, 1, redis_push },
	{ "LPOP", 3, OP_WRITE, LIST, 1, redis_pop },
	{ "LRANGE", 3, 0, LIST, 1, redis_range },
	{ NULL, 0, 0, STRING, 0, NULL },
};

/* ---- memcached requests ---- */

static void
memcached_version(struct conn *c, int k)
{
	(void)k;
	out_text(c, "version\r\n");
	want_line(c, 'V');
}

/*
 * Ends the request line, with noreply now and then (never where errors are
 * allowed: the one of a noreply request nobody would see). `reply` is what is
 * expected otherwise.
 */
static void
finish(struct conn *c, const char *reply)
{
	if (!opt.errors_ok && rnd(5) == 0) {
		out_text(c, " noreply\r\n");
		return;
	}
	out_text(c, "\r\n");
	if (opt.loose)
		want_line(c, 0);
	else
		want_text(c, "%s\r\n", reply);
}

static void
store(struct conn *c, const char *verb, int k, const struct piece *p,
    uint32_t flags, const char *cas, const char *reply)
{
	char name[NAME_MAX_LEN];

	key_name(c, k, c->key[k].gen, name);
	out_text(c, "%s %s %u 0 %d%s", verb, name, (unsigned)flags, (int)p->len,
	    cas);
	finish(c, reply);
	out_value(c, k, p);
	out_bytes(c, "\r\n", 2);
}

static void
store_set(struct conn *c, const char *verb, int k, const char *cas)
{
	struct key *key = &c->key[k];

	key_set(key);
	key->flags = rnd(2) ? 0 : rnd(UINT32_MAX);
	store(c, verb, k, &key->piece[0], key->flags, cas, "STORED");
}

/* A store that must change nothing. */
static void
store_vain(struct conn *c, const char *verb, int k, const char *cas,
    const char *reply)
{
	struct key key = c->key[k];

	key_set(&key);
	c->key[k].version = key.version;
	store(c, verb, k, &key.piece[0], rnd(1000), cas, reply);
}

static void
memcached_set(struct conn *c, int k)
{

	store_set(c, "set", k, "");
}

static void
memcached_add(struct conn *c, int k)
{

	if (key_present(&c->key[k]))
		store_vain(c, "add", k, "", "NOT_STORED");
	else
		store_set(c, "add", k, "");
}

static void
memcached_replace(struct conn *c, int k)
{

	if (!key_present(&c->key[k]))
		store_vain(c, "replace", k, "", "NOT_STORED");
	else
		store_set(c, "replace", k, "");
}

static void
memcached_append(struct conn *c, int k)
{
	bool front = rnd(2) == 0;
	struct key *key;
	int i;

	/* memcached takes items up to 1 MB. */
	if (c->key[k].count == PIECES ||
	    (uint32_t)key_length(&c->key[k]) + opt.size > 900000) {
		memcached_version(c, k);
		return;
	}
	key = &c->key[k];
	if (!key_present(key)) {
		store_vain(c, front ? "prepend" : "append", k, "", "NOT_STORED");
		return;
	}
	i = key->count++;
	if (front) {
		i = 0;
		memmove(key->piece + 1, key->piece,
		    (PIECES - 1) * sizeof(key->piece[0]));
	}
	store(c, front ? "prepend" : "append", k, key_piece(key, i), 5, "",
	    "STORED");
}

/* What get, or gets, must answer for one key. */
static void
want_item(struct conn *c, int k, bool cas)
{
	struct key *key = &c->key[k];
	char name[NAME_MAX_LEN];
	struct seg *s;
	int i;

	if (opt.loose) {
		want_any(c, SEG_ITEM, k);
		return;
	}
	if (!key_present(key))
		return;
	key_name(c, k, key->gen, name);
	want_text(c, "VALUE %s %u %ld", name, (unsigned)key->flags,
	    key_length(key));
	if (cas) {
		want_text(c, " ");
		s = want(c, SEG_CAS);
		s->key = k;
		s->version = key->stamp;
	}
	want_text(c, "\r\n");
	for (i = 0; i < key->count; i++)
		want_piece(c, k, &key->piece[i]);
	want_text(c, "\r\n");
}

static void
retrieve(struct conn *c, const char *verb)
{
	struct request *r = c->making;
	char name[NAME_MAX_LEN];
	int i, k;

	out_text(c, "%s", verb);
	for (i = 0; i < r->nkeys; i++) {
		k = r->key[i];
		key_name(c, k, c->key[k].gen, name);
		out_text(c, " %s", name);
		want_item(c, k, verb[3] == 's');
	}
	out_text(c, "\r\n");
	want_text(c, "END\r\n");
}

static void
memcached_get(struct conn *c, int k)
{
	(void)k;
	retrieve(c, "get");
}

static void
memcached_gets(struct conn *c, int k)
{
	(void)k;
	retrieve(c, "gets");
}

static void
memcached_cas(struct conn *c, int k)
{
	struct key *key;
	char cas[32];

	if (!c->key[k].cas_known) {
		memcached_version(c, k);
		return;
	}
	key = &c->key[k];
	snprintf(cas, sizeof(cas), " %llu", (unsigned long long)key->cas);
	if (!key_present(key))
		store_vain(c, "cas", k, cas, "NOT_FOUND");
	else if (key->cas_stamp != key->stamp)
		store_vain(c, "cas", k, cas, "EXISTS");
	else
		store_set(c, "cas", k, cas);
}

static void
memcached_delete(struct conn *c, int k)
{
	char name[NAME_MAX_LEN];

	key_name(c, k, c->key[k].gen, name);
	out_text(c, "delete %s", name);
	finish(c, key_present(&c->key[k]) ? "DELETED" : "NOT_FOUND");
	key_clear(&c->key[k]);
}

static void
memcached_touch(struct conn *c, int k)
{
	char name[NAME_MAX_LEN];

	key_name(c, k, c->key[k].gen, name);
	out_text(c, "touch %s 100000", name);
	finish(c, key_present(&c->key[k]) ? "TOUCHED" : "NOT_FOUND");
	c->key[k].cas_known = false;
}

static void
memcached_counter(struct conn *c, int k)
{
	struct key *key = &c->key[k];
	char name[NAME_MAX_LEN], digits[24];

	key->present = true;
	key->shrunk = false;
	key->number = rnd(100000);
	snprintf(digits, sizeof(digits), "%lld", (long long)key->number);
	key_name(c, k, key->gen, name);
	out_text(c, "set %s 0 0 %d", name, (int)strlen(digits));
	finish(c, "STORED");
	out_text(c, "%s\r\n", digits);
}

static void
memcached_incr(struct conn *c, int k)
{
	char name[NAME_MAX_LEN], digits[24];
	struct key *key;
	int64_t by = rnd(1000);
	bool up = rnd(2) == 0;

	key = &c->key[k];
	if (!key->present && rnd(4) > 0) {
		memcached_counter(c, k);
		return;
	}
	key_name(c, k, key->gen, name);
	out_text(c, "%s %s %lld", up ? "incr" : "decr", name, (long long)by);
	if (!key->present) {
		finish(c, "NOT_FOUND");
		return;
	}
	if (!up)
		key->shrunk = true;
	key->number += up ? by : -by;
	if (key->number < 0)
		key->number = 0; /* memcached stops there */
	snprintf(digits, sizeof(digits), "%lld", (long long)key->number);
	finish(c, digits);
}

static void
memcached_get_counter(struct conn *c, int k)
{
	char name[NAME_MAX_LEN], digits[24];
	struct key *key;

	if (c->key[k].shrunk) {
		memcached_version(c, k);
		return;
	}
	key = &c->key[k];
	key_name(c, k, key->gen, name);
	out_text(c, "get %s\r\n", name);
	if (key->present) {
		snprintf(digits, sizeof(digits), "%lld", (long long)key->number);
		want_text(c, "VALUE %s 0 %d\r\n%s\r\n", name, (int)strlen(digits),
		    digits);
	}
	want_text(c, "END\r\n");
}

static const struct op memcached_ops[] = {
	{ "version", 1, OP_BASIC | OP_LOOSE, STRING, 0, memcached_version },
	{ "get", 20, OP_BASIC | OP_LOOSE, STRING, 1, memcached_get },
	{ "set", 25, OP_BASIC | OP_LOOSE | OP_WRITE, STRING, 1, memcached_set },
	{ "get of many", 10, OP_BASIC | OP_LOOSE, STRING, MULTI, memcached_get },
	{ "gets of many", 3, OP_BASIC, STRING, MULTI, memcached_gets },
	{ "delete", 3, OP_BASIC | OP_LOOSE | OP_WRITE, SCALAR, 1, memcached_delete },
	{ "incr/decr", 8, OP_BASIC | OP_LOOSE | OP_WRITE, COUNTER, 1, memcached_incr },
	{ "gets", 6, OP_BASIC, STRING, 1, memcached_gets },
	{ "cas", 6, OP_BASIC | OP_WRITE, STRING, 1, memcached_cas },
	{ "add", 5, OP_BASIC | OP_LOOSE | OP_WRITE, STRING, 1, memcached_add },
	{ "replace", 4, OP_BASIC | OP_LOOSE | OP_WRITE, STRING, 1, memcached_replace },
	{ "append/prepend", 6, OP_BASIC | OP_WRITE, STRING, 1, memcached_append },
	{ "touch", 2, OP_BASIC | OP_LOOSE, SCALAR, 1, memcached_touch },
	{ "get of a counter", 3, 0, COUNTER, 1, memcached_get_counter },
	{ NULL, 0, 0, STRING, 0, NULL },
};

/* ---- the conversation ---- */

static const struct op *
op_pick(void)
{
	const struct op *ops = opt.memcached ? memcached_ops : redis_ops, *op;
	unsigned must = (opt.basic ? OP_BASIC : 0u) | (opt.loose ? OP_LOOSE : 0u);
	uint32_t total = 0, at;

	for (op = ops; op->name != NULL; op++)
		if ((op->flags & must) == must)
			total += (uint32_t)op->weight;
	at = rnd(total);
	for (op = ops;; op++) {
		if ((op->flags & must) != must)
			continue;
		if (at < (uint32_t)op->weight)
			return op;
		at -= (uint32_t)op->weight;
	}
}

static struct request *
request_new(struct conn *c, const char *name)
{
	struct request *r = grow(NULL, sizeof(*r));

	memset(r, 0, sizeof(*r));
	r->name = name;
	r->made = now;
	c->making = r;
	return r;
}

static void
request_free(struct conn *c, struct request *r)
{
	int i;

	for (i = 0; i < r->nkeys; i++)
		c->key[r->key[i]].pending--;
	free(r->seg);
	free(r->text);
	free(r);
}

/* Puts the request that was made into the queue, if it gets an answer. */
static void
request_queue(struct conn *c)
{
	struct request *r = c->making;

	c->making = NULL;
	if (r->nsegs == 0) {
		sum.right += r->counted;
		request_free(c, r);
		return;
	}
	*c->tail = r;
	c->tail = &r->next;
	c->outstanding++;
}

static void
request_make(struct conn *c)
{
	const struct op *op = op_pick();
	struct request *r = request_new(c, op->name);
	uint32_t i, n;

	r->write = (op->flags & OP_WRITE) != 0;
	r->counted = true;
	sum.made++;
	n = op->max > 0 ? 1 + rnd(op->max) : 0;
	for (i = 0; i < n; i++)
		if (key_pick(c, op->family) == ABSENT)
			break;
	if (i > 0 || n == 0)
		op->make(c, r->key[0]);
	else if (opt.memcached)
		memcached_version(c, ABSENT);
	else
		redis_ping(c, ABSENT);
	request_queue(c);
}

/* Leaves nothing behind: a memcached that is full would forget what it has. */
static void
clean_up(struct conn *c)
{
	struct request *r;
	int k;

	for (k = 0; k < KEYS; k++) {
		if (!key_present(&c->key[k]))
			continue;
		r = request_new(c, "the clean-up");
		r->write = true;
		r->key[r->nkeys++] = k;
		c->key[k].pending++;
		if (opt.memcached)
			memcached_delete(c, k);
		else
			redis_del(c, k);
		request_queue(c);
	}
}

/* Nothing may come behind the last reply: a last question proves it. */
static void
fence(struct conn *c)
{
	clean_up(c);
	request_new(c, "the last question");
	if (opt.memcached)
		memcached_version(c, ABSENT);
	else
		redis_ping(c, ABSENT);
	request_queue(c);
	c->fenced = true;
}

/* Nobody knows what the request has done: its keys get new names. */
static void
request_failed(struct conn *c, struct request *r)
{
	int i;

	for (i = 0; i < r->nkeys && r->write; i++) {
		c->key[r->key[i]].gen++;
		c->key[r->key[i]].cas_known = false;
		key_clear(&c->key[r->key[i]]);
	}
}

static void
reply_done(struct conn *c)
{
	struct request *r = c->head;

	if (now - r->made > sum.slowest) {
		sum.slowest = now - r->made;
		sum.slowest_name = r->name;
	}
	last_progress = now;
	c->head = r->next;
	if (c->head == NULL)
		c->tail = &c->head;
	c->outstanding--;
	c->at = 0;
	c->at_pos = 0;
	request_free(c, r);
}

static void
print_escaped(const char *what, const char *ptr, size_t len)
{
	fprintf(stderr, "  %s: \"", what);
	escape(stderr, ptr, len < 200 ? len : 200);
	fprintf(stderr, "\"%s\n", len > 200 ? "..." : "");
}

static void
conn_close(struct conn *c, bool again)
{
	struct request *r;

	close(c->fd);
	c->fd = -1;
	while ((r = c->head) != NULL) {
		sum.lost += r->counted;
		request_failed(c, r);
		reply_done(c);
	}
	c->out_len = c->out_sent = c->rest_len = c->skip = 0;
	c->fenced = false;
	c->state = again && !stopping ? CONN_OFF : CONN_DONE;
	c->retry_at = now + 20;
}

/* A reply that is not what it must be: the rest of the conn proves nothing. */
static void
reply_wrong(struct conn *c, const char *why, const char *ptr, size_t len)
{
	const struct request *r = c->head;
	char head[NAME_MAX_LEN];
	const struct seg *s;
	const char *want_ptr;
	size_t n;

	sum.wrong++;
	if (sum.wrong <= 5) {
		fprintf(stderr, "load: connection %d: %s: %s (segment %d, byte %lu)\n",
		    c->id, r != NULL ? r->name : "no request", why, c->at,
		    (unsigned long)c->at_pos);
		print_escaped("received", ptr, len);
	}
	if (sum.wrong <= 5 && r != NULL) {
		s = &r->seg[c->at];
		if (s->kind == SEG_TEXT) {
			print_escaped("expected", r->text + s->off + c->at_pos,
			    s->len - c->at_pos);
		} else if (s->kind == SEG_VALUE) {
			want_ptr = value_at(c, s, c->at_pos, &n, head);
			print_escaped("expected", want_ptr, n);
		}
	}
	conn_close(c, opt.errors_ok);
}

static const char *
line_end(const char *ptr, size_t len)
{
	const char *nl = memchr(ptr, '\n', len);

	return nl != NULL && nl > ptr && nl[-1] == '\r' ? nl + 1 : NULL;
}

static void
error_count(struct conn *c, const char *ptr, size_t len)
{
	size_t i, n = len - 2;

	if (n >= sizeof(sum.error[0].text))
		n = sizeof(sum.error[0].text) - 1;
	for (i = 0; i < 7 && sum.error[i].count > 0; i++)
		if (strncmp(sum.error[i].text, ptr, n) == 0 &&
		    sum.error[i].text[n] == '\0')
			break;
	if (sum.error[i].count++ == 0)
		memcpy(sum.error[i].text, ptr, n);
	sum.errors++;
	sum.late += now >= calm_at;
	request_failed(c, c->head);
	reply_done(c);
}

/* Is this reply, of which two bytes are there, an error, where none or another
 * one was expected? */
static bool
is_error(const struct request *r, const char *ptr)
{
	if (!opt.memcached)
		return ptr[0] == '-' &&
		    (r->seg[0].kind != SEG_TEXT || memcmp(r->text, ptr, 2) != 0);
	return memcmp(ptr, "ER", 2) == 0 || memcmp(ptr, "CL", 2) == 0 ||
	    memcmp(ptr, "SE", 2) == 0;
}

/* Results of the checks below: bytes used, or */
enum { MORE = -1, WRONG = -2 };

static long
check_text(struct conn *c, const struct seg *s, const char *ptr, size_t len)
{
	size_t n = s->len - c->at_pos;

	if (n > len)
		n = len;
	if (memcmp(c->head->text + s->off + c->at_pos, ptr, n) != 0)
		return WRONG;
	return (long)n;
}

static long
check_value(struct conn *c, const struct seg *s, const char *ptr, size_t len)
{
	char head[NAME_MAX_LEN];
	const char *expected;
	size_t n, done = 0;

	while (done < len && c->at_pos + done < s->len) {
		expected = value_at(c, s, c->at_pos + done, &n, head);
		if (n > len - done)
			n = len - done;
		if (memcmp(expected, ptr + done, n) != 0) {
			c->at_pos += done;
			return WRONG;
		}
		done += n;
	}
	return (long)done;
}

static long
check_cas(struct conn *c, const struct seg *s, const char *ptr, size_t len)
{
	struct key *key = &c->key[s->key];
	uint64_t cas = 0;
	size_t i;

	for (i = 0; i < len && ptr[i] >= '0' && ptr[i] <= '9'; i++)
		cas = cas * 10 + (uint64_t)(ptr[i] - '0');
	if (i == len)
		return i < 20 ? MORE : WRONG;
	if (i == 0)
		return WRONG;
	key->cas = cas;
	key->cas_stamp = s->version;
	key->cas_known = true;
	return (long)i;
}

/* Does a value start with its owner's name? `len` bytes of it are there. */
static bool
owner_ok(struct conn *c, const struct seg *s, const char *ptr, size_t len)
{
	char name[NAME_MAX_LEN];
	size_t n;

	if (s->key == ABSENT)
		return true; /* a counter's */
	n = (size_t)snprintf(name, sizeof(name), "%s:%d:%d:%u@", opt.prefix, c->id,
	    s->key, (unsigned)s->gen);
	return len >= n && memcmp(name, ptr, n) == 0;
}

/* The bytes of a value of which line and some are there; the rest is skipped. */
static long
check_owner(struct conn *c, const struct seg *s, const char *ptr, size_t len,
    size_t line, long size)
{
	size_t all = (size_t)size + 2;

	if (len - line < all && len - line < 64)
		return MORE;
	if (!owner_ok(c, s, ptr + line, len - line < all ? len - line : all))
		return WRONG;
	if (len - line < all) {
		c->skip = all - (len - line);
		return (long)len;
	}
	return (long)(line + all);
}

static long
check_bulk(struct conn *c, const struct seg *s, const char *ptr, size_t len)
{
	const char *end = line_end(ptr, len);
	long size;

	if (end == NULL)
		return MORE;
	if (ptr[0] != '$')
		return WRONG;
	size = strtol(ptr + 1, NULL, 10);
	if (size < 0)
		return end - ptr;
	return check_owner(c, s, ptr, len, (size_t)(end - ptr), size);
}

static long
check_item(struct conn *c, const struct seg *s, const char *ptr, size_t len)
{
	const char *end = line_end(ptr, len);
	char name[NAME_MAX_LEN], got[NAME_MAX_LEN + 1], line[300];
	unsigned flags;
	long size;

	if (end == NULL)
		return MORE;
	if (ptr[0] == 'E')
		return 0;
	if ((size_t)(end - ptr) >= sizeof(line))
		return WRONG;
	memcpy(line, ptr, (size_t)(end - ptr));
	line[end - ptr] = '\0';
	if (sscanf(line, "VALUE %240s %u %ld", got, &flags, &size) != 3 || size < 0)
		return WRONG;
	key_name(c, s->key, s->gen, name);
	if (strcmp(name, got) != 0)
		return 0; /* the next one's, or the check of END will tell */
	return check_owner(c, s, ptr, len, (size_t)(end - ptr), size);
}

static long
check_line(const struct seg *s, const char *ptr, size_t len)
{
	const char *end;

	if (s->first != 0 && ptr[0] != s->first)
		return WRONG;
	end = line_end(ptr, len);
	return end == NULL ? MORE : end - ptr;
}

static long
check_segment(struct conn *c, const struct seg *s, const char *ptr, size_t len)
{
	switch (s->kind) {
	case SEG_TEXT:
		return check_text(c, s, ptr, len);
	case SEG_VALUE:
		return check_value(c, s, ptr, len);
	case SEG_CAS:
		return check_cas(c, s, ptr, len);
	case SEG_LINE:
		return check_line(s, ptr, len);
	case SEG_BULK:
		return check_bulk(c, s, ptr, len);
	case SEG_ITEM:
		return check_item(c, s, ptr, len);
	}
	return WRONG;
}

/* The segment has used n bytes: on to the next, or the next reply. */
static void
advance(struct conn *c, const struct seg *s, size_t n)
{
	if (s->kind == SEG_TEXT || s->kind == SEG_VALUE) {
		c->at_pos += n;
		if (c->at_pos < s->len)
			return;
	}
	c->at_pos = 0;
	if (++c->at < c->head->nsegs || c->skip > 0)
		return;
	sum.right += c->head->counted;
	reply_done(c);
}

/* Judges what has been received. Returns how much could be; -1: wrong. */
static long
check(struct conn *c, const char *ptr, size_t len)
{
	const struct seg *s;
	const char *end;
	size_t used = 0, n;
	long r;

	while (used < len) {
		if (c->skip > 0) {
			n = c->skip < len - used ? c->skip : len - used;
			c->skip -= n;
			used += n;
			if (c->skip == 0 && c->at == c->head->nsegs) {
				sum.right += c->head->counted;
				reply_done(c);
			}
			continue;
		}
		if (c->head == NULL) {
			reply_wrong(c, "an answer nobody asked for", ptr + used,
			    len - used);
			return -1;
		}
		if (c->at == 0 && c->at_pos == 0) {
			if (len - used < 2)
				break;
			if (is_error(c->head, ptr + used)) {
				end = line_end(ptr + used, len - used);
				if (end == NULL)
					break;
				error_count(c, ptr + used, (size_t)(end - ptr) - used);
				used = (size_t)(end - ptr);
				continue;
			}
		}
		s = &c->head->seg[c->at];
		r = check_segment(c, s, ptr + used, len - used);
		if (r == MORE)
			break;
		if (r < 0) {
			reply_wrong(c, "not what it must be", ptr + used, len - used);
			return -1;
		}
		advance(c, s, (size_t)r);
		used += (size_t)r;
	}
	return (long)used;
}

static void
conn_read(struct conn *c)
{
	size_t max = READ_SIZE, len = c->rest_len;
	ssize_t n;
	long used;

	if (opt.chop)
		max = 1 + ((size_t)READ_SIZE >> rnd(18));
	memcpy(scratch, c->rest, len);
	n = recv(c->fd, scratch + len, max, 0);
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n <= 0) {
		sum.closes++;
		if (!opt.quiet && sum.closes <= 3)
			fprintf(stderr, "load: connection %d: %s with %d requests "
			    "open\n", c->id, n == 0 ? "closed" : strerror(errno),
			    c->outstanding);
		conn_close(c, opt.errors_ok);
		return;
	}
	sum.bytes += (double)n;
	len += (size_t)n;
	used = check(c, scratch, len);
	if (used < 0)
		return;
	len -= (size_t)used;
	if (len > LINE_MAX_LEN) {
		reply_wrong(c, "no end of line", scratch + used, len);
		return;
	}
	memcpy(c->rest, scratch + used, len);
	c->rest_len = len;
}

static void
conn_write(struct conn *c)
{
	size_t n = c->out_len - c->out_sent;
	ssize_t r;

	if (opt.chop) {
		size_t piece = 1 + rnd(65536u >> rnd(17));

		if (n > piece)
			n = piece;
	}
	r = send(c->fd, c->out + c->out_sent, n, MSG_NOSIGNAL);
	if (r < 0 && errno != EAGAIN && errno != EINTR) {
		sum.closes++;
		conn_close(c, opt.errors_ok);
		return;
	}
	if (r < 0)
		return;
	sum.bytes += (double)r;
	c->out_sent += (size_t)r;
	if (c->out_sent == c->out_len)
		c->out_sent = c->out_len = 0;
}

static void
conn_up(struct conn *c)
{
	int err = 0;
	socklen_t len = sizeof(err);

	getsockopt(c->fd, SOL_SOCKET, SO_ERROR, &err, &len);
	if (err != 0) {
		if (!opt.errors_ok) {
			errno = err;
			die("load: connect: %s", strerror(errno));
		}
		conn_close(c, true);
		return;
	}
	c->state = CONN_UP;
	if (opt.password != NULL) {
		request_new(c, "AUTH");
		words(c, 2, "AUTH");
		word(c, opt.password);
		want_text(c, "+OK\r\n");
		request_queue(c);
	}
}

static void
conn_connect(struct conn *c)
{
	const struct address *a = &opt.address[c->id % opt.naddresses];

	c->fd = socket_open(&a->sa);
	nonblocking(c->fd);
	c->state = CONN_CONNECTING;
	if (connect(c->fd, (const struct sockaddr *)&a->sa, a->len) == 0) {
		conn_up(c);
	} else if (errno != EINPROGRESS) {
		if (!opt.errors_ok)
			die("load: connect: %s", strerror(errno));
		conn_close(c, true);
	}
}

/* With -pause a conn asks, waits for all its replies, and rests. */
static bool
conn_rests(struct conn *c)
{
	if (opt.pause == 0)
		return false;
	if (c->outstanding > 0 || now < c->rest_until)
		return true;
	c->rest_until = now + rnd(2 * (uint32_t)opt.pause);
	return false;
}

/* Makes requests until the conn has enough to do. */
static void
conn_fill(struct conn *c)
{
	if (!stopping && conn_rests(c))
		return;
	if (c->outstanding == 0 || rnd(8) == 0)
		c->target = 1 + (int)rnd((uint32_t)opt.depth);
	while (!stopping && c->outstanding < c->target &&
	    c->out_len - c->out_sent < OUT_ENOUGH) {
		if (opt.requests > 0 && sum.made == opt.requests)
			stopping = true;
		else
			request_make(c);
	}
	if (!stopping || c->outstanding > 0)
		return;
	if (!c->fenced) {
		fence(c);
	} else {
		close(c->fd);
		c->state = CONN_DONE;
	}
}

static void
address_add(const char *text)
{
	struct address *a = &opt.address[opt.naddresses++];

	if (opt.naddresses > ADDRESSES)
		die("load: more than %d addresses", ADDRESSES);
	a->len = address_parse(text, &a->sa);
}

static void
usage(void)
{
	fputs("usage: load -p redis|memcached -h host:port [option...]\n"
	    "  -p PROTOCOL   redis or memcached\n"
	    "  -h ADDRESS    host:port or /path; several share the connections\n"
	    "  -c N          connections (10)\n"
	    "  -n N          requests in all (10000; 0: until -t is over)\n"
	    "  -s BYTES      largest value (1000)\n"
	    "  -P N          deepest pipeline (16)\n"
	    "  -t SECONDS    no new requests after that, or after SIGTERM (300)\n"
	    "  -calm SECONDS the last ones of -t; no errors then, not even with -errors\n"
	    "  -pause MS     between replies and the next requests, on average\n"
	    "  -max MS       no reply may take longer\n"
	    "  -w SECONDS    give up when nothing moved for so long (20)\n"
	    "  -k PREFIX     of the keys (from process and time: unused ones)\n"
	    "  -a PASSWORD   AUTH first\n"
	    "  -seed N       of the random numbers (1)\n"
	    "  -chop         write and read in random pieces\n"
	    "  -basic        only requests that a simple backend knows\n"
	    "  -errors       error replies are counted, and no failure\n"
	    "  -lost         nor are connections that the other side closed\n"
	    "  -loose        data may be gone or old, but never somebody else's\n"
	    "  -quiet        only the summary\n"
	    "Exit status: 0 all as it must be, 1 not, 2 could not run.\n", stderr);
	exit(2);
}

static const char *
option_value(char **argv, int *i)
{
	if (argv[*i + 1] == NULL)
		usage();
	return argv[++*i];
}

static bool
option_flag(const char *name)
{
	if (strcmp(name, "-chop") == 0)
		opt.chop = true;
	else if (strcmp(name, "-basic") == 0)
		opt.basic = true;
	else if (strcmp(name, "-errors") == 0)
		opt.errors_ok = true;
	else if (strcmp(name, "-lost") == 0)
		opt.lost_ok = opt.errors_ok = true;
	else if (strcmp(name, "-loose") == 0)
		opt.loose = opt.errors_ok = true;
	else if (strcmp(name, "-quiet") == 0)
		opt.quiet = true;
	else
		return false;
	return true;
}

static void
options(char **argv)
{
	const char *name, *value, *protocol = "";
	int i;

	for (i = 1; argv[i] != NULL; i++) {
		name = argv[i];
		if (option_flag(name))
			continue;
		value = option_value(argv, &i);
		if (strcmp(name, "-p") == 0)
			protocol = value;
		else if (strcmp(name, "-h") == 0)
			address_add(value);
		else if (strcmp(name, "-c") == 0)
			opt.conns = atoi(value);
		else if (strcmp(name, "-n") == 0)
			opt.requests = atol(value);
		else if (strcmp(name, "-s") == 0)
			opt.size = (uint32_t)atol(value);
		else if (strcmp(name, "-P") == 0)
			opt.depth = atoi(value);
		else if (strcmp(name, "-t") == 0)
			opt.seconds = atoi(value);
		else if (strcmp(name, "-w") == 0)
			opt.wait = atoi(value);
		else if (strcmp(name, "-calm") == 0)
			opt.calm = atoi(value);
		else if (strcmp(name, "-pause") == 0)
			opt.pause = atoi(value);
		else if (strcmp(name, "-max") == 0)
			opt.max = atol(value);
		else if (strcmp(name, "-k") == 0)
			opt.prefix = value;
		else if (strcmp(name, "-a") == 0)
			opt.password = value;
		else if (strcmp(name, "-seed") == 0)
			opt.seed = strtoull(value, NULL, 10);
		else
			usage();
	}
	opt.memcached = strcmp(protocol, "memcached") == 0;
	if (!opt.memcached && strcmp(protocol, "redis") != 0)
		usage();
	if (opt.naddresses == 0 || opt.conns < 1 || opt.depth < 1 ||
	    opt.size > 1 << 28 ||
	    (opt.prefix != NULL && strlen(opt.prefix) > 100))
		usage();
}

static void
turn(struct conn *conns, struct pollfd *fds)
{
	int i, live = 0;
	struct conn *c;

	for (i = 0; i < opt.conns; i++) {
		c = &conns[i];
		if (c->state == CONN_OFF && stopping)
			c->state = CONN_DONE;
		if (c->state == CONN_OFF && now >= c->retry_at)
			conn_connect(c);
		if (c->state == CONN_UP)
			conn_fill(c);
		fds[i].fd = -1;
		fds[i].events = POLLIN;
		if (c->state != CONN_UP && c->state != CONN_CONNECTING)
			continue;
		fds[i].fd = c->fd;
		if (c->state == CONN_CONNECTING || c->out_sent < c->out_len)
			fds[i].events |= POLLOUT;
		live++;
	}
	if (poll(fds, (nfds_t)opt.conns, live == 0 ? 10 :
	    opt.pause > 0 ? 5 : 100) < 0 && errno != EINTR)
		die("load: poll: %s", strerror(errno));
	now = now_ms();
	for (i = 0; i < opt.conns; i++) {
		c = &conns[i];
		if (fds[i].fd < 0 || fds[i].revents == 0)
			continue;
		if (c->state == CONN_CONNECTING) {
			conn_up(c);
			continue;
		}
		if (fds[i].revents & POLLOUT)
			conn_write(c);
		if (c->state == CONN_UP && (fds[i].revents & ~POLLOUT))
			conn_read(c);
	}
}

static bool
finished(const struct conn *conns)
{
	int i;

	for (i = 0; i < opt.conns; i++)
		if (conns[i].state != CONN_DONE)
			return false;
	return true;
}

/* Nothing moves any more: says who waits for what. */
static void
give_up(struct conn *conns)
{
	int i, said = 0;

	stopping = stuck = true;
	for (i = 0; i < opt.conns; i++) {
		if (conns[i].state == CONN_DONE)
			continue;
		if (conns[i].head != NULL && said++ < 5)
			fprintf(stderr, "load: connection %d waits for %s and %d "
			    "more, %lu bytes unsent\n", conns[i].id,
			    conns[i].head->name, conns[i].outstanding - 1,
			    (unsigned long)(conns[i].out_len - conns[i].out_sent));
		if (conns[i].state != CONN_OFF)
			conn_close(&conns[i], false);
		conns[i].state = CONN_DONE;
	}
}

static int
report(int64_t start)
{
	double seconds = (double)(now - start) / 1000.0;
	int i;

	if (seconds <= 0)
		seconds = 0.001;
	for (i = 0; i < 8 && sum.error[i].count > 0 && !opt.quiet; i++)
		fprintf(stderr, "load: %ld times: %s\n", sum.error[i].count,
		    i < 7 ? sum.error[i].text : "other errors");
	printf("load: %s: %ld requests, %ld right, %ld errors, %ld wrong, %ld lost, "
	    "%ld closed, %.0f MB, %.1f s, %.0f/s, slowest %ld ms\n",
	    opt.memcached ? "memcached" : "redis", sum.made, sum.right,
	    sum.errors, sum.wrong, sum.lost, sum.closes, sum.bytes / 1e6, seconds,
	    (double)sum.made / seconds, (long)sum.slowest);
	if (sum.late > 0)
		fprintf(stderr, "load: %ld errors in the last %d s\n", sum.late,
		    opt.calm);
	if (opt.max > 0 && sum.slowest > opt.max)
		fprintf(stderr, "load: a %s took %ld ms\n", sum.slowest_name,
		    (long)sum.slowest);
	if (sum.wrong > 0 || sum.right == 0 || stuck || sum.late > 0 ||
	    (opt.max > 0 && sum.slowest > opt.max))
		return 1;
	if (sum.errors > 0 && !opt.errors_ok)
		return 1;
	return (sum.lost > 0 || sum.closes > 0) && !opt.lost_ok;
}

static void
conn_init(struct conn *c, int id)
{
	int i;

	c->id = id;
	c->fd = -1;
	c->tail = &c->head;
	c->rest = grow(NULL, LINE_MAX_LEN);
	for (i = 0; i < KEYS; i++)
		key_clear(&c->key[i]);
}

static void
on_term(int signal_number)
{
	told = signal_number;
}

int
main(int argc, char **argv)
{
	struct sigaction action;
	struct conn *conns;
	struct pollfd *fds;
	char prefix[32];
	int64_t start;
	int i, status;

	(void)argc;
	options(argv);
	signal(SIGPIPE, SIG_IGN);
	memset(&action, 0, sizeof(action));
	action.sa_handler = on_term;
	sigaction(SIGTERM, &action, NULL);
	start = last_progress = now = now_ms();
	calm_at = opt.calm > 0 ? start + (int64_t)(opt.seconds - opt.calm) * 1000 :
	    INT64_MAX;
	snprintf(prefix, sizeof(prefix), "l%lx.%lx", (long)getpid(),
	    (long)time(NULL));
	if (opt.prefix == NULL)
		opt.prefix = prefix;
	rng = mix(opt.seed);
	noise = grow(NULL, NOISE);
	scratch = grow(NULL, READ_SIZE + 1 + LINE_MAX_LEN);
	for (i = 0; i < NOISE; i++)
		noise[i] = (char)rnd(256);
	conns = grow(NULL, (size_t)opt.conns * sizeof(*conns));
	memset(conns, 0, (size_t)opt.conns * sizeof(*conns));
	fds = grow(NULL, (size_t)opt.conns * sizeof(*fds));
	for (i = 0; i < opt.conns; i++)
		conn_init(&conns[i], i);
	while (!finished(conns)) {
		turn(conns, fds);
		if (told || now - start > (int64_t)opt.seconds * 1000)
			stopping = true;
		if (now - last_progress > (int64_t)opt.wait * 1000)
			give_up(conns);
	}
	status = report(start);
	for (i = 0; i < opt.conns; i++) {
		free(conns[i].out);
		free(conns[i].rest);
	}
	free(conns);
	free(fds);
	free(noise);
	free(scratch);
	return status;
}
