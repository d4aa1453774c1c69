/* SPDX-License-Identifier: Apache-2.0 */
/* proxy: main, options, the life of the process, the turn of the loop. */
#include "proxy.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/utsname.h>
#include <sys/wait.h>
#include <unistd.h>

#include "util.h"

#ifndef DEFAULT_CONF
#define DEFAULT_CONF "conf/nutcracker.yml"
#endif

enum {
	MIN_MBUF = 512, MAX_MBUF = 16777216,
	RESERVED_FDS = 32,    /* log, loop, statistics, lookups */
	TRIM_INTERVAL = 1000, /* ms */
	MAX_WORKERS = 256,
	WORKER_GRACE = 1000,  /* ms beyond its own limit for a worker to stop */
};

struct proxy proxy;

/* ---- options --------------------------------------------------------------- */

struct option {
	const char *name;
	char letter;
	const char *needs; /* what its value is called; NULL: it has none */
};

static const char a_number[] = "a number", a_file[] = "a file name";

static const struct option known[] = {
	{ "help", 'h', NULL },
	{ "version", 'V', NULL },
	{ "test-conf", 't', NULL },
	{ "daemonize", 'd', NULL },
	{ "describe-stats", 'D', NULL },
	{ "verbose", 'v', a_number },
	{ "output", 'o', a_file },
	{ "conf-file", 'c', a_file },
	{ "stats-port", 's', a_number },
	{ "stats-interval", 'i', a_number },
	{ "stats-addr", 'a', "a string" },
	{ "pid-file", 'p', a_file },
	{ "mbuf-size", 'm', a_number },
	{ "route", 'r', "a pool name" },
	{ "slow", 'S', a_number },
	{ "shutdown-timeout", 'T', a_number },
	{ "workers", 'w', a_number },
};

enum { KNOWN = sizeof(known) / sizeof(known[0]) };

static void show_version(void)
{
	fprintf(stderr, "This is nutcracker-" VERSION "\n"
		"async event backend: %s\n\n", loop_backend());
}

static void show_usage(void)
{
	fputs(
"Usage: nutcracker [-hVdDt] [-v level] [-o file] [-c file] [-s port]\n"
"                  [-a address] [-i ms] [-p file] [-m bytes] [-S ms] [-T ms]\n"
"                  [-w number]\n"
"       nutcracker [-c file] -r pool [key ...]\n"
"\n"
"Options:\n"
"  -h, --help              this text\n"
"  -V, --version           version and event backend\n"
"  -t, --test-conf         check the configuration file and exit\n"
"  -d, --daemonize         run in the background; returns when it serves\n"
"  -D, --describe-stats    list the counters and exit\n"
"  -v, --verbose=N         log level, 0 to 11 (default: 5)\n"
"  -o, --output=FILE       log file (default: standard error)\n"
"  -c, --conf-file=FILE    configuration (default: " DEFAULT_CONF ")\n"
"  -s, --stats-port=N      port of the statistics (default: 22222)\n"
"  -a, --stats-addr=ADDR   address of the statistics, or \"/path mode\" of a unix\n"
"                          socket (default: 0.0.0.0)\n"
"  -i, --stats-interval=N  accepted, and means nothing (default: 30000 ms)\n"
"  -p, --pid-file=FILE     write the process id there (default: off)\n"
"  -m, --mbuf-size=N       accepted, and means nothing (default: 16384 bytes)\n"
"  -S, --slow=MS           log requests that take so long or longer, 0 for\n"
"                          none (default: 0)\n"
"  -T, --shutdown-timeout=MS  time for requests under way at the end\n"
"                          (default: 5000 ms)\n"
"  -w, --workers=N         processes that serve, 1 to 256 (default: 1)\n"
"  -r, --route=POOL        print to which server each key goes: keys are the\n"
"                          arguments, or the lines of standard input\n"
"\n", stderr);
}

static bool number_option(int letter, const char *value, uint64_t *n)
{
	if (parse_number(value, strlen(value), 2147483647, n))
		return true;
	fprintf(stderr, "nutcracker: option -%c requires a %snumber, not '%s'\n",
		letter, letter == 'm' ? "non-zero " : "", value);
	return false;
}

