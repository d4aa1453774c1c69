/* SPDX-License-Identifier: Apache-2.0 */
/* pool: one listen address, its servers and its ring. */
#include "proxy.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "util.h"

enum { DRAIN_ACCEPTS = 65536 }; /* clients taken on at the end */

void pool_update_ring(struct pool *pool)
{
	size_t count = pool->conf->nservers;
	struct ring_server *list = xcalloc(count, sizeof(*list));

	for (size_t i = 0; i < count; i++) {
		const struct conf_server *conf = &pool->conf->servers[i];
		list[i].name = conf->name;
		list[i].name_len = strlen(conf->name);
		list[i].weight = conf->weight;
		/* Only "rehash" gives the place of the ejected to others. */
		list[i].live = !pool->servers[i]->ejected ||
			pool->conf->on_eject != EJECT_REHASH;
	}
	ring_build(&pool->ring, pool->conf->distribution, list, count);
	free(list);
}

static void expire(struct timer *timer)
{
	struct pool *pool = (struct pool *)((char *)timer -
		offsetof(struct pool, expiry));
	uint64_t next = 0;

	for (size_t i = 0; i < pool->conf->nservers; i++)
		server_expire(pool->servers[i], &next);
	for (struct server *s = pool->leaving; s; s = s->next)
		server_expire(s, &next);
	if (next)
		pool_expect(pool, next);
}

void pool_expect(struct pool *pool, uint64_t deadline_ms)
{
	/* The first deadline that is set is the first to run out, and the pool
	 * looks at all when it does: most often they have been met long since. */
	if (!timer_is_set(&pool->expiry) || pool->expiry.at > deadline_ms)
		timer_set(&proxy.loop, &pool->expiry, deadline_ms, expire);
}

struct pool *pool_new(struct conf_pool *conf)
{
	struct pool *pool = xcalloc(1, sizeof(*pool));

	pool->conf = conf;
	pool->stats = counters_new(sizeof(*pool->stats));
	pool->listener.role = ROLE_LISTENER;
	pool->listener.watch.fd = -1;
	pool->servers = xcalloc(conf->nservers, sizeof(*pool->servers));
	for (uint32_t i = 0; i < conf->nservers; i++)
		pool->servers[i] = server_new(pool, i);
	pool->ring.seed = (uint64_t)getpid() * 0x9e3779b97f4a7c15u +
		proxy.loop.now_us;
	pool_update_ring(pool);
	return pool;
}

int pool_listen(struct pool *pool, char **error)
{
	const struct conf_pool *conf = pool->conf;
	const char *what = "inherited socket";
	int fd = proxy.process == PROCESS_WORKER ? workers_listener() :
		socket_listen(conf, &what);

	if (fd < 0) {
		*error = xasprintf("pool '%s': %s on '%s' failed: %s", conf->name,
			what, conf->listen.text, strerror(errno));
		return -1;
	}
	pool->listener.watch.fd = fd;
	if (conf->listen.is_unix)
		pool->file = socket_file(conf->listen.host);
	proxy.stats->total_connections++;
	proxy.stats->curr_connections++;
	if (proxy.process != PROCESS_WORKER)
		log_notice("pool '%s' listens on '%s' for %s, %zu server%s",
			conf->name, conf->listen.text,
			conf->redis ? "redis" : "memcached", conf->nservers,
			conf->nservers == 1 ? "" : "s");
	return 0;
}

int pool_serve(struct pool *pool, char **error)
{
	if (proxy.process == PROCESS_PARENT)
		return 0;
	if (loop_watch(&proxy.loop, &pool->listener.watch, LOOP_READ) < 0) {
		*error = xasprintf("pool '%s': watch on '%s' failed: %s",
			pool->conf->name, pool->conf->listen.text,
			strerror(errno));
		return -1;
	}
	for (size_t i = 0; pool->conf->preconnect && i < pool->conf->nservers; i++)
		server_preconnect(pool->servers[i]);
	return 0;
}

/* The path of a unix socket is ours as long as we listen there. */
static void stop_listening(struct pool *pool)
{
	if (pool->listener.watch.fd < 0)
		return;
	timer_stop(&pool->accept_again);
	/* Before it is closed: then it might be somebody else's already. */
	if (pool->conf->listen.is_unix && proxy.process != PROCESS_WORKER)
		socket_remove(pool->conf->listen.host, pool->file);
	conn_close(&pool->listener);
}

void pool_drain(struct pool *pool)
{
	struct client *c, *next;

	/* Who waits there would be reset. Not for ever: they may come faster. */
	if (proxy.process != PROCESS_PARENT && pool->listener.watch.fd >= 0)
		client_accept(pool, DRAIN_ACCEPTS);
	stop_listening(pool);
	for (c = pool->clients; c; c = next) {
		next = c->next;
		client_drain(c);
	}
}

void pool_free(struct pool *pool)
{
	while (pool->clients)
		client_close(pool->clients, NULL);
	for (size_t i = 0; i < pool->conf->nservers; i++)
		server_free(pool->servers[i], "unknown");
	while (pool->leaving) {
		struct server *s = pool->leaving;
		pool->leaving = s->next;
		server_free(s, "unknown");
	}
	timer_stop(&pool->expiry);
	stop_listening(pool);
	ring_free(&pool->ring);
	free(pool->servers);
	counters_free(pool->stats);
	conf_pool_free(pool->conf);
	free(pool);
}

