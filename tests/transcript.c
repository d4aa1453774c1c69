/* SPDX-License-Identifier: Apache-2.0 */
/*
 * transcript: plays recorded conversations against a proxy, with servers of its
 * own, and compares every byte that the client and the servers receive.
 *
 * A file of transcripts has one word a line and what belongs to it; bytes are
 * written with C escapes, and \(N c) is N times the character c:
 *
 *   case NAME          starts a conversation
 *   servers S...       up, down (refuses), unix, nofile (no such socket),
 *                      nowhere (a host name that does not resolve)
 *   set KEY: VALUE     one more line for the pool
 *   send BYTES         by the client; on a new conn if the last one was closed
 *   bytewise           the next send goes byte by byte
 *   half-close         the client has said all
 *   get BYTES          what the client must have received since the last send
 *   get-start BYTES    the same, and anything may follow
 *   get ?              whatever it is
 *   state closed       the proxy must then close (if not said: must not)
 *   until MS BYTES     sends the last request again until this is the answer
 *   sleep MS | up N | down N
 *   backend N BYTES    server N must receive this next, and answers with
 *   reply BYTES | reply-none | reply-close | reply-rst
 *   answer N BYTES     server N answers every request so, and PING with PONG
 *
 * The file given with -x says for some cases what is expected instead, and in
 * its line `why` for what reason: its get lines take the place of the case's
 * own, one by one; if it has a send, its steps are all there is; its backend
 * lines replace all of the case's; `no-backend` says that there are none;
 * `undecided` skips the case.
 */
#include "bench.h"

#include <sys/stat.h>
#include <sys/types.h>
#include <sys/wait.h>

#include <stdbool.h>

enum {
	SERVERS = 3, SETS = 8, STEPS = 64, ROWS = 16, CONNS = 64, JOBS_MAX = 32,
	PATIENCE = 20000, /* ms for what must come */
	ROWS_TIME = 3000, /* ms for the servers after that */
	QUIET = 40,       /* ms in which nothing more may come */
	STARTS = 5,       /* attempts: somebody else may use our port */
	PORT_FIRST = 11000,
	PORTS = 21000,
	STOP_TIME = 10000,
};

enum step_kind {
	STEP_SEND, STEP_BYTEWISE, STEP_HALF, STEP_GET, STEP_UNTIL, STEP_SLEEP,
	STEP_UP, STEP_DOWN,
};

struct step {
	enum step_kind kind;
	struct bytes bytes;
	long n;           /* of until, sleep, up and down */
	bool closed;      /* the rest are of get */
	bool start, any;
};

enum reply { REPLY_BYTES, REPLY_NONE, REPLY_CLOSE, REPLY_RST };

struct row {
	int server;
	struct bytes want, answer;
	enum reply reply;
	bool done;
};

struct talk {
	struct talk *next;
	char *name, *why;
	char *server[SERVERS];
	int nservers;
	char *set[SETS];
	int nsets;
	struct step step[STEPS];
	int nsteps;
	struct row row[ROWS];
	int nrows;
	bool no_backend, undecided;
	struct bytes answer[SERVERS];
};

/* One conn of a server. */
struct peer {
	int fd, server;
	struct bytes in;
};

/* The stage of one case: its proxy, its servers, its client. */
struct stage {
	const struct talk *talk;
	struct row row[ROWS];
	char dir[200];
	int port[SERVERS], ear[SERVERS];
	bool up[SERVERS];
	struct peer peer[CONNS];
	int npeers;
	int proxy_port, stats_port;
	int client;
	bool closed;
	struct bytes in;        /* received by the client since the last send */
	struct bytes stray[SERVERS];
	long long moved;        /* when something came last */
	FILE *report;
	bool failed;
};

static const char *program;
static bool original;
static volatile sig_atomic_t proxy_pid;
static volatile sig_atomic_t job_pid[JOBS_MAX];

static char *
copy(const char *text)
{
	char *new = malloc(strlen(text) + 1);

	if (new == NULL)
		die("out of memory");
	return strcpy(new, text);
}

/* ---- reading transcripts ---- */

/* Adds what text means; see the top for \(N c). */
static void
bytes_of(struct bytes *b, char *text)
{
	char *at = text, c;
	long n;

	while (*at != '\0') {
		if (at[0] != '\\' || at[1] == '\0') {
			at++;
		} else if (at[1] != '(') {
			at += 2;
		} else {
			*at = '\0';
			bytes_unescape(b, text);
			n = strtol(at + 2, &at, 10);
			if (at[0] != ' ' || at[1] == '\0' || at[2] != ')')
				die("bad repetition: %s", at);
			for (c = at[1]; n > 0; n--)
				bytes_add(b, &c, 1);
			text = at += 3;
		}
	}
	bytes_unescape(b, text);
}

