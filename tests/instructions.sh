#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# How many instructions a request costs the proxy, counted by valgrind: a figure
# that a busy machine does not change. What the kernel does is not in it.
#
# usage: instructions.sh [-t | -w]
#
# Each load is run with N requests and with 2 N: the difference is what N cost,
# without start and end. Compared with the figures of vectors/instructions.tsv:
# more than 10 percent above them fails. They hold for the compiler and options
# (CC, CFLAGS) of their first line; elsewhere nothing is compared, and with -t
# nothing counted. -w writes them anew. NUTCRACKER=/usr/sbin/nutcracker counts
# what the original needs.

. "$(dirname "$0")/lib.sh"

figures=$here/vectors/instructions.tsv
compiler="# $(uname -m), $(${CC:-cc} --version 2>/dev/null | sed q), ${CFLAGS:--O2 -g}"
comparable=
[ ! -f "$figures" ] || [ "$(sed q "$figures")" != "$compiler" ] || comparable=yes
[ "${1:-}$comparable" != -t ] || skip "no figures for ${compiler#??}"
command -v valgrind >/dev/null || skip 'valgrind is missing'
[ -x "$BUILD/bench_memcached" ] || fail "$BUILD/bench_memcached is missing"

cat >counted <<-END
	#!/bin/sh
	exec valgrind --tool=callgrind --callgrind-out-file="$TMP/calls" \\
		--log-file="$TMP/valgrind" "$NUTCRACKER" "\$@"
END
chmod +x counted

# servers KIND: five to choose from; always the same, so fakes.
servers() {
	for n in 1 2 3 4 5; do
		start_fake "$1$n" -m "$1"
		eval "port=\$$1${n}_port"
		"$BUILD/bench_memcached" -p "$1" -h "$port" -f -c 1 -P 64 -r 1000 \
			>/dev/null || fail "$1$n cannot be filled"
	done
}

# count KIND N OPTION ...: sets $counted to the instructions of a whole run.
count() {
	kind=$1 requests=$2
	shift 2
	rm -f calls
	start_program proxy "$TMP/counted" <<-END
		pool:
		  listen: 127.0.0.1:$listen
		  hash: fnv1a_64
		  distribution: ketama
		  timeout: 10000
		  redis: $([ "$kind" = redis ] && echo true || echo false)
		  servers:
		$(for n in 1 2 3 4 5; do
			eval "echo \"  - 127.0.0.1:\$$kind${n}_port:1 $kind$n\""
		done)
	END
	"$BUILD/bench_memcached" -p "$kind" -h "$listen" -r 1000 -n "$requests" \
		"$@" >/dev/null || fail "the load did not run"
	stop proxy
	counted=$(sed -n 's/^totals: //p' calls)
	[ -n "$counted" ] || fail "no count: $(tail -n 3 valgrind)"
}

# The figure there is for a load, if it is for this compiler.
figure() {
	[ -z "$comparable" ] || sed -n "s/^$1	//p" "$figures"
}

# load NAME KIND N OPTION ...: one line of the table.
load() {
	name=$1 kind=$2 n=$3
	shift 3
	count "$kind" "$n" "$@"
	once=$counted
	count "$kind" $((n * 2)) "$@"
	cost=$(((counted - once) / n))
	limit=$(figure "$name")
	word=ok
	[ "$cost" -le $((${limit:-$cost} * 110 / 100)) ] || word='not ok'
	[ "$word" = ok ] || lib_failed=1
	printf '%-6s %-22s %8d instructions a request, before: %s\n' "$word" \
		"$name" "$cost" "${limit:--}"
	printf '%s\t%d\n' "$name" "$cost" >>new
}

echo "$compiler" >new
listen=$(free_port)
servers redis
servers memcached
# A client alone pays for two turns of the loop with each request; fifty, with one
# request each at a time, share them, and the more so with many requests each.
load 'redis get 1' redis 1000 -c 1
load 'redis get 1 of 50' redis 6400 -c 50 -P 1
load 'redis get 64' redis 12800 -c 50 -P 64
load 'redis set 1' redis 1000 -c 1 -t set
load 'redis set 1 of 50' redis 6400 -c 50 -P 1 -t set
load 'redis mget 100' redis 100 -c 1 -t mget -k 100
load 'redis mset 50' redis 100 -c 1 -t mset -k 50
load 'memcached get 1' memcached 1000 -c 1
load 'memcached get 1 of 50' memcached 6400 -c 50 -P 1
load 'memcached get 32' memcached 12800 -c 50 -P 32
load 'memcached set 32' memcached 12800 -c 50 -P 32 -t set
load 'memcached get of 50' memcached 100 -c 1 -k 50
[ -n "$comparable" ] || skip_case "comparison: no figures for ${compiler#??}"
[ "${1:-}" != -w ] || cp new "$figures"
