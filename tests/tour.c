/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tour: a proxy from start to end, with something of everything it does, and
 * every reply checked; alone, or again and again with another fault each time.
 */
#include "bench.h"

#include <stdbool.h>
#include <sys/wait.h>

static const char usage[] =
	"usage: tour [option ...] PROGRAM REDIS_PORT MEMCACHED_PORT STATS_PORT\n"
	"  -l FILE    preload it: faults.so, which see\n"
	"  -f         forgive: what goes wrong is tried again until it goes right\n"
	"  -u         even so, no server may be ejected but the one that fails\n"
	"  -w MS      time for each step (20000)\n"
	"  -e NAME FIRST LAST STEP\n"
	"             once for each number, with NAME=number in the environment;\n"
	"             then the proxy may also end with a message and status 1\n"
	"Reads a.yml, b.yml and bad.yml in this directory: the configurations at\n"
	"start, after a reload, and one with an error. Status 0: all went well.\n";

enum {
	BIG = 70000,     /* bytes of a value that no buffer holds */
	CROWD = 32,      /* clients at once */
	END_MS = 30000,  /* the proxy may take until it has ended */
};

static struct {
	const char *program, *preload;
	bool forgiving, may_end, unharmed;
	long limit;
	char address[5][108]; /* by enum place */
} own = { .limit = 20000 };

enum place { REDIS, MEMCACHED, STATS, SECRET, EXTRA };

/* What comes after the reply. */
enum ending {
	STAYS,  /* nothing */
	CLOSES, /* the end */
	HAS,    /* it is somewhere in all that comes until the end */
};

struct step {
	enum place place;
	const char *send, *want;
	enum ending ending;
};

/* ---- the proxy ------------------------------------------------------------- */

static struct {
	pid_t pid;
	bool ended;
	int status;
} proxy;

static void proxy_start(void)
{
	int fd;

	unlink("tour.log");
	unlink("tour.report");
	unlink("tour.yml");
	if (symlink("a.yml", "tour.yml") < 0)
		die("symlink: %s", strerror(errno));
	proxy.ended = false;
	proxy.pid = fork();
	if (proxy.pid < 0)
		die("fork: %s", strerror(errno));
	if (proxy.pid > 0)
		return;
	fd = open("tour.err", O_WRONLY | O_CREAT | O_TRUNC, 0644);
	dup2(fd, STDERR_FILENO);
	if (own.preload) {
		setenv("LD_PRELOAD", own.preload, 1);
		setenv("FAULT_REPORT", "tour.report", 1);
	}
	execl(own.program, own.program, "-c", "tour.yml", "-o", "tour.log",
		"-a", "127.0.0.1", "-s", own.address[STATS], "-p", "tour.pid",
		"-T", "1000", (char *)NULL);
	_exit(127);
}

static bool proxy_ended(void)
{
	if (!proxy.ended)
		proxy.ended = waitpid(proxy.pid, &proxy.status, WNOHANG) ==
			proxy.pid;
	return proxy.ended;
}

static void proxy_wait(void)
{
	long long end = now_ms() + END_MS;

	while (!proxy_ended() && now_ms() < end)
		sleep_ms(1);
	if (proxy.ended)
		return;
	kill(proxy.pid, SIGKILL);
	waitpid(proxy.pid, &proxy.status, 0);
	proxy.ended = true;
}

/* ---- a step ------------------------------------------------------------------ */

/* The step under way, for who wants to know what failed. */
static char told[600];
static struct bytes got;

/* Waits until the socket is ready. False: time is over. */
static bool wait_for(int fd, short events, long long end)
{
	struct pollfd p = { .fd = fd, .events = events };
	long long left = end - now_ms();

	return left > 0 && poll(&p, 1, (int)left) > 0;
}

/* Is what has come so far the beginning of what is wanted, or all of it? */
static bool is_good(const char *want, size_t len)
{
	return got.len <= len && memcmp(got.at, want, got.len) == 0;
}

/* Sends all and reads meanwhile, until as much has come as is wanted; with
 * to_end until the end. False: time is over, or the connection is, or what came
 * is something else. */
