#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# For as long as it is told: checked requests on both protocols, while the
# configuration is reloaded every second, servers die, freeze, are ejected and
# come back, and the statistics are read. At the end memory, descriptors and
# latency are what they were at the beginning.
#
# usage: soak.sh [SECONDS]      1800. The first minute and the last are compared, and
#                               the 99th percentile must be within 20 %. Of less
#                               than 600 seconds it is a quarter, which beside
#                               other tests can tell no less than three times.

. "$(dirname "$0")/lib.sh"

duration=${1:-1800}
[ "$duration" -ge 60 ] || fail 'at least 60 seconds'
warm_up=5
window=60 tolerance=20
[ "$duration" -ge 600 ] || window=$((duration / 4)) tolerance=200
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
	eval "$name=$(free_port)"
done

# pool NAME REDIS TIMEOUT CONNECTIONS ON_EJECT SERVER:WEIGHT ...
pool() {
	eval "listen=\$$1"
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
	pool keep true 1000 1 error r1:1 r2:1 r3:1
	pool mkeep false 1000 1 error m1:1 m2:1 m3:1
	weight=$((1 + round % 2))
	third=r3:1 mthird=''
	[ $((round % 3)) != 0 ] || third='' mthird=m3:2
	pool move true $((1000 + round % 3 * 100)) $weight rehash r1:1 r2:$weight $third
	pool mmove false $((1000 + round % 3 * 100)) $weight rehash m1:$weight m2:1 $mthird
	[ $((round % 2)) = 0 ] || pool extra true 1000 1 rehash r1:1
}

# All that there are, so that the loop below has little to do: it would be in the
# way of what it measures.
round=0
while [ $round -lt 42 ]; do
	configuration >$round.yml
	[ $((round % 7)) != 6 ] || echo 'nonsense' >>$round.yml
	round=$((round + 1))
done
round=0
cp 0.yml start.yml
start_proxy proxy <start.yml

# For each server a tag, the keys with which are its own: in $tag_SERVER.
i=0
while [ $i -lt 50 ]; do
	echo "{tag$i}"
	i=$((i + 1))
done >tags
tab=$(printf '\t')
for name in keep mkeep; do
	"$NUTCRACKER" -c start.yml -r "$name" <tags >routes || fail "route $name"
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
		-c "$conns" -n 0 -t "$duration" -pause 20 -P 8 -s 20000 \
		-seed "$loads" "$@" >"load_$loads.out" 2>"load_$loads.said" &
	lib_started "load_$loads" load
}

# pace NAME POOL SERVER SET REPLY GET REPLY: latency, through the proxy and of the
# server itself, so that a machine that gets slow is not taken for a proxy that does.
pace() {
	eval "listen=\$$2 server=\$${3}_port"
	chat "$listen" send "$4" expect "$5" >output || fail "$1: $(cat output)"
	"$hold" pace "$listen" "$server" "$6" "$7" 1 >"$1.out" 2>&1 &
	lib_started "$1" pace
}

descriptors() {
	ls "/proc/$proxy_pid/fd" 2>/dev/null | wc -l
}

# sample: seconds since the start, kilobytes, descriptors.
sample() {
	set -- $("$hold" memory "$proxy_pid")
	echo "$((($("$tool" ms) - began) / 1000)) ${1:-0} $(descriptors)" >>samples
}

scrape() {
	printf 'GET /metrics HTTP/1.1\r\n\r\n' | "$tool" nc "$proxy_stats" >metrics
	stat proxy >json
}

