# SPDX-License-Identifier: Apache-2.0
# What every test sources first: a folder of its own, servers that end with
# the test, waiting, talking, and the words ok, fail and skip.
#
# A test is a POSIX sh script tests/NAME.test, runnable alone:
#
#	. "$(dirname "$0")/lib.sh"
#	start_redis one
#	listen=$(free_port)
#	start_proxy proxy <<-END
#		pool:
#		  listen: 127.0.0.1:$listen
#		  redis: true
#		  servers:
#		  - 127.0.0.1:$one_port:1 one
#	END
#	check 'set and get' chat "$listen" send 'PING\r\n' expect '+PONG\r\n'
#
# The environment says what to use: NUTCRACKER the program under test, BUILD
# the folder of the bench's programs, REDIS_SERVER and MEMCACHED the real
# servers (empty: none), CI=true that nothing may be skipped for want of a
# server, KEEP=1 that the test's folder stays, EMULATED that the program runs
# inside another (qemu, valgrind).

set -u
umask 022
LC_ALL=C
export LC_ALL

here=$(cd "$(dirname "$0")" && pwd) || exit 2
root=${here%/tests}
BUILD=${BUILD:-$root/build}
NUTCRACKER=${NUTCRACKER:-$root/nutcracker}
case $BUILD in
/*) ;;
*) BUILD=$(cd "$BUILD" && pwd) || exit 2 ;;
esac
tool=$BUILD/tool
test_name=${0##*/}
lib_children=
lib_strangers=
lib_names=
lib_failed=0
stderr_expected=
timeout_ms=10000
[ -z "${EMULATED:-}" ] || timeout_ms=60000

[ -x "$tool" ] || {
	echo "$test_name: $tool is missing: run make check, or set BUILD" >&2
	exit 2
}

# Uses the real servers that setup.sh found, or those in PATH.
[ -f "$BUILD/servers.sh" ] && . "$BUILD/servers.sh"
[ -n "${REDIS_SERVER+set}" ] ||
	REDIS_SERVER=$(command -v redis-server || command -v valkey-server)
[ -n "${MEMCACHED+set}" ] || MEMCACHED=$(command -v memcached)

TMP=$(mktemp -d "${TMPDIR:-/tmp}/nutcracker.XXXXXX") || exit 2
cd "$TMP" || exit 2
trap lib_end 0
trap 'exit 129' 1
trap 'exit 130' 2
trap 'exit 143' 15

# ---- the end -----------------------------------------------------------

# Ends, by number, exactly what was started, and looks at what it left behind.
lib_end() {
	lib_status=$?
	trap - 0
	trap '' 1 2 15
	for pid in $lib_children $lib_strangers; do
		kill -CONT "$pid" 2>/dev/null
		kill -TERM "$pid" 2>/dev/null
	done
	if [ -n "$lib_children" ]; then
		"$tool" killer 5000 $lib_children &
		lib_killer=$!
		for name in $lib_names; do
			eval "pid=\$${name}_pid"
			[ -n "$pid" ] || continue
			wait "$pid" 2>/dev/null
			lib_verdict "$name" $?
		done
		kill -KILL "$lib_killer" 2>/dev/null
		wait "$lib_killer" 2>/dev/null
	fi
	for pid in $lib_strangers; do
		wait_until 5000 not_running "$pid" || kill -KILL "$pid"
	done
	lib_complaints
	[ "$lib_failed" = 0 ] || [ "$lib_status" != 0 ] || lib_status=1
	case $lib_status in
	0 | 77 | 130) ;;
	*) echo "again: $(lib_again)" ;;
	esac
	cd /
	if [ -n "${KEEP:-}" ]; then
		echo "kept: $TMP"
	else
		rm -rf "$TMP"
	fi
	exit "$lib_status"
}

# The command line that repeats this test alone.
lib_again() {
	printf 'NUTCRACKER=%s BUILD=%s %s %s\n' "$NUTCRACKER" "$BUILD" \
		"${TEST_SHELL:-sh}" "$here/$test_name"
}

