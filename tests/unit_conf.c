/* SPDX-License-Identifier: Apache-2.0 */
/* unit_conf: configurations and what conf makes of them. The argument is the
 * folder of the vectors. */
#include "../conf.h"

#include <sys/stat.h>
#include <sys/un.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "../util.h"

static int cases;
static int failures;
static char *folder; /* our own */
static char *file;   /* in it */

static void check(bool holds, const char *what, const char *detail)
{
	cases++;
	if (holds)
		return;
	failures++;
	printf("failed: %s: %s\n", what, detail);
}

static void check_text(const char *what, const char *got, const char *wanted)
{
	bool same = got && wanted ? strcmp(got, wanted) == 0 : got == wanted;
	char *detail = xasprintf("got \"%s\", wanted \"%s\"", got ? got : "(none)",
		wanted ? wanted : "(none)");

	check(same, what, detail);
	free(detail);
}

static void check_number(const char *what, long got, long wanted)
{
	char *detail = xasprintf("got %ld, wanted %ld", got, wanted);

	check(got == wanted, what, detail);
	free(detail);
}

static void file_write(const char *text)
{
	FILE *out = fopen(file, "w");

	if (!out || fputs(text, out) < 0 || fclose(out) != 0) {
		perror(file);
		exit(1);
	}
}

/* Read a configuration given as text. */
static int read_text(const char *text, struct conf *conf, char **error)
{
	*error = NULL;
	file_write(text);
	return conf_read(file, conf, error);
}

/* One that must be right; without it there is nothing left to test. */
static void read_good(const char *text, struct conf *conf)
{
	char *error;

	cases++;
	if (read_text(text, conf, &error) == 0)
		return;
	printf("refused: %s\n%s\n", error, text);
	exit(1);
}

/* Split a line at tabs, in place; missing fields are empty. */
static void split(char *line, char **fields, int count)
{
	int i;

	line[strcspn(line, "\n")] = '\0';
	for (i = 0; i < count; i++) {
		fields[i] = line;
		line += strcspn(line, "\t");
		if (*line != '\0')
			*line++ = '\0';
	}
}

static FILE *open_vectors(const char *vectors, const char *name)
{
	char *path = xasprintf("%s/%s", vectors, name);
	FILE *in = fopen(path, "r");
	char line[1024];

	if (!in || !fgets(line, sizeof(line), in)) {
		perror(path);
		exit(1);
	}
	free(path);
	return in;
}

/* A path of 107 bytes is a matter of the system; elsewhere it is less. */
static bool path_is_too_long_here(const char *name)
{
	struct sockaddr_un sun;

	return strstr(name, "unix-path-107") && sizeof(sun.sun_path) < 108;
}

static void test_verdict(const char *vectors, char **fields)
{
	const char *wanted = *fields[2] ? fields[2] : fields[1];
	char *path = xasprintf("%s/conf/%s", vectors, fields[0]);
	struct conf conf;
	char *error = NULL;
	int result = conf_read(path, &conf, &error);

	check_number(fields[0], result == 0 ? 0 : 1, atol(wanted));
	if (result == 0)
		conf_free(&conf);
	else
		check(strncmp(error, path, strlen(path)) == 0, fields[0], error);
	free(error);
	free(path);
}

/* The verdicts of the program we succeed. */
static void test_verdicts(const char *vectors)
{
	FILE *in = open_vectors(vectors, "conf/INDEX.tsv");
	char line[1024];
	char *fields[4];
	int count = 0;

	while (fgets(line, sizeof(line), in)) {
		split(line, fields, 4);
		if (!path_is_too_long_here(fields[0]))
			test_verdict(vectors, fields);
		count++;
	}
	fclose(in);
	check_number("configurations", count, 201);
}

/* Where we part from the vectors: numbers of 2^32 and more are refused,
 * brackets are not part of an address, and log lines end in no blank. */
static const struct departure {
	const char *item;
	bool refused;
	const char *host;
	const char *text;
} departures[] = {
	{ "127.0.0.1:6379:4294967297", true, NULL, NULL },
	{ "127.0.0.1:4294973675:1", true, NULL, NULL },
	{ "[::1]:6379:1", false, "::1", NULL },
	{ "127.0.0.1:6379:1 ", false, NULL, "127.0.0.1:6379:1" },
};