static struct step *
step_add(struct talk *t, enum step_kind kind, char *text)
{
	struct step *s = &t->step[t->nsteps];

	if (++t->nsteps > STEPS)
		die("%s: too many steps", t->name);
	s->kind = kind;
	if (kind == STEP_UNTIL || kind == STEP_SLEEP || kind == STEP_UP ||
	    kind == STEP_DOWN) {
		s->n = strtol(text, &text, 10);
		text += *text == ' ';
	}
	bytes_of(&s->bytes, text);
	return s;
}

static void
servers_add(struct talk *t, char *text)
{
	char *word;

	for (word = strtok(text, " "); word != NULL; word = strtok(NULL, " ")) {
		if (t->nservers == SERVERS)
			die("%s: too many servers", t->name);
		t->server[t->nservers++] = copy(word);
	}
}

static int
server_number(struct talk *t, char **text)
{
	long n = strtol(*text, text, 10);

	if (n < 0 || n >= SERVERS || **text != ' ')
		die("%s: bad server number", t->name);
	(*text)++;
	return (int)n;
}

static void
row_add(struct talk *t, char *text)
{
	struct row *r = &t->row[t->nrows];

	if (++t->nrows > ROWS)
		die("%s: too many backend lines", t->name);
	r->server = server_number(t, &text);
	r->reply = REPLY_NONE;
	bytes_of(&r->want, text);
}

static void
row_answer(struct talk *t, enum reply reply, char *text)
{
	struct row *r;

	if (t->nrows == 0)
		die("%s: a reply to nothing", t->name);
	r = &t->row[t->nrows - 1];
	r->reply = reply;
	bytes_of(&r->answer, text);
}

static void
get_add(struct talk *t, const char *word, char *text)
{
	bool any = strcmp(text, "?") == 0;
	struct step *s = step_add(t, STEP_GET, any ? text + 1 : text);

	s->any = any;
	s->start = strcmp(word, "get-start") == 0;
}

static void
state_add(struct talk *t, const char *text)
{
	if (t->nsteps == 0 || t->step[t->nsteps - 1].kind != STEP_GET)
		die("%s: state without get", t->name);
	t->step[t->nsteps - 1].closed = strcmp(text, "closed") == 0;
}

static const struct {
	const char *word;
	enum step_kind kind;
} step_words[] = {
	{ "send", STEP_SEND },
	{ "bytewise", STEP_BYTEWISE },
	{ "half-close", STEP_HALF },
	{ "until", STEP_UNTIL },
	{ "sleep", STEP_SLEEP },
	{ "up", STEP_UP },
	{ "down", STEP_DOWN },
	{ NULL, STEP_SEND },
};

static const struct {
	const char *word;
	enum reply reply;
} reply_words[] = {
	{ "reply", REPLY_BYTES },
	{ "reply-none", REPLY_NONE },
	{ "reply-close", REPLY_CLOSE },
	{ "reply-rst", REPLY_RST },
	{ NULL, REPLY_NONE },
};

static void
line_read(struct talk *t, const char *word, char *text)
{
	int i, n;

	for (i = 0; step_words[i].word != NULL; i++) {
		if (strcmp(word, step_words[i].word) == 0) {
			step_add(t, step_words[i].kind, text);
			return;
		}
	}
	for (i = 0; reply_words[i].word != NULL; i++) {
		if (strcmp(word, reply_words[i].word) == 0) {
			row_answer(t, reply_words[i].reply, text);
			return;
		}
	}
	if (strcmp(word, "servers") == 0) {
		servers_add(t, text);
	} else if (strcmp(word, "set") == 0 && t->nsets < SETS) {
		t->set[t->nsets++] = copy(text);
	} else if (strcmp(word, "get") == 0 || strcmp(word, "get-start") == 0) {
		get_add(t, word, text);
	} else if (strcmp(word, "state") == 0) {
		state_add(t, text);
	} else if (strcmp(word, "backend") == 0) {
		row_add(t, text);
	} else if (strcmp(word, "no-backend") == 0) {
		t->no_backend = true;
	} else if (strcmp(word, "undecided") == 0) {
		t->undecided = true;
	} else if (strcmp(word, "answer") == 0) {
		n = server_number(t, &text);
		bytes_of(&t->answer[n], text);
	} else if (strcmp(word, "why") == 0) {
		t->why = copy(text);
	} else {
		die("%s: unknown line: %s %s", t->name, word, text);
	}
}

/* Reads a file of transcripts; returns where the next list is to be hung. */
static struct talk **
file_read(const char *path, struct talk **tail)
{
	FILE *file = fopen(path, "r");
	char *line = NULL, *text;
	struct talk *t = NULL;
	size_t size = 0;
	ssize_t len;

	if (file == NULL)
		die("%s: %s", path, strerror(errno));
	while ((len = getline(&line, &size, file)) > 0) {
		if (line[len - 1] == '\n')
			line[len - 1] = '\0';
		if (line[0] == '\0' || line[0] == '#')
			continue;
		text = strchr(line, ' ');
		if (text != NULL)
			*text++ = '\0';
		else
			text = line + strlen(line);
		if (strcmp(line, "case") == 0) {
			t = calloc(1, sizeof(*t));
			if (t == NULL)
				die("out of memory");
			t->name = copy(text);
			*tail = t;
			tail = &t->next;
		} else if (t == NULL) {
			die("%s: a line before the first case", path);
		} else {
			line_read(t, line, text);
		}
	}
	free(line);
	fclose(file);
	return tail;
}