# A program that died of a signal, or a fake whose script did not fit, is a failure.
lib_verdict() {
	case $2 in
	132 | 134 | 135 | 136 | 138 | 139)
		not_ok "$1 died of signal $(($2 - 128))"
		lib_show "$1" ;;
	1)
		if eval "[ \"\${${1}_kind:-}\" = fake ]"; then
			not_ok "$1: what came is not what its script expects"
			lib_show "$1"
		fi ;;
	esac
}

# What sanitizers say, and whatever else a proxy said that nobody expected.
lib_complaints() {
	for file in *.err; do
		[ -s "$file" ] || continue
		case $file in
		*.proxy.err) [ -z "$stderr_expected" ] || continue ;;
		*) grep -q -e 'runtime error:' -e 'Sanitizer' "$file" || continue ;;
		esac
		not_ok "${file%.err} wrote to its standard error"
		sed 's/^/	/' "$file"
	done
	for file in *.proxy.log; do
		[ -f "$file" ] && grep -q -e 'runtime error:' -e 'Sanitizer' "$file" || continue
		not_ok "${file%.log}: see its log"
		tail -n 60 "$file" | sed 's/^/	/'
	done
}

# The last lines of what a program wrote.
lib_show() {
	for file in "$1".proxy.log "$1".proxy.err "$1".err; do
		[ -s "$file" ] || continue
		echo "--- $file"
		tail -n 40 "$file"
	done
}

# ---- verdicts ----------------------------------------------------------

ok() {
	echo "ok $*"
}

not_ok() {
	lib_failed=1
	echo "not ok $*"
}

# check NAME COMMAND ...: one case. Goes on if it fails.
check() {
	lib_case=$1
	shift
	if "$@" >"$TMP/.output" 2>&1; then
		ok "$lib_case"
		return 0
	fi
	not_ok "$lib_case"
	sed 's/^/	/' "$TMP/.output"
	return 1
}

# Ends the test as failed, with the logs of the proxies.
fail() {
	not_ok "$*"
	for file in *.proxy.log; do
		[ -f "$file" ] && lib_show "${file%.proxy.log}"
	done
	exit 1
}

# Ends the test as not done.
skip() {
	echo "skip $*"
	exit 77
}

# Skips one case.
skip_case() {
	echo "skip $*"
}

# Skips the test for something this machine lacks; where all must be there, fails.
lacking() {
	[ "${CI:-}" = true ] && fail "$* is missing"
	skip "$* is missing"
}

need_redis() {
	[ -n "$REDIS_SERVER" ] || lacking redis-server
}

need_memcached() {
	[ -n "$MEMCACHED" ] || lacking memcached
}

need_command() {
	command -v "$1" >/dev/null 2>&1 || lacking "$1"
}

# equal WANTED GOT: a command for check.
equal() {
	[ "$1" = "$2" ] && return
	printf 'expected: %s\nreceived: %s\n' "$1" "$2"
	return 1
}

# between MIN MAX GOT
between() {
	[ "$3" -ge "$1" ] && [ "$3" -le "$2" ] && return
	printf 'expected: %s to %s\nreceived: %s\n' "$1" "$2" "$3"
	return 1
}

# ---- waiting -----------------------------------------------------------

# wait_until MS COMMAND ...: until it succeeds; fails when time is over.
wait_until() {
	lib_until=$(($("$tool" ms) + $1))
	shift
	until "$@"; do
		[ "$("$tool" ms)" -lt "$lib_until" ] || return 1
		"$tool" sleep 20
	done
}

not_running() {
	! kill -0 "$1" 2>/dev/null
}

# contains FILE TEXT: a condition for wait_until.
contains() {
	grep -q -F -e "$2" "$1" 2>/dev/null
}

# Whether a child has ended, even if nobody waited for it yet; a guess, no more.
lib_ended() {
	kill -0 "$1" 2>/dev/null || return 0
	case $(ps -o stat= -p "$1" 2>/dev/null) in
	Z*) return 0 ;;
	esac
	return 1
}

# wait_ready NAME ADDRESS: until NAME accepts there.
wait_ready() {
	eval "lib_pid=\$${1}_pid"
	lib_until=$(($("$tool" ms) + timeout_ms))
	until "$tool" wait "$2" 200 2>/dev/null; do
		if lib_ended "$lib_pid" || [ "$("$tool" ms)" -ge "$lib_until" ]; then
			lib_show "$1"
			fail "$1 does not answer on $2"
		fi
	done
}

