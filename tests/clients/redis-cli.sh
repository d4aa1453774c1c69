#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# redis-cli through the proxy. usage: redis-cli.sh PORT RESTART [OPTION ...]
set -u
port=$1
restart=$2
shift 2
options=$*
prefix=cli$options:
work=$restart.files
mkdir -p "$work"

cli() {
	redis-cli -h 127.0.0.1 -p "$port" $options "$@"
}

check() {
	[ "$1" = "$2" ] && return
	printf 'wanted: %.200s\ngot: %.200s\n' "$1" "$2" >&2
	exit 1
}

# fails WORDS COMMAND ...
fails() {
	words=$1
	shift
	case $(cli "$@" 2>&1) in
	*"$words"*) ;;
	*) check "an error with $words" "$(cli "$@" 2>&1)" ;;
	esac
}

check PONG "$(cli PING)"
# Help is what a server says of its commands.
fails ncrement help incr
cli help @string </dev/null >"$work/help" 2>&1
check '0' $?
fails 'APPEND' help @string
check '' "$(cli help get | grep null)"
check OK "$(cli SET "${prefix}a" 1)"
check 1 "$(cli GET "${prefix}a")"
check OK "$(cli MSET "${prefix}a" 1 "${prefix}b" 2 "${prefix}c" 3 "${prefix}d" 4)"
check '1 2 3 4 ' "$(cli MGET "${prefix}a" "${prefix}b" "${prefix}c" "${prefix}d" | tr '\n' ' ')"
check 4 "$(cli DEL "${prefix}a" "${prefix}b" "${prefix}c" "${prefix}d")"

# Standard input, one command a line; and --pipe, which ends with an ECHO.
awk -v p="$prefix" 'BEGIN { for (i = 0; i < 500; i++) {
	print "SET " p i " " i; print "GET " p i } }' >"$work/commands"
awk 'BEGIN { for (i = 0; i < 500; i++) { print "OK"; print i } }' >"$work/wanted"
cli <"$work/commands" >"$work/got"
cmp "$work/wanted" "$work/got" || exit 1
case $(sed 's/$/\r/' "$work/commands" | cli --pipe 2>&1) in
*'errors: 0, replies: 1000'*) ;;
*) check '1000 replies of --pipe' "$(cli --pipe <"$work/commands" 2>&1)" ;;
esac

awk 'BEGIN { for (i = 0; i < 65536; i++) printf "0123456789abcdef" }' >"$work/large"
check OK "$(cli -x SET "${prefix}large" <"$work/large")"
cli GET "${prefix}large" | tr -d '\n' | cmp - "$work/large" || exit 1

check 2 "$(cli HSET "${prefix}h" f v g w)"
check v "$(cli HGET "${prefix}h" f)"
check 3 "$(cli RPUSH "${prefix}l" 1 2 3)"
check 2 "$(cli SADD "${prefix}s" 1 2)"
check 2 "$(cli ZADD "${prefix}z" 1 a 2 b)"
check 1-1 "$(cli XADD "${prefix}x" 1-1 f v)"
check 1 "$(cli GEOADD "${prefix}g" 13.361389 38.115556 Palermo)"
check Palermo "$(cli GEORADIUS "${prefix}g" 13 38 100 km)"
check 1 "$(cli PFADD "${prefix}p" a b c)"
check 1 "$(cli EXPIRE "${prefix}h" 100)"

check 508 "$(cli --scan --pattern "$prefix*" | sort -u | wc -l | tr -d ' ')"
sha=$(cli SCRIPT LOAD 'return {KEYS[1], ARGV[1]}')
for i in 1 2 3 4 5 6 7 8 9; do
	check "$prefix$i x " "$(cli EVALSHA "$sha" 1 "$prefix$i" x | tr '\n' ' ')"
done
echo 'return redis.call("get", KEYS[1])' >"$work/script"
check 7 "$(cli --eval "$work/script" "${prefix}7")"

fails 'wrong kind of value' LPUSH "${prefix}h" 1
fails 'unknown command' NOSUCH x
fails 'wrong number of arguments' GET
fails 'MULTI' MULTI
fails 'CONFIG' CONFIG SET maxmemory 0
check 1 "$(cli GET "${prefix}1")"

# One redis-cli that lives through the restart.
mkfifo "$work/pipe"
cli <"$work/pipe" >"$work/lived" 2>&1 &
pid=$!
exec 3>"$work/pipe"
echo "GET ${prefix}1" >&3
until [ -s "$work/lived" ]; do
	sleep 0.1
done
: >"$restart.wanted"
until [ -e "$restart.done" ]; do
	sleep 0.1
done
echo "GET ${prefix}2" >&3
echo "GET ${prefix}2" >&3
exec 3>&-
wait "$pid"
check 1 "$(head -n 1 "$work/lived")"
check 2 "$(tail -n 1 "$work/lived")"