static const struct departure *departure_find(const char *item)
{
	size_t i;

	for (i = 0; i < sizeof(departures) / sizeof(departures[0]); i++)
		if (strcmp(item, departures[i].item) == 0)
			return &departures[i];
	return NULL;
}

/* Take the quotes and the few escapes off a JSON string, in place. */
static char *json_text(char *quoted)
{
	char *in = quoted + 1;
	char *out = quoted;

	if (*quoted != '"')
		return quoted;
	for (; *in && *in != '"'; in++) {
		if (*in == '\\')
			*out++ = *++in == 't' ? '\t' : *in;
		else
			*out++ = *in;
	}
	*out = '\0';
	return quoted;
}

static void compare_server(const struct conf_server *server, char **fields,
	const struct departure *departure)
{
	const char *item = fields[0];
	const char *host = json_text(fields[2]);
	const char *text = json_text(fields[6]);

	if (departure && departure->host)
		host = departure->host;
	if (departure && departure->text)
		text = departure->text;
	check_text(item, server->addr.host, host);
	check_number(item, server->addr.port, atol(fields[3]));
	check_number(item, (long)server->weight, atol(fields[4]));
	check_text(item, server->name, json_text(fields[5]));
	check_text(item, server->addr.text, text);
	check_number(item, server->addr.is_unix, *item == '/');
}

static void test_server_line(char **fields)
{
	/* A JSON string is a double-quoted scalar of YAML. */
	char *text = xasprintf("a:\n  listen: 127.0.0.1:1\n  servers:\n    - %s\n",
		fields[0]);
	const struct departure *departure = departure_find(json_text(fields[0]));
	bool refused = strcmp(fields[1], "ok") != 0 || (departure && departure->refused);
	struct conf conf;
	char *error;
	int result = read_text(text, &conf, &error);

	check_number(fields[0], result, refused ? -1 : 0);
	if (result == 0 && !refused)
		compare_server(&conf.pools[0].servers[0], fields, departure);
	if (result == 0)
		conf_free(&conf);
	free(error);
	free(text);
}

static void test_server_lines(const char *vectors)
{
	FILE *in = open_vectors(vectors, "server_lines.tsv");
	char line[1024];
	char *fields[7];
	int count = 0;

	while (fgets(line, sizeof(line), in)) {
		split(line, fields, 7);
		test_server_line(fields);
		count++;
	}
	fclose(in);
	check_number("server lines", count, 47);
}

#define TOP "a:\n  listen: 127.0.0.1:1\n"
#define END "  servers:\n    - 127.0.0.1:2:1\n"
#define NUMBER " from 0 to 2147483647, found "
#define FORMAT ":4: a: servers: needs \"host:port:weight\" or \"/path:weight\", " \
	"and a name behind a space if wanted, found "