static void
talk_free(struct talk *t)
{
	int i;

	for (i = 0; i < SERVERS; i++) {
		free(t->server[i]);
		free(t->answer[i].at);
	}
	for (i = 0; i < t->nsets; i++)
		free(t->set[i]);
	for (i = 0; i < t->nsteps; i++)
		free(t->step[i].bytes.at);
	for (i = 0; i < t->nrows; i++) {
		free(t->row[i].want.at);
		free(t->row[i].answer.at);
	}
	free(t->name);
	free(t->why);
	free(t);
}

/* ---- exceptions ---- */

/* A copy of the bytes: two talks never own the same. */
static struct bytes
bytes_copy(const struct bytes *from)
{
	struct bytes b = {NULL, 0, 0};

	bytes_add(&b, from->at, from->len);
	return b;
}

static void
steps_replace(struct talk *t, const struct talk *x)
{
	int i, at = 0;
	bool whole = false;

	for (i = 0; i < x->nsteps; i++)
		whole = whole || x->step[i].kind == STEP_SEND;
	if (whole) {
		for (i = 0; i < t->nsteps; i++)
			free(t->step[i].bytes.at);
		t->nsteps = x->nsteps;
	}
	for (i = 0; i < x->nsteps; i++, at++) {
		while (!whole && at < t->nsteps && t->step[at].kind != STEP_GET)
			at++;
		if (at == t->nsteps)
			die("%s: more get lines than there are", x->name);
		if (!whole)
			free(t->step[at].bytes.at);
		t->step[at] = x->step[i];
		t->step[at].bytes = bytes_copy(&x->step[i].bytes);
	}
}

static void
exception_apply(struct talk *t, const struct talk *x)
{
	int i;

	if (x->why == NULL)
		die("%s: an exception without a reason", x->name);
	t->why = copy(x->why);
	t->undecided = x->undecided;
	steps_replace(t, x);
	for (i = 0; i < x->nsets && t->nsets < SETS; i++)
		t->set[t->nsets++] = copy(x->set[i]);
	if (x->nrows > 0 || x->no_backend) {
		for (i = 0; i < t->nrows; i++) {
			free(t->row[i].want.at);
			free(t->row[i].answer.at);
		}
		t->nrows = x->nrows;
	}
	for (i = 0; i < x->nrows; i++) {
		t->row[i] = x->row[i];
		t->row[i].want = bytes_copy(&x->row[i].want);
		t->row[i].answer = bytes_copy(&x->row[i].answer);
	}
}

static void
exceptions_apply(struct talk *talks, const struct talk *list)
{
	const struct talk *x;
	struct talk *t;

	for (x = list; x != NULL; x = x->next) {
		for (t = talks; t != NULL; t = t->next)
			if (strcmp(t->name, x->name) == 0)
				break;
		if (t == NULL)
			die("an exception for no case: %s", x->name);
		exception_apply(t, x);
	}
}

/* ---- the servers ---- */

/* Binds the port; the way every server does it if `as_server`. -1: in use. */
static int
port_bind(int port, bool as_server)
{
	struct sockaddr_storage address;
	char text[16];
	socklen_t len;
	int fd, one = 1, error;

	snprintf(text, sizeof(text), "%d", port);
	len = address_parse(text, &address);
	fd = socket_open(&address);
	if (as_server)
		setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	error = bind(fd, (struct sockaddr *)&address, len);
	/* From now on others may bind it who have the option too. */
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	if (error == 0)
		return fd;
	close(fd);
	return -1;
}

/*
 * A port that nobody else gets for a while: a conn to it is made and closed
 * from the server's side, and until the system has forgotten it only a server,
 * with SO_REUSEADDR, can bind it. This program looks for its ports without
 * that, and below those that outgoing conns get.
 */
static int
port_reserve(void)
{
	static unsigned seed;
	int tries, port, ear, near, far;
	char text[16], byte;

	if (seed == 0)
		seed = (unsigned)getpid() * 7919u + (unsigned)now_ms();
	for (tries = 0; tries < 10000; tries++) {
		seed = seed * 1103515245u + 12345u;
		port = PORT_FIRST + (int)((seed >> 16) % PORTS);
		ear = port_bind(port, false);
		if (ear < 0)
			continue;
		snprintf(text, sizeof(text), "%d", port);
		near = listen(ear, 1) == 0 ? address_connect(text) : -1;
		far = near >= 0 ? accept(ear, NULL, NULL) : -1;
		close(ear);
		if (far < 0) {
			close(near);
			continue;
		}
		close(far);
		fcntl(near, F_SETFL, 0);
		while (read(near, &byte, 1) > 0)
			;
		close(near);
		return port;
	}
	die("no free port");
	return -1;
}