static bool exchange(int fd, const char *send_at, size_t len, const char *want,
	size_t want_len, enum ending ending)
{
	bool to_end = ending != STAYS;
	long long end = now_ms() + own.limit;
	bool over = false;

	got.len = 0;
	if (!len && to_end)
		shutdown(fd, SHUT_WR);
	while ((len || to_end || got.len < want_len) && !over) {
		ssize_t n;

		if (!wait_for(fd, (short)(POLLIN | (len ? POLLOUT : 0)), end))
			return false;
		n = len ? send(fd, send_at, len, MSG_NOSIGNAL) : 0;
		if (n > 0) {
			send_at += n;
			len -= (size_t)n;
			if (!len && to_end)
				shutdown(fd, SHUT_WR);
		}
		bytes_reserve(&got, BIG);
		n = recv(fd, got.at + got.len, BIG, 0);
		if (n > 0)
			got.len += (size_t)n;
		over = n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR);
		if (ending != HAS && !is_good(want, want_len))
			return false;
	}
	return !over || to_end;
}

/* Unix sockets are closed in order. TCP ones are reset, or their ports would be
 * used up after some hundred tours; so the proxy sees both. */
static void hang_up(int fd, enum place place)
{
	if (place == SECRET || place == EXTRA)
		close(fd);
	else
		socket_reset(fd);
}

static bool is_right(const char *want, size_t len, enum ending ending)
{
	if (ending != HAS)
		return got.len == len && memcmp(got.at, want, len) == 0;
	bytes_reserve(&got, 1);
	got.at[got.len] = '\0';
	return strstr(got.at, want) != NULL;
}

static bool talk(enum place place, const char *send_at, size_t send_len,
	const char *want, size_t want_len, enum ending ending)
{
	int fd = address_connect(own.address[place]);
	bool right;

	snprintf(told, sizeof(told), "\"%.60s\"", send_at);
	if (fd < 0) {
		snprintf(told, sizeof(told), "\"%.60s\": %s", send_at,
			strerror(errno));
		return false;
	}
	right = exchange(fd, send_at, send_len, want, want_len, ending) &&
		is_right(want, want_len, ending);
	if (!right)
		snprintf(told, sizeof(told), "\"%.60s\": %zu bytes: \"%.*s\"",
			send_at, got.len, got.len < 300 ? (int)got.len : 300,
			got.len ? got.at : "");
	hang_up(fd, place);
	return right;
}

static bool step_try(const struct step *step)
{
	return talk(step->place, step->send, strlen(step->send), step->want,
		strlen(step->want), step->ending);
}

/* Tries until it goes right, the proxy ends or time does. */
static bool until(const struct step *step, bool (*try)(const struct step *))
{
	long long end = now_ms() + own.limit;

	while (!try(step)) {
		if (proxy_ended() || now_ms() >= end)
			return false;
		sleep_ms(1);
	}
	return true;
}

static bool once(const struct step *step, bool (*try)(const struct step *))
{
	return own.forgiving ? until(step, try) : try(step);
}

static bool steps(const struct step *list)
{
	for (; list->send; list++)
		if (!once(list, step_try))
			return false;
	return true;
}

/* ---- what is asked --------------------------------------------------------------- */

static const struct step ready = { SECRET, "PING\r\n",
	"-NOAUTH Authentication required\r\n", STAYS };