static const struct {
	const char *text;
	const char *error; /* without the name of the file; may be its start */
} errors[] = {
	/* the file as a whole */
	{ "", ": the file holds no pool" },
	{ "# nothing\n", ": the file holds no pool" },
	{ TOP "  timeout: [1]\n" END, ":3:12: lists in brackets are not supported, "
		"write one \"- item\" a line, found \"[1]\"" },
	{ TOP "\ttimeout: 1\n" END, ":3:2: a tab cannot indent a line, use spaces" },
	{ "- a\n", ":1: pools need names, not a list, found \"a\"" },
	{ "a: b\n", ":1: a: a pool needs \"key: value\" lines below its name, found \"b\"" },
	{ "a:\n", ":1: a: a pool needs \"key: value\" lines below its name, found nothing" },
	{ "a:\n  - b\n", ":2: a: a pool needs \"key: value\" lines, not a list, found \"b\"" },
	{ "\"\":\n  redis: true\n", ":1: a pool needs a name, found \"\"" },
	{ TOP END "b:\n  listen: 127.0.0.1:1\n" END, ":5: b: listen: pool \"a\" on line 1 "
		"listens on the same address, \"127.0.0.1:1\"" },
	{ TOP END "a:\n  listen: 127.0.0.1:3\n" END,
		":5: a: the pool on line 1 has the same name" },

	/* a pool as a whole */
	{ "a:\n  redis: true\n" END, ":1: a: the key \"listen\" is missing" },
	{ TOP "  redis: true\n", ":1: a: the pool has no \"servers\"" },
	{ TOP "b:\n" END, ":1: a: the pool has no \"servers\"" },
	{ TOP "  servers: 127.0.0.1:2:1\n",
		":3: a: servers: needs a list, one \"- host:port:weight\" a line" },
	{ TOP END "  timeout:\n    - 1\n", ":6: a: timeout: a pool has one list, its "
		"servers, and that was on line 4" },
	{ TOP "  redis_auth: x\n" END,
		":3: a: redis_auth: only a pool with \"redis: true\" can have a password" },
	{ TOP "  redis_auth: x\n  redis: false\n" END,
		":3: a: redis_auth: only a pool with \"redis: true\" can have a password" },

	/* keys */
	{ TOP "  timout: 1\n" END, ":3: a: unknown key \"timout\" (did you mean \"timeout\"?)" },
	{ TOP "  tiemout: 1\n" END, ":3: a: unknown key \"tiemout\" (did you mean \"timeout\"?)" },
	{ TOP "  tiemoutt: 1\n" END, ":3: a: unknown key \"tiemoutt\"" },
	{ TOP "  Timeout: 1\n" END, ":3: a: unknown key \"Timeout\" (did you mean \"timeout\"?)" },
	{ TOP "  server: 1\n" END, ":3: a: unknown key \"server\" (did you mean \"servers\"?)" },
	{ TOP "  <<: 1\n" END, ":3: a: unknown key \"<<\"" },
	{ TOP "  slave: 1\n" END, ":3: a: unknown key \"slave\"" },
	{ TOP "  mbuf_size_of_the_whole_pool_and_more: 1\n" END,
		":3: a: unknown key \"mbuf_size_of_the_whole_pool_and_more\"" },
	{ TOP "  timeout:\n" END, ":3: a: timeout: the value is missing" },
	{ TOP "  redis_auth: ''\n" END, ":3: a: redis_auth: the value is missing" },
	/* a password is not told */
	{ TOP "  redis_auth: [secret]\n" END,
		":3:15: lists in brackets are not supported, write one \"- item\" a line" },
	{ TOP "  redis_auth: \"secret\" and\n" END,
		":3:24: nothing may follow a value on its line" },
	{ TOP "  redis_auth:\n    secret: 1\n" END,
		":4: a: redis_auth: needs a value, not a key of its own" },
	{ TOP "  redis_auth secret\n" END, ":3:3: \"key: value\" must stand here" },
	{ TOP "  timeout:\n    unit: 1\n" END,
		":4: a: timeout: needs a value, not a key of its own, found \"unit\"" },
	{ TOP "  timeout: 1\n  timeout: 2\n" END,
		":4: a: timeout: given a second time, first on line 3" },
	{ TOP "  auto_eject_hosts: true\n  auto_reject_hosts: true\n" END,
		":4: a: auto_reject_hosts: given a second time, first on line 3" },
	{ TOP "  hash_tag:\n    - ab\n    - cd\n" END,
		":5: a: hash_tag: given a second time, first on line 4" },

	/* numbers */
	{ TOP "  timeout: -1\n" END, ":3: a: timeout: needs a number of milliseconds"
		NUMBER "\"-1\"" },
	{ TOP "  timeout: 2147483648\n" END, ":3: a: timeout: needs a number of "
		"milliseconds" NUMBER "\"2147483648\"" },
	{ TOP "  timeout: 18446744073709551617\n" END, ":3: a: timeout: needs a number of "
		"milliseconds" NUMBER "\"18446744073709551617\"" },
	{ TOP "  backlog: 0x10\n" END, ":3: a: backlog: needs a number" NUMBER "\"0x10\"" },
	{ TOP "  client_connections: many\n" END,
		":3: a: client_connections: needs a number" NUMBER "\"many\"" },
	{ TOP "  commands: refuse json.get\n" END,
		":3: a: commands: needs \"forward\", \"refuse\" or \"NAME:POSITION OF "
		"THE KEY\", found \"json.get\"" },
	{ TOP "  commands: json.get:0\n" END,
		":3: a: commands: needs \"forward\", \"refuse\" or \"NAME:POSITION OF "
		"THE KEY\", found \"json.get:0\"" },
	{ TOP "  client_idle_timeout: 1s\n" END,
		":3: a: client_idle_timeout: needs a number of milliseconds" NUMBER "\"1s\"" },
	{ TOP "  server_connections: 0\n" END,
		":3: a: server_connections: needs a number from 1 to 65536, found \"0\"" },
	{ TOP "  tcpkeepidle: 0\n" END,
		":3: a: tcpkeepidle: needs a number of seconds from 1 to 32767, found \"0\"" },
	{ TOP "  tcpkeepintvl: 32768\n" END,
		":3: a: tcpkeepintvl: needs a number of seconds from 1 to 32767, found \"32768\"" },
	{ TOP "  tcpkeepcnt: 128\n" END,
		":3: a: tcpkeepcnt: needs a number from 1 to 127, found \"128\"" },

	/* words */
	{ TOP "  redis: yes\n" END, ":3: a: redis: needs true or false, found \"yes\"" },
	{ TOP "  reuseport: True\n" END, ":3: a: reuseport: needs true or false, found \"True\"" },
	{ TOP "  allow_flush: 1\n" END, ":3: a: allow_flush: needs true or false, found \"1\"" },
	{ TOP "  distribution: modulo\n" END,
		":3: a: distribution: needs ketama, modula or random, found \"modulo\"" },
	{ TOP "  on_eject: drop\n" END,
		":3: a: on_eject: needs rehash, error or miss, found \"drop\"" },
	{ TOP "  multiget_errors: true\n" END,
		":3: a: multiget_errors: needs miss or fail, found \"true\"" },
	{ TOP "  cross_server: deny\n" END,
		":3: a: cross_server: needs allow or error, found \"deny\"" },
	{ TOP "  hash: FNV1A_64\n" END,
		":3: a: hash: unknown hash \"FNV1A_64\" (did you mean \"fnv1a_64\"?)" },
	{ TOP "  hash: sha256\n" END, ":3: a: hash: unknown hash \"sha256\"" },
	{ TOP "  hash_tag: '{}}'\n" END,
		":3: a: hash_tag: needs two characters like \"{}\", found \"{}}\"" },

	/* listen */
	{ "a:\n  listen: localhost\n" END, ":2: a: listen: needs \"host:port\" or \"/path\" "
		"or \"/path mode\", found \"localhost\"" },
	{ "a:\n  listen: 127.0.0.1:http\n" END,
		":2: a: listen: needs a port from 1 to 65535, found \"http\"" },
	{ "a:\n  listen: 127.0.0.1:65536\n" END,
		":2: a: listen: needs a port from 1 to 65535, found \"65536\"" },
	{ "a:\n  listen: '127.0.0.1:'\n" END,
		":2: a: listen: needs a port from 1 to 65535, found nothing" },
	{ "a:\n  listen: :1\n" END, ":2: a: listen: needs a host before the port, "
		"\"0.0.0.0\" for every address, found nothing" },
	{ "a:\n  listen: no-such-host.invalid:1\n" END, ":2: a: listen: the host name "
		"\"no-such-host.invalid\" does not resolve: " },
	{ "a:\n  listen: /tmp/x 01000\n" END, ":2: a: listen: needs a file mode from 0 to "
		"0777 behind the path, found \"01000\"" },

	/* servers */
	{ TOP "  servers:\n    - 127.0.0.1\n", FORMAT "\"127.0.0.1\"" },
	{ TOP "  servers:\n    - 127.0.0.1:1\n", FORMAT "\"127.0.0.1:1\"" },
	{ TOP "  servers:\n    - /tmp/x\n", FORMAT "\"/tmp/x\"" },
	{ TOP "  servers:\n    - /tmp/x:1:1\n", FORMAT "\"/tmp/x:1:1\"" },
	{ TOP "  servers:\n    - /tmp/x:0\n",
		":4: a: servers: needs a weight from 1 to 2147483647, found \"0\"" },
	{ TOP "  servers:\n    - a:1:2147483648\n",
		":4: a: servers: needs a weight from 1 to 2147483647, found \"2147483648\"" },
	{ TOP "  servers:\n    - 'a:1:'\n",
		":4: a: servers: needs a weight from 1 to 2147483647, found nothing" },
	{ TOP "  servers:\n    - a:0:1\n",
		":4: a: servers: needs a port from 1 to 65535, found \"0\"" },
	{ TOP "  servers:\n    -\n    - a:1:1\n", ":4: a: servers: the value is missing" },
	{ TOP "  servers:\n    - a:1:1\n    - b:1:1 a:1\n", ":5: a: servers: the server on "
		"line 4 has the same name, \"a:1\"" },
	{ TOP "  servers:\n    - a:1:1 x\n    - b:1:1\n    - b:1:2\n", ":6: a: servers: the "
		"server on line 5 has the same name, \"b:1\"" },
};