/* The port is bound, and refuses until somebody listens. */
static int
port_open(int port)
{
	int fd = port_bind(port, true);

	if (fd < 0)
		die("bind: %s", strerror(errno));
	nonblocking(fd);
	/* The proxy must not inherit it: a server could never go down. */
	fcntl(fd, F_SETFD, FD_CLOEXEC);
	return fd;
}

static void
server_up(struct stage *s, int i)
{
	if (listen(s->ear[i], 64) < 0)
		die("listen: %s", strerror(errno));
	s->up[i] = true;
}

static void
peer_end(struct stage *s, int i, bool reset)
{
	if (reset)
		socket_reset(s->peer[i].fd);
	else
		close(s->peer[i].fd);
	free(s->peer[i].in.at);
	s->peer[i] = s->peer[--s->npeers];
}

static void
server_down(struct stage *s, int server)
{
	int i;

	close(s->ear[server]);
	for (i = s->npeers - 1; i >= 0; i--)
		if (s->peer[i].server == server)
			peer_end(s, i, false);
	s->ear[server] = port_open(s->port[server]);
	s->up[server] = false;
}

static void
server_start(struct stage *s, int i)
{
	const char *kind = s->talk->server[i];
	char path[300];

	s->ear[i] = -1;
	if (strcmp(kind, "unix") == 0) {
		snprintf(path, sizeof(path), "%s/server%d", s->dir, i);
		s->ear[i] = address_listen(path);
		s->up[i] = true;
	} else if (strcmp(kind, "up") == 0 || strcmp(kind, "down") == 0) {
		s->port[i] = port_reserve();
		s->ear[i] = port_open(s->port[i]);
		if (kind[0] == 'u')
			server_up(s, i);
	}
}

static void
peer_send(struct stage *s, int fd, const struct bytes *b)
{
	size_t done = 0;
	ssize_t n;

	while (done < b->len) {
		n = send(fd, b->at + done, b->len - done, MSG_NOSIGNAL);
		if (n > 0)
			done += (size_t)n;
		else if (errno == EAGAIN)
			sleep_ms(1);
		else
			break; /* the proxy has gone: the client's side will tell */
	}
	s->moved = now_ms();
}

/* The next row of the server, NULL if it may receive no more. */
static struct row *
row_next(struct stage *s, int server)
{
	int i;

	for (i = 0; i < s->talk->nrows; i++)
		if (s->row[i].server == server && !s->row[i].done)
			return &s->row[i];
	return NULL;
}

static bool
rows_done(const struct stage *s)
{
	int i;

	for (i = 0; i < s->talk->nrows; i++)
		if (!s->row[i].done)
			return false;
	return true;
}

/* Bytes of the first request in the input, 0 if it is not complete. */
static size_t
request_length(const struct bytes *in)
{
	size_t at = 0, lines = 1, i;
	char *nl;

	if (in->len == 0 || in->at[0] != '*')
		return 0;
	lines += 2 * (size_t)strtoul(in->at + 1, NULL, 10);
	for (i = 0; i < lines; i++) {
		nl = memchr(in->at + at, '\n', in->len - at);
		if (nl == NULL)
			return 0;
		at = (size_t)(nl - in->at) + 1;
	}
	return at;
}

static void
peer_answer(struct stage *s, struct peer *p)
{
	static const char ping[] = "*1\r\n$4\r\nPING\r\n";
	struct bytes pong = { (char[]){"+PONG\r\n"}, 7, 7 };
	size_t len;

	while ((len = request_length(&p->in)) > 0) {
		if (len == sizeof(ping) - 1 && memcmp(p->in.at, ping, len) == 0)
			peer_send(s, p->fd, &pong);
		else
			peer_send(s, p->fd, &s->talk->answer[p->server]);
		bytes_drop(&p->in, len);
	}
}

/* Compares what came with the rows. Returns false when the peer was closed. */
static bool
peer_play(struct stage *s, int i)
{
	struct peer *p = &s->peer[i];
	struct row *r;

	if (s->talk->answer[p->server].len > 0) {
		peer_answer(s, p);
		return true;
	}
	while (p->in.len > 0 && (r = row_next(s, p->server)) != NULL) {
		if (p->in.len < r->want.len ||
		    memcmp(p->in.at, r->want.at, r->want.len) != 0)
			return true;
		r->done = true;
		bytes_drop(&p->in, r->want.len);
		peer_send(s, p->fd, &r->answer);
		if (r->reply == REPLY_CLOSE || r->reply == REPLY_RST) {
			peer_end(s, i, r->reply == REPLY_RST);
			return false;
		}
	}
	return true;
}