/* ---- reload ---------------------------------------------------------------- */

static bool same_server(const struct conf_server *a, const struct conf_server *b)
{
	return strcmp(a->name, b->name) == 0 && a->addr.port == b->addr.port &&
		strcmp(a->addr.host, b->addr.host) == 0;
}

/* Take the server that is described so out of the list of the old ones. */
static struct server *find_server(struct server **old, size_t count,
	const struct conf_server *wanted)
{
	for (size_t i = 0; i < count; i++) {
		struct server *s = old[i];
		if (!s || !same_server(s->conf, wanted))
			continue;
		old[i] = NULL;
		return s;
	}
	return NULL;
}

size_t pool_new_servers(const struct pool *pool, const struct conf_pool *conf)
{
	size_t count = conf->nservers;

	for (size_t i = 0; conf->redis == pool->conf->redis &&
	     i < conf->nservers; i++)
		for (size_t k = 0; k < pool->conf->nservers; k++)
			if (same_server(pool->servers[k]->conf, &conf->servers[i])) {
				count--;
				break;
			}
	return count;
}

void pool_reconfigure(struct pool *pool, struct conf_pool *conf,
	struct reload *counts)
{
	struct conf_pool *old = pool->conf;
	struct server **servers = pool->servers;
	bool other_protocol = conf->redis != old->redis;

	pool->no_resp3 = pool->no_meta_set = false;

	pool->conf = conf;
	pool->servers = xcalloc(conf->nservers, sizeof(*pool->servers));
	for (uint32_t i = 0; i < conf->nservers; i++) {
		struct server *s = other_protocol ? NULL :
			find_server(servers, old->nservers, &conf->servers[i]);

		pool->servers[i] = s ? s : server_new(pool, i);
		if (s) {
			server_reconfigure(s, i, old);
			continue;
		}
		counts->servers_added++;
		if (conf->preconnect && proxy.process != PROCESS_PARENT)
			server_preconnect(pool->servers[i]);
	}
	for (size_t i = 0; i < old->nservers; i++) {
		if (!servers[i])
			continue;
		server_leave(servers[i]);
		servers[i]->next = pool->leaving;
		pool->leaving = servers[i];
		counts->servers_removed++;
	}
	free(servers);
	pool_update_ring(pool);
	for (struct client *c = pool->clients; c; c = c->next) {
		if (other_protocol)
			client_finish(c);
		else
			client_reconfigured(c);
	}
	if (pool->listener.watch.fd >= 0)
		(void)listen(pool->listener.watch.fd, conf->backlog);
	conf_pool_free(old);
}

bool pool_sweep(struct pool *pool)
{
	struct server **at = &pool->leaving;

	while (*at) {
		struct server *s = *at;
		if (s->conns) {
			at = &s->next;
			continue;
		}
		*at = s->next;
		server_free(s, "unknown");
	}
	return pool->listener.watch.fd >= 0 || pool->clients ||
		(pool_busy(pool) && proxy.loop.now_ms < pool->leave_by_ms);
}

void pool_leave(struct pool *pool)
{
	pool->leave_by_ms = proxy.loop.now_ms +
		(uint64_t)proxy.options.shutdown_timeout;
	pool->stats = counters_detach(pool->stats, sizeof(*pool->stats));
	for (size_t i = 0; i < pool->conf->nservers; i++) {
		struct server *s = pool->servers[i];
		s->stats = counters_detach(s->stats, sizeof(*s->stats));
	}
}

static bool server_busy(const struct server *s)
{
	for (const struct server_conn *sc = s->conns; sc; sc = sc->next)
		if (sc->tail && sc->tail->kind == PART_REQUEST)
			return true;
	return false;
}

bool pool_busy(const struct pool *pool)
{
	for (size_t i = 0; i < pool->conf->nservers; i++)
		if (server_busy(pool->servers[i]))
			return true;
	for (const struct server *s = pool->leaving; s; s = s->next)
		if (server_busy(s))
			return true;
	return false;
}

void pool_without_resp3(struct pool *pool)
{
	pool->no_resp3 = true;
	for (struct client *c = pool->clients; c; c = c->next)
		if (c->resp3)
			client_finish(c);
}

unsigned pool_live(const struct pool *pool)
{
	unsigned live = 0;

	for (size_t i = 0; i < pool->conf->nservers; i++)
		live += !pool->servers[i]->ejected &&
			!server_failing(pool->servers[i]);
	return live;
}

void pool_show_route(struct pool *pool, const char *key, size_t len,
	struct text *t)
{
	uint32_t hash;
	const struct server *s = pool_route(pool, key, len, &hash);

	if (!s)
		text_printf(t, "no live server\n");
	else if (s->conf->addr.is_unix)
		text_printf(t, "%s\t%s\n", s->conf->name, s->conf->addr.host);
	else
		text_printf(t, "%s\t%s:%u\n", s->conf->name, s->conf->addr.host,
			(unsigned)s->conf->addr.port);
}