static bool take_option(struct options *o, const struct option *option,
	char *value)
{
	uint64_t n = 0;

	if (option->needs == a_number && !number_option(option->letter, value, &n))
		return false;
	switch (option->letter) {
	case 'h': o->help = o->version = true; break;
	case 'V': o->version = true; break;
	case 't': o->test_conf = true; break;
	case 'd': o->daemonize = true; break;
	case 'D': o->describe = o->version = true; break;
	case 'v': o->verbosity = n > LOG_MAX ? LOG_MAX : (int)n; break;
	case 'o': o->output = value; break;
	case 'c': o->conf_file = value; break;
	case 'a': o->stats_addr = value; break;
	case 'p': o->pid_file = value; break;
	case 'r': o->route = value; break;
	case 'S': o->slow = (int)n; break;
	case 'T': o->shutdown_timeout = (int)n; break;
	case 'w':
		if (n < 1 || n > MAX_WORKERS) {
			fprintf(stderr, "nutcracker: option -w value %s is not "
				"between 1 and %d\n", value, MAX_WORKERS);
			return false;
		}
		o->workers = (unsigned)n;
		break;
	case 'i': break; /* the statistics need no interval */
	case 's':
		if (n < 1 || n > 65535) {
			fprintf(stderr, "nutcracker: option -s value %s is not a "
				"valid port\n", value);
			return false;
		}
		o->stats_port = (uint16_t)n;
		break;
	case 'm':
		if (n == 0) {
			fprintf(stderr, "nutcracker: option -m requires a "
				"non-zero number\n");
			return false;
		}
		if (n < MIN_MBUF || n > MAX_MBUF) {
			fprintf(stderr, "nutcracker: mbuf chunk size must be "
				"between %d and %d bytes\n", MIN_MBUF, MAX_MBUF);
			return false;
		}
		break;
	}
	return true;
}

/* The value may be a word of its own, the one after *at. */
static bool read_value(struct options *o, const struct option *option,
	char *value, char **argv, int *at)
{
	if (option->needs && !value)
		value = argv[++*at];
	if (!option->needs || value)
		return take_option(o, option, value);
	fprintf(stderr, "nutcracker: option -%c requires %s\n", option->letter,
		option->needs);
	return false;
}

/* By its name, or a beginning that no other has. */
static const struct option *option_find(const char *name, size_t len)
{
	const struct option *found = NULL;
	size_t count = 0;

	for (size_t i = 0; i < KNOWN; i++) {
		if (strncmp(known[i].name, name, len) != 0)
			continue;
		if (!known[i].name[len])
			return &known[i];
		found = &known[i];
		count++;
	}
	return count == 1 ? found : NULL;
}

/* "--name", "--name=value" or "--name value". */
static bool read_name(struct options *o, char **argv, int *at)
{
	char *name = argv[*at] + 2;
	size_t len = strcspn(name, "=");
	char *value = name[len] ? name + len + 1 : NULL;
	const struct option *option = option_find(name, len);

	if (option && (option->needs || !value))
		return read_value(o, option, value, argv, at);
	fprintf(stderr, "nutcracker: invalid option -- '%s'\n", argv[*at]);
	return false;
}

/* Letters behind one another; the rest is the value of the first that needs one. */
static bool read_letters(struct options *o, char **argv, int *at)
{
	for (char *c = argv[*at] + 1; *c; c++) {
		size_t i = 0;

		while (i < KNOWN && known[i].letter != *c)
			i++;
		if (i == KNOWN) {
			fprintf(stderr, "nutcracker: invalid option -- '%c'\n", *c);
			return false;
		}
		if (known[i].needs)
			return read_value(o, &known[i], c[1] ? c + 1 : NULL, argv, at);
		if (!take_option(o, &known[i], NULL))
			return false;
	}
	return true;
}

/* Words that are no options are left behind argv[0]: *words with that. */
static bool read_options(struct options *o, int argc, char **argv, int *words)
{
	*o = (struct options){
		.verbosity = LOG_NOTICE, .conf_file = DEFAULT_CONF,
		.stats_addr = "0.0.0.0", .stats_port = 22222,
		.shutdown_timeout = 5000, .workers = 1,
	};
	*words = 1;
	for (int i = 1; i < argc; i++) {
		char *word = argv[i];

		if (strcmp(word, "--") == 0) {
			while (++i < argc)
				argv[(*words)++] = argv[i];
		} else if (word[0] != '-' || !word[1]) {
			argv[(*words)++] = word;
		} else if (!(word[1] == '-' ? read_name : read_letters)(o, argv, &i)) {
			return false;
		}
	}
	return true;
}

