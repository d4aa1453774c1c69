/* SPDX-License-Identifier: Apache-2.0 */
/* What tests written in sh cannot do alone: ports, waiting, talking, limits. */
#include "bench.h"

#include <sys/wait.h>

enum { CHAT_TIMEOUT = 5000, CHAT_CONNS = 1024 };

/*
 * Free ports lie below the range from which most systems take the ports of
 * outgoing connections, so that none of those takes one while its server is
 * down. All have five digits.
 */
enum { PORT_FIRST = 11000, PORT_LAST = 31999 };

static const char usage[] =
	"usage: tool COMMAND ...   (BYTES have C escapes; ADDRESS is port,\n"
	"                           host:port or /path)\n"
	"  port [N]                   N free ports of 127.0.0.1, ascending\n"
	"  wait ADDRESS [MS]          until somebody accepts there\n"
	"  gone ADDRESS [MS]          until nobody does any more\n"
	"  sleep MS                   as it says\n"
	"  ms                         a clock that only goes forward\n"
	"  limit SECONDS COMMAND ...  ends the command, and all it started, when\n"
	"                             time is over; status 124 then\n"
	"  killer MS PID ...          kills them unless ended before\n"
	"  print BYTES [N]            N times\n"
	"  chat ADDRESS STEP ...      plays a conversation, status 1 if it differs:\n"
	"    send BYTES, send-file F, expect BYTES, expect-file F, half, close,\n"
	"    shut (both ways, and stay),\n"
	"    stuff F MS (as much of F as goes in that time, reading nothing),\n"
	"    reset, eof, closed, quiet MS, sleep MS, timeout MS, mark,\n"
	"    took MIN MAX (ms since mark), conn N (another connection), new\n"
	"  pour ADDRESS N BYTES       sends stdin, expects N times BYTES back\n"
	"  nc ADDRESS [MS]            sends stdin, prints what comes until the end\n"
	"                             or MS of silence\n"
	"  hold ADDRESS N [BYTES]     N connections, kept until stdin ends; prints\n"
	"                             how many stayed open, and BYTES got of others\n"
	"  redis ADDRESS WORD ...     a command and its reply, one element a line\n"
	"  memcache ADDRESS LINE [DATA]  the same; END, STORED and so on are printed\n"
	"  json NAME ...              the value under these names in stdin's JSON\n";

/* ---- ports and time -------------------------------------------------- */

/*
 * Reserves a port for about a minute: a connection to it is made and closed
 * from the server's side, so the kernel keeps the port in TIME_WAIT. Who binds
 * with SO_REUSEADDR, as every server does, gets it; this function sets that
 * option only after binding, so two tests never choose the same.
 */
