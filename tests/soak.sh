#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# For as long as it is told: checked requests on both protocols, while the
# configuration is reloaded every second, servers die, freeze, are ejected and
# come back, and the statistics are read. At the end memory and descriptors are
# what they were at the beginning, and so is the latency, or that of a proxy just
# started that has to do the same beside it: a machine that is busier at the end
# is not taken for a proxy that has become slow.
#
# usage: soak.sh [SECONDS]      1800. The first minute and the last are compared, and
#                               the 99th percentile must be within 20 %. Of less
#                               than 600 seconds it is a quarter, which beside
#                               other tests can tell no less than twice.

. "$(dirname "$0")/lib.sh"

duration=${1:-1800}
[ "$duration" -ge 60 ] || fail 'at least 60 seconds'
warm_up=5
window=60 tolerance=20
[ "$duration" -ge 600 ] || window=$((duration / 4)) tolerance=100
timeout=5000    # of the pools, in ms: a busy machine is late, too
hold=$BUILD/hold
need_redis
need_memcached

# ---- servers and pools -------------------------------------------------

# 1 and 2 are left alone, 3 is not.
for i in 1 2 3; do
	start_redis "r$i"
	start_memcached "m$i"
done
for name in keep mkeep move mmove extra; do
	eval "old_$name=$(free_port) new_$name=$(free_port)"
done

# pool NAME REDIS TIMEOUT CONNECTIONS ON_EJECT SERVER:WEIGHT ...: of the proxy $which.
pool() {
	eval "listen=\$${which}_$1"
	cat <<-END
		$1:
		  listen: 127.0.0.1:$listen
		  redis: $2
		  hash: murmur
		  hash_tag: "{}"
		  timeout: $3
		  server_connections: $4
		  on_eject: $5
		  client_idle_timeout: $((60000 + round % 2))
		  auto_eject_hosts: true
		  server_failure_limit: 2
		  server_retry_timeout: 300
		  servers:
	END
	shift 5
	for server; do
		name=${server%:*}
		eval "echo \"  - 127.0.0.1:\$${name}_port:${server#*:} $name\""
	done
}

# Of keep and mkeep nothing changes that a key's owner could see. In the others
# servers, weights, connections and timeouts do, and a pool comes and goes.
configuration() {
	which=$1
	pool keep true $timeout 1 error r1:1 r2:1 r3:1
	pool mkeep false $timeout 1 error m1:1 m2:1 m3:1
	weight=$((1 + round % 2))
	third=r3:1 mthird=''
	[ $((round % 3)) != 0 ] || third='' mthird=m3:2
	pool move true $((timeout + round % 3 * 100)) $weight rehash r1:1 r2:$weight $third
	pool mmove false $((timeout + round % 3 * 100)) $weight rehash m1:$weight m2:1 $mthird
	[ $((round % 2)) = 0 ] || pool extra true $timeout 1 rehash r1:1
}

# All that there are, so that the loop below has little to do: it would be in the
# way of what it measures.
round=0
while [ $round -lt 42 ]; do
	for which in old new; do
		configuration $which >$which.$round.yml
		[ $((round % 7)) != 6 ] || echo 'nonsense' >>$which.$round.yml
	done
	round=$((round + 1))
done
start_proxy old <old.0.yml

# For each server a tag, the keys with which are its own: in $tag_SERVER.
i=0
while [ $i -lt 50 ]; do
	echo "{tag$i}"
	i=$((i + 1))
done >tags
tab=$(printf '\t')
for name in keep mkeep; do
	"$NUTCRACKER" -c old.0.yml -r "$name" <tags >routes || fail "route $name"
	while IFS=$tab read -r tag server address; do
		eval "tag_$server=\$tag"
	done <routes
done

# ---- the burden --------------------------------------------------------

