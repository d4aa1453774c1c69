#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# What a request costs: this proxy beside twemproxy 0.5.0 and beside haproxy in
# TCP mode, which only moves bytes and so shows what there is to be had.
#
# usage: bench.sh [WORD ...]     only the loads with one of these words
#
# ROUNDS (5) of each load, one proxy after the other, so that whatever else the
# machine does strikes all alike. The figure to go by is the CPU time per
# request, user and system: it does not depend on how fast the load generator
# and the servers are. QUICK=1 takes less than a minute. Proxies that are not
# there are left out. Status 1: some limit is OVER.

. "$(dirname "$0")/lib.sh"

need_redis
need_memcached
need_command redis-benchmark
[ -r /proc/self/schedstat ] || lacking '/proc/self/schedstat (Linux)'
[ -x "$BUILD/bench_memcached" ] || fail "$BUILD/bench_memcached is missing"
ROUNDS=${ROUNDS:-5}
share=1
if [ -n "${QUICK:-}" ]; then
	ROUNDS=3
	share=6
fi
wanted=$*
keys=10000

# ---- proxies --------------------------------------------------------------

# servers KIND COUNT [NAMES]: lines of a configuration; of NAMES, each server
# has several.
servers() {
	n=0
	while [ $n -lt "${3:-$2}" ]; do
		eval "echo \"  - 127.0.0.1:\$$1$((n % $2 + 1))_port:1 $1$n\""
		n=$((n + 1))
	done
}

# pool KIND COUNT [NAMES]: a pool of a configuration.
pool() {
	cat <<-END
		$1:
		  listen: 127.0.0.1:$(free_port)
		  hash: fnv1a_64
		  distribution: ketama
		  timeout: 5000
		  preconnect: true
		  redis: $([ "$1" = redis ] && echo true || echo false)
		  servers:
		$(servers "$@")
	END
}

# start_as NAME PROGRAM: the same pools for each program.
start_as() {
	{
		pool redis 5
		pool memcached 3
	} >pools
	start_program "$1" "$2" <pools
	set -- "$1" $(listens pools)
	eval "$1_redis=${2#*:} $1_memcached=${3#*:}"
	variants="$variants $1"
}

# haproxy_pool KIND COUNT PORT
haproxy_pool() {
	printf 'listen %s\n bind 127.0.0.1:%d\n balance leastconn\n' "$1" "$3"
	servers "$1" "$2" | sed 's/^  - \(.*\):1 \(.*\)/ server \2 \1/'
}

start_haproxy() {
	haproxy_redis=$(free_port)
	haproxy_memcached=$(free_port)
	{
		printf 'global\n maxconn 4000\n nbthread 1\n'
		printf 'defaults\n mode tcp\n timeout client 1m\n'
		printf ' timeout server 1m\n timeout connect 5s\n'
		haproxy_pool redis 5 "$haproxy_redis"
		haproxy_pool memcached 3 "$haproxy_memcached"
	} >haproxy.cfg
	"$1" -db -f haproxy.cfg >haproxy.out 2>&1 &
	lib_started haproxy other
	wait_ready haproxy "$haproxy_redis"
	variants="$variants haproxy"
}

# cpu PID: sets $cpu to the ns that a program and its children were at work.
cpu() {
	cpu=0
	for task in $(cat /proc/"$1"/task/*/children 2>/dev/null) "$1"; do
		for file in /proc/"$task"/task/*/schedstat; do
			read -r ns rest <"$file"
			cpu=$((cpu + ns))
		done
	done
}

# ---- loads ----------------------------------------------------------------

# words N TEXT: TEXT N times.
words() {
	n=0
	while [ $n -lt "$1" ]; do
		printf ' %s' "$2"
		n=$((n + 1))
	done
}

# redis_load PORT N OPTION ...: prints requests per second, p50 and p99 in us.
redis_load() {
	port=$1 n=$2
	shift 2
	redis-benchmark -h 127.0.0.1 -p "$port" -n "$n" --csv "$@" 2>/dev/null |
		sed -n '$s/"//gp' | awk -F , '{ print $2, $5 * 1000, $7 * 1000 }'
}

memcached_load() {
	port=$1 n=$2
	shift 2
	"$BUILD/bench_memcached" -h "$port" -n "$n" -r "$keys" "$@"
}

# measure VARIANT KIND N OPTION ...: a line of VARIANT, CPU in ns, and the three.
measure() {
	variant=$1 kind=$2 n=$3
	shift 3
	eval "pid=\$${variant}_pid port=\$${variant}_$kind"
	cpu "$pid"
	before=$cpu
	got=$("${kind}_load" "$port" "$n" "$@")
	cpu "$pid"
	[ -n "$got" ] || fail "no load: $kind $*"
	echo "$variant $(((cpu - before) / n)) $got"
}

# The figures of one load as a table; limits are of CPU against the others.
table() {
	awk -v name="$1" -v limits="$2" '
	function sort(v, n,   i, j, x) {
		for (i = 2; i <= n; i++) {
			x = v[i]
			for (j = i - 1; j > 0 && v[j] > x; j--)
				v[j + 1] = v[j]
			v[j + 1] = x
		}
	}
	function median(v, n) {
		sort(v, n)
		return n % 2 ? v[(n + 1) / 2] : (v[n / 2] + v[n / 2 + 1]) / 2
	}
	function middle(who, col,   v, i) {
		for (i = 1; i <= rounds[who]; i++)
			v[i] = at[who, col, i]
		return median(v, rounds[who])
	}
	function ratio(who, col, limit,   v, i, n, m, text) {
		n = rounds[who]
		for (i = 1; i <= n; i++)
			v[i] = at[who, col, i] ? at["ours", col, i] / at[who, col, i] : 0
		m = sprintf("%.2f", median(v, n)) + 0
		text = sprintf("%.2f %.2f %.2f", v[1], m, v[n])
		if (limit)
			text = text (m <= limit ? " ok " : " OVER ") limit
		return text
	}
	{
		if (!rounds[$1]++)
			who[++count] = $1
		for (i = 2; i <= NF; i++)
			at[$1, i, rounds[$1]] = $i
	}
	END {
		split("ns-CPU/request requests/s p50-us p99-us", label, " ")
		n = split(limits, words, " ")
		for (i = 1; i < n; i += 2)
			limit[words[i]] = words[i + 1]
		printf "%-28s", name
		for (i = 1; i <= count; i++)
			printf "%11s", who[i]
		for (i = 2; i <= count; i++)
			printf "  %-24s", "ours/" who[i]
		printf "\n"
		for (col = 2; col <= 5; col++) {
			printf "  %-26s", label[col - 1]
			for (i = 1; i <= count; i++)
				printf "%11.0f", middle(who[i], col)
			for (i = 2; i <= count; i++)
				printf "  %-24s", ratio(who[i], col, \
					col == 2 ? limit[who[i]] : 0)
			printf "\n"
		}
	}' figures
}

is_wanted() {
	[ -n "$wanted" ] || return 0
	for word in $wanted; do
		case $1 in
		*"$word"*) return 0 ;;
		esac
	done
	return 1
}