/* ---- -t and -r ------------------------------------------------------------------ */

/* What standard error says as well: once is enough where the log goes there. */
static void log_failure(const char *error)
{
	if (proxy.options.output && *proxy.options.output)
		log_err("%s", error);
}

static int read_conf(struct conf *conf)
{
	char *error = NULL;

	if (conf_read(proxy.options.conf_file, conf, &error) == 0)
		return 0;
	fprintf(stderr, "nutcracker: %s\n", error);
	log_failure(error);
	free(error);
	return -1;
}

static int test_conf(void)
{
	struct conf conf;
	char *error = NULL;
	int result = conf_read(proxy.options.conf_file, &conf, &error);

	if (error)
		fprintf(stderr, "nutcracker: %s\n", error);
	fprintf(stderr, "nutcracker: configuration file '%s' syntax is %s\n",
		proxy.options.conf_file, result == 0 ? "ok" : "invalid");
	free(error);
	conf_free(&conf);
	return result == 0 ? 0 : 1;
}

static void print_route(struct pool *pool, const char *key, size_t len)
{
	struct text line = { 0 };

	text_add(&line, key, len);
	text_add(&line, "\t", 1);
	pool_show_route(pool, key, len, &line);
	fwrite(line.ptr, 1, line.len, stdout);
	text_free(&line);
}

static void route_lines(struct pool *pool)
{
	struct text line = { 0 };
	int c;

	while ((c = getc(stdin)) != EOF || line.len) {
		char byte = (char)c;

		if (c != EOF && c != '\n') {
			text_add(&line, &byte, 1);
			continue;
		}
		print_route(pool, line.ptr ? line.ptr : "", line.len);
		line.len = 0;
	}
	text_free(&line);
}

/* Where keys go, from the configuration alone. */
static int show_routes(int argc, char **argv)
{
	struct conf_pool *named = NULL;
	struct conf conf;
	struct pool *pool;

	if (read_conf(&conf) < 0)
		return 1;
	for (size_t i = 0; i < conf.npools; i++)
		if (strcmp(conf.pools[i].name, proxy.options.route) == 0)
			named = &conf.pools[i];
	if (!named) {
		fprintf(stderr, "nutcracker: no pool '%s' in '%s'\n",
			proxy.options.route, proxy.options.conf_file);
		conf_free(&conf);
		return 1;
	}
	pool = pool_new(conf_pool_take(named));
	conf_free(&conf);
	for (int i = 0; i < argc; i++)
		print_route(pool, argv[i], strlen(argv[i]));
	if (argc == 0)
		route_lines(pool);
	pool_free(pool);
	return fflush(stdout) == 0 ? 0 : 1;
}

/* ---- pid file ---------------------------------------------------------------- */

static bool pid_file_written;

static int write_pid_file(char **error)
{
	const char *path = proxy.options.pid_file;
	char text[24];
	int len, fd;

	if (!path)
		return 0;
	fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
	len = snprintf(text, sizeof(text), "%ld", (long)getpid());
	if (fd < 0 || write(fd, text, (size_t)len) != len) {
		*error = xasprintf("opening pid file '%s' failed: %s", path,
			strerror(errno));
		if (fd >= 0)
			close(fd);
		return -1;
	}
	close(fd);
	pid_file_written = true;
	return 0;
}