# ---- programs ----------------------------------------------------------

# free_port [N]: ports nobody uses, and no other test gets within a minute.
free_port() {
	"$tool" port ${1+"$1"}
}

# lib_started NAME KIND: the program just put into the background.
lib_started() {
	eval "${1}_pid=$! ${1}_kind=$2"
	lib_children="$lib_children $!"
	lib_names="$lib_names $1"
}

# A port for NAME: the one it had before, else a free one. In $port, $NAME_port.
lib_port() {
	eval "port=\${${1}_port:-}"
	[ -n "$port" ] || port=$(free_port)
	eval "${1}_port=$port"
}

# start_redis NAME [OPTION ...]: a real one, or a fake where there is none.
# Sets NAME_port, NAME_pid. Started again it gets the same port.
start_redis() {
	lib_name=$1
	shift
	lib_port "$lib_name"
	if [ -z "$REDIS_SERVER" ]; then
		[ "${CI:-}" != true ] || lacking redis-server
		start_fake "$lib_name" -m redis
		return
	fi
	mkdir -p "$lib_name.dir"
	"$REDIS_SERVER" --port "$port" --bind 127.0.0.1 --save '' --appendonly no \
		--dir "$TMP/$lib_name.dir" --loglevel warning "$@" \
		>"$lib_name.out" 2>"$lib_name.err" &
	lib_started "$lib_name" redis
	wait_ready "$lib_name" "$port"
}

# start_memcached NAME [OPTION ...]: the same for memcached.
start_memcached() {
	lib_name=$1
	shift
	lib_port "$lib_name"
	if [ -z "$MEMCACHED" ]; then
		[ "${CI:-}" != true ] || lacking memcached
		start_fake "$lib_name" -m memcached
		return
	fi
	lib_user=
	[ "$(id -u)" != 0 ] || lib_user='-u root'
	"$MEMCACHED" -p "$port" -U 0 -l 127.0.0.1 -t 1 -m 64 -c 1024 $lib_user "$@" \
		>"$lib_name.out" 2>"$lib_name.err" &
	lib_started "$lib_name" memcached
	wait_ready "$lib_name" "$port"
}

# start_fake NAME OPTION ...: see fake_server.c. What it gets is in NAME.notes.
start_fake() {
	lib_name=$1
	shift
	lib_port "$lib_name"
	rm -f "$lib_name.notes"
	"$BUILD/fake_server" -w "$lib_name.notes" "$@" "$port" 2>"$lib_name.err" &
	lib_started "$lib_name" fake
	wait_until "$timeout_ms" eval 'contains "$lib_name.notes" ready || lib_ended $!'
	contains "$lib_name.notes" ready || {
		cat "$lib_name.err"
		fail "$lib_name does not start"
	}
}

# start_program NAME PROGRAM [OPTION ...] <CONFIG: a proxy that stays in front.
# Sets NAME_pid, NAME_stats; its files are NAME.yml, NAME.proxy.log.
start_program() {
	lib_name=$1
	lib_program=$2
	shift 2
	[ -x "$lib_program" ] || fail "there is no program $lib_program"
	cat >"$lib_name.yml"
	eval "lib_stats=\${${lib_name}_stats:-}"
	[ -n "$lib_stats" ] || lib_stats=$(free_port)
	eval "${lib_name}_stats=$lib_stats"
	"$lib_program" -c "$lib_name.yml" -o "$lib_name.proxy.log" -a 127.0.0.1 \
		-s "$lib_stats" -i 50 "$@" >"$lib_name.out" 2>"$lib_name.proxy.err" &
	lib_started "$lib_name" proxy
	for address in $(listens "$lib_name.yml"); do
		wait_ready "$lib_name" "$address"
	done
}

# start_proxy NAME [OPTION ...] <CONFIG: the program under test.
start_proxy() {
	lib_name=$1
	shift
	start_program "$lib_name" "$NUTCRACKER" "$@"
}

# The listen addresses of a configuration (of a unix socket, only the path).
listens() {
	sed -n 's/^ *listen: *\([^ ]*\).*/\1/p' "$1"
}

