# SPDX-License-Identifier: Apache-2.0
# What the tests of known bugs share: requests, pools, and the memory and time
# that a proxy takes. Sourced behind lib.sh.

# words WORD ...: a Redis request, with C escapes.
words() {
	printf '*%d\\r\\n' $#
	for word; do
		printf '$%d\\r\\n%s\\r\\n' ${#word} "$word"
	done
}

# get KEY: the request GET KEY.
get() {
	words GET "$1"
}

# pool NAME 'KEY: VALUE; ...' ADDRESS ...: writes a pool over these servers, named
# s0, s1 and so on, to NAME.pool; its port is in $NAME_listen. With murmur and
# modula, of two servers s0 has the keys a c e g and s1 has b d f h.
pool() {
	eval "pool_listen=\$(free_port) && ${1}_listen=\$pool_listen"
	{
		printf '%s:\n  listen: 127.0.0.1:%s\n  hash: murmur\n' "$1" "$pool_listen"
		case $2 in
		*distribution:*) ;;
		*) echo '  distribution: modula' ;;
		esac
		printf '  %s\n' "$2" | sed 's/; */\
  /g'
		echo '  servers:'
	} >"$1.pool"
	pool_file=$1.pool
	shift 2
	pool_index=0
	for pool_server; do
		case $pool_server in
		*:* | /*) ;;
		*) pool_server=127.0.0.1:$pool_server ;;
		esac
		echo "  - $pool_server:1 s$pool_index"
		pool_index=$((pool_index + 1))
	done >>"$pool_file"
}

# start_pools PROXY POOL ... [-- OPTION ...]
start_pools() {
	pools_proxy=$1
	shift
	: >"$pools_proxy.pools"
	while [ $# -gt 0 ]; do
		if [ "$1" = -- ]; then
			shift
			break
		fi
		cat "$1.pool" >>"$pools_proxy.pools"
		shift
	done
	start_proxy "$pools_proxy" "$@" <"$pools_proxy.pools"
}

# count FILE TEXT: prints how many of its lines hold the text.
count() {
	grep -c -F -e "$2" "$1"
}

# counts MIN FILE TEXT: a condition for wait_until.
counts() {
	[ "$(count "$2" "$3")" -ge "$1" ]
}

# stat_above MIN NAME PATH ...: a condition for wait_until.
stat_above() {
	stat_min=$1
	shift
	[ "$(stat "$@")" -gt "$stat_min" ]
}

# peak NAME: the most memory it ever used, in kilobytes; nothing if this system
# does not tell.
peak() {
	eval "lib_pid=\$${1}_pid"
	sed -n 's/^VmHWM:[^0-9]*\([0-9]*\).*/\1/p' "/proc/$lib_pid/status" 2>/dev/null
}

# memory_below KB NAME: a condition for wait_until.
memory_below() {
	[ "$(memory "$2")" -le "$1" ]
}

# ticks NAME: processor time used, in hundredths of a second.
ticks() {
	eval "lib_pid=\$${1}_pid"
	awk '{ print $14 + $15 }' "/proc/$lib_pid/stat" 2>/dev/null
}

# idle NAME: it uses next to nothing of the next half second.
idle() {
	idle_before=$(ticks "$1")
	"$tool" sleep 500
	between 0 3 $(($(ticks "$1") - idle_before))
}

# check_idle CASE NAME: the same as a case, where it can be measured.
check_idle() {
	if [ -n "$(ticks "$2")" ]; then
		check "$1" idle "$2"
	else
		skip_case "$1: this system does not tell"
	fi
}
