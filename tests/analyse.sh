#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# The program under cppcheck, clang-tidy and gcc -fanalyzer, those that are there.
# Any finding fails: it is fixed, or explained where it is.
#
# usage: analyse.sh [FILE ...]     the program's sources by default; cppcheck sees
#                               the programs of the tests too

cd "$(dirname "$0")/.." || exit 2
[ $# -gt 0 ] || set -- *.c
flags='-std=c11 -D_DEFAULT_SOURCE -I.'
failed=0 done=

# finding TOOL COMMAND ...: fails if it says something, or cannot run.
finding() {
	name=$1
	shift
	type "$1" >/dev/null 2>&1 || { echo "skip   $name: $1 is missing"; return; }
	done=yes
	word=ok
	said=$("$@" 2>&1) && [ -z "$said" ] || { word='not ok' failed=1; }
	printf '%-6s %s\n' "$word" "$name"
	[ "$word" = ok ] || printf '%s\n' "$said"
}

# Not wanted: where to declare a variable, that `continue` may be left out of a
# loop without a body, and shadows, of which every build warns that matter.
finding cppcheck cppcheck -q --std=c11 -D_DEFAULT_SOURCE --inline-suppr \
	--enable=warning,style,performance,portability --error-exitcode=1 \
	--suppress=variableScope --suppress=redundantContinue \
	--suppress=shadowFunction --suppress=shadowVariable "$@" tests/*.c
# It counts on standard error what it left out.
tidy() {
	clang-tidy --quiet "$1" -- $flags 2>/dev/null
}
for file; do
	finding "gcc -fanalyzer $file" ${GCC:-gcc} $flags -O2 -fanalyzer -c -o /dev/null "$file"
	command -v clang-tidy >/dev/null || { echo 'skip   clang-tidy is missing'; continue; }
	finding "clang-tidy $file" tidy "$file"
done
[ -n "$done" ] || exit 77
exit $failed