# load NAME LIMITS KIND N OPTION ...: LIMITS of our CPU per request over that of
# others: "nutcracker 0.5 haproxy 1.4".
load() {
	name=$1 limits=$2 kind=$3 n=$(($4 / share))
	shift 4
	is_wanted "$name" || return
	: >figures
	round=0
	while [ $round -lt "$ROUNDS" ]; do
		for variant in $variants; do
			measure "$variant" "$kind" "$n" "$@" >>figures
		done
		round=$((round + 1))
	done
	table "$name" "$limits" | tee table
	! grep -q OVER table || lib_failed=1
	echo
}

# Every server has all keys, as haproxy sends a request to any.
fill() {
	for n in 1 2 3 4 5; do
		eval "port=\$redis${n}_port"
		"$BUILD/bench_memcached" -p redis -h "$port" -f -P 16 "$@"
		eval "port=\${memcached${n}_port:-}"
		[ -z "$port" ] || "$BUILD/bench_memcached" -h "$port" -f -P 16 \
			-r "$keys"
	done >filled || fail 'the servers cannot be filled'
}

for n in 1 2 3 4 5; do
	start_redis redis$n
done
for n in 1 2 3; do
	start_memcached memcached$n
done
variants=
start_as ours "$NUTCRACKER"
find_original
[ -z "$original" ] || start_as nutcracker "$original"
for dir in $(echo "$PATH:/usr/sbin:/usr/local/sbin" | tr : ' '); do
	[ -x "$dir/haproxy" ] || continue
	start_haproxy "$dir/haproxy"
	break
done
fill -r "$keys"

# three_bytes WHAT: small values, one request after the other and pipelined.
three_bytes() {
	set -- "$1" -c 50 -r "$keys" -t "$(echo "$1" | tr A-Z a-z)"
	what=$1
	shift
	load "$what 3 bytes" 'nutcracker 0.58' redis 100000 "$@"
	load "$what 3 bytes, depth 16" 'nutcracker 0.32' redis 400000 "$@" -P 16
	load "$what 3 bytes, depth 64" 'nutcracker 0.14 haproxy 1.4' redis \
		800000 "$@" -P 64
}

three_bytes GET
three_bytes SET
load 'MGET 100 keys' 'nutcracker 0.35' redis 12000 -c 20 -r "$keys" \
	MGET $(words 100 key:__rand_int__)
load 'MSET 50 keys' 'nutcracker 0.45' redis 12000 -c 20 -r "$keys" \
	MSET $(words 50 'key:__rand_int__ xxx')
for what in get set; do
	load "memcached $what" 'nutcracker 0.58' memcached 100000 -t $what
	load "memcached $what, depth 32" 'nutcracker 0.25' memcached 400000 \
		-t $what -P 32
done
load 'memcached get 50 keys' 'nutcracker 0.35' memcached 12000 -c 20 -k 50
if is_wanted 'GET SET 100 KB'; then
	fill -r 100 -d 102400
	for what in GET SET; do
		load "$what 100 KB" 'nutcracker 0.80' redis 6000 -c 50 -r 100 \
			-d 102400 -t "$(echo $what | tr A-Z a-z)"
	done
fi

echo "$(sed -n 's/^model name[^:]*: //p' /proc/cpuinfo | sed q)," \
	"$(grep -c '^processor' /proc/cpuinfo) cores, $(uname -srm)," \
	"load $(cut -d ' ' -f 1 /proc/loadavg)"
[ -z "$original" ] || echo "$original, $("$original" -V 2>&1 | sed q)"