static void
peer_read(struct stage *s, int i)
{
	struct peer *p = &s->peer[i];
	char buf[65536];
	ssize_t n = recv(p->fd, buf, sizeof(buf), 0);

	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	s->moved = now_ms();
	if (n > 0) {
		bytes_add(&p->in, buf, (size_t)n);
		peer_play(s, i);
		return;
	}
	bytes_add(&s->stray[p->server], p->in.at, p->in.len);
	peer_end(s, i, false);
}

static void
peer_accept(struct stage *s, int server)
{
	int fd = accept(s->ear[server], NULL, NULL);

	if (fd < 0)
		return;
	if (s->npeers == CONNS)
		die("%s: too many connections", s->talk->name);
	nonblocking(fd);
	s->peer[s->npeers].fd = fd;
	s->peer[s->npeers].server = server;
	s->peer[s->npeers].in = (struct bytes){NULL, 0, 0};
	s->npeers++;
}

/* ---- the client ---- */

static void
client_read(struct stage *s)
{
	char buf[65536];
	ssize_t n = recv(s->client, buf, sizeof(buf), 0);

	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	s->moved = now_ms();
	if (n > 0)
		bytes_add(&s->in, buf, (size_t)n);
	else
		s->closed = true;
}

/* Waits up to ms for something to happen, and handles it. */
static void
turn(struct stage *s, long long ms)
{
	struct pollfd fds[SERVERS + CONNS + 1];
	int i, n = s->npeers;

	for (i = 0; i < SERVERS; i++) {
		fds[i].fd = s->up[i] ? s->ear[i] : -1;
		fds[i].events = POLLIN;
	}
	for (i = 0; i < n; i++) {
		fds[SERVERS + i].fd = s->peer[i].fd;
		fds[SERVERS + i].events = POLLIN;
	}
	fds[SERVERS + n].fd = s->client >= 0 && !s->closed ? s->client : -1;
	fds[SERVERS + n].events = POLLIN;
	if (poll(fds, (nfds_t)(SERVERS + n + 1), (int)ms) <= 0)
		return;
	if (fds[SERVERS + n].fd >= 0 && fds[SERVERS + n].revents != 0)
		client_read(s);
	/* From the last on: an ended peer is replaced by one already seen. */
	for (i = n - 1; i >= 0; i--)
		if (fds[SERVERS + i].revents != 0)
			peer_read(s, i);
	for (i = 0; i < SERVERS; i++)
		if (fds[i].fd >= 0 && fds[i].revents != 0)
			peer_accept(s, i);
}

static void
turns(struct stage *s, long long ms)
{
	long long end = now_ms() + ms, left;

	while ((left = end - now_ms()) > 0)
		turn(s, left);
}

static int
proxy_connect(const struct stage *s)
{
	char address[32];

	snprintf(address, sizeof(address), "127.0.0.1:%d", s->proxy_port);
	return address_connect(address);
}

static void
client_end(struct stage *s)
{
	if (s->client >= 0)
		close(s->client);
	s->client = -1;
	s->closed = false;
	s->in.len = 0;
}

static void
client_send(struct stage *s, const struct bytes *b, bool bytewise)
{
	size_t done = 0;
	ssize_t n;

	if (s->closed)
		client_end(s);
	if (s->client < 0)
		s->client = proxy_connect(s);
	s->in.len = 0;
	while (done < b->len && !s->closed) {
		n = send(s->client, b->at + done, bytewise ? 1 : b->len - done,
		    MSG_NOSIGNAL);
		if (n > 0)
			done += (size_t)n;
		else if (errno != EAGAIN)
			break;
		turn(s, bytewise || n < 0 ? 2 : 0);
	}
	s->moved = now_ms();
}

static void
failed(struct stage *s, const char *what)
{
	if (!s->failed)
		fprintf(s->report, "not ok %s\n", s->talk->name);
	if (!s->failed && s->talk->why != NULL)
		fprintf(s->report, "#   (other than 0.5.0: %s)\n", s->talk->why);
	s->failed = true;
	fprintf(s->report, "#   %s\n", what);
}

/* At most the first 400 bytes. */
static void
print_bytes(struct stage *s, const char *what, const char *at, size_t len)
{
	fprintf(s->report, "#     %s ", what);
	escape(s->report, at, len < 400 ? len : 400);
	fprintf(s->report, "%s\n", len > 400 ? "..." : "");
}

static bool
prefix_ok(const struct stage *s, const struct bytes *want)
{
	size_t n = s->in.len < want->len ? s->in.len : want->len;

	return n == 0 || memcmp(s->in.at, want->at, n) == 0;
}

/* Does the client have what it must, as far as one can tell now? */
static bool
get_done(const struct stage *s, const struct step *g)
{
	if (g->any || !prefix_ok(s, &g->bytes) || s->closed)
		return true;
	return s->in.len >= g->bytes.len && !g->closed;
}