static const struct step redis_steps[] = {
	{ REDIS, "PING\r\n", "+PONG\r\n", STAYS },
	{ REDIS, "*3\r\n$3\r\nSET\r\n$3\r\none\r\n$5\r\nfirst\r\n"
		"*2\r\n$3\r\nGET\r\n$3\r\none\r\n*2\r\n$3\r\nDEL\r\n$3\r\none\r\n"
		"*2\r\n$3\r\nGET\r\n$3\r\none\r\n",
		"+OK\r\n$5\r\nfirst\r\n:1\r\n$-1\r\n", STAYS },
	{ REDIS, "MSET a 1 b 2 c 3 d 4 e 5 f 6 g 7 h 8\r\n"
		"MGET a b c d e f g h nothing\r\nEXISTS a b c d nothing\r\n"
		"DEL a b c d e f g h\r\nMGET a b\r\n",
		"+OK\r\n*9\r\n$1\r\n1\r\n$1\r\n2\r\n$1\r\n3\r\n$1\r\n4\r\n"
		"$1\r\n5\r\n$1\r\n6\r\n$1\r\n7\r\n$1\r\n8\r\n$-1\r\n:4\r\n"
		":8\r\n*2\r\n$-1\r\n$-1\r\n", STAYS },
	{ REDIS, "SET n 41\r\nINCR n\r\nAPPEND n 0\r\nSTRLEN n\r\nDEL n\r\n",
		"+OK\r\n:42\r\n:3\r\n:3\r\n:1\r\n", STAYS },
	{ REDIS, "DEL {t}l\r\nRPUSH {t}l x y\r\nLRANGE {t}l 0 -1\r\n",
		":2\r\n*2\r\n$1\r\nx\r\n$1\r\ny\r\n", HAS },
	{ REDIS, "GET\r\nNOSUCH\r\nMULTI\r\n",
		"-ERR wrong number of arguments for 'get' command\r\n"
		"-ERR unknown command 'NOSUCH', with args beginning with: \r\n"
		"-ERR command 'MULTI' is not supported through a proxy: it needs "
		"a connection of its own\r\n", STAYS },
	{ REDIS, "DEBUG SEGFAULT\r\nCLIENT SETNAME me\r\nCLIENT GETNAME\r\n",
		"-NOPERM this user has no permissions to run the 'debug' command\r\n"
		"+OK\r\n$2\r\nme\r\n", STAYS },
	{ REDIS, "ECHO x\r\nINFO\r\nCOMMAND COUNT\r\n", "redis_version", HAS },
	{ REDIS, "SCAN 0\r\nDBSIZE\r\n", "\r\n:", HAS },
	{ REDIS, "*1\r\n$x\r\n", "-ERR Protocol error: invalid bulk length\r\n",
		CLOSES },
	{ REDIS, "SET q 1\r\nQUIT\r\n", "+OK\r\n+OK\r\n", CLOSES },
	{ REDIS, NULL, NULL, STAYS },
};

static const struct step secret_steps[] = {
	{ SECRET, "AUTH nonsense\r\nGET a\r\n", "-ERR invalid password\r\n"
		"-NOAUTH Authentication required\r\n", STAYS },
	{ SECRET, "AUTH word\r\nSET s 1\r\nGET s\r\nMSET s1 1 s2 2 s3 3\r\n"
		"MGET s1 s2 s3\r\nDEL s s1 s2 s3\r\n",
		"+OK\r\n+OK\r\n$1\r\n1\r\n+OK\r\n*3\r\n$1\r\n1\r\n$1\r\n2\r\n"
		"$1\r\n3\r\n:4\r\n", STAYS },
	{ SECRET, "HELLO 3 AUTH default word\r\n", "%7\r\n", HAS },
	{ SECRET, NULL, NULL, STAYS },
};

static const struct step memcached_steps[] = {
	{ MEMCACHED, "set one 7 0 5\r\nfirst\r\nget one\r\ndelete one\r\n"
		"get one\r\n", "STORED\r\nVALUE one 7 5\r\nfirst\r\nEND\r\n"
		"DELETED\r\nEND\r\n", STAYS },
	{ MEMCACHED, "set a 0 0 1\r\n1\r\nset b 0 0 1\r\n2\r\nset c 0 0 1\r\n3\r\n"
		"set d 0 0 1\r\n4\r\nget a b c d nothing\r\n",
		"STORED\r\nSTORED\r\nSTORED\r\nSTORED\r\nVALUE a 0 1\r\n1\r\n"
		"VALUE b 0 1\r\n2\r\nVALUE c 0 1\r\n3\r\nVALUE d 0 1\r\n4\r\n"
		"END\r\n", STAYS },
	{ MEMCACHED, "set n 0 0 2 noreply\r\n41\r\nincr n 1\r\ntouch n 0\r\n"
		"delete n noreply\r\nget n\r\n", "42\r\nTOUCHED\r\nEND\r\n", STAYS },
	{ MEMCACHED, "nosuch\r\nget\r\nset k 0 0 x\r\nversion\r\n",
		"ERROR\r\nERROR\r\nCLIENT_ERROR bad command line format\r\n", HAS },
	{ MEMCACHED, "gets a b\r\nstats\r\n", "STAT pid ", HAS },
	{ MEMCACHED, "quit\r\n", "", CLOSES },
	{ MEMCACHED, NULL, NULL, STAYS },
};

