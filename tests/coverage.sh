#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Which lines and branches of the program the tests reach, by gcov of gcc.
#
# usage: coverage.sh [TEST ...]     all tests, but for those that count what the
#                                   program costs; prints those that failed, which
#                                   may be for want of speed or of a place to count
#                                   in, and a table; the annotated sources are in
#                                   $BUILD/coverage
#
# The program and the units are built apart, in $BUILD/coverage. GCOV is gcov.

LC_ALL=C
export LC_ALL
here=$(cd "$(dirname "$0")" && pwd) || exit 2
root=${here%/tests}
BUILD=${BUILD:-$root/build}
CC=${CC:-gcc}
GCOV=${GCOV:-gcov}
command -v "$GCOV" >/dev/null || {
	echo "coverage: $GCOV is missing"
	exit 2
}
rm -rf "$BUILD/coverage" && mkdir -p "$BUILD/coverage" || exit 2
cd "$BUILD/coverage" || exit 2
cp "$root"/*.[ch] "$root"/*.md "$root"/Makefile "$root"/nutcracker.8 "$root"/LICENSE .
cp -R "$root/tests" "$root/conf" "$root/contrib" .
[ ! -d "$root/.ci" ] || cp -R "$root/.ci" .

# What ends by _exit would not tell; with this it does.
cat >../at_exit.h <<'END'
#include <unistd.h>
void __gcov_dump(void);
static inline _Noreturn void tell_and_exit(int status)
{
	__gcov_dump();
	_exit(status);
}
#define _exit tell_and_exit
END

[ $# != 0 ] || set -- $(for file in tests/*.test; do
	basename "$file" .test
done | grep -v -x -e instructions -e memory -e bench -e static) \
	unit_hash unit_ketama unit_yaml unit_conf unit_command unit_parse unit_loop
# Built first, for what the tests make themselves is made without all this; and
# not as the make around this one was told.
unset MAKEFLAGS MFLAGS MAKELEVEL NUTCRACKER
BUILD=build make check CC="$CC" CFLAGS='-O0 -g --coverage' \
	CPPFLAGS="-include $PWD/../at_exit.h" TESTS=unit_hash >made 2>&1 || {
	tail -n 30 made
	exit 1
}
# It is slower by far: one that has too little time is no news here.
BUILD=build LIMIT=600 READERS=${READERS:-16} sh tests/run.sh "$@" >ran
grep -e '^FAIL' -e '^    not ok' ran
tail -n 1 ran

# figures [MORE] FILE ...: a line for each source: its name, lines, how many are
# reached, branches, how many are taken.
figures() {
	more=
	case $1 in
	*.gcda) ;;
	*) more=$1 && shift ;;
	esac
	"$GCOV" -b "$@" 2>/dev/null | awk -v more="$more" '
		function part(text) { sub(/.*:/, "", text); sub(/%.*/, "", text); return text }
		/^File / { file = $2; gsub(/\047/, "", file); next }
		file !~ /^[a-z_0-9]*\.[ch]$/ { next }
		/^Lines executed/ { lines = part($0); count = $NF }
		/^No branches/ { print file more, count, lines, 0, 0; file = "" }
		/^Taken at least once/ { print file more, count, lines, $NF, part($0); file = "" }
	'
}
{
	figures ./*.gcda
	figures ,poll build/nutcracker-poll-loop.gcda
} | sort | awk '
	BEGIN { printf "%-14s %7s %8s %9s %8s\n", "file", "lines", "reached", "branches", "taken" }
	{
		printf "%-14s %7d %7.1f%% %9d %7.1f%%\n", $1, $2, $3, $4, $5
		lines += $2; reached += $2 * $3; branches += $4; taken += $4 * $5
	}
	END {
		if (!lines) exit 1
		printf "%-14s %7d %7.1f%% %9d %7.1f%%\n", "all", lines, reached / lines,
			branches, branches ? taken / branches : 0
	}'