static void test_error(const char *text, const char *wanted)
{
	size_t len = strlen(file);
	struct conf conf;
	char *error;
	bool starts;

	if (read_text(text, &conf, &error) == 0) {
		conf_free(&conf);
		check(false, "accepted", text);
		return;
	}
	starts = strncmp(error, file, len) == 0;
	check(starts, "name of the file", error);
	if (wanted[strlen(wanted) - 1] == ' ')
		check(starts && strncmp(error + len, wanted, strlen(wanted)) == 0,
			wanted, error);
	else if (starts)
		check_text(text, error + len, wanted);
	free(error);
}

static void test_errors(void)
{
	size_t i;

	for (i = 0; i < sizeof(errors) / sizeof(errors[0]); i++)
		test_error(errors[i].text, errors[i].error);
}

static void test_unreadable(const char *path, int number)
{
	struct conf conf;
	char *error = NULL;
	char *wanted = xasprintf("%s: cannot be read: %s", path, strerror(number));

	check_number(path, conf_read(path, &conf, &error), -1);
	check_text(path, error, wanted);
	free(error);
	free(wanted);
}

/* What a pool has that says nothing; `pool` may come from the example. */
static void check_defaults(const struct conf_pool *pool)
{
	check_text("hash", pool->hash_name, "fnv1a_64");
	check(pool->hash == hash_find("fnv1a_64"), "hash", "another function");
	check_number("has_hash_tag", pool->has_hash_tag, false);
	check_number("distribution", pool->distribution, DIST_KETAMA);
	check_number("timeout", pool->timeout, 0);
	check_number("backlog", pool->backlog, 512);
	check_number("client_connections", pool->client_connections, 0);
	check_number("client_idle_timeout", pool->client_idle_timeout, 0);
	check_number("client_max_requests", pool->client_max_requests, 1024);
	check_number("client_max_unread", pool->client_max_unread, 262144);
	check_number("server_max_queue", pool->server_max_queue, 1048576);
	check_number("dns_refresh", pool->dns_refresh, 30000);
	check_number("tcpkeepalive", pool->tcpkeepalive, false);
	check_number("tcpkeepidle", pool->tcpkeepidle, 0);
	check_number("tcpkeepintvl", pool->tcpkeepintvl, 0);
	check_number("tcpkeepcnt", pool->tcpkeepcnt, 0);
	check_number("reuseport", pool->reuseport, false);
	check_text("redis_auth", pool->redis_auth, NULL);
	check_number("redis_db", pool->redis_db, 0);
	check_number("preconnect", pool->preconnect, false);
	check_number("auto_eject_hosts", pool->auto_eject_hosts, false);
	check_number("server_connections", pool->server_connections, 1);
	check_number("server_retry_timeout", pool->server_retry_timeout, 30000);
	check_number("server_failure_limit", pool->server_failure_limit, 2);
	check_number("on_eject", pool->on_eject, EJECT_REHASH);
	check_number("multiget_errors", pool->multiget_miss, false);
	check_number("cross_server", pool->cross_server_allow, false);
	check_number("allow_flush", pool->allow_flush, false);
}

