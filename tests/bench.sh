#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# What a request costs: this proxy beside twemproxy 0.5.0 and beside haproxy in
# TCP mode, which only moves bytes and so shows what there is to be had.
#
# usage: bench.sh [WORD ...]     only the rows with one of these words
#
# A row of the table, in Markdown, is one load: ROUNDS (9) of it, one proxy after
# the other, so that whatever else the machine does strikes all alike. The figure
# to go by is the CPU time per request, user and system, of the first proxy over
# that of the others in the same round: it does not depend on how fast the load
# generator and the servers are. Shown are the median of each proxy's, and the
# least, the median and the largest of the ratios; a median over its limit is
# OVER. Throughput and latency are shown as medians of the ratios, and are SLOW
# or LATE if they are worse than 5 and 10 percent. QUICK=1 takes a minute or two.
# Proxies and tools that are not there are left out. Status 1: some limit is OVER,
# or some rate UNDER its own.

. "$(dirname "$0")/lib.sh"

need_redis
need_memcached
need_command redis-benchmark
[ -r /proc/self/schedstat ] || lacking '/proc/self/schedstat (Linux)'
[ -x "$BUILD/bench_memcached" ] || fail "$BUILD/bench_memcached is missing"
[ -x "$BUILD/hold" ] || fail "$BUILD/hold is missing"
ROUNDS=${ROUNDS:-9}
share=2
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
		  preconnect: ${preconnect:-true}
		  redis: $([ "$1" = redis ] && echo true || echo false)
		  servers:
		$(servers "$@")
	END
}