/* Only if it is still ours: another process may have taken the path over. */
static void remove_pid_file(void)
{
	char text[24] = "";
	int fd;
	ssize_t n;

	if (!pid_file_written)
		return;
	fd = open(proxy.options.pid_file, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return;
	n = read(fd, text, sizeof(text) - 1);
	close(fd);
	if (n > 0 && strtol(text, NULL, 10) == (long)getpid())
		unlink(proxy.options.pid_file);
}

/* ---- signals -------------------------------------------------------------------- */

static struct conn wakeup = { .watch = { .fd = -1 } };
static int wakeup_write = -1;

/* All that a handler does: the number goes through a pipe to the loop. */
static void on_signal(int number)
{
	int saved = errno;
	char byte = (char)number;
	ssize_t n = write(wakeup_write, &byte, 1);

	/* A full pipe holds enough signals already. */
	(void)n;
	errno = saved;
}

static int signals_open(void)
{
	static const int list[] = { SIGTTIN, SIGTTOU, SIGHUP, SIGTERM, SIGINT,
		SIGUSR1, SIGUSR2, SIGCHLD };
	struct sigaction action;
	int fds[2];

	if (pipe(fds) < 0)
		return -1;
	for (int i = 0; i < 2; i++) {
		(void)fcntl(fds[i], F_SETFL, O_NONBLOCK);
		(void)fcntl(fds[i], F_SETFD, FD_CLOEXEC);
	}
	wakeup.role = ROLE_WAKEUP;
	wakeup.watch.fd = fds[0];
	wakeup_write = fds[1];
	memset(&action, 0, sizeof(action));
	sigfillset(&action.sa_mask);
	action.sa_flags = SA_RESTART;
	action.sa_handler = SIG_IGN;
	sigaction(SIGPIPE, &action, NULL);
	/* Who sends one to all of a group, or of a name, means one thing: the
	 * parent hears it too and says to its workers what to do. */
	if (proxy.process != PROCESS_WORKER)
		action.sa_handler = on_signal;
	for (size_t i = 0; i < sizeof(list) / sizeof(list[0]); i++)
		sigaction(list[i], &action, NULL);
	return loop_watch(&proxy.loop, &wakeup.watch, LOOP_READ);
}

/* ---- pools: their limits, reload ------------------------------------------------ */

/* As many descriptors as may be had. What the servers may need is not for
 * clients, but for a quarter. */
static void set_limits(void)
{
	struct rlimit limit;
	uint64_t needed = RESERVED_FDS;

	for (size_t i = 0; i < proxy.npools; i++) {
		const struct conf_pool *conf = proxy.pools[i]->conf;
		/* Each server: its conns, as many for RESP3, and a probe. */
		needed += 1 + conf->nservers * ((uint64_t)conf->server_connections *
			(conf->redis ? 2 : 1) + 1);
	}
	if (getrlimit(RLIMIT_NOFILE, &limit) < 0)
		return;
	if (limit.rlim_cur < limit.rlim_max) {
		rlim_t soft = limit.rlim_cur;
		limit.rlim_cur = limit.rlim_max;
		if (setrlimit(RLIMIT_NOFILE, &limit) < 0)
			limit.rlim_cur = soft;
	}
	if (limit.rlim_cur == RLIM_INFINITY) {
		proxy.max_clients = UINT64_MAX;
		return;
	}
	proxy.max_clients = limit.rlim_cur > needed ? limit.rlim_cur - needed : 0;
	/* Servers rarely have all that they may: clients get a quarter. */
	if (proxy.max_clients < limit.rlim_cur / 4)
		proxy.max_clients = limit.rlim_cur / 4;
	if (limit.rlim_cur <= needed)
		log_warn("the limit of %llu descriptors is too low for %llu "
			"connections to servers", (unsigned long long)limit.rlim_cur,
			(unsigned long long)needed);
}

/* Free the pools and servers that left and have nothing more to do. */
static void sweep(void)
{
	struct pool **at = &proxy.leaving;

	for (size_t i = 0; i < proxy.npools; i++)
		pool_sweep(proxy.pools[i]);
	while (*at) {
		struct pool *pool = *at;
		if (pool_sweep(pool)) {
			at = &pool->next;
			continue;
		}
		*at = pool->next;
		pool_free(pool);
	}
}

static void trim(struct timer *timer);

static void trim_later(void)
{
	if (!timer_is_set(&proxy.trim))
		timer_set(&proxy.loop, &proxy.trim,
			proxy.loop.now_ms + TRIM_INTERVAL, trim);
}

static void trim(struct timer *timer)
{
	(void)timer;
	requests_trim();
	sweep();
	/* Once more, though nobody may be left then: what was in use since the
	 * last time stays for now. */
	if (blocks_trim())
		trim_later();
}

static struct pool *pool_at(const struct conf_addr *listen)
{
	for (size_t i = 0; i < proxy.npools; i++)
		if (conf_listen_cmp(&proxy.pools[i]->conf->listen, listen) == 0)
			return proxy.pools[i];
	return NULL;
}

/* The pools of the configuration: those that are there already, and new ones
 * that listen. NULL: *error says why that cannot be. */
static struct pool **find_pools(struct conf *conf, char **error)
{
	struct pool **list = xcalloc(conf->npools, sizeof(*list));

	for (size_t i = 0; i < conf->npools; i++) {
		list[i] = pool_at(&conf->pools[i].listen);
		if (list[i])
			continue;
		list[i] = pool_new(conf_pool_take(&conf->pools[i]));
		if (pool_listen(list[i], error) == 0 &&
		    pool_serve(list[i], error) == 0)
			continue;
		for (size_t j = 0; j <= i; j++)
			if (pool_at(&list[j]->conf->listen) != list[j])
				pool_free(list[j]);
		free(list);
		return NULL;
	}
	return list;
}

/* Counters that a configuration needs besides those that there are. */
static size_t counters_needed(const struct conf *conf)
{
	size_t count = 0;

	for (size_t i = 0; i < conf->npools; i++) {
		const struct pool *pool = pool_at(&conf->pools[i].listen);

		count += pool ? pool_new_servers(pool, &conf->pools[i]) :
			1 + conf->pools[i].nservers;
	}
	return count;
}

/* Those pools of the list that are not in use yet; the caller frees it. */
static struct pool **new_pools(struct pool **list, size_t count,
	struct reload *counts)
{
	struct pool **added = xcalloc(count, sizeof(*list));

	for (size_t i = 0; i < count; i++) {
		if (pool_at(&list[i]->conf->listen) == list[i])
			continue;
		added[counts->pools_added++] = list[i];
		counts->servers_added += (unsigned)list[i]->conf->nservers;
	}
	return added;
}

/* Take over what is known to work. */
static void take_over(struct conf *conf, struct pool **list,
	struct reload *counts)
{
	struct pool **old = proxy.pools;

	/* What was not taken for a new pool is for one that stays. */
	for (size_t i = 0; i < conf->npools; i++)
		if (conf->pools[i].name)
			pool_reconfigure(list[i], conf_pool_take(&conf->pools[i]),
				counts);
	for (size_t i = 0; i < proxy.npools; i++) {
		bool stays = false;
		for (size_t j = 0; j < conf->npools; j++)
			stays = stays || list[j] == old[i];
		if (stays)
			continue;
		pool_leave(old[i]);
		pool_drain(old[i]);
		old[i]->next = proxy.leaving;
		proxy.leaving = old[i];
		counts->pools_removed++;
		counts->servers_removed += (unsigned)old[i]->conf->nservers;
	}
	proxy.pools = list;
	proxy.npools = conf->npools;
	free(old);
	set_limits();
	trim_later();
}

/* NULL, or why not. */
static char *try_reload(const char *text, size_t len, struct reload *counts)
{
	struct conf conf;
	struct pool **list;
	char *error = NULL;

	if (conf_parse(proxy.options.conf_file, text, len, &conf, &error) < 0)
		return error;
	if (!counters_room(counters_needed(&conf))) {
		conf_free(&conf);
		return xasprintf("%s: more servers than the workers have counters "
			"for: restart", proxy.options.conf_file);
	}
	counters_next();
	list = find_pools(&conf, &error);
	if (list) {
		struct pool **added = new_pools(list, conf.npools, counts);
		unsigned count = counts->pools_added;

		take_over(&conf, list, counts);
		/* Last: of a pool that left, the last to close its listener must
		 * be one who accepts. */
		if (proxy.process == PROCESS_PARENT)
			workers_reload(text, len, added, count);
		free(added);
	}
	conf_free(&conf);
	return error;
}

void proxy_reload(const char *text, size_t len)
{
	struct reload counts = { 0 };
	char *error = try_reload(text, len, &counts);

	if (error) {
		log_err("configuration not reloaded: %s", error);
		free(error);
		/* The parent did take it over: start again from there. */
		if (proxy.process == PROCESS_WORKER)
			exit(1);
		proxy.reload_failures++;
		proxy.reload_failed = true;
		return;
	}
	proxy.reloads++;
	proxy.reload_failed = false;
	if (proxy.process != PROCESS_WORKER)
		log_notice("configuration reloaded: %zu pools (%u added, %u "
			"removed), servers %u added, %u removed", proxy.npools,
			counts.pools_added, counts.pools_removed,
			counts.servers_added, counts.servers_removed);
}

static void reload(void)
{
	char *error = NULL;
	size_t len;
	char *text = conf_text(proxy.options.conf_file, &len, &error);

	if (text) {
		proxy_reload(text, len);
		free(text);
		return;
	}
	log_err("configuration not reloaded: %s", error);
	free(error);
	proxy.reload_failures++;
	proxy.reload_failed = true;
}

static void stop(const char *name, int number)
{
	log_always("signal %d (%s) received%s", number, name,
		proxy.stopping ? " again, exiting at once" : ", exiting");
	proxy.hurry = proxy.stopping;
	proxy.stopping = true;
}

static void change_level(const char *name, int number, int by)
{
	int before = log_level(), now;

	log_always("signal %d (%s) received, %s logging level", number, name,
		by > 0 ? "up" : "down");
	now = log_set_level(before + by);
	workers_tell(WORKER_LEVEL);
	if (now != before)
		log_always("%s log level to %d", by > 0 ? "up" : "down", now);
}

static void take_signal(int number)
{
	switch (number) {
	case SIGTTIN: change_level("SIGTTIN", number, 1); break;
	case SIGTTOU: change_level("SIGTTOU", number, -1); break;
	case SIGHUP:
		log_always("signal %d (SIGHUP) received, reopening log file",
			number);
		log_reopen();
		workers_tell(WORKER_REOPEN);
		break;
	case SIGCHLD: workers_reap(); break;
	case SIGINT: stop("SIGINT", number); break;
	case SIGTERM: stop("SIGTERM", number); break;
	case SIGUSR1:
		log_always("signal %d (SIGUSR1) received, %s", number,
			proxy.stopping ? "too late to reload" : "reloading");
		if (!proxy.stopping)
			reload();
		break;
	case SIGUSR2: log_always("signal %d (SIGUSR2) received", number); break;
	}
}

static APART void take_signals(void)
{
	char list[64];
	ssize_t n;

	while ((n = read(wakeup.watch.fd, list, sizeof(list))) > 0)
		for (ssize_t i = 0; i < n; i++)
			take_signal(list[i]);
}

/* ---- the turn of the loop ----------------------------------------------------------- */

static struct conn lookups = { .watch = { .fd = -1 } };

void proxy_flush_add(struct conn *c)
{
	struct writers *list = c->role == ROLE_SERVER ? &proxy.flush_servers :
		&proxy.flush_clients;

	c->flushing = true;
	c->next = NULL;
	if (list->head)
		list->tail->next = c;
	else
		list->head = c;
	list->tail = c;
}

void proxy_bury(struct conn *c)
{
	c->dead = true;
	c->next_dead = proxy.dead;
	proxy.dead = c;
}

static void ready(struct watch *watch, unsigned events)
{
	struct conn *c = (struct conn *)watch;

	switch (c->role) {
	case ROLE_LISTENER: client_arrived((struct pool *)c); break;
	case ROLE_CLIENT: client_ready((struct client *)c, events); break;
	case ROLE_SERVER: server_ready((struct server_conn *)c, events); break;
	case ROLE_STATS: stats_ready(c, events); break;
	case ROLE_WAKEUP: take_signals(); break;
	case ROLE_LOOKUP: resolve_ready(server_resolved); break;
	case ROLE_PARENT: workers_ready(); break;
	}
}

static void flush(struct writers *list)
{
	while (list->head) {
		struct conn *c = list->head;

		list->head = c->next;
		c->flushing = false;
		if (c->dead)
			continue;
		if (c->role == ROLE_SERVER)
			server_flush((struct server_conn *)c);
		else
			client_flush((struct client *)c);
	}
}

static void turn(int max_wait)
{
	struct client *list;

	proxy.noting = proxy.options.slow || log_wants(LOG_DEBUG);
	loop_turn(&proxy.loop, proxy.resumed ? 0 : max_wait, ready);
	/* One round only: a client that has to wait again waits for the next
	 * turn, so that nobody starves the others. */
	list = proxy.resumed;
	proxy.resumed = NULL;
	while (list) {
		struct client *c = list;
		list = c->next_resumed;
		client_resume(c);
	}
	flush(&proxy.flush_servers);
	flush(&proxy.flush_clients);
	/* No earlier: an event of the turn may be the listener's of one of them. */
	if (proxy.leaving)
		sweep();
	while (proxy.dead) {
		struct conn *c = proxy.dead;
		proxy.dead = c->next_dead;
		free(c);
	}
	if (!timer_is_set(&proxy.trim) &&
	    (proxy.stats->curr_connections > proxy.npools || proxy.leaving))
		trim_later();
}

/* ---- start ------------------------------------------------------------------------------ */

static int listen_all(struct conf *conf, char **error)
{
	proxy.pools = xcalloc(conf->npools, sizeof(*proxy.pools));
	for (size_t i = 0; i < conf->npools; i++) {
		struct pool *pool = pool_new(conf_pool_take(&conf->pools[i]));

		proxy.pools[proxy.npools++] = pool;
		if (pool_listen(pool, error) < 0)
			return -1;
	}
	set_limits();
	return 0;
}

/* Take clients: in the only process, or in each worker. */
static int start_serving(char **error)
{
	lookups.role = ROLE_LOOKUP;
	lookups.watch.fd = resolve_open();
	proxy.spare_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
	if (lookups.watch.fd < 0 ||
	    loop_watch(&proxy.loop, &lookups.watch, LOOP_READ) < 0) {
		*error = xasprintf("pipe: %s", strerror(errno));
		return -1;
	}
	for (size_t i = 0; i < proxy.npools; i++)
		if (pool_serve(proxy.pools[i], error) < 0)
			return -1;
	return 0;
}

static int start(struct conf *conf, char **error)
{
	struct utsname sys;
	bool share = false;

	memset(&sys, 0, sizeof(sys));
	uname(&sys);
	if (loop_open(&proxy.loop) < 0 || signals_open() < 0) {
		*error = xasprintf("event loop: %s", strerror(errno));
		return -1;
	}
	proxy.start_us = proxy.loop.now_us;
	log_always("nutcracker-" VERSION " on %s %s %s started on pid %ld",
		sys.sysname, sys.release, sys.machine, (long)getpid());
	if (proxy.options.workers > 1) {
		proxy.process = PROCESS_PARENT;
		if (counters_open(1 + counters_needed(conf)) < 0) {
			*error = xasprintf("counters: %s", strerror(errno));
			return -1;
		}
	}
	proxy.stats = counters_new(sizeof(*proxy.stats));
	command_init();
	/* Shared with another process only if the clients' ports are. */
	for (size_t i = 0; i < conf->npools; i++)
		share = share || conf->pools[i].reuseport;
	if (stats_open(proxy.options.stats_addr, proxy.options.stats_port, share,
	    error) < 0)
		return -1;
	if (listen_all(conf, error) < 0)
		return -1;
	if (proxy.process == PROCESS_ALONE && start_serving(error) < 0)
		return -1;
	/* Last of all: a file that is there belongs to a proxy that serves. */
	if (write_pid_file(error) < 0)
		return -1;
	return 0;
}

static void finish(void)
{
	for (size_t i = 0; i < proxy.npools; i++)
		pool_free(proxy.pools[i]);
	while (proxy.leaving) {
		struct pool *pool = proxy.leaving;
		proxy.leaving = pool->next;
		pool_free(pool);
	}
	free(proxy.pools);
	proxy.npools = 0;
	stats_close();
	flush(&proxy.flush_servers);
	flush(&proxy.flush_clients);
	while (proxy.dead) {
		struct conn *c = proxy.dead;
		proxy.dead = c->next_dead;
		free(c);
	}
	if (lookups.watch.fd >= 0)
		resolve_close();
	counters_free(proxy.stats);
	request_free_scratch();
	split_free_scratch();
	requests_trim();
	blocks_trim();
	blocks_trim();
	remove_pid_file();
	loop_close(&proxy.loop);
	if (proxy.process != PROCESS_WORKER)
		log_always("done");
	log_close();
}

/* Does a server still owe a reply, be it to a noreply request? */
static bool any_busy(void)
{
	for (size_t i = 0; i < proxy.npools; i++)
		if (pool_busy(proxy.pools[i]))
			return true;
	for (const struct pool *pool = proxy.leaving; pool; pool = pool->next)
		if (pool_busy(pool))
			return true;
	return false;
}

/* No new clients; those there are get what they asked for. */
static void drain(void)
{
	uint64_t end = proxy.loop.now_ms +
		(uint64_t)proxy.options.shutdown_timeout;

	for (size_t i = 0; i < proxy.npools; i++)
		pool_drain(proxy.pools[i]);
	/* Only now: the last to close a listener must be one who accepts. */
	workers_tell(WORKER_STOP);
	if (proxy.process == PROCESS_PARENT)
		end += WORKER_GRACE;
	while ((proxy.clients || any_busy() || workers_running()) &&
	       proxy.loop.now_ms < end && !proxy.hurry)
		turn((int)(end - proxy.loop.now_ms));
	workers_kill();
}

static int serve(void)
{
	while (!proxy.stopping)
		turn(-1);
	drain();
	finish();
	return proxy.hurry;
}

int proxy_work(unsigned number, struct conn *parent, const sigset_t *signals)
{
	char *error = NULL;

	close(wakeup.watch.fd);
	close(wakeup_write);
	stats_forget();
	wakeup.watch.slot = 0;
	pid_file_written = false;
	if (loop_open(&proxy.loop) < 0 || signals_open() < 0 ||
	    loop_watch(&proxy.loop, &parent->watch, LOOP_READ) < 0) {
		log_err("worker %u: event loop: %s", number, strerror(errno));
		return 1;
	}
	sigprocmask(SIG_SETMASK, signals, NULL);
	if (start_serving(&error) < 0) {
		log_err("worker %u: %s", number, error);
		free(error);
		return 1;
	}
	log_notice("worker %u started on pid %ld", number, (long)getpid());
	return serve();
}

/* ---- daemon ---------------------------------------------------------------------------- */

/*
 * Returns in the daemon, with a descriptor to report to; the process that was
 * started waits for the report and exits with it: 0 only when the daemon
 * listens.
 */
static int daemonize(void)
{
	int fds[2], null;
	char text[1024];
	ssize_t n;
	size_t len = 0;
	pid_t pid;

	if (pipe(fds) < 0 || (pid = fork()) < 0) {
		fprintf(stderr, "nutcracker: fork failed: %s\n", strerror(errno));
		exit(1);
	}
	if (pid > 0) {
		close(fds[1]);
		while ((n = read(fds[0], text + len, sizeof(text) - len)) > 0)
			len += (size_t)n;
		if (len == 1 && text[0] == '\0')
			_exit(0);
		fprintf(stderr, "nutcracker: %.*s\n", (int)len,
			len ? text : "the daemon ended at start");
		_exit(1);
	}
	close(fds[0]);
	setsid();
	signal(SIGHUP, SIG_IGN);
	pid = fork();
	if (pid)
		_exit(0);
	umask(0);
	null = open("/dev/null", O_RDWR);
	for (int fd = 0; null >= 0 && fd < 3; fd++)
		dup2(null, fd);
	if (null > 2)
		close(null);
	(void)fcntl(fds[1], F_SETFD, FD_CLOEXEC);
	return fds[1];
}

static void report(int fd, const char *error)
{
	ssize_t n;

	if (fd < 0) {
		if (error)
			fprintf(stderr, "nutcracker: %s\n", error);
		return;
	}
	n = write(fd, error ? error : "", error ? strlen(error) : 1);
	(void)n;
	close(fd);
}

/* What is opened later must not take the place of one that is closed. */
static void keep_standard_streams(void)
{
	int fd = open("/dev/null", O_RDWR);

	while (fd >= 0 && fd <= 2)
		fd = open("/dev/null", O_RDWR);
	if (fd >= 0)
		close(fd);
}

int main(int argc, char **argv)
{
	struct conf conf;
	char *error = NULL;
	int status = -1, words;

	keep_standard_streams();
	proxy.spare_fd = -1;
	if (!read_options(&proxy.options, argc, argv, &words)) {
		show_usage();
		return 1;
	}
	if (proxy.options.version) {
		show_version();
		if (proxy.options.help)
			show_usage();
		if (proxy.options.describe)
			stats_describe();
		return 0;
	}
	if (proxy.options.test_conf)
		return test_conf();
	if (proxy.options.route)
		return show_routes(words - 1, argv + 1);
	for (int i = 1; i < words; i++)
		fprintf(stderr, "nutcracker: argument '%s' is ignored\n", argv[i]);
	if (log_open(proxy.options.output, proxy.options.verbosity) < 0) {
		fprintf(stderr, "nutcracker: opening log file '%s' failed: %s\n",
			proxy.options.output, strerror(errno));
		return 1;
	}
	if (read_conf(&conf) < 0) {
		fprintf(stderr, "nutcracker: configuration file '%s' syntax is "
			"invalid\n", proxy.options.conf_file);
		log_always("done");
		log_close();
		return 1;
	}
	if (proxy.options.daemonize)
		status = daemonize();
	if (start(&conf, &error) < 0) {
		log_failure(error);
		conf_free(&conf);
		finish();
		/* Last: whoever reads it may try again at once. */
		report(status, error);
		free(error);
		return 1;
	}
	conf_free(&conf);
	/* First: the workers would keep the pipe open. Clients wait at the
	 * sockets until there are some. */
	report(status, NULL);
	if (proxy.process == PROCESS_PARENT)
		workers_start();
	return serve();
}