static void test_defaults(void)
{
	struct conf conf;
	struct conf_pool *pool;

	read_good(TOP END, &conf);
	pool = &conf.pools[0];
	check_number("pools", (long)conf.npools, 1);
	check_text("name", pool->name, "a");
	check_number("line", pool->line, 1);
	check_number("redis", pool->redis, false);
	check_defaults(pool);
	check_text("listen", pool->listen.text, "127.0.0.1:1");
	check_text("listen", pool->listen.host, "127.0.0.1");
	check_number("listen", pool->listen.port, 1);
	check_number("listen", pool->listen.is_unix, false);
	check_number("servers", (long)pool->nservers, 1);
	check_number("line of the server", pool->servers[0].line, 4);
	conf_free(&conf);
	check_number("pools after conf_free", (long)conf.npools, 0);
}

static void test_values(void)
{
	struct conf conf;
	struct conf_pool *pool;

	read_good(TOP
		"  hash: murmur\n  hash_tag: '<>'\n  distribution: random\n"
		"  timeout: 0400\n  backlog: 1\n  client_connections: 2\n"
		"  client_idle_timeout: 3\n  redis: 'true'\n  tcpkeepalive: true\n"
		"  tcpkeepidle: 32767\n  tcpkeepintvl: 5\n  tcpkeepcnt: 127\n"
		"  reuseport: true\n  redis_auth: \"p\\u00e4ss w\\\"ord\"\n  redis_db: 7\n"
		"  preconnect: true\n  auto_reject_hosts: true\n"
		"  server_connections: 65536\n  server_retry_timeout: 9\n"
		"  server_failure_limit: 0\n  on_eject: error\n  multiget_errors: miss\n"
		"  cross_server: allow\n  allow_flush: true\n" END, &conf);
	pool = &conf.pools[0];
	check_text("hash", pool->hash_name, "murmur");
	check(pool->hash == hash_find("murmur"), "hash", "another function");
	check(pool->has_hash_tag && memcmp(pool->hash_tag, "<>", 2) == 0,
		"hash_tag", "not <>");
	check_number("distribution", pool->distribution, DIST_RANDOM);
	check_number("timeout", pool->timeout, 400);
	check_number("backlog", pool->backlog, 1);
	check_number("client_connections", pool->client_connections, 2);
	check_number("client_idle_timeout", pool->client_idle_timeout, 3);
	check_number("redis", pool->redis, true);
	check_number("tcpkeepalive", pool->tcpkeepalive, true);
	check_number("tcpkeepidle", pool->tcpkeepidle, 32767);
	check_number("tcpkeepintvl", pool->tcpkeepintvl, 5);
	check_number("tcpkeepcnt", pool->tcpkeepcnt, 127);
	check_number("reuseport", pool->reuseport, true);
	check_text("redis_auth", pool->redis_auth, "p\xc3\xa4ss w\"ord");
	check_number("redis_db", pool->redis_db, 7);
	check_number("preconnect", pool->preconnect, true);
	check_number("auto_reject_hosts", pool->auto_eject_hosts, true);
	check_number("server_connections", pool->server_connections, 65536);
	check_number("server_retry_timeout", pool->server_retry_timeout, 9);
	check_number("server_failure_limit", pool->server_failure_limit, 1);
	check_number("on_eject", pool->on_eject, EJECT_ERROR);
	check_number("multiget_errors", pool->multiget_miss, true);
	check_number("cross_server", pool->cross_server_allow, true);
	check_number("allow_flush", pool->allow_flush, true);
	conf_free(&conf);
	read_good(TOP "  on_eject: miss\n  distribution: modula\n" END, &conf);
	check_number("on_eject", conf.pools[0].on_eject, EJECT_MISS);
	check_number("distribution", conf.pools[0].distribution, DIST_MODULA);
	conf_free(&conf);
}

