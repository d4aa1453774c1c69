/* SPDX-License-Identifier: Apache-2.0 */
/* fuzz_conf: any bytes as a configuration. It is refused with a place and a
 * reason, or all that was read is within its limits. conf.c is included with
 * another getaddrinfo: names are not looked up. */
#include <netdb.h>

int fuzz_getaddrinfo(const char *host, const char *service,
	const struct addrinfo *hints, struct addrinfo **found);
#define getaddrinfo fuzz_getaddrinfo
#include "conf.c"
#undef getaddrinfo

#include "fuzz.h"

/* Numbers are addresses, one name is, all others are not. */
int fuzz_getaddrinfo(const char *host, const char *service,
	const struct addrinfo *hints, struct addrinfo **found)
{
	struct addrinfo numeric = *hints;

	numeric.ai_flags |= AI_NUMERICHOST;
	if (host && strcmp(host, "localhost") == 0)
		host = "127.0.0.1";
	return getaddrinfo(host, service, &numeric, found);
}

static void check_addr(const struct conf_addr *addr)
{
	must(addr->text && addr->host);
	must(addr->is_unix ? addr->host[0] == '/' && addr->port == 0 :
		addr->port > 0);
}

static void check_pool(const struct conf_pool *pool)
{
	must(pool->name && pool->name[0] && pool->line > 0);
	check_addr(&pool->listen);
	must(pool->listen.mode <= 0777);
	must(pool->hash && pool->hash_name);
	must(pool->timeout >= 0 && pool->backlog >= 0);
	must(pool->client_connections >= 0 && pool->client_idle_timeout >= 0);
	must(pool->client_max_requests >= 1 && pool->client_max_unread >= 1);
	must(pool->server_max_queue >= 1 && pool->server_connections >= 1);
	must(pool->server_retry_timeout >= 0 && pool->redis_db >= 0);
	must(pool->nservers >= 1);
	for (size_t i = 0; i < pool->nservers; i++) {
		check_addr(&pool->servers[i].addr);
		must(pool->servers[i].weight >= 1);
		must(i == 0 || conf_name_cmp(pool->servers[i - 1].name,
			pool->servers[i].name) <= 0);
	}
	for (size_t i = 0; i < pool->ncommands; i++)
		must(conf_command(pool, pool->commands[i].name,
			strlen(pool->commands[i].name)) != NULL);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *text = alone(data, size), *error = NULL;
	struct conf conf;

	if (conf_parse("file", text, size, &conf, &error) < 0) {
		must(strncmp(error, "file:", 5) == 0);
		free(error);
		free(text);
		return 0;
	}
	free(text);
	must(conf.npools >= 1);
	for (size_t i = 0; i < conf.npools; i++) {
		check_pool(&conf.pools[i]);
		must(i == 0 || conf_name_cmp(conf.pools[i - 1].name,
			conf.pools[i].name) < 0);
	}
	conf_free(&conf);
	return 0;
}