static const struct step stats_steps[] = {
	{ STATS, "", "\"curr_connections\":", HAS },
	{ STATS, "GET / HTTP/1.1\r\n\r\n", "\"red\":", HAS },
	{ STATS, "GET /metrics HTTP/1.1\r\n\r\n",
		"nutcracker_server_latency_seconds_bucket", HAS },
	{ STATS, "GET /health HTTP/1.1\r\n\r\n", "HTTP/1.1 ", HAS },
	{ STATS, "GET /route?pool=red&key=%7bt%7dx HTTP/1.1\r\n\r\n",
		"127.0.0.1", HAS },
	{ STATS, "HEAD /nosuch HTTP/1.1\r\n\r\n", "404 Not Found", HAS },
	{ STATS, NULL, NULL, STAYS },
};

static const struct step unharmed = { STATS, "GET /metrics HTTP/1.1\r\n\r\n",
	"nutcracker_pool_ejects_total{pool=\"red\"} 0\n", HAS };
static const struct step breaks = { REDIS, "GET breakme\r\n",
	"-ERR unknown\r\n", STAYS };
static const struct step ejected = { STATS, "GET /metrics HTTP/1.1\r\n\r\n",
	"nutcracker_pool_ejects_total{pool=\"red\"} 1\n", HAS };
static const struct step returned = { STATS, "GET /route?pool=red&key=breakme"
	" HTTP/1.1\r\n\r\n", "bad", HAS };

static const struct step extra = { EXTRA, "SET x 1\r\nGET x\r\n",
	"+OK\r\n$1\r\n1\r\n", STAYS };
static const struct step refused = { STATS, "GET /metrics HTTP/1.1\r\n\r\n",
	"nutcracker_last_reload_failed 1\n", HAS };

/* Values that no buffer holds, alone and joined. */
static bool large_try(const struct step *step)
{
	static struct bytes request, reply;
	static char value[BIG + 1];
	char head[64];

	memset(value, 'x', BIG);
	request.len = reply.len = 0;
	snprintf(head, sizeof(head), step->place == REDIS ?
		"*3\r\n$3\r\nSET\r\n$3\r\nbig\r\n$%d\r\n" :
		"set big 0 0 %d\r\n", BIG);
	bytes_puts(&request, head);
	bytes_puts(&request, value);
	bytes_puts(&request, step->send);
	bytes_puts(&reply, step->want);
	snprintf(head, sizeof(head), step->place == REDIS ? "$%d\r\n" :
		"VALUE big 0 %d\r\n", BIG);
	bytes_puts(&reply, head);
	bytes_puts(&reply, value);
	bytes_puts(&reply, step->place == REDIS ? "\r\n$-1\r\n$-1\r\n$-1\r\n" :
		"\r\nEND\r\n");
	return talk(step->place, request.at, request.len, reply.at, reply.len,
		STAYS);
}

/* Many at once: all have asked before the first one reads. */
static bool crowd_try(const struct step *step)
{
	int fds[CROWD];
	int count = 0;
	bool right = true;

	snprintf(told, sizeof(told), "many clients at once");
	while (count < CROWD && right) {
		int fd = address_connect(own.address[step->place]);

		right = fd >= 0;
		if (right)
			fds[count++] = fd;
		right = right && send(fd, step->send, strlen(step->send),
			MSG_NOSIGNAL) == (ssize_t)strlen(step->send);
	}
	for (int i = 0; i < count; i++) {
		right = right && exchange(fds[i], "", 0, step->want,
			strlen(step->want), STAYS);
		hang_up(fds[i], step->place);
	}
	return right;
}