# load WHICH LABEL PROTOCOL POOL TAG CONNS [OPTION ...]: for $seconds.
load() {
	loads="$loads $1_$2"
	eval "listen=\$$1_$4"
	name=$1_$2 protocol=$3 prefix="$5$1$2" conns=$6
	shift 6
	seed=$((seed + 1))
	"$BUILD/load" -p "$protocol" -h "127.0.0.1:$listen" -k "$prefix" \
		-c "$conns" -n 0 -t "$seconds" -pause 20 -P 8 -s 20000 \
		-seed "$seed" "$@" >"$name.out" 2>"$name.said" &
	lib_started "$name" load
}

# burden WHICH: the names of its loads are in $loads.
burden() {
	loads='' most=$((timeout * 3 / 2))
	load "$1" live redis keep "$tag_r1" 3 -max $most
	load "$1" mlive memcached mkeep "$tag_m1" 3 -max $most
	# A frozen server is out after two requests in a row had no answer in time.
	load "$1" faulty redis keep "$tag_r3" 2 -loose -max $((2 * most))
	load "$1" mfaulty memcached mkeep "$tag_m3" 2 -loose -max $((2 * most))
	load "$1" moving redis move '' 2 -loose -basic -max $((2 * most))
	load "$1" mmoving memcached mmove '' 2 -loose -basic -max $((2 * most))
}

# burden_done LOAD ...
burden_done() {
	for name; do
		wait_end "$name"
		check "$name: $(sed 's/^load: //' "$name.out")" eval \
			"[ $status = 0 ] || ! cat $name.said"
	done
}

# pace NAME POOL SET REPLY GET REPLY: the latency of old and new by turns.
pace() {
	eval "old=\$old_$2 new=\$new_$2"
	chat "$old" send "$3" expect "$4" >output || fail "$1: $(cat output)"
	"$hold" pace "$old" "$new" "$5" "$6" 1 >"$1.out" 2>&1 &
	lib_started "$1" pace
}

# compare_begin N: for a window a proxy is started that has to do what the old one
# does, and both are measured.
compare_begin() {
	start_proxy new <new.0.yml
	seconds=$((window + 4))
	burden new
	new_loads=$loads
	key=${tag_r1}pace
	pace "redis_$1" keep "SET $key x\\r\\n" '+OK\r\n' \
		"*2\\r\\n\$3\\r\\nGET\\r\\n\$${#key}\\r\\n$key\\r\\n" '$1\r\nx\r\n'
	key=${tag_m1}pace
	pace "memcached_$1" mkeep "set $key 0 0 1\\r\\nx\\r\\n" 'STORED\r\n' \
		"get $key\\r\\n" "VALUE $key 0 1\\r\\nx\\r\\nEND\\r\\n"
	comparing=$1
}

compare_end() {
	for name in redis memcached; do
		stop ${name}_$comparing
		check "${name}_$comparing: every reply is right" [ "$status" = 0 ]
	done
	burden_done $new_loads
	stop new
	comparing=
}

descriptors() {
	ls "/proc/$old_pid/fd" 2>/dev/null | wc -l
}

# sample: seconds since the start, kilobytes, descriptors.
sample() {
	set -- $("$hold" memory "$old_pid")
	echo "$((($("$tool" ms) - began) / 1000)) ${1:-0} $(descriptors)" >>samples
}

scrape() {
	http "$old_stats" /metrics >metrics
	stat old >json
}

warm() {
	for i in 1 2 3; do
		eval "rtag=\$tag_r$i mtag=\$tag_m$i"
		redis "$old_keep" GET "$rtag" && redis "$old_move" GET "$rtag" &&
			memcache "$old_mkeep" "get $mtag" &&
			memcache "$old_mmove" "get $mtag" || return
	done >output
}

no_clients() {
	for name in keep mkeep move mmove; do
		stat_is 0 old "$name" client_connections || return
	done
}

check 'all servers answer' warm
wait_until 5000 no_clients
began=$("$tool" ms)
seed=0 seconds=$duration comparing=
burden old
old_loads=$loads