static void test_hashes(void)
{
	size_t i;

	for (i = 0; hash_name(i); i++) {
		char *text = xasprintf(TOP "  hash: %s\n" END, hash_name(i));
		struct conf conf;

		read_good(text, &conf);
		check(conf.pools[0].hash == hash_find(hash_name(i)), "hash", text);
		conf_free(&conf);
		free(text);
	}
	check_number("hashes", (long)i, 12);
}

static const struct {
	const char *text;
	const char *host;
	int port;
	unsigned mode;
} listens[] = {
	{ "0.0.0.0:1", "0.0.0.0", 1, 0 },
	{ "*:1", "*", 1, 0 },
	{ "127.0.0.1:065535", "127.0.0.1", 65535, 0 },
	{ "::1:27100", "::1", 27100, 0 },
	{ ":::27100", "::", 27100, 0 },
	{ "[::1]:27100", "::1", 27100, 0 },
	{ "[::]:27100", "::", 27100, 0 },
	{ "/tmp/x", "/tmp/x", 0, 0 },
	{ "/tmp/x 0660", "/tmp/x", 0, 0660 },
	{ "/tmp/x 777", "/tmp/x", 0, 0777 },
	{ "/tmp/x 0888", "/tmp/x", 0, 0 },
	{ "/tmp/a b 600", "/tmp/a b", 0, 0600 },
};

