#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Runs the named tests, or all of them, and says how many passed.
#
# usage: run.sh [TEST ...]     a .test file, a program, or the name of one
#
# JOBS at a time (2); those with a line "# alone", which hold the program to so
# many milliseconds, one after the other when the rest is done. Each for LIMIT
# seconds at most (120, or what a line "# limit: N" in the test says), with the
# shell TEST_SHELL (sh). A test may
# report cases, one a line: "ok NAME", "not ok NAME", "skip NAME"; one that
# reports none counts as one by its status: 0 passed, 77 skipped.
# VERBOSE=1 shows the output of all tests.

here=$(cd "$(dirname "$0")" && pwd) || exit 2
BUILD=${BUILD:-${here%/tests}/build}
JOBS=${JOBS:-2}
LIMIT=${LIMIT:-120}
TEST_SHELL=${TEST_SHELL:-sh}
export BUILD TEST_SHELL
tool=$BUILD/tool

[ -x "$tool" ] || {
	echo "run.sh: $tool is missing: run make check, or set BUILD" >&2
	exit 2
}
case $BUILD in
/*) ;;
*) BUILD=$(cd "$BUILD" && pwd) && tool=$BUILD/tool ;;
esac
case ${NUTCRACKER:-/} in
/*) ;;
*) NUTCRACKER=$(cd "$(dirname "$NUTCRACKER")" && pwd)/$(basename "$NUTCRACKER")
	export NUTCRACKER ;;
esac

# Prints the file of a test by its name.
locate() {
	for file in "$1" "$here/$1" "$here/$1.test" "$BUILD/$1"; do
		[ -f "$file" ] || continue
		case $file in
		*/*) echo "$file" ;;
		*) echo "./$file" ;;
		esac
		return
	done
	echo "run.sh: there is no test $1" >&2
	return 1
}

out=$(mktemp -d "${TMPDIR:-/tmp}/nutcracker.XXXXXX") || exit 2
trap 'rm -rf "$out"' 0
# The tests under way see the same signal and clean up; wait for them.
trap ': >"$out/stop"; wait; exit 130' 1 2 15

if [ $# -eq 0 ]; then
	for file in "$BUILD"/unit_* "$here"/*.test; do
		case $file in
		*.o | *.d | *.c | *'*'*) ;;
		*) [ -f "$file" ] && echo "$file" ;;
		esac
	done
else
	for name; do
		locate "$name" || exit 2
	done
fi >"$out/list" || exit 2

# Runs one test in its own process group, so that nothing survives its limit.
run_one() {
	case $1 in
	*.test)
		limit=$(sed -n 's/^# limit: \([0-9]*\)$/\1/p' "$1")
		"$tool" limit "${limit:-$LIMIT}" $TEST_SHELL "$1" ;;
	*)
		"$tool" limit "$LIMIT" "$1" "$here/vectors" ;;
	esac
}

count() {
	grep -c "^$1 " "$2"
}

# judge NAME STATUS MS FILE: one line about the test, its numbers into FILE.sum.
judge() {
	passed=$(count ok "$4")
	failed=$(count 'not ok' "$4")
	skipped=$(count skip "$4")
	if [ "$2" = 77 ]; then
		[ "$skipped" != 0 ] || skipped=1
	elif [ "$2" != 0 ]; then
		[ "$failed" != 0 ] || failed=1
	elif [ $((passed + failed + skipped)) = 0 ]; then
		passed=1
	fi
	echo "$passed $failed $skipped" >"$4.sum"
	word=ok
	[ "$passed" != 0 ] || word=skip
	[ "$failed" = 0 ] || word=FAIL
	why=
	[ "$2" != 124 ] || why=' time is over'
	[ "$word" != skip ] || why=" $(sed -n 's/^skip //p' "$4" | head -n 1)"
	{
		printf '%-4s %-24s %4d.%d s %5d cases%s\n' "$word" "$1" $(($3 / 1000)) \
			$(($3 % 1000 / 100)) $((passed + failed + skipped)) "$why"
		[ "$word" != FAIL ] && [ -z "${VERBOSE:-}" ] || sed 's/^/    /' "$4"
	} >"$4.line"
	cat "$4.line"
}

# Takes the next test of a list that nobody has taken, until none is left.
worker() {
	n=0
	while read -r file; do
		n=$((n + 1))
		mkdir "$out/$1$n" 2>/dev/null || continue
		name=${file##*/}
		started=$("$tool" ms)
		run_one "$file" >"$out/$1$n/output" 2>&1 </dev/null
		status=$?
		[ ! -f "$out/stop" ] || return
		judge "${name%.test}" $status $(($("$tool" ms) - started)) "$out/$1$n/output"
	done <"$out/$1"
}

while read -r file; do
	if grep -q '^# alone$' "$file" 2>/dev/null; then
		echo "$file" >>"$out/alone"
	else
		echo "$file" >>"$out/together"
	fi
done <"$out/list"
: >>"$out/alone"
: >>"$out/together"

job=0
workers=
while [ $job -lt "$JOBS" ]; do
	worker together &
	workers="$workers $!"
	job=$((job + 1))
done
wait $workers
[ -f "$out/stop" ] || worker alone

passed=0 failed=0 skipped=0
for sum in "$out"/*/output.sum; do
	[ -f "$sum" ] || continue
	read -r p f s <"$sum"
	passed=$((passed + p)) failed=$((failed + f)) skipped=$((skipped + s))
done
echo "$passed passed, $failed failed, $skipped skipped"
[ "$failed" = 0 ]
