/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fuzz_world: the whole proxy within the fuzzer's process, turned by hand, with
 * a clock of its own: loop.c is included with another clock_gettime, proxy.c
 * for its turn(). All sockets are unix sockets in a folder of its own.
 */
#ifndef FUZZ_WORLD_H
#define FUZZ_WORLD_H

#include <time.h>

int fuzz_clock_gettime(clockid_t id, struct timespec *now);
int proxy_main(int argc, char **argv);
#define clock_gettime fuzz_clock_gettime
#include "loop.c"
#undef clock_gettime
#define main proxy_main
#include "proxy.c"
#undef main

#include <sys/un.h>

#include "fuzz.h"

/* ---- time and place --------------------------------------------------------- */

static uint64_t world_us;
static uint64_t world_tick; /* us from one look at the clock to the next */
static char world_dir[256];

int fuzz_clock_gettime(clockid_t id, struct timespec *now)
{
	(void)id;
	world_us += world_tick;
	now->tv_sec = (time_t)(world_us / 1000000);
	now->tv_nsec = (long)(world_us % 1000000) * 1000;
	return 0;
}

/* What lies in the folder. */
static const char *const world_files[] = { "pool", "stats", "h", "x", "y",
	"conf0", "conf1", "conf2", "conf3", "conf4", "conf5", "conf6", "conf7" };

/* Static memory, good until the next call. */
static const char *world_path(const char *name)
{
	static char path[sizeof(world_dir) + 16];

	snprintf(path, sizeof(path), "%s/%s", world_dir, name);
	return path;
}

static void world_remove(void)
{
	for (size_t i = 0; i < sizeof(world_files) / sizeof(*world_files); i++)
		unlink(world_path(world_files[i]));
	rmdir(world_dir);
}

static struct sockaddr_un world_address(const char *name)
{
	struct sockaddr_un sun;

	memset(&sun, 0, sizeof(sun));
	sun.sun_family = AF_UNIX;
	must(strlen(world_path(name)) < sizeof(sun.sun_path));
	memcpy(sun.sun_path, world_path(name), strlen(world_path(name)));
	return sun;
}

static int world_socket(void)
{
	int fd = socket(AF_UNIX, SOCK_STREAM, 0);

	must(fd >= 0 && fcntl(fd, F_SETFL, O_NONBLOCK) == 0);
	return fd;
}

/* -1: nobody listens. */
static int world_connect(const char *name)
{
	struct sockaddr_un sun = world_address(name);
	int fd = world_socket();

	if (connect(fd, (struct sockaddr *)&sun, sizeof(sun)) == 0)
		return fd;
	close(fd);
	return -1;
}

static inline int world_listen(const char *name)
{
	struct sockaddr_un sun = world_address(name);
	int fd = world_socket();

	unlink(sun.sun_path);
	must(bind(fd, (struct sockaddr *)&sun, sizeof(sun)) == 0);
	must(listen(fd, 128) == 0);
	return fd;
}

/* A configuration, in which @ stands for the folder. */
static void world_conf(unsigned i, const char *text)
{
	char name[] = { 'c', 'o', 'n', 'f', (char)('0' + i), '\0' };
	FILE *file = fopen(world_path(name), "w");

	must(file);
	for (; *text; text++) {
		if (*text == '@')
			fputs(world_dir, file);
		else
			putc(*text, file);
	}
	must(fclose(file) == 0);
}

/* ---- the proxy ------------------------------------------------------------------ */

/* What is done once. True: this was the first time. */
static bool world_open(void)
{
	const char *folder = getenv("TMPDIR");
	char *error = NULL;

	if (world_dir[0])
		return false;
	snprintf(world_dir, sizeof(world_dir), "%s/fuzz.XXXXXX",
		folder ? folder : "/tmp");
	must(mkdtemp(world_dir));
	must(atexit(world_remove) == 0);
	signal(SIGPIPE, SIG_IGN);
	proxy.spare_fd = -1;
	proxy.options.shutdown_timeout = 5000;
	proxy.options.workers = 1;
	proxy.stats = counters_new(sizeof(*proxy.stats));
	must(log_open("/dev/null", LOG_NOTICE) == 0);
	must(loop_open(&proxy.loop) == 0);
	command_init();
	must(stats_open(world_path("stats"), 0, false, &error) == 0);
	return true;
}