warm() {
	for i in 1 2 3; do
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

began=$("$tool" ms)
load live-redis redis keep "$tag_r1" 3 -max 1300
load live-memcached memcached mkeep "$tag_m1" 3 -max 1300
# A frozen server is out after two requests in a row had no answer in time.
load faulty-redis redis keep "$tag_r3" 2 -loose -max 2600
load faulty-memcached memcached mkeep "$tag_m3" 2 -loose -max 2600
load moving-redis redis move '' 2 -loose -basic -max 2600
load moving-memcached memcached mmove '' 2 -loose -basic -max 2600
key=${tag_r1}pace
pace rpace keep r1 "SET $key x\\r\\n" '+OK\r\n' \
	"*2\\r\\n\$3\\r\\nGET\\r\\n\$${#key}\\r\\n$key\\r\\n" '$1\r\nx\r\n'
key=${tag_m1}pace
pace mpace mkeep m1 "set $key 0 0 1\\r\\nx\\r\\n" 'STORED\r\n' \
	"get $key\\r\\n" "VALUE $key 0 1\\r\\nx\\r\\nEND\\r\\n"

# fault N: each second another one.
fault() {
	case $1 in
	1) stop r3 KILL ;;
	3) start_redis r3 ;;
	4) signal m3 STOP ;;
	6) signal m3 CONT ;;
	7) stop m3 KILL ;;
	9) start_memcached m3 ;;
	10) signal r3 STOP ;;
	12) signal r3 CONT ;;
	esac
}

while [ "$("$tool" ms)" -lt $((began + (duration - 1) * 1000)) ]; do
	round=$((round + 1))
	cp $((round % 42)).yml proxy.yml
	signal proxy USR1
	fault $((round % 14))
	[ $((round % 3)) != 0 ] || sample
	[ $((round % 5)) != 0 ] || scrape
	next=$((began + round * 1000 - $("$tool" ms)))
	[ $next -le 0 ] || "$tool" sleep $next
done
for name in rpace mpace; do
	stop $name
	check "$name: every reply is right" [ "$status" = 0 ]
done

# ---- what is left of it ------------------------------------------------

timeout_ms=60000
signal r3 CONT
signal m3 CONT
i=0
while [ $i -lt $loads ]; do
	i=$((i + 1))
	wait_end load_$i
	eval "label=\$label_$i"
	check "$label: $(sed 's/^load: //' load_$i.out)" eval \
		"[ $status = 0 ] || ! cat load_$i.said"
	case $label in
	faulty*) check "$label: it has felt the faults" \
		eval "! grep -q ' 0 errors' load_$i.out" ;;
	esac
done
check "reloads: $(stat proxy reloads), refused $(stat proxy reload_failures)" eval \
	'[ "$(stat proxy reloads)" -ge $((duration / 3)) ] &&
	[ "$(stat proxy reload_failures)" -ge $((duration / 30)) ]'
for name in keep mkeep; do
	ejects=$(stat proxy $name server_ejects)
	check "ejections of $name: $ejects" [ "$ejects" -ge $((duration / 30)) ]
done

# most COLUMN FROM TO: of the samples of these seconds.
most() {
	awk -v column="$1" -v from="$2" -v to="$3" '
		$1 >= from && $1 < to && $column > most { most = $column }
		END { print most + 0 }
	' samples
}

last=$((duration - 1))
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

# quiet FILE FROM VALUE: of the seconds from there on. What disturbs a machine for
# a moment raises the latency of some seconds, what has become slow that of all:
# so the lowest tenth stands for them.
quiet() {
	sed -n "$2,$(($2 + window - 1))p" "$1" |
		awk "NF == 7 && \$6 > 0 { print int($3) }" | sort -n |
		awk '{ v[NR] = $1 } END { print v[int((NR + 9) / 10)] + 0 }'
}

# not_slower FIRST LAST RATIO_FIRST RATIO_LAST: within the tolerance, or, where the
# machine itself was busier, within it of what the server took in the same second.
not_slower() {
	[ "$1" -gt 0 ] && [ "$2" -gt 0 ] || return
	[ $(($2 * 100)) -le $(($1 * (100 + tolerance))) ] ||
		[ $(($4 * 100)) -le $(($3 * (100 + tolerance))) ]
}

for name in rpace mpace; do
	lines=$(wc -l <$name.out)
	set --
	for value in '$3' '100 * $3 / $6' '$6' '$2'; do
		set -- "$@" "$(quiet $name.out $((warm_up + 1)) "$value")" \
			"$(quiet $name.out $((lines - window)) "$value")"
	done
	check "$name: p99 $1 us, at the end $2; that is $3 % and $4 % of the server \
alone, $5 us and $6; medians $7 us and $8" not_slower "$1" "$2" "$3" "$4"
done

check 'all clients have left' wait_until 10000 no_clients
check 'all servers answer again' wait_until 10000 warm