static int
port_reserve(long port)
{
	struct sockaddr_storage address;
	char text[16], byte;
	socklen_t len;
	int ear, near, far, one = 1;

	snprintf(text, sizeof(text), "%ld", port);
	len = address_parse(text, &address);
	ear = socket_open(&address);
	if (bind(ear, (struct sockaddr *)&address, len) < 0) {
		close(ear);
		return -1;
	}
	setsockopt(ear, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	if (listen(ear, 1) < 0)
		die("listen: %s", strerror(errno));
	near = address_connect(text);
	far = accept(ear, NULL, NULL);
	if (near < 0 || far < 0)
		die("port %ld: %s", port, strerror(errno));
	close(ear);
	close(far);
	fcntl(near, F_SETFL, 0);
	while (read(near, &byte, 1) > 0)
		;
	close(near);
	return 0;
}

static int
long_compare(const void *a, const void *b)
{
	long x = *(const long *)a, y = *(const long *)b;

	return (x > y) - (x < y);
}

static int
port_command(char **args)
{
	long count = *args ? number(*args) : 1, found[256], n = 0, tries = 0, port;
	struct timespec t;

	if (count < 1 || count > 256)
		die("port: 1 to 256");
	clock_gettime(CLOCK_REALTIME, &t);
	srand((unsigned)t.tv_nsec ^ (unsigned)getpid() << 12);
	while (n < count) {
		port = PORT_FIRST + rand() % (PORT_LAST - PORT_FIRST + 1);
		if (port_reserve(port) == 0)
			found[n++] = port;
		else if (++tries > 10000)
			die("port: none is free");
	}
	qsort(found, (size_t)n, sizeof(*found), long_compare);
	for (port = 0; port < n; port++)
		printf("%ld\n", found[port]);
	return 0;
}

/* Waits until connecting succeeds (or, for gone, fails). */
static int
wait_command(char **args, int wanted)
{
	long long end = now_ms() + (args[1] ? number(args[1]) : 10000);
	int fd;

	for (;;) {
		fd = address_connect(args[0]);
		if (fd >= 0)
			close(fd);
		if ((fd >= 0) == wanted)
			return 0;
		if (now_ms() >= end)
			return 1;
		sleep_ms(10);
	}
}

static volatile sig_atomic_t over;

static void
on_alarm(int sig)
{
	over = sig;
}

/* Sets a handler that interrupts waiting. */
static void
catch_signal(int sig)
{
	struct sigaction act = {.sa_handler = on_alarm};

	sigemptyset(&act.sa_mask);
	sigaction(sig, &act, NULL);
}

/* Waits for child; -1 when a signal came first. */
static int
child_wait(pid_t child, int *status)
{
	while (waitpid(child, status, 0) < 0) {
		if (errno != EINTR)
			die("wait: %s", strerror(errno));
		if (over)
			return -1;
	}
	return 0;
}

/* TERM first, so that the command may clean up; KILL to all that is left. */
static int
limit_command(char **args)
{
	long seconds = number(args[0]);
	int status, why;
	pid_t child;

	child = fork();
	if (child < 0)
		die("fork: %s", strerror(errno));
	if (child == 0) {
		signal(SIGPIPE, SIG_DFL);
		setpgid(0, 0);
		execvp(args[1], args + 1);
		die("%s: %s", args[1], strerror(errno));
	}
	setpgid(child, child);
	catch_signal(SIGALRM);
	catch_signal(SIGTERM);
	catch_signal(SIGINT);
	alarm((unsigned)seconds);
	if (child_wait(child, &status) < 0) {
		why = over;
		over = 0;
		kill(-child, SIGTERM);
		alarm(10);
		if (child_wait(child, &status) < 0) {
			over = 0;
			kill(-child, SIGKILL);
			child_wait(child, &status);
		}
		kill(-child, SIGKILL);
		return why == SIGALRM ? 124 : 128 + why;
	}
	return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

static int
killer_command(char **args)
{
	sleep_ms(number(*args));
	while (*++args)
		kill((pid_t)number(*args), SIGKILL);
	return 0;
}

/* ---- talking --------------------------------------------------------- */

/* Adds the contents of a file. */
static void
bytes_file(struct bytes *b, const char *path)
{
	FILE *file = strcmp(path, "-") ? fopen(path, "rb") : stdin;
	size_t got;

	if (!file)
		die("%s: %s", path, strerror(errno));
	do {
		bytes_reserve(b, 65536);
		got = fread(b->at + b->len, 1, 65536, file);
		b->len += got;
	} while (got);
	if (file != stdin)
		fclose(file);
}

static int
connect_or_die(const char *address)
{
	int fd = address_connect(address);

	if (fd < 0)
		die("connect %s: %s", address, strerror(errno));
	return fd;
}

/* Waits until fd is ready for events or the time is end; what fired, or 0. */
static int
ready(int fd, short events, long long end)
{
	struct pollfd p = {fd, events, 0};
	long long left = end - now_ms();
	int n;

	n = poll(&p, 1, left < 0 ? 0 : (int)left);
	if (n < 0 && errno != EINTR)
		die("poll: %s", strerror(errno));
	return n > 0 ? p.revents : 0;
}

enum end { END_NOT, END_FIN, END_RESET };

/* One end of a conversation: the socket, what came and was not yet expected. */
struct talk {
	int fd;
	enum end end;
	struct bytes in;
};

/* Reads what is there; marks the end of the connection. */
static void
talk_read(struct talk *t)
{
	ssize_t got;

	bytes_reserve(&t->in, 65536);
	got = read(t->fd, t->in.at + t->in.len, t->in.room - t->in.len);
	if (got > 0)
		t->in.len += (size_t)got;
	else if (got == 0)
		t->end = END_FIN;
	else if (errno != EAGAIN && errno != EINTR)
		t->end = END_RESET;
}

/*
 * Writes all of it and reads meanwhile, for who does not read what he is
 * answered may never finish. Returns 0, or -1 when time is over. A peer that
 * closed is no error here: what is expected next tells.
 */
static int
talk_send(struct talk *t, const char *at, size_t len, long long end)
{
	ssize_t put;
	int what;

	while (len > 0) {
		what = ready(t->fd, POLLOUT | (t->end ? 0 : POLLIN), end);
		if (!what)
			return -1;
		if (what & POLLIN)
			talk_read(t);
		if (!(what & (POLLOUT | POLLERR | POLLHUP)))
			continue;
		put = write(t->fd, at, len);
		if (put > 0) {
			at += put;
			len -= (size_t)put;
		} else if (errno != EAGAIN && errno != EINTR) {
			return 0;
		}
	}
	return 0;
}

/* Writes what the peer takes in that time, and reads nothing. */
static void
talk_stuff(struct talk *t, const char *at, size_t len, long ms)
{
	long long end = now_ms() + ms;
	ssize_t put;

	while (len > 0 && ready(t->fd, POLLOUT, end)) {
		put = write(t->fd, at, len);
		if (put > 0) {
			at += put;
			len -= (size_t)put;
		} else if (errno != EAGAIN && errno != EINTR) {
			return;
		}
	}
}

/* Reads until len bytes are there, the peer closed, or time is over. */
static void
talk_fill(struct talk *t, size_t len, long long end)
{
	while (t->in.len < len && !t->end && ready(t->fd, POLLIN, end))
		talk_read(t);
}

/* Shows the bytes, but of many only those around the place of interest. */
static void
show(const char *label, const struct bytes *b, size_t place)
{
	size_t from = place > 60 ? place - 60 : 0;
	size_t len = b->len - from < 400 ? b->len - from : 400;

	printf("%s (%zu bytes)%s: ", label, b->len, from ? ", from the difference" : "");
	escape(stdout, b->at + from, len);
	putchar('\n');
}

/* Compares what comes next with what should; takes it away. 1 if it differs. */
static int
talk_expect(struct talk *t, const struct bytes *want, long timeout)
{
	size_t same = 0;

	talk_fill(t, want->len, now_ms() + timeout);
	while (same < want->len && same < t->in.len && want->at[same] == t->in.at[same])
		same++;
	if (same == want->len) {
		bytes_drop(&t->in, same);
		return 0;
	}
	show("expected", want, same);
	show("received", &t->in, same);
	if (t->end)
		printf("and the connection is %s\n", t->end == END_FIN ? "closed" : "reset");
	return 1;
}

/* Nothing more may come before the connection ends. 1 if it differs. */
static int
talk_ends(struct talk *t, int reset_too, long timeout)
{
	long long end = now_ms() + timeout;

	while (!t->end && ready(t->fd, POLLIN, end))
		talk_read(t);
	if (!t->in.len && (t->end == END_FIN || (reset_too && t->end)))
		return 0;
	printf("expected the end, connection is %s\n",
		t->end ? t->end == END_FIN ? "closed" : "reset" : "open");
	show("received", &t->in, 0);
	return 1;
}

static int
talk_quiet(struct talk *t, long ms)
{
	if (!t->in.len && !t->end && ready(t->fd, POLLIN, now_ms() + ms))
		talk_read(t);
	if (!t->in.len && !t->end)
		return 0;
	printf("expected silence, connection is %s\n", t->end ? "closed" : "open");
	show("received", &t->in, 0);
	return 1;
}

struct chat {
	const char *address;
	struct talk talks[CHAT_CONNS], *now;
	long timeout;
	long long mark;
};

enum step {
	SEND, SEND_FILE, EXPECT, EXPECT_FILE, HALF, CLOSE, RESET, AT_EOF, CLOSED,
	QUIET, SLEEP, TIMEOUT, MARK, TOOK, CONN, NEW, STUFF, SHUT,
};

static const struct {
	const char *name;
	int args;
} steps[] = {
	[SEND] = {"send", 1}, [SEND_FILE] = {"send-file", 1},
	[EXPECT] = {"expect", 1}, [EXPECT_FILE] = {"expect-file", 1},
	[HALF] = {"half", 0}, [CLOSE] = {"close", 0}, [RESET] = {"reset", 0},
	[AT_EOF] = {"eof", 0}, [CLOSED] = {"closed", 0}, [QUIET] = {"quiet", 1},
	[SLEEP] = {"sleep", 1}, [TIMEOUT] = {"timeout", 1}, [MARK] = {"mark", 0},
	[TOOK] = {"took", 2}, [CONN] = {"conn", 1}, [NEW] = {"new", 0},
	[STUFF] = {"stuff", 2}, [SHUT] = {"shut", 0},
};

/* Opens the connection again, forgetting what the old one got. */
static void
chat_reopen(struct chat *c)
{
	if (c->now->fd >= 0)
		close(c->now->fd);
	c->now->fd = connect_or_die(c->address);
	c->now->end = END_NOT;
	c->now->in.len = 0;
}

static void
chat_switch(struct chat *c, long n)
{
	if (n < 0 || n >= CHAT_CONNS)
		die("conn: 0 to %d", CHAT_CONNS - 1);
	c->now = &c->talks[n];
	if (c->now->fd < 0)
		chat_reopen(c);
}

static void
chat_hang_up(struct chat *c, int reset)
{
	if (reset)
		socket_reset(c->now->fd);
	else
		close(c->now->fd);
	c->now->fd = -1;
}

static int
chat_took(const struct chat *c, long min, long max)
{
	long long took = now_ms() - c->mark;

	if (took >= min && took <= max)
		return 0;
	printf("expected to take %ld to %ld ms, took %lld\n", min, max, took);
	return 1;
}

/* Does one step; 1 if the conversation differs from what it should be. */
static int
chat_step(struct chat *c, enum step step, char **args)
{
	struct bytes b = {0};
	int rc = 0;

	if (step == SEND || step == EXPECT)
		bytes_unescape(&b, args[0]);
	if (step == SEND_FILE || step == EXPECT_FILE || step == STUFF)
		bytes_file(&b, args[0]);
	if (c->now->fd < 0 && step != NEW && step != CONN && step != SLEEP)
		die("%s: the connection is closed", steps[step].name);
	switch (step) {
	case SEND:
	case SEND_FILE:
		rc = talk_send(c->now, b.at, b.len, now_ms() + c->timeout) < 0;
		if (rc)
			printf("the peer does not read\n");
		break;
	case EXPECT:
	case EXPECT_FILE: rc = talk_expect(c->now, &b, c->timeout); break;
	case HALF: shutdown(c->now->fd, SHUT_WR); break;
	case SHUT: shutdown(c->now->fd, SHUT_RDWR); break;
	case CLOSE: chat_hang_up(c, 0); break;
	case RESET: chat_hang_up(c, 1); break;
	case AT_EOF: rc = talk_ends(c->now, 0, c->timeout); break;
	case CLOSED: rc = talk_ends(c->now, 1, c->timeout); break;
	case QUIET: rc = talk_quiet(c->now, number(args[0])); break;
	case SLEEP: sleep_ms(number(args[0])); break;
	case TIMEOUT: c->timeout = number(args[0]); break;
	case MARK: c->mark = now_ms(); break;
	case TOOK: rc = chat_took(c, number(args[0]), number(args[1])); break;
	case CONN: chat_switch(c, number(args[0])); break;
	case NEW: chat_reopen(c); break;
	case STUFF: talk_stuff(c->now, b.at, b.len, number(args[1])); break;
	}
	free(b.at);
	return rc;
}

static enum step
step_find(const char *name)
{
	size_t i;

	for (i = 0; i < sizeof(steps) / sizeof(*steps); i++)
		if (!strcmp(steps[i].name, name))
			return (enum step)i;
	die("no such step: %s", name);
	return SEND;
}

static int
chat_command(char **args)
{
	static struct chat c;
	int i, n, count = 0;
	enum step step;

	for (i = 0; i < CHAT_CONNS; i++)
		c.talks[i].fd = -1;
	c.address = *args++;
	c.timeout = CHAT_TIMEOUT;
	c.mark = now_ms();
	chat_switch(&c, 0);
	while (*args) {
		count++;
		step = step_find(*args);
		for (n = 1; n <= steps[step].args; n++)
			if (!args[n])
				die("%s: what?", *args);
		if (chat_step(&c, step, args + 1)) {
			printf("in step %d: %s %s\n", count, args[0],
				steps[step].args ? args[1] : "");
			return 1;
		}
		args += 1 + steps[step].args;
	}
	return 0;
}

/* Whether what came is n times want, and no more; says where it is not. */
static int
pour_compare(struct talk *t, const struct bytes *want, long n)
{
	size_t from = 0;
	long i;

	for (i = 0; i < n; i++, from += want->len) {
		if (t->in.len >= from + want->len &&
		    !memcmp(t->in.at + from, want->at, want->len))
			continue;
		printf("reply %ld of %ld differs\n", i + 1, n);
		if (from <= t->in.len)
			bytes_drop(&t->in, from);
		show("expected", want, 0);
		show("received", &t->in, 0);
		return 1;
	}
	if (t->in.len > from)
		printf("more than %ld replies\n", n);
	return t->in.len > from;
}

static int
pour_command(char **args)
{
	struct talk t = {.fd = connect_or_die(args[0])};
	struct bytes out = {0}, want = {0};
	long n = number(args[1]);
	long long end = now_ms() + 60000;
	int rc = 1;

	bytes_file(&out, "-");
	bytes_unescape(&want, args[2]);
	if (talk_send(&t, out.at, out.len, end) < 0) {
		printf("the peer does not read\n");
	} else {
		talk_fill(&t, want.len * (size_t)n, end);
		rc = pour_compare(&t, &want, n);
	}
	free(out.at);
	free(want.at);
	free(t.in.at);
	return rc;
}

static int
nc_command(char **args)
{
	struct talk t = {.fd = connect_or_die(args[0])};
	long quiet = args[1] ? number(args[1]) : 30000;
	struct bytes out = {0};

	bytes_file(&out, "-");
	talk_send(&t, out.at, out.len, now_ms() + quiet);
	for (;;) {
		if (t.in.len > 0)
			fwrite(t.in.at, 1, t.in.len, stdout);
		fflush(stdout);
		t.in.len = 0;
		if (t.end || !ready(t.fd, POLLIN, now_ms() + quiet))
			break;
		talk_read(&t);
	}
	free(out.at);
	free(t.in.at);
	return 0;
}

/*
 * Opens count connections, sends BYTES on each and waits for a quiet moment;
 * then prints how many are open, how many were closed, and the last words of
 * those that were.
 */
static int
hold_command(char **args)
{
	long count = number(args[1]), i, open = 0, closed = 0;
	struct talk *talks = calloc((size_t)count, sizeof(*talks));
	struct bytes out = {0}, last = {0};
	char byte;

	if (!talks)
		die("out of memory");
	if (args[2])
		bytes_unescape(&out, args[2]);
	for (i = 0; i < count; i++) {
		talks[i].fd = connect_or_die(args[0]);
		talk_send(&talks[i], out.at, out.len, now_ms() + CHAT_TIMEOUT);
	}
	for (i = 0; i < count; i++) {
		while (!talks[i].end && ready(talks[i].fd, POLLIN, now_ms() + (i ? 20 : 300)))
			talk_read(&talks[i]);
		if (talks[i].end)
			closed++;
		else
			open++;
		if (talks[i].end && talks[i].in.len) {
			last.len = 0;
			bytes_add(&last, talks[i].in.at, talks[i].in.len);
		}
	}
	printf("open %ld closed %ld last \"", open, closed);
	escape(stdout, last.at, last.len);
	printf("\"\n");
	fflush(stdout);
	while (read(0, &byte, 1) > 0)
		;
	for (i = 0; i < count; i++)
		free(talks[i].in.at);
	free(talks);
	free(out.at);
	free(last.at);
	return 0;
}

/* ---- a small redis client -------------------------------------------- */

/* The next line without its end, read as needed; ends the program without one. */
static char *
talk_line(struct talk *t, struct bytes *line)
{
	long long end = now_ms() + 30000;
	char *lf;

	while (!t->in.len || !(lf = memchr(t->in.at, '\n', t->in.len))) {
		if (t->end)
			die("the connection is closed");
		if (!ready(t->fd, POLLIN, end))
			die("no answer");
		talk_read(t);
	}
	line->len = 0;
	bytes_add(line, t->in.at, (size_t)(lf - t->in.at) + 1);
	bytes_drop(&t->in, line->len);
	line->len -= line->len > 1 && line->at[line->len - 2] == '\r' ? 2 : 1;
	line->at[line->len] = '\0';
	return line->at;
}

/* Prints len bytes and a line end; takes them and the CRLF behind away. */
static void
talk_print_bulk(struct talk *t, size_t len)
{
	talk_fill(t, len + 2, now_ms() + 30000);
	if (t->in.len < len + 2)
		die("the reply is cut off");
	fwrite(t->in.at, 1, len, stdout);
	putchar('\n');
	bytes_drop(&t->in, len + 2);
}

/* Prints a reply; 1 if it is an error. */
static int
reply_print(struct talk *t)
{
	struct bytes line = {0};
	char *text = talk_line(t, &line);
	long n, rc = 0;

	switch (*text) {
	case '$':
		if (text[1] == '-')
			puts("(nil)");
		else
			talk_print_bulk(t, (size_t)number(text + 1));
		break;
	case '*':
	case '%':
		if (text[1] == '-') {
			puts("(nil)");
			break;
		}
		for (n = number(text + 1) * (*text == '%' ? 2 : 1); n > 0; n--)
			rc |= reply_print(t);
		break;
	case '-':
		rc = 1;
		puts(text + 1);
		break;
	default:
		puts(text + 1);
	}
	free(line.at);
	return (int)rc;
}

static int
redis_command(char **args)
{
	struct talk t = {.fd = connect_or_die(*args++)};
	struct bytes out = {0};
	char head[32];
	int n = 0, rc;

	while (args[n])
		n++;
	snprintf(head, sizeof(head), "*%d\r\n", n);
	bytes_puts(&out, head);
	for (; *args; args++) {
		snprintf(head, sizeof(head), "$%zu\r\n", strlen(*args));
		bytes_puts(&out, head);
		bytes_puts(&out, *args);
		bytes_puts(&out, "\r\n");
	}
	talk_send(&t, out.at, out.len, now_ms() + CHAT_TIMEOUT);
	rc = reply_print(&t);
	free(out.at);
	free(t.in.at);
	return rc;
}

/* ---- a small memcached client ---------------------------------------- */

/* Whether more lines follow this one in the same answer. */
static int
memcache_goes_on(const char *line)
{
	return !strncmp(line, "VALUE ", 6) || !strncmp(line, "STAT ", 5);
}

static int
memcache_command(char **args)
{
	struct talk t = {.fd = connect_or_die(args[0])};
	struct bytes out = {0}, line = {0};
	unsigned long len;
	char *text;
	int rc;

	bytes_puts(&out, args[1]);
	bytes_puts(&out, "\r\n");
	if (args[2]) {
		bytes_puts(&out, args[2]);
		bytes_puts(&out, "\r\n");
	}
	talk_send(&t, out.at, out.len, now_ms() + CHAT_TIMEOUT);
	do {
		text = talk_line(&t, &line);
		puts(text);
		if (sscanf(text, "VALUE %*s %*s %lu", &len) == 1)
			talk_print_bulk(&t, len);
	} while (memcache_goes_on(text));
	rc = strstr(text, "ERROR") != NULL;
	free(out.at);
	free(line.at);
	free(t.in.at);
	return rc;
}

/* ---- JSON ------------------------------------------------------------ */

static const char *
json_blank(const char *at)
{
	return at + strspn(at, " \t\r\n");
}

/* The byte after the string that begins at its quote. */
static const char *
json_string(const char *at)
{
	for (at++; *at && *at != '"'; at++)
		if (*at == '\\' && at[1])
			at++;
	if (!*at)
		die("json: string without end");
	return at + 1;
}

/* The byte after the value. */
static const char *
json_skip(const char *at)
{
	int depth = 0;

	do {
		at = json_blank(at);
		if (*at == '"') {
			at = json_string(at);
		} else if (*at == '{' || *at == '[') {
			depth++;
			at++;
		} else if (*at == '}' || *at == ']') {
			depth--;
			at++;
		} else if (*at == ',' || *at == ':') {
			at++;
		} else {
			size_t len = strcspn(at, ",:}] \t\r\n");

			if (!len)
				die("json: unexpected end");
			at += len;
		}
	} while (depth > 0);
	return at;
}

/* The value of that name in the object, or NULL. */
static const char *
json_member(const char *at, const char *name)
{
	const char *key;
	size_t len;

	if (*at != '{')
		return NULL;
	for (at = json_blank(at + 1); *at == '"'; at = json_blank(at)) {
		key = at + 1;
		at = json_string(at);
		len = (size_t)(at - key) - 1;
		at = json_blank(at);
		if (*at++ != ':')
			die("json: a colon is missing");
		at = json_blank(at);
		if (len == strlen(name) && !memcmp(key, name, len))
			return at;
		at = json_blank(json_skip(at));
		if (*at == ',')
			at++;
	}
	return NULL;
}

static int
json_command(char **args)
{
	struct bytes in = {0};
	const char *at, *end;

	bytes_file(&in, "-");
	bytes_add(&in, "", 1);
	at = json_blank(in.at);
	while (at && *args)
		at = json_member(at, *args++);
	if (at) {
		end = json_skip(at);
		printf("%.*s\n", (int)(end - at) - 2 * (*at == '"'), at + (*at == '"'));
	} else {
		printf("no %s\n", args[-1]);
	}
	free(in.at);
	return !at;
}

static int
print_command(char **args)
{
	long n = args[1] ? number(args[1]) : 1;
	struct bytes b = {0};

	bytes_unescape(&b, args[0]);
	while (n-- > 0)
		fwrite(b.at, 1, b.len, stdout);
	free(b.at);
	return 0;
}

static int
sleep_command(char **args)
{
	sleep_ms(number(*args));
	return 0;
}

static int
ms_command(char **args)
{
	(void)args;
	printf("%lld\n", now_ms());
	return 0;
}

static int
wait_up(char **args)
{
	return wait_command(args, 1);
}

static int
wait_down(char **args)
{
	return wait_command(args, 0);
}

static const struct {
	const char *name;
	int args;
	int (*run)(char **args);
} commands[] = {
	{"port", 0, port_command}, {"wait", 1, wait_up}, {"gone", 1, wait_down},
	{"sleep", 1, sleep_command}, {"ms", 0, ms_command},
	{"limit", 2, limit_command}, {"killer", 2, killer_command},
	{"print", 1, print_command}, {"chat", 1, chat_command},
	{"pour", 3, pour_command}, {"nc", 1, nc_command}, {"hold", 2, hold_command},
	{"redis", 2, redis_command}, {"memcache", 2, memcache_command},
	{"json", 0, json_command},
};

int
main(int argc, char **argv)
{
	size_t i;

	for (i = 0; argc > 1 && i < sizeof(commands) / sizeof(*commands); i++) {
		if (strcmp(argv[1], commands[i].name) || argc - 2 < commands[i].args)
			continue;
		signal(SIGPIPE, SIG_IGN);
		return commands[i].run(argv + 2);
	}
	fputs(usage, stderr);
	return 2;
}