static void
step_get(struct stage *s, const struct step *g, bool last)
{
	long long end = now_ms() + PATIENCE;

	while (now_ms() < end && !get_done(s, g))
		turn(s, 100);
	end = now_ms() + ROWS_TIME;
	while (now_ms() < end && last && !rows_done(s))
		turn(s, 100);
	while (now_ms() < end && now_ms() - s->moved < QUIET)
		turn(s, QUIET);
	if (g->any)
		return;
	if (!prefix_ok(s, &g->bytes) || s->in.len < g->bytes.len ||
	    (s->in.len > g->bytes.len && !g->start)) {
		failed(s, "the client must receive");
		print_bytes(s, "  ", g->bytes.at, g->bytes.len);
		fprintf(s->report, "#   but received\n");
		print_bytes(s, "  ", s->in.at, s->in.len);
	}
	if (s->closed != g->closed)
		failed(s, s->closed ? "the client's conn was closed"
		    : "the client's conn was not closed");
}

static void
step_until(struct stage *s, const struct step *u, const struct bytes *request)
{
	long long end = now_ms() + u->n, wait;

	for (;;) {
		client_send(s, request, false);
		wait = now_ms() + 1000;
		while (now_ms() < wait && !s->closed && s->in.len < u->bytes.len)
			turn(s, 50);
		turns(s, QUIET);
		if (s->in.len == u->bytes.len && prefix_ok(s, &u->bytes))
			return;
		if (now_ms() > end)
			break;
	}
	failed(s, "the client did not receive in time");
	print_bytes(s, "  ", u->bytes.at, u->bytes.len);
	fprintf(s->report, "#   but last\n");
	print_bytes(s, "  ", s->in.at, s->in.len);
}

/* ---- the proxy ---- */

static void
config_write(const struct stage *s)
{
	const struct talk *t = s->talk;
	bool distribution = false;
	char path[300];
	FILE *conf;
	int i;

	snprintf(path, sizeof(path), "%s/conf", s->dir);
	conf = fopen(path, "w");
	if (conf == NULL)
		die("%s: %s", path, strerror(errno));
	fprintf(conf, "r:\n  listen: 127.0.0.1:%d\n  hash: crc32a\n",
	    s->proxy_port);
	for (i = 0; i < t->nsets; i++) {
		fprintf(conf, "  %s\n", t->set[i]);
		distribution |= strncmp(t->set[i], "distribution:", 13) == 0;
	}
	if (!distribution)
		fprintf(conf, "  distribution: modula\n");
	fprintf(conf, "  servers:\n");
	for (i = 0; i < t->nservers; i++) {
		/* The names are those of the recording: they decide the ring. */
		if (s->port[i] > 0)
			fprintf(conf, "   - 127.0.0.1:%d:1 127.0.0.1:%d\n",
			    s->port[i], 27911 + i);
		else if (strcmp(t->server[i], "nowhere") == 0)
			fprintf(conf, "   - no-such-host.invalid:27911:1\n");
		else
			fprintf(conf, "   - %s/%s%d:1\n", s->dir,
			    s->up[i] ? "server" : "none", i);
	}
	if (fclose(conf) != 0)
		die("%s: %s", path, strerror(errno));
}

static void
proxy_exec(const struct stage *s)
{
	char conf[300], err[300], log[300], stats[16];

	snprintf(conf, sizeof(conf), "%s/conf", s->dir);
	snprintf(log, sizeof(log), "%s/log", s->dir);
	snprintf(err, sizeof(err), "%s/err", s->dir);
	snprintf(stats, sizeof(stats), "%d", s->stats_port);
	signal(SIGTERM, SIG_DFL);
	signal(SIGINT, SIG_DFL);
	if (freopen(err, "w", stderr) == NULL)
		_exit(127);
	execlp(program, program, "-c", conf, "-s", stats, "-a", "127.0.0.1",
	    "-o", log, (char *)NULL);
	fprintf(stderr, "%s: %s\n", program, strerror(errno));
	_exit(127);
}

/* Starts the proxy and waits until it accepts. False if it ended instead. */
static bool
proxy_start(struct stage *s)
{
	long long end = now_ms() + PATIENCE;
	pid_t pid;
	int fd;

	s->proxy_port = port_reserve();
	s->stats_port = port_reserve();
	config_write(s);
	fflush(NULL);
	pid = fork();
	if (pid < 0)
		die("fork: %s", strerror(errno));
	if (pid == 0)
		proxy_exec(s);
	proxy_pid = pid;
	while (now_ms() < end) {
		if (waitpid(pid, NULL, WNOHANG) == pid)
			break;
		fd = proxy_connect(s);
		if (fd >= 0) {
			close(fd);
			return true;
		}
		turn(s, 5);
	}
	proxy_pid = 0;
	return false;
}

