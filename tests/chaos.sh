#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Servers are killed, frozen, restarted, replaced by such that load, stall, hang
# up or break off in mid reply, and clients vanish, while fifty others ask and
# compare every reply: none is wrong or lost, each comes in time, nobody pays for
# a server that he did not ask, and when it is over nothing of it is left.
#
# usage: chaos.sh [SECONDS]     600, of which the last are for getting over it

. "$(dirname "$0")/lib.sh"

duration=${1:-600}
calm=5          # of these: no errors any more
recovery=10     # seconds after the last fault until then
timeout=1000    # of the pools, in milliseconds
hold=$BUILD/hold
[ -x "$hold" ] || fail "$hold is missing"
[ "$duration" -ge 30 ] || fail 'at least 30 seconds'
need_redis
need_memcached

# ---- servers -----------------------------------------------------------

# start_faulty NAME PROTOCOL [OPTION ...]: a fake, which writes nothing down.
start_faulty() {
	lib_port "$1"
	lib_name=$1 protocol=$2
	shift 2
	"$BUILD/fake_server" -m "$protocol" "$@" "$port" 2>"$lib_name.err" &
	lib_started "$lib_name" faulty
	wait_ready "$lib_name" "$port"
}

# In each pool 1 and 2 are left alone, 3 is killed, 4 frozen, 5 is what it wants.
for i in 1 2 3 4; do
	start_redis "r$i"
	start_memcached "m$i"
done
start_faulty r5 redis
start_faulty m5 memcached
start_faulty ri redis -i 400
start_faulty mi memcached -i 400

# pool NAME REDIS ON_EJECT SERVER ...: its address is in $NAME.
pool() {
	eval "$1=$(free_port) listen=\$$1"
	cat <<-END
		$1:
		  listen: 127.0.0.1:$listen
		  redis: $2
		  hash: murmur
		  hash_tag: "{}"
		  timeout: $timeout
		  auto_eject_hosts: true
		  server_failure_limit: 2
		  server_retry_timeout: 500
		  on_eject: $3
		  servers:
	END
	shift 3
	for name; do
		eval "echo \"  - 127.0.0.1:\$${name}_port:1 $name\""
	done
}

{
	pool keep true error r1 r2 r3 r4 r5
	pool mkeep false error m1 m2 m3 m4 m5
	pool move true rehash r1 r2 r3 r4 r5
	pool mmove false rehash m1 m2 m3 m4 m5
	pool idle true rehash ri
	pool midle false rehash mi
} >pools.yml
start_proxy proxy <pools.yml

# For each server a tag, the keys with which are its own: in $tag_SERVER.
i=0
while [ $i -lt 100 ]; do
	echo "{tag$i}"
	i=$((i + 1))
done >tags
tab=$(printf '\t')
for name in keep mkeep; do
	"$NUTCRACKER" -c pools.yml -r "$name" <tags >routes || fail "route $name"
	while IFS=$tab read -r tag server address; do
		eval "tag_$server=\$tag"
	done <routes
done

# ---- the burden --------------------------------------------------------

loads=0

# load LABEL PROTOCOL POOL TAG CONNS [OPTION ...]
load() {
	loads=$((loads + 1))
	eval "label_$loads=\$1 listen=\$$3"
	protocol=$2 prefix="$4$1" conns=$5
	shift 5
	"$BUILD/load" -p "$protocol" -h "127.0.0.1:$listen" -k "$prefix" \
		-c "$conns" -n 0 -t "$duration" -calm $calm -max $((timeout + 100)) \
		-pause 20 -P 8 -s 20000 -seed "$loads" "$@" \
		>"load_$loads.out" 2>"load_$loads.said" &
	lib_started "load_$loads" load
}

# all_loads PROTOCOL POOL MOVING_POOL LETTER
all_loads() {
	eval "tag1=\$tag_${4}1 tag2=\$tag_${4}2 tag3=\$tag_${4}3 \
		tag4=\$tag_${4}4 tag5=\$tag_${4}5"
	load "live-1-$1" "$1" "$2" "$tag1" 4
	load "live-2-$1" "$1" "$2" "$tag2" 4
	load "killed-$1" "$1" "$2" "$tag3" 4 -loose
	load "frozen-$1" "$1" "$2" "$tag4" 4 -errors
	load "faulty-$1" "$1" "$2" "$tag5" 4 -loose -basic
	load "every-$1" "$1" "$2" '' 5 -loose -basic
	load "live-1-moving-$1" "$1" "$3" "$tag1" 2
	load "live-2-moving-$1" "$1" "$3" "$tag2" 2
	load "every-moving-$1" "$1" "$3" '' 3 -loose -basic
}