static void test_listens(void)
{
	size_t i;

	for (i = 0; i < sizeof(listens) / sizeof(listens[0]); i++) {
		char *text = xasprintf("a:\n  listen: '%s'\n" END, listens[i].text);
		struct conf conf;
		struct conf_addr *addr;

		read_good(text, &conf);
		addr = &conf.pools[0].listen;
		check_text("listen", addr->text, listens[i].text);
		check_text("listen", addr->host, listens[i].host);
		check_number("listen", addr->port, listens[i].port);
		check_number("listen", (long)addr->mode, (long)listens[i].mode);
		check_number("listen", addr->is_unix, listens[i].text[0] == '/');
		conf_free(&conf);
		free(text);
	}
}

/* The index order of servers and pools, and names that decide about keys. */
static void test_order(void)
{
	static const char *const names[] = {
		"::1", "[::1]", "/s.sock:", "9.9.9.9:6379", "10.0.0.9:6379",
		"10.0.0.10:6379", "[::2]:6379", "::2:6379", "10.0.0.100:6379",
	};
	struct conf conf;
	size_t i, j;

	read_good("long:\n  listen: 127.0.0.1:1\n" END
		"b:\n  listen: 127.0.0.1:3\n  servers:\n"
		"  - 10.0.0.100:6379:2147483647\n  - 10.0.0.9:6379:2147483647\n"
		"  - 10.0.0.10:6379:2147483647\n  - 9.9.9.9:6379:1\n"
		"  - ::1:11211:1\n  - '[::1]:11211:1'\n  - ::2:6379:1\n"
		"  - '[::2]:6379:1'\n  - /s.sock:1\n"
		"a:\n  listen: 127.0.0.1:2\n" END, &conf);
	check_number("pools", (long)conf.npools, 3);
	check_text("pool 0", conf.pools[0].name, "a");
	check_text("pool 1", conf.pools[1].name, "b");
	check_text("pool 2", conf.pools[2].name, "long");
	check_number("servers", (long)conf.pools[1].nservers,
		(long)(sizeof(names) / sizeof(names[0])));
	for (i = 0; i < conf.pools[1].nservers; i++) {
		const char *name = conf.pools[1].servers[i].name;
		bool known = false;

		for (j = 0; j < sizeof(names) / sizeof(names[0]); j++)
			known = known || strcmp(name, names[j]) == 0;
		check(known, "name of a server", name);
		if (i > 0)
			check(conf_name_cmp(conf.pools[1].servers[i - 1].name, name) < 0,
				"order of servers", name);
	}
	conf_free(&conf);
	check(conf_name_cmp("b", "aa") < 0, "order", "shorter first");
	check(conf_name_cmp("aa", "b") > 0, "order", "longer last");
	check(conf_name_cmp("a", "b") < 0, "order", "by bytes");
	check(conf_name_cmp("z", "\xc3") < 0, "order", "bytes are unsigned");
	check(conf_name_cmp("a", "a") == 0, "order", "equal");
}