/* Ends the proxy, which must have lived until now and must go in peace. */
static void
proxy_stop(struct stage *s)
{
	long long end = now_ms() + STOP_TIME;
	pid_t pid = (pid_t)proxy_pid;
	int status;

	if (waitpid(pid, &status, WNOHANG) == pid) {
		proxy_pid = 0;
		failed(s, "the proxy has died");
		return;
	}
	kill(pid, SIGTERM);
	while (waitpid(pid, &status, WNOHANG) == 0) {
		if (now_ms() > end) {
			failed(s, "the proxy does not stop");
			kill(pid, SIGKILL);
			end += STOP_TIME;
		}
		turn(s, 2);
	}
	proxy_pid = 0;
	if (!original && (!WIFEXITED(status) || WEXITSTATUS(status) != 0))
		failed(s, "the proxy's exit status is not 0");
}

/* ---- a case ---- */

static void
report_file(struct stage *s, const char *name, bool show)
{
	char path[300], line[1000];
	FILE *file;

	snprintf(path, sizeof(path), "%s/%s", s->dir, name);
	file = show ? fopen(path, "r") : NULL;
	while (file != NULL && fgets(line, sizeof(line), file) != NULL)
		fprintf(s->report, "#   %s: %s", name, line);
	if (file != NULL)
		fclose(file);
	unlink(path);
}

static void
backends_check(struct stage *s)
{
	char what[64];
	int i;

	for (i = 0; i < s->npeers; i++)
		if (s->talk->answer[s->peer[i].server].len == 0)
			bytes_add(&s->stray[s->peer[i].server], s->peer[i].in.at,
			    s->peer[i].in.len);
	for (i = 0; i < SERVERS; i++) {
		if (s->stray[i].len == 0)
			continue;
		snprintf(what, sizeof(what), "server %d received, unexpected,", i);
		failed(s, what);
		print_bytes(s, "  ", s->stray[i].at, s->stray[i].len);
	}
	for (i = 0; i < s->talk->nrows; i++) {
		if (s->row[i].done)
			continue;
		snprintf(what, sizeof(what), "server %d did not receive",
		    s->row[i].server);
		failed(s, what);
		print_bytes(s, "  ", s->row[i].want.at, s->row[i].want.len);
	}
}

static void
steps_play(struct stage *s)
{
	const struct talk *t = s->talk;
	const struct bytes *request = NULL;
	const struct bytes nothing = {NULL, 0, 0};
	const struct step *st;
	bool bytewise = false;

	for (st = t->step; st < t->step + t->nsteps && !s->failed; st++) {
		switch (st->kind) {
		case STEP_SEND:
			request = &st->bytes;
			client_send(s, request, bytewise);
			bytewise = false;
			break;
		case STEP_BYTEWISE:
			bytewise = true;
			break;
		case STEP_HALF:
			if (s->client < 0)
				client_send(s, &nothing, false);
			shutdown(s->client, SHUT_WR);
			break;
		case STEP_GET:
			step_get(s, st, st == t->step + t->nsteps - 1);
			break;
		case STEP_UNTIL:
			step_until(s, st, request);
			break;
		case STEP_SLEEP:
			turns(s, st->n);
			break;
		case STEP_UP:
			server_up(s, (int)st->n);
			break;
		case STEP_DOWN:
			server_down(s, (int)st->n);
			break;
		}
	}
}

static void
stage_free(struct stage *s)
{
	int i;

	client_end(s);
	free(s->in.at);
	while (s->npeers > 0)
		peer_end(s, s->npeers - 1, false);
	for (i = 0; i < SERVERS; i++) {
		if (s->ear[i] >= 0)
			close(s->ear[i]);
		free(s->stray[i].at);
	}
}

/* Plays one case and reports; the status is 0 when all was right. */
static int
talk_play(const struct talk *t, const char *dir, FILE *report)
{
	struct stage s = { .talk = t, .client = -1, .report = report };
	char path[300];
	int i;

	memcpy(s.row, t->row, sizeof(s.row));
	snprintf(s.dir, sizeof(s.dir), "%s", dir);
	if (mkdir(s.dir, 0700) < 0)
		die("%s: %s", s.dir, strerror(errno));
	for (i = 0; i < SERVERS; i++)
		s.ear[i] = -1;
	for (i = 0; i < t->nservers; i++)
		server_start(&s, i);
	for (i = 0; i < STARTS && !proxy_start(&s); i++)
		;
	if (i == STARTS) {
		failed(&s, "the proxy does not start");
	} else {
		steps_play(&s);
		backends_check(&s);
		client_end(&s);
		proxy_stop(&s);
	}
	report_file(&s, "conf", s.failed);
	report_file(&s, "log", s.failed);
	report_file(&s, "err", s.failed);
	snprintf(path, sizeof(path), "%s/server0", s.dir);
	unlink(path);
	rmdir(s.dir);
	stage_free(&s);
	if (!s.failed)
		fprintf(report, "ok %s\n", t->name);
	fflush(report);
	return s.failed;
}