static const struct step crowds[] = {
	{ REDIS, "SET crowd 1\r\nGET crowd\r\nMGET crowd u v w\r\nGET crowd\r\n",
		"+OK\r\n$1\r\n1\r\n*4\r\n$1\r\n1\r\n$-1\r\n$-1\r\n$-1\r\n"
		"$1\r\n1\r\n", STAYS },
	{ MEMCACHED, "set crowd 0 0 1\r\n1\r\nget crowd u v w\r\nget crowd\r\n",
		"STORED\r\nVALUE crowd 0 1\r\n1\r\nEND\r\n"
		"VALUE crowd 0 1\r\n1\r\nEND\r\n", STAYS },
};

static const struct step large[] = {
	{ REDIS, "\r\nMGET big u v w\r\n", "+OK\r\n*4\r\n", STAYS },
	{ MEMCACHED, "\r\nget big u v w\r\n", "STORED\r\n", STAYS },
};

/* ---- the tour ------------------------------------------------------------------------ */

static bool all_steps(void)
{
	return steps(redis_steps) && steps(secret_steps) &&
		steps(memcached_steps) && steps(stats_steps) &&
		once(&large[0], large_try) && once(&large[1], large_try) &&
		once(&crowds[0], crowd_try) && once(&crowds[1], crowd_try);
}

static void configure(const char *path)
{
	unlink("tour.yml");
	if (symlink(path, "tour.yml") < 0)
		die("symlink: %s", strerror(errno));
}

/* A reload that failed for another reason than it should is asked for again. */
static bool reload_try(const struct step *step)
{
	kill(proxy.pid, SIGUSR1);
	return step_try(step);
}

static bool extra_gone(const struct step *step)
{
	if (own.forgiving)
		kill(proxy.pid, SIGUSR1);
	(void)step;
	snprintf(told, sizeof(told), "reload: extra.sock is still there");
	return access("extra.sock", F_OK) < 0;
}

/* SIGUSR1 comes once, unless it must be tried again. */
static bool reload(const char *path, const struct step *step,
	bool (*try)(const struct step *))
{
	configure(path);
	kill(proxy.pid, SIGUSR1);
	return until(step, own.forgiving && try == step_try ? reload_try : try);
}

/* Nothing may have harmed a server before it is broken. */
static bool ejection(void)
{
	return ((own.forgiving && !own.unharmed) || once(&unharmed, step_try)) &&
		once(&breaks, step_try) &&
		(own.forgiving || step_try(&ejected)) &&
		until(&returned, step_try);
}

static bool tour(void)
{
	if (!until(&ready, step_try) || !all_steps() || !ejection() ||
	    !reload("b.yml", &extra, step_try) || !all_steps() ||
	    !reload("bad.yml", &refused, step_try) ||
	    !reload("a.yml", NULL, extra_gone))
		return false;
	/* The log anew, and each request noted in it. */
	kill(proxy.pid, SIGHUP);
	kill(proxy.pid, SIGTTIN);
	kill(proxy.pid, SIGTTIN);
	return all_steps();
}

/* ---- how it went ------------------------------------------------------------------------ */

static void file_read(struct bytes *b, const char *path)
{
	FILE *file = fopen(path, "r");
	size_t n;

	b->len = 0;
	while (file) {
		bytes_reserve(b, 65536);
		n = fread(b->at + b->len, 1, 65536, file);
		b->len += n;
		if (!n)
			break;
	}
	if (file)
		fclose(file);
	bytes_add(b, "", 1);
}

static bool file_has(const char *path, const char *text)
{
	static struct bytes b;

	file_read(&b, path);
	return strstr(b.at, text) != NULL;
}

/* What it lacked when it could not go on. */
static bool said_why(void)
{
	const char *lacks[] = { "nutcracker: out of memory", strerror(ENOMEM),
		gai_strerror(EAI_MEMORY), strerror(EMFILE), strerror(ENOSPC),
		strerror(EADDRNOTAVAIL), strerror(EAGAIN) };

	for (size_t i = 0; i < sizeof(lacks) / sizeof(lacks[0]); i++)
		if (file_has("tour.err", lacks[i]) ||
		    file_has("tour.log", lacks[i]))
			return true;
	return false;
}

