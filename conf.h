/* SPDX-License-Identifier: Apache-2.0 */
/* conf: what the keys of the configuration mean; defaults, ranges, checks. */
#ifndef CONF_H
#define CONF_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "hash.h"
#include "ketama.h"

enum on_eject { EJECT_REHASH, EJECT_ERROR, EJECT_MISS };

/* An address as written: "host:port" taken apart, or a unix path. */
struct conf_addr {
	char *text;    /* as in the file: "127.0.0.1:22121", "/run/x.sock 0666" */
	char *host;    /* without brackets; or the path of the unix socket (of a
			* server: any length); "*" in a listen is every address */
	uint16_t port; /* 0 for a unix socket */
	bool is_unix;
	unsigned mode; /* unix listen: chmod after bind; 0 leaves it to umask */
};

struct conf_server {
	struct conf_addr addr; /* addr.text is "host:port:weight" (log lines) */
	char *name;            /* ring, sort order, statistics */
	uint32_t weight;       /* at least 1 */
	int line;
};

/* What a pool says of one command. */
struct conf_command {
	char *name;   /* any case */
	unsigned key; /* the word that is its key, 1 for the first argument; 0: the
	               * command is denied */
};

struct conf_pool {
	char *name;
	int line;
	struct conf_addr listen;
	hash_fn *hash;
	const char *hash_name;
	char hash_tag[2];
	bool has_hash_tag;
	enum distribution distribution;
	int timeout;              /* ms; 0 is none */
	int backlog;
	int client_connections;   /* 0 is no limit */
	int client_idle_timeout;  /* ms; 0 is none */
	int client_max_requests;  /* of one client under way */
	int client_max_unread;    /* bytes of replies of one client */
	int server_max_queue;     /* bytes unsent on one conn to a server */
	int dns_refresh;          /* ms; 0 is only when connecting */
	bool redis;
	bool tcpkeepalive;
	int tcpkeepidle;          /* s; 0 leaves it to the system; so the next two */
	int tcpkeepintvl;         /* s */
	int tcpkeepcnt;
	bool reuseport;
	char *redis_auth;         /* NULL: none */
	int redis_db;
	bool preconnect;
	bool auto_eject_hosts;
	int server_connections;   /* at least 1 */
	int server_retry_timeout; /* ms */
	int server_failure_limit; /* at least 1 (0 in the file acts like 1) */
	enum on_eject on_eject;
	bool multiget_miss;       /* multiget_errors: miss */
	bool cross_server_allow;  /* cross_server: allow */
	bool allow_flush;         /* FLUSHALL, FLUSHDB, flush_all */
	bool refuse_unknown;      /* commands: refuse what is in no table */
	struct conf_command *commands;
	size_t ncommands;
	struct conf_server *servers; /* sorted by name: index order */
	size_t nservers;
};

struct conf {
	struct conf_pool *pools; /* sorted by name: index order */
	size_t npools;
};

/*
 * Read and check a whole file. Returns 0 and fills *conf (conf_free), or -1
 * and sets *error to a sentence the caller frees:
 * "file:line: pool: key: reason, and the word that was found".
 * Host names of `listen` are resolved once as a check; server names are not.
 */
int conf_read(const char *path, struct conf *conf, char **error);
/* The same in two steps: the text of the file, which the caller frees, NULL with
 * *error; and what it means (`path` is for the errors). Nothing is resolved, as
 * that takes its time. */
char *conf_text(const char *path, size_t *len, char **error);
int conf_parse(const char *path, const char *text, size_t len,
	struct conf *conf, char **error);
void conf_free(struct conf *conf);
/* The order of addresses to listen on: 0 for the same path, whatever its mode, and
 * for the same port of the same host, which is not looked up. */
int conf_listen_cmp(const struct conf_addr *a, const struct conf_addr *b);

/* A pool of its own, moved out of a configuration (conf_free may follow), and
 * a server's copy: both live as long as what they describe is in use, which may
 * be longer than the configuration is. */
struct conf_pool *conf_pool_take(struct conf_pool *pool);
void conf_pool_free(struct conf_pool *pool);
struct conf_server *conf_server_copy(const struct conf_server *server);
void conf_server_free(struct conf_server *server);

/* What the pool says of a command: that it is denied, if it does, or else what
 * comes first. NULL: nothing. */
const struct conf_command *conf_command(const struct conf_pool *pool,
	const char *name, size_t len);

/* The order of pools and servers everywhere: shorter first, equal lengths by
 * unsigned bytes. Negative, 0 or positive. */
int conf_name_cmp(const char *a, const char *b);

#endif