/* ---- many at once ---- */

static void
stop_proxy(int sig)
{
	if (proxy_pid > 0)
		kill((pid_t)proxy_pid, SIGKILL);
	_exit(128 + sig);
}

static void
stop_jobs(int sig)
{
	int i;

	for (i = 0; i < JOBS_MAX; i++)
		if (job_pid[i] > 0)
			kill((pid_t)job_pid[i], SIGTERM);
	_exit(128 + sig);
}

struct job {
	FILE *report;
};

static void
job_start(struct job *job, int slot, const struct talk *t, const char *base,
    int number_of)
{
	char dir[200];
	pid_t pid;

	job->report = tmpfile();
	if (job->report == NULL)
		die("tmpfile: %s", strerror(errno));
	snprintf(dir, sizeof(dir), "%s/%d", base, number_of);
	fflush(NULL);
	pid = fork();
	if (pid < 0)
		die("fork: %s", strerror(errno));
	if (pid == 0) {
		signal(SIGTERM, stop_proxy);
		signal(SIGINT, stop_proxy);
		_exit(talk_play(t, dir, job->report));
	}
	job_pid[slot] = pid;
}

static void
job_print(struct job *job)
{
	char buf[4096];
	size_t n;

	rewind(job->report);
	while ((n = fread(buf, 1, sizeof(buf), job->report)) > 0)
		fwrite(buf, 1, n, stdout);
	fclose(job->report);
	fflush(stdout);
}

/* Waits for a job; returns its slot, and counts it if it failed. */
static int
job_wait(struct job *jobs, int njobs, int *bad)
{
	int i, status;
	pid_t pid;

	do {
		pid = wait(&status);
	} while (pid < 0 && errno == EINTR);
	for (i = 0; i < njobs && job_pid[i] != pid; i++)
		;
	if (i == njobs)
		die("wait: %s", strerror(errno));
	job_pid[i] = 0;
	if (status != 0)
		++*bad;
	if (WIFSIGNALED(status))
		printf("not ok a case (signal %d)\n", WTERMSIG(status));
	job_print(&jobs[i]);
	return i;
}

/* Plays all cases whose name has `part` in it; returns how many failed. */
static int
play_all(const struct talk *talks, const char *part, int njobs)
{
	struct job jobs[JOBS_MAX];
	const char *tmp = getenv("TMPDIR");
	int running = 0, slot, played = 0, bad = 0;
	const struct talk *t;
	char base[150];

	snprintf(base, sizeof(base), "%.100s/transcript.XXXXXX",
	    tmp != NULL ? tmp : "/tmp");
	if (mkdtemp(base) == NULL)
		die("%s: %s", base, strerror(errno));
	for (t = talks; t != NULL; t = t->next) {
		if (strstr(t->name, part) == NULL)
			continue;
		if (t->undecided) {
			printf("skip %s\n", t->name);
			continue;
		}
		slot = running < njobs ? running++ : job_wait(jobs, njobs, &bad);
		job_start(&jobs[slot], slot, t, base, played++);
	}
	while (running-- > 0)
		job_wait(jobs, njobs, &bad);
	rmdir(base);
	printf("# %d transcripts, %d not as expected\n", played, bad);
	return played == 0 ? -1 : bad;
}

int
main(int argc, char **argv)
{
	struct talk *talks = NULL, *exceptions = NULL, *next, **tail = &talks;
	const char *part = "";
	int c, bad, jobs = 8;

	while ((c = getopt(argc, argv, "oj:k:x:")) != -1) {
		if (c == 'o')
			original = true;
		else if (c == 'j')
			jobs = (int)number(optarg);
		else if (c == 'k')
			part = optarg;
		else if (c == 'x')
			file_read(optarg, &exceptions);
		else
			die("usage: transcript [-o] [-j JOBS] [-k PART-OF-NAME] "
			    "[-x EXCEPTIONS] FILE...\n"
			    "  -o  the proxy is the original: it does not exit with 0\n"
			    "$NUTCRACKER is the proxy.");
	}
	program = getenv("NUTCRACKER");
	if (program == NULL)
		die("transcript: NUTCRACKER is not set");
	if (jobs < 1 || jobs > JOBS_MAX)
		die("transcript: 1 to %d jobs", JOBS_MAX);
	for (; optind < argc; optind++)
		tail = file_read(argv[optind], tail);
	exceptions_apply(talks, exceptions);
	signal(SIGPIPE, SIG_IGN);
	signal(SIGTERM, stop_jobs);
	signal(SIGINT, stop_jobs);
	bad = play_all(talks, part, jobs);
	for (; talks != NULL; talks = next) {
		next = talks->next;
		talk_free(talks);
	}
	for (; exceptions != NULL; exceptions = next) {
		next = exceptions->next;
		talk_free(exceptions);
	}
	return bad != 0;
}