/* NULL: it ended as it should. */
static const char *verdict(bool toured)
{
	if (WIFSIGNALED(proxy.status))
		return "killed by a signal, or it did not end";
	if (own.may_end && WEXITSTATUS(proxy.status) == 1)
		return said_why() ? NULL : "it does not say why it ended";
	if (!toured)
		return "not what it must be";
	if (WEXITSTATUS(proxy.status) != 0)
		return "its status";
	if (own.preload && !file_has("tour.report", "left 0\n"))
		return "memory is not freed";
	return NULL;
}

static void show(const char *path)
{
	static struct bytes b;

	file_read(&b, path);
	printf("--- %s\n%.3000s\n", path,
		b.len > 3000 ? b.at + b.len - 3000 : b.at);
}

/* True: it went well. */
static bool run(const char *what)
{
	const char *why;
	bool toured;

	proxy_start();
	toured = tour();
	if (!proxy_ended())
		kill(proxy.pid, SIGTERM);
	proxy_wait();
	why = verdict(toured);
	if (!why)
		return true;
	printf("%s: %s, at %s, status %s%d\n", what, why, told,
		WIFSIGNALED(proxy.status) ? "signal " : "",
		WIFSIGNALED(proxy.status) ? WTERMSIG(proxy.status) :
		WEXITSTATUS(proxy.status));
	show("tour.err");
	show("tour.log");
	show("tour.report");
	return false;
}

static int each(const char *name, long first, long last, long by)
{
	long ended = 0, runs = 0, bad = 0, missed = 0;
	char number_text[24], what[100];

	own.may_end = own.forgiving = true;
	for (long n = first; n <= last && bad < 20; n += by) {
		snprintf(number_text, sizeof(number_text), "%ld", n);
		snprintf(what, sizeof(what), "%s=%ld", name, n);
		setenv(name, number_text, 1);
		runs++;
		bad += !run(what);
		ended += WIFEXITED(proxy.status) && WEXITSTATUS(proxy.status);
		missed += file_has("tour.report", "failed 0\n") &&
			file_has("tour.report", "refused 0\n");
	}
	printf("%s %ld to %ld: %ld tours, %ld ended with a message, %ld went on, "
		"%ld without a fault, %ld wrong\n", name, first, last, runs,
		ended, runs - ended - missed - bad, missed, bad);
	return bad > 0 || missed > 0;
}

static void path_set(char *to, size_t room, const char *name)
{
	size_t len;

	if (!getcwd(to, room - 16))
		die("getcwd: %s", strerror(errno));
	len = strlen(to);
	snprintf(to + len, room - len, "/%s", name);
}

int main(int argc, char **argv)
{
	const char *name = NULL;
	long first = 0, last = 0, by = 1;
	int option;

	while ((option = getopt(argc, argv, "l:fuw:e:")) != -1) {
		switch (option) {
		case 'l': own.preload = optarg; break;
		case 'f': own.forgiving = true; break;
		case 'u': own.unharmed = true; break;
		case 'w': own.limit = number(optarg); break;
		case 'e':
			name = optarg;
			if (argc - optind < 3)
				break;
			first = number(argv[optind]);
			last = number(argv[optind + 1]);
			by = number(argv[optind + 2]);
			optind += 3;
			break;
		default:
			fputs(usage, stderr);
			return 2;
		}
	}
	if (argc - optind != 4 || by < 1) {
		fputs(usage, stderr);
		return 2;
	}
	own.program = argv[optind];
	for (int i = 0; i < 3; i++)
		snprintf(own.address[i], sizeof(own.address[i]), "%s",
			argv[optind + 1 + i]);
	path_set(own.address[SECRET], sizeof(own.address[SECRET]), "secret.sock");
	path_set(own.address[EXTRA], sizeof(own.address[EXTRA]), "extra.sock");
	signal(SIGPIPE, SIG_IGN);
	if (name)
		return each(name, first, last, by);
	return !run("the tour");
}