# start_as NAME PROGRAM [SERVERS]: the same pools for each program.
start_as() {
	{
		pool redis 5 ${3:-}
		[ -n "${3:-}" ] || pool memcached 3
	} >pools
	start_program "$1" "$2" <pools
	set -- "$1" $(listens pools)
	eval "$1_redis=${2#*:}"
	[ -z "${3:-}" ] || eval "$1_memcached=${3#*:}"
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

heading() {
	[ -z "${headed:-}" ] || return
	headed=1
	printf '| load | CPU per request, us | over the first, ratios: least, median, '
	printf 'largest | limit | requests/s | p99 |\n|---|---|---|---|---|---|\n'
}

# The figures of one load as rows, one for each of the others; limits are of the
# CPU of the first over theirs, or, of "rate", the least of its requests a second.
rows() {
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
		return n % 2 ? v[(n + 1) / 2] : (v[n / 2] + v[n / 2 + 1]) / 2
	}
	function middle(who, col,   v, i) {
		for (i = 1; i <= rounds[who]; i++)
			v[i] = at[who, col, i]
		sort(v, rounds[who])
		return median(v, rounds[who])
	}
	# Sets least, mid, most.
	function ratio(other, col,   v, i, n) {
		n = rounds[other]
		for (i = 1; i <= n; i++)
			v[i] = at[other, col, i] ? at[who[1], col, i] / at[other, col, i] : 0
		sort(v, n)
		least = v[1]
		mid = sprintf("%.2f", median(v, n)) + 0
		most = v[n]
	}
	{
		if (!rounds[$1]++)
			who[++count] = $1
		for (i = 2; i <= NF; i++)
			at[$1, i, rounds[$1]] = $i
	}
	END {
		n = split(limits, words, " ")
		for (i = 1; i < n; i += 2)
			limit[words[i]] = words[i + 1]
		for (i = 2; i <= count; i++) {
			ratio(who[i], 2)
			mark = who[i] in limit ? limit[who[i]] : ""
			if (mark != "" && mid > mark)
				mark = "OVER " mark
			printf "| %s | %s %.2f, %s %.2f | %.2f **%.2f** %.2f | %s", name, \
				who[1], middle(who[1], 2) / 1000, who[i], \
				middle(who[i], 2) / 1000, least, mid, most, mark
			ratio(who[i], 3)
			printf " | %.2f%s", mid, \
				("rate" in limit && mid < limit["rate"] ? \
				" UNDER " limit["rate"] : \
				who[i] == "nutcracker" && mid < 0.95 ? " SLOW" : "")
			ratio(who[i], 5)
			printf " | %.2f%s |\n", mid, \
				(who[i] == "nutcracker" && mid > 1.1 ? " LATE" : "")
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

# load NAME LIMITS KIND N OPTION ...: LIMITS of the first proxy's CPU per request
# over that of others: "nutcracker 0.5 haproxy 1.4". The proxies are in $variants.
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
	heading
	rows "$name" "$limits" | tee table
	! grep -q -e OVER -e UNDER table || lib_failed=1
}

# single NAME UNIT LIMIT OURS [THEIRS]: a figure that is no matter of load.
single() {
	heading
	word=$(awk -v got="$4" -v limit="$3" 'BEGIN { if (got > limit) print "OVER " }')
	[ -z "$word" ] || lib_failed=1
	echo "| $1 | ours $4 $2${5:+, nutcracker $5} | | $word$3 | | |"
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
start_as ours "$NUTCRACKER"
variants=ours
memory_at_start=$(memory ours)
find_original
[ -z "$original" ] || {
	start_as nutcracker "$original"
	variants="$variants nutcracker"
}
for dir in $(echo "$PATH:/usr/sbin:/usr/local/sbin" | tr : ' '); do
	[ -x "$dir/haproxy" ] || continue
	start_haproxy "$dir/haproxy"
	variants="$variants haproxy"
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
	fill -r 100
fi

# ---- many servers, many clients ---------------------------------------------

# Each request of an idle machine is one write to its server and one read from it,
# however many there are. Under load, requests for one server share them, and the
# fewer share the more servers there are: twemproxy's rows say the same of it.
many_servers() {
	is_wanted "$1 servers" || return
	start_as "ours$1" "$NUTCRACKER" "$1"
	variants="ours$1 ours"
	load "$1 servers, 1 client" "ours $2" redis 40000 -c 1 -r "$keys" -t get
	load "$1 servers, 50 clients" '' redis 100000 -c 50 -r "$keys" -t get
	load "$1 servers, 50 clients, depth 64" '' redis 800000 -c 50 -r "$keys" \
		-t get -P 64
	if [ -n "$original" ]; then
		start_as "nutcracker$1" "$original" "$1"
		variants="ours$1 nutcracker$1"
		load "$1 servers, 50 clients" "nutcracker$1 0.58" redis 100000 -c 50 \
			-r "$keys" -t get
		load "$1 servers, 50 clients, depth 64" "nutcracker$1 0.58" redis \
			800000 -c 50 -r "$keys" -t get -P 64
		stop "nutcracker$1"
	fi
	stop "ours$1"
}

many_servers 200 1.15
many_servers 1000 1.2

idle_clients() {
	is_wanted "$1 idle clients" || return
	[ "$(ulimit -n)" = unlimited ] || [ "$(ulimit -n)" -ge $(($1 + 200)) ] ||
		ulimit -n $(($1 + 200)) 2>/dev/null || {
		echo "| $1 idle clients: ulimit -n is too low | | | | | |"
		return
	}
	start_as oursidle "$NUTCRACKER"
	bytes 'PING\r\n' >ping
	bytes '+PONG\r\n' >pong
	"$BUILD/hold" pour "$oursidle_redis" "$1" 1 ping pong >idle.out 2>&1 &
	lib_started idle burden
	wait_until 60000 eval 'contains idle.out read || lib_ended $idle_pid'
	contains idle.out read || fail "$(cat idle.out)"
	variants='oursidle ours'
	load "$1 idle clients" 'ours 1.1' redis 100000 -c 50 -r "$keys" -t get
	load "$1 idle clients, depth 16" 'ours 1.1' redis 400000 -c 50 -r "$keys" \
		-t get -P 16
	stop idle
	stop oursidle
}

idle_clients 8000

# Two processes on two cores. So that the load leaves them the machine, what they do
# is their own work alone: each key of a request is looked up, its server is out,
# and on_eject has them say that nothing is there.
workers() {
	is_wanted "$1 workers" || return
	for count in "$1" 1; do
		start_program "workers$count" "$NUTCRACKER" -w "$count" <<-END
			memcached:
			  listen: 127.0.0.1:$(free_port)
			  preconnect: true
			  auto_eject_hosts: true
			  server_failure_limit: 1
			  server_retry_timeout: 3600000
			  on_eject: miss
			  servers:
			  - 127.0.0.1:$(free_port):1
			  - 127.0.0.1:$(free_port):1
			  - 127.0.0.1:$(free_port):1
		END
		eval "workers${count}_memcached=$(listens "workers$count.yml" | sed 's/.*://')"
	done
	variants="workers$1 workers1"
	load "$1 workers, get 100 keys of servers that are out" 'rate 1.5' memcached \
		600000 -c 50 -k 100 -m -P 32
	stop "workers$1"
	stop workers1
}

workers 2

# ---- figures that are no matter of load ----------------------------------------

# system_calls VARIANT N: prints how many a request takes.
system_calls() {
	eval "pid=\$${1}_pid port=\$${1}_redis"
	strace -f -c -o calls -p "$pid" 2>/dev/null &
	tracer=$!
	wait_until 5000 eval 'grep -q "TracerPid:.*[1-9]" /proc/$pid/status'
	redis_load "$port" "$2" -c 50 -r "$keys" -t get >/dev/null
	kill -INT $tracer
	wait $tracer
	awk -v n="$2" '$NF == "total" { printf "%.2f", $4 / n }' calls
}

if is_wanted 'system calls' && command -v strace >/dev/null; then
	theirs=
	[ -z "$original" ] || theirs=$(system_calls nutcracker 20000)
	single 'system calls, GET, 50 clients' 'a request' 2.4 \
		"$(system_calls ours 20000)" "$theirs"
fi

# start_ms VARIANT PROGRAM: prints the CPU time until it serves, which other work
# of the machine does not make longer, the least of five starts. What connects to
# the servers would come after it listens.
start_ms() {
	preconnect=false
	for i in 1 2 3 4 5; do
		start_as "$1$i" "$2" 200
		eval "cpu \$${1}${i}_pid"
		echo "$cpu"
		stop "$1$i"
	done | sort -n | awk 'NR == 1 { printf "%.1f", $1 / 1e6 }'
}

if is_wanted 'start'; then
	theirs=
	[ -z "$original" ] || theirs=$(start_ms theirs "$original")
	single 'start with 200 servers, CPU' ms 20 \
		"$(start_ms start "$NUTCRACKER")" "$theirs"
	single 'memory at the start' KB 2560 "$memory_at_start"
fi

echo
echo "$(sed -n 's/^model name[^:]*: //p' /proc/cpuinfo | sed q)," \
	"$(grep -c '^processor' /proc/cpuinfo) cores, $(uname -srm)," \
	"load $(cut -d ' ' -f 1 /proc/loadavg)"
[ -z "$original" ] || echo "$original, $("$original" -V 2>&1 | sed q)"