/* A large file is read whole, and one that is too large is refused. */
static void test_size(void)
{
	size_t len = (size_t)17 << 20;
	char *text = xmalloc(len + 1);
	struct conf conf;

	memset(text, '\n', len);
	text[len] = '\0';
	test_error(text, ":1:1: larger than 16777216 bytes");
	strcpy(text + (1 << 20), TOP END);
	read_good(text, &conf);
	check_number("line", conf.pools[0].line, (1 << 20) + 1);
	conf_free(&conf);
	free(text);
}

/* Every key, as it must stand in the example. */
static const char *const key_lines[] = {
	"listen: ", "redis: ", "# redis_auth: ", "redis_db: ", "hash: ",
	"distribution: ", "# hash_tag: ", "timeout: ", "backlog: ",
	"client_connections: ", "client_idle_timeout: ",
	"client_max_requests: ", "client_max_unread: ", "server_max_queue: ",
	"dns_refresh: ", "tcpkeepalive: ",
	"# tcpkeepidle: ", "# tcpkeepintvl: ", "# tcpkeepcnt: ", "reuseport: ",
	"preconnect: ", "server_connections: ", "auto_eject_hosts: ",
	"server_failure_limit: ", "server_retry_timeout: ", "on_eject: ",
	"multiget_errors: ", "cross_server: ", "allow_flush: ", "# commands: ",
	"# deny_commands: ", "servers:",
};

static void check_key_lines(const char *path)
{
	bool found[sizeof(key_lines) / sizeof(key_lines[0])] = { false };
	FILE *in = fopen(path, "r");
	char line[256];
	size_t i;

	while (in && fgets(line, sizeof(line), in))
		for (i = 0; i < sizeof(found) / sizeof(found[0]); i++)
			if (strncmp(line, "  ", 2) == 0 && strncmp(line + 2,
					key_lines[i], strlen(key_lines[i])) == 0)
				found[i] = true;
	for (i = 0; i < sizeof(found) / sizeof(found[0]); i++)
		check(found[i], "not in the example", key_lines[i]);
	if (in)
		fclose(in);
}

/* What the example says of defaults is so. */
static void test_example(const char *vectors)
{
	char *path = xasprintf("%s/../../conf/nutcracker.yml", vectors);
	struct conf conf;
	char *error = NULL;

	if (conf_read(path, &conf, &error) != 0) {
		check(false, "the example", error);
		free(error);
		free(path);
		return;
	}
	check_number("pools of the example", (long)conf.npools, 2);
	check_text("pool 0 of the example", conf.pools[0].name, "redis");
	check_number("redis in the example", conf.pools[0].redis, true);
	check_number("redis in the example", conf.pools[1].redis, false);
	check_defaults(&conf.pools[0]);
	conf_free(&conf);
	check_key_lines(path);
	free(path);
}

/* Also when a test gives up half-way. */
static void clean_up(void)
{
	unlink(file);
	rmdir(folder);
	free(file);
	free(folder);
}

int main(int argc, char **argv)
{
	const char *tmp = getenv("TMPDIR");

	if (argc != 2) {
		printf("usage: unit_conf VECTORS\n");
		return 1;
	}
	folder = xasprintf("%s/unit_conf.XXXXXX", tmp && *tmp ? tmp : "/tmp");
	if (!mkdtemp(folder)) {
		perror(folder);
		return 1;
	}
	file = xasprintf("%s/c.yml", folder);
	atexit(clean_up);
	test_unreadable(file, ENOENT);
	test_unreadable(folder, EISDIR);
	test_verdicts(argv[1]);
	test_server_lines(argv[1]);
	test_errors();
	test_defaults();
	test_values();
	test_hashes();
	test_listens();
	test_order();
	test_size();
	test_example(argv[1]);
	if (failures > 0)
		printf("unit_conf: %d of %d cases failed\n", failures, cases);
	else
		printf("unit_conf: %d cases ok\n", cases);
	return failures > 0;
}