# adopt PID: a program that put itself into the background ends with the test too.
adopt() {
	lib_strangers="$lib_strangers $1"
}

# lib_forget NAME: it is no longer running.
lib_forget() {
	eval "lib_pid=\$${1}_pid ${1}_pid="
	lib_left=
	for pid in $lib_children; do
		[ "$pid" = "$lib_pid" ] || lib_left="$lib_left $pid"
	done
	lib_children=$lib_left
}

# stop NAME [SIGNAL]: ends it and waits; the status is in $status.
stop() {
	eval "lib_pid=\$${1}_pid"
	kill "-${2:-TERM}" "$lib_pid"
	wait_end "$1"
}

# wait_end NAME: waits until it ended by itself; its status is in $status.
wait_end() {
	eval "lib_pid=\$${1}_pid"
	"$tool" killer "$timeout_ms" "$lib_pid" &
	lib_killer=$!
	wait "$lib_pid" 2>/dev/null
	status=$?
	kill -KILL "$lib_killer" 2>/dev/null
	wait "$lib_killer" 2>/dev/null
	lib_forget "$1"
	lib_verdict "$1" "$status"
}

# signal NAME SIGNAL
signal() {
	eval "lib_pid=\$${1}_pid"
	kill "-$2" "$lib_pid"
}

# find_original: sets $original to twemproxy's own program, empty if there is none.
find_original() {
	original=${ORIGINAL-}
	[ -n "${ORIGINAL+set}" ] && return
	for dir in $(echo "$PATH:/usr/sbin:/usr/local/sbin" | tr : ' '); do
		[ -x "$dir/nutcracker" ] || continue
		cmp -s "$dir/nutcracker" "$NUTCRACKER" && continue
		"$dir/nutcracker" -h 2>&1 | grep -q -e --route && continue
		"$dir/nutcracker" -V 2>&1 | grep -q 'nutcracker-0\.' || continue
		original=$dir/nutcracker
		return
	done
}

# ---- talking -----------------------------------------------------------

# chat ADDRESS STEP ...: see tool.c.
chat() {
	"$tool" chat "$@"
}

# redis ADDRESS WORD ...: prints the reply, one element a line.
redis() {
	"$tool" redis "$@"
}

# memcache ADDRESS LINE [DATA]
memcache() {
	"$tool" memcache "$@"
}

# expect ADDRESS SEND REPLY: exactly this comes back, and the connection stays open.
expect() {
	"$tool" chat "$1" send "$2" expect "$3" quiet 20
}

# http ADDRESS PATH [METHOD]: the whole answer. It is asked at once, for whoever is
# silent at first is given the JSON.
http() {
	printf '%s %s HTTP/1.1\r\nHost: x\r\n\r\n' "${3:-GET}" "$2" >"$TMP/.asked"
	"$tool" nc "$1" <"$TMP/.asked"
}

# stat NAME [PATH ...]: a value from the statistics of the proxy NAME, or all.
stat() {
	eval "lib_address=\$${1}_stats"
	shift
	"$tool" nc "$lib_address" </dev/null | "$tool" json "$@"
}

# stat_is WANTED NAME PATH ...: a condition for wait_until.
stat_is() {
	lib_wanted=$1
	shift
	[ "$(stat "$@")" = "$lib_wanted" ]
}

# memory NAME: kilobytes of memory the program has in use; nothing if this
# system does not tell.
memory() {
	eval "lib_pid=\$${1}_pid"
	if [ -r "/proc/$lib_pid/status" ]; then
		sed -n 's/^VmRSS:[^0-9]*\([0-9]*\).*/\1/p' "/proc/$lib_pid/status"
	else
		ps -o rss= -p "$lib_pid" 2>/dev/null | tr -d ' '
	fi
}

# Whether the program under test was built with a sanitizer, or is emulated,
# which needs memory and time of its own.
sanitized() {
	[ -n "${EMULATED:-}" ] ||
		grep -q -e __asan_init -e __tsan_init -e __ubsan_handle "$NUTCRACKER"
}

# bytes BYTES [N]: prints them, with C escapes, N times.
bytes() {
	"$tool" print "$@"
}