# fault N: each second another one.
fault() {
	case $1 in
	1) stop r3 KILL ;;
	2) start_redis r3 ;;
	3) signal m3 STOP ;;
	9) signal m3 CONT ;;
	11) stop m3 KILL ;;
	12) start_memcached m3 ;;
	13) signal r3 STOP ;;
	19) signal r3 CONT ;;
	esac
}

last=$((duration - 2))
round=0
while [ $round -lt $last ]; do
	round=$((round + 1))
	cp old.$((round % 42)).yml old.yml
	signal old USR1
	case $round in
	$warm_up) compare_begin first ;;
	$((warm_up + window + 3))) compare_end ;;
	$((last - window - 3))) compare_begin last ;;
	esac
	if [ -n "$comparing" ]; then
		cp new.$((round % 42)).yml new.yml
		signal new USR1
	fi
	fault $((round % 20))
	[ $((round % 3)) != 0 ] || sample
	[ $((round % 5)) != 0 ] || scrape
	next=$((began + round * 1000 - $("$tool" ms)))
	[ $next -le 0 ] || "$tool" sleep $next
done
compare_end

# ---- what is left of it ------------------------------------------------

timeout_ms=60000
if [ -n "$r3_pid" ]; then signal r3 CONT; else start_redis r3; fi
if [ -n "$m3_pid" ]; then signal m3 CONT; else start_memcached m3; fi
burden_done $old_loads
for name in faulty mfaulty; do
	check "$name: it has felt the faults" eval "! grep -q ' 0 errors' old_$name.out"
done
check "reloads: $(stat old reloads), refused $(stat old reload_failures)" eval \
	'[ "$(stat old reloads)" -ge $((duration / 3)) ] &&
	[ "$(stat old reload_failures)" -ge $((duration / 30)) ]'
for name in keep mkeep; do
	ejects=$(stat old $name server_ejects)
	check "ejections of $name: $ejects" [ "$ejects" -ge $((duration / 30)) ]
done

# most COLUMN FROM TO: of the samples of these seconds.
most() {
	awk -v column="$1" -v from="$2" -v to="$3" '
		$1 >= from && $1 < to && $column > most { most = $column }
		END { print most + 0 }
	' samples
}

before=$(most 3 $warm_up $((warm_up + window)))
after=$(most 3 $((last - window)) $last)
check "descriptors: $before at the beginning, $after at the end" \
	between 1 $((before + 4)) "$after"
if ! sanitized; then
	before=$(most 2 $warm_up $((warm_up + window)))
	after=$(most 2 $((last - window)) $last)
	check "memory: $before kB at the beginning, $after at the end" \
		between 1 $((before + before / 10 + 1024)) "$after"
fi

# middle FILE VALUE: the median of its seconds, the first two left out.
middle() {
	awk "NR > 2 && NF == 7 && \$6 > 0 { print int($2) }" "$1" | sort -n |
		awk '{ v[NR] = $1 } END { print v[int((NR + 1) / 2)] + 0 }'
}

# not_slower FIRST LAST PERCENT: within the tolerance of what it was, or in the
# same seconds of what the new one takes.
not_slower() {
	[ "$1" -gt 0 ] && [ "$2" -gt 0 ] || return
	[ $(($2 * 100)) -le $(($1 * (100 + tolerance))) ] ||
		[ "$3" -le $((100 + tolerance)) ]
}

for name in redis memcached; do
	set --
	for value in '$3' '100 * $3 / $6' '$2'; do
		set -- "$@" "$(middle ${name}_first.out "$value")" \
			"$(middle ${name}_last.out "$value")"
	done
	check "$name: p99 $1 us, at the end $2; $3 % of a new proxy's, at the end $4 %; \
medians $5 us, $6" not_slower "$1" "$2" "$4"
done

check 'all clients have left' wait_until 10000 no_clients
check 'all servers answer again' wait_until 10000 warm
