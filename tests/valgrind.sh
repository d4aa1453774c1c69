#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# The tests of the program with valgrind watching it: bad reads and writes, what is
# not initialised, memory that nobody has any more. Whatever it says fails, even
# where the test passed.
#
# usage: valgrind.sh [TEST ...]     all but those below by default

here=$(cd "$(dirname "$0")" && pwd) || exit 2
root=${here%/tests}
BUILD=${BUILD:-$root/build}
NUTCRACKER=${NUTCRACKER:-$root/nutcracker}
export BUILD

command -v valgrind >/dev/null || {
	echo 'skip valgrind is missing'
	exit 77
}
# Left out: those that build or start a program of their own, that are about the
# tests or measure, and that compare with clients and servers at full speed.
left_out=' papers tools contrib bench latency instructions poll static memory clients'
left_out="$left_out twin stats_twin order soak fuzz faults stalled "
[ $# -gt 0 ] || for file in "$here"/*.test; do
	name=${file##*/}
	case $left_out in
	*" ${name%.test} "*) ;;
	*) set -- "$@" "${name%.test}" ;;
	esac
done

logs=$(mktemp -d "${TMPDIR:-/tmp}/nutcracker.XXXXXX") || exit 2
trap 'rm -rf "$logs"' 0
trap 'exit 130' 1 2 15
cat >"$logs/watched" <<-END
	#!/bin/sh
	exec valgrind -q --leak-check=full --show-leak-kinds=definite,indirect \\
		--track-fds=no --num-callers=20 --log-file="$logs/said.%p" \\
		"$NUTCRACKER" "\$@"
END
chmod +x "$logs/watched"

EMULATED=valgrind LIMIT=${LIMIT:-600} NUTCRACKER=$logs/watched sh "$here/run.sh" "$@"
status=$?
runs=0 bad=0
for said in "$logs"/said.*; do
	runs=$((runs + 1))
	[ -s "$said" ] || continue
	bad=$((bad + 1))
	cat "$said"
done
echo "valgrind watched $runs processes and had something to say of $bad"
[ $status = 0 ] && [ $bad = 0 ]
