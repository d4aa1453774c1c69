#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Shows the proxy at work: five redis servers and two memcacheds on free ports
# of 127.0.0.1, some keys through it, where they went, and its statistics.
# Stays up until Ctrl-C when started at a terminal; leaves nothing behind.

sh "$(dirname "$0")/setup.sh" || exit 1
. "$(dirname "$0")/lib.sh"
trap 'echo; exit 0' 2

title() {
	printf '\n== %s\n' "$*"
}

# through_redis WORD ...: shows a redis command and its reply through the proxy.
through_redis() {
	echo "\$ redis-cli -p $redis_listen $*"
	if [ -n "${REDIS_CLI:-}" ]; then
		"$REDIS_CLI" -p "$redis_listen" "$@"
	else
		redis "$redis_listen" "$@"
	fi
}

# through_memcached LINE: the same for memcached.
through_memcached() {
	printf '$ %s\n' "printf '$1\\r\\nquit\\r\\n' | nc 127.0.0.1 $memcached_listen"
	memcache "$memcached_listen" "$1"
}

title 'five redis servers, two memcacheds'
for name in alpha beta gamma delta epsilon; do
	start_redis $name
	echo "$name on 127.0.0.1:$port"
done
for name in left right; do
	start_memcached $name
	echo "$name on 127.0.0.1:$port"
done

title 'one proxy in front of them'
redis_listen=$(free_port)
memcached_listen=$(free_port)
start_proxy proxy <<END
cache:
  listen: 127.0.0.1:$redis_listen
  redis: true
  hash: murmur
  hash_tag: "{}"
  distribution: ketama
  auto_eject_hosts: true
  timeout: 1000
  servers:
  - 127.0.0.1:$alpha_port:1 alpha
  - 127.0.0.1:$beta_port:1 beta
  - 127.0.0.1:$gamma_port:1 gamma
  - 127.0.0.1:$delta_port:1 delta
  - 127.0.0.1:$epsilon_port:1 epsilon

pages:
  listen: 127.0.0.1:$memcached_listen
  hash: murmur
  distribution: ketama
  servers:
  - 127.0.0.1:$left_port:1 left
  - 127.0.0.1:$right_port:1 right
END
cat proxy.yml

title 'redis: a thousand hashes in one pipeline, and some by hand'
awk 'BEGIN {
	for (i = 1; i <= 1000; i++) {
		key = sprintf("emp:%010d", i)
		printf "*4\r\n$4\r\nHSET\r\n$%d\r\n%s\r\n$4\r\nname\r\n$8\r\n%08d\r\n", length(key), key, i
	}
}' | "$tool" pour "$redis_listen" 1000 ':1\r\n' || fail 'the pipeline was not answered as it should be'
through_redis SET greeting 'hello, world'
through_redis GET greeting
through_redis MSET '{user:7}name' Clara '{user:7}city' Dresden
through_redis MGET '{user:7}name' '{user:7}city' greeting
through_redis HGET emp:0000000042 name
echo 'where they are (asked of the servers directly):'
for name in alpha beta gamma delta epsilon; do
	eval "port=\$${name}_port"
	printf '  %-8s %4d keys\n' $name "$(redis "$port" DBSIZE)"
done

if "$NUTCRACKER" -h 2>&1 | grep -q -e --route; then
	echo 'where a key goes, from the configuration alone:'
	echo "\$ nutcracker -c proxy.yml --route=cache greeting '{user:7}name' '{user:7}city'"
	"$NUTCRACKER" -c proxy.yml --route=cache greeting '{user:7}name' '{user:7}city'
fi

title 'memcached'
trees='ash birch elm fir hazel larch maple oak pine rowan'
for key in $trees; do
	memcache "$memcached_listen" "set $key 0 0 ${#key}" $key >/dev/null ||
		fail "cannot set $key"
done
through_memcached "get $trees"
for name in left right; do
	eval "port=\$${name}_port"
	printf '  %-8s' $name
	for key in $trees; do
		[ "$(memcache "$port" "get $key" | head -n 1)" = END ] || printf ' %s' $key
	done
	echo
done

title 'statistics'
# What an older program counts it shows only some time later.
wait_until 2000 eval '[ "$(stat proxy pages left requests)" -gt 0 ]'
printf '  %-18s %10s %10s %12s\n' 'pool, server' requests responses bytes
stat proxy >stats.json
for server in cache/alpha cache/beta cache/gamma cache/delta cache/epsilon \
	pages/left pages/right; do
	printf '  %-18s %10d %10d %12d\n' "$server" \
		"$("$tool" json "${server%/*}" "${server#*/}" requests <stats.json)" \
		"$("$tool" json "${server%/*}" "${server#*/}" responses <stats.json)" \
		"$("$tool" json "${server%/*}" "${server#*/}" response_bytes <stats.json)"
done

title 'try it'
printf '  %s\n' "redis-cli -p $redis_listen" \
	"printf 'get elm\\r\\nquit\\r\\n' | nc 127.0.0.1 $memcached_listen" \
	"nc 127.0.0.1 $proxy_stats     (statistics)"
if [ -t 0 ]; then
	echo 'Ctrl-C ends everything.'
	wait "$proxy_pid"
fi
exit 0