# What clients send that vanish: they end somewhere in it.
big=$("$tool" print x 3000)
for i in 1 2 3 4 5 4 3 2 1; do
	eval "rtag=\$tag_r$i mtag=\$tag_m$i"
	for key in "${rtag}v" "${rtag}w"; do
		printf '*3\r\n$3\r\nSET\r\n$%d\r\n%s\r\n$3000\r\n%s\r\n' \
			${#key} "$key" "$big"
		printf '*2\r\n$3\r\nGET\r\n$%d\r\n%s\r\n' ${#key} "$key"
		printf '*4\r\n$4\r\nMGET\r\n$1\r\na\r\n$1\r\nb\r\n$%d\r\n%s\r\n' \
			${#key} "$key"
	done >>vanish.redis
	printf 'set %sv 0 0 3000\r\n%s\r\nget %sv\r\nget a b c %sv\r\n' \
		"$mtag" "$big" "$mtag" "$mtag" >>vanish.memcached
done

# other NAME ARGUMENT ...: see hold.c.
other() {
	name=$1
	shift
	"$hold" "$@" >"$name.out" 2>&1 &
	lib_started "$name" other
}

# used: kilobytes.
used() {
	set -- $("$hold" memory "$proxy_pid")
	echo "${1:-0}"
}

descriptors() {
	ls "/proc/$proxy_pid/fd" 2>/dev/null | wc -l
}

# Has every pool talk to every server.
warm() {
	for i in 1 2 3 4 5; do
		eval "rtag=\$tag_r$i mtag=\$tag_m$i"
		redis "$keep" GET "$rtag" && redis "$move" GET "$rtag" || return
		memcache "$mkeep" "get $mtag" && memcache "$mmove" "get $mtag" || return
	done >output
}

no_clients() {
	for name in keep mkeep move mmove; do
		stat_is 0 proxy "$name" client_connections || return
	done
}

check 'all servers answer' warm
wait_until 5000 no_clients
memory_before=$(used)
descriptors_before=$(descriptors)

began=$("$tool" ms)
all_loads redis keep move r
all_loads memcached mkeep mmove m
other vanish vanish "$keep" vanish.redis 1 30
other mvanish vanish "$mkeep" vanish.memcached 2 30
other ask ask "$idle" '*2\r\n$3\r\nGET\r\n$1\r\na\r\n' '$-1\r\n' 1000
other mask ask "$midle" 'get a\r\n' 'END\r\n' 1000

# ---- the faults --------------------------------------------------------

# faulty N: restarts the fifth servers as bad as the Nth way says; without N, good.
faulty() {
	stop r5 KILL
	stop m5 KILL
	case ${1:-none} in
	none) set -- ;;
	0) set -- -x '* send -LOADING Redis is loading the dataset in memory\r\n' ;;
	1) set -- -x '100 cut 3' -x '300 cut 1' -x '500 cut 0' -x '700 cut 4' ;;
	2) set -- -x '100 rst' -x '300 close' -x '500 rst' -c 1 ;;
	3) set -- -x '150 stall' -x '600 stall' ;;
	4) set -- -x '150 halt 2' -x '600 halt 0' ;;
	5) set -- -d 200 -i 20 ;;
	6) set -- -x '200+ close' ;;
	esac
	start_faulty r5 redis "$@"
	case ${2:-} in
	*LOADING*) set -- -x '* send SERVER_ERROR out of memory\r\n' ;;
	esac
	start_faulty m5 memcached "$@"
}

# nap N: between 0.3 and 1.9 seconds, longer than the timeout or not.
nap() {
	"$tool" sleep $((300 + $1 * 571 % 1600))
}

round=0
last=$((began + (duration - calm - recovery - 7) * 1000))
while [ "$("$tool" ms)" -lt "$last" ]; do
	round=$((round + 1))
	faulty $((round % 7))
	stop r3 KILL
	signal m4 STOP
	nap $round
	start_redis r3
	signal r4 STOP
	nap $((round + 1))
	signal m4 CONT
	stop m3 KILL
	nap $((round + 2))
	signal r4 CONT
	start_memcached m3
done
faulty
last=$("$tool" ms)
check "faults for $(((last - began) / 1000)) seconds, in $round rounds" \
	between 0 $(((duration - calm - recovery) * 1000)) $((last - began))

# ---- what is left of it ------------------------------------------------

timeout_ms=$(((calm + recovery + 60) * 1000))
requests=0 errors=0 live_requests=0 live_errors=0

# number WORD FILE: the number in front of the word in the summary of a load.
number() {
	sed -n "s/^load: .* \([0-9]*\) $1.*/\1/p" "$2"
}

# verdict N: how the Nth load went.
verdict() {
	eval "label=\$label_$1"
	wait_end "load_$1"
	check "$label: $(sed 's/^load: //' "load_$1.out")" eval \
		"[ $status = 0 ] || ! cat load_$1.said"
	n=$(number requests "load_$1.out")
	e=$(number errors "load_$1.out")
	requests=$((requests + ${n:-0})) errors=$((errors + ${e:-0}))
	case $label in
	live*) live_requests=$((live_requests + ${n:-0}))
		live_errors=$((live_errors + ${e:-1})) ;;
	killed* | frozen* | faulty*)
		check "$label: it has felt the faults" [ "${e:-0}" -gt 0 ] ;;
	esac
}

i=0
while [ $i -lt $loads ]; do
	i=$((i + 1))
	verdict $i
done
check "$requests requests, $errors errors; of $live_requests for servers that \
were there: $live_errors" [ "$live_errors" = 0 ]

# The servers that hang up on idle connections: nobody notices.
for name in ask mask; do
	stop $name
	check "idle connections that servers close: $name, $(cat $name.out)" [ "$status" = 0 ]
done
check 'they did close them' eval '[ "$(stat proxy idle ri server_eof)" -gt 5 ]'
check 'nor was anybody ejected for it' stat_is 0 proxy idle server_ejects
for name in vanish mvanish; do
	stop $name
	check "clients: $(cat $name.out)" [ "$status" = 0 ]
done

check 'all clients have left' wait_until 10000 no_clients
check 'all servers answer again' warm
no_more_descriptors() {
	[ "$(descriptors)" -le "$descriptors_before" ]
}
check "as many descriptors as before: $descriptors_before" \
	wait_until 10000 no_more_descriptors
if ! sanitized && [ "$memory_before" != 0 ]; then
	no_more_memory() {
		memory_after=$(used)
		[ "$memory_after" -le $((memory_before + 4096)) ]
	}
	wait_until 15000 no_more_memory
	check "as much memory as before: $memory_before kB, now $memory_after" \
		no_more_memory
fi