/* Memory kept for reuse is given back, so that its use is seen. */
static void world_trim(void)
{
	requests_trim();
	blocks_trim();
	blocks_trim();
}

static void world_turn(void)
{
	turn(0);
	world_trim();
}

static void world_conf_use(unsigned i)
{
	static char path[sizeof(world_dir) + 16];

	snprintf(path, sizeof(path), "%s/conf%u", world_dir, i);
	proxy.options.conf_file = path;
}

static void world_start(unsigned conf_index)
{
	struct conf conf;
	char *error = NULL;

	world_us = UINT64_C(1000000000000);
	proxy.loop.now_us = proxy.start_us = world_us;
	proxy.loop.now_ms = world_us / 1000;
	proxy.next_client_id = 0;
	memset(proxy.stats, 0, sizeof(*proxy.stats));
	world_conf_use(conf_index);
	if (conf_read(proxy.options.conf_file, &conf, &error) < 0) {
		fprintf(stderr, "%s\n", error);
		abort();
	}
	must(listen_all(&conf, &error) == 0);
	for (size_t i = 0; i < proxy.npools; i++)
		must(pool_serve(proxy.pools[i], &error) == 0);
	conf_free(&conf);
}

/* As finish() has it, but the loop stays. */
static inline void world_end(void)
{
	for (size_t i = 0; i < proxy.npools; i++)
		pool_free(proxy.pools[i]);
	while (proxy.leaving) {
		struct pool *pool = proxy.leaving;
		proxy.leaving = pool->next;
		pool_free(pool);
	}
	free(proxy.pools);
	proxy.pools = NULL;
	proxy.npools = 0;
	flush(&proxy.flush_servers);
	flush(&proxy.flush_clients);
	while (proxy.dead) {
		struct conn *c = proxy.dead;
		proxy.dead = c->next_dead;
		free(c);
	}
	timer_stop(&proxy.trim);
	world_trim();
	must(!proxy.clients && !proxy.stats->curr_connections && !proxy.resumed);
	must(!proxy.loop.first);
}

/* ---- one end of a socket ----------------------------------------------------------- */

/* All that ever came and went is kept until the end of the run. */
struct end {
	int fd;           /* -1: closed by us */
	struct text in, out;
	size_t written;   /* of out */
	bool eof;         /* the proxy has closed it */
	bool mute;        /* does not read */
};

/* Bytes moved since somebody looked: as long as there are some, things are
 * under way. */
static size_t world_moved;

static void end_write(struct end *e)
{
	while (e->fd >= 0 && e->written < e->out.len) {
		ssize_t n = send(e->fd, e->out.ptr + e->written,
			e->out.len - e->written, 0);
		if (n <= 0)
			return;
		e->written += (size_t)n;
		world_moved += (size_t)n;
	}
}

static void end_read(struct end *e)
{
	static char buffer[65536];
	ssize_t n;

	if (e->fd < 0 || e->eof || e->mute)
		return;
	while ((n = recv(e->fd, buffer, sizeof(buffer), 0)) > 0) {
		text_add(&e->in, buffer, (size_t)n);
		world_moved += (size_t)n;
	}
	e->eof = n == 0 || (errno != EAGAIN && errno != EWOULDBLOCK);
}

static void end_send(struct end *e, const void *bytes, size_t len)
{
	text_add(&e->out, bytes, len);
	end_write(e);
}

static void end_close(struct end *e)
{
	if (e->fd >= 0)
		close(e->fd);
	e->fd = -1;
}

static void end_free(struct end *e)
{
	end_close(e);
	text_free(&e->in);
	text_free(&e->out);
	*e = (struct end){ .fd = -1 };
}

#endif
