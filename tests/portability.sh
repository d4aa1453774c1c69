#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Builds the program for other compilers, libcs, machines and signs of char, each
# in a folder of its own, runs the tests with each, and prints what they said as
# the table of README.md.
#
# usage: portability.sh [VARIANT ...]     all by default; a row of the list below
#
# TESTS='owner framing' runs only those besides the unit tests.
# A variant without its compiler or emulator is skipped. What was printed in full
# is in $BUILD/portability. Where a machine is emulated, the servers and tools of
# the tests are this machine's, and cases that measure time or memory are skipped.

here=$(cd "$(dirname "$0")" && pwd) || exit 2
root=${here%/tests}
BUILD=${BUILD:-$root/build}
out=$BUILD/portability
static='-static -no-pie'
LC_ALL=C
export LC_ALL

# Left out: what builds or takes a program of its own, is about the tests, measures
# the machine or holds it to milliseconds, or is about other people's clients.
left_out=' papers tools contrib bench latency instructions poll static memory clients soak fuzz faults
	chaos readers stalled '

# name | what it is | compiler | make's variables | emulator
variants() {
	cat <<-END
		gcc|gcc, glibc, epoll|gcc||
		clang|clang, glibc, epoll|clang||
		unsigned|gcc -funsigned-char|gcc|CFLAGS=-O2 -g -funsigned-char|
		poll|gcc, glibc, poll|gcc|CPPFLAGS=-DLOOP_POLL|
		musl|gcc, musl, static|musl-gcc|static|
		musl-poll|gcc, musl, static, poll|musl-gcc|static CPPFLAGS=-DLOOP_POLL|
		i386|32 bits: i386, static, qemu|i686-linux-gnu-gcc|static|qemu-i386-static
		aarch64|aarch64, static, qemu|aarch64-linux-gnu-gcc|static|qemu-aarch64-static
		armv7|32 bits: armv7, static, qemu|arm-linux-gnueabihf-gcc|static|qemu-arm-static
		s390x|big-endian: s390x, static, qemu|s390x-linux-gnu-gcc|static|qemu-s390x-static
	END
}

# build NAME COMPILER VARIABLES: the program and its unit tests, in $dir.
build() {
	rm -rf "$dir"
	mkdir -p "$dir" || return
	cp -R "$root"/*.[ch] "$root/Makefile" "$root/conf" "$root/tests" "$dir" || return
	cd "$dir" || return
	units=$(ls tests/unit_*.c | sed 's,tests/,build/,; s/\.c$//')
	case $3 in
	static*)
		set -- "$1" "$2" "${3#static}"
		make CC="$2" ${3:+"${3# }"} static || return
		make CC="$2" HARDEN_LINK= LDFLAGS="$static" ${3:+"${3# }"} $units || return
		;;
	*)
		make CC="$2" ${3:+"$3"} nutcracker $units || return
		;;
	esac
}

# emulate EMULATOR: runs what was built with it, under the same names.
emulate() {
	for file in nutcracker build/unit_*; do
		[ -f "$file" ] && [ -x "$file" ] || continue
		mv "$file" "$file.machine" || return
		printf '#!/bin/sh\nexec %s "%s" "$@"\n' "$1" "$PWD/$file.machine" >"$file"
		chmod +x "$file" || return
	done
}

tests() {
	[ -z "${TESTS:-}" ] || {
		echo "$TESTS"
		return
	}
	for file in "$here"/*.test; do
		test=${file##*/}
		test=${test%.test}
		case " $(echo $left_out) " in
		*" $test "*) ;;
		*) echo "$test" ;;
		esac
	done
}

# row NAME TITLE COMPILER VARIABLES EMULATOR
row() {
	dir=$out/$1
	log=$out/$1.log
	for need in "$3" ${5:+"$5"}; do
		command -v "$need" >/dev/null && continue
		echo "| $2 | skipped: $need is missing | | |"
		return
	done
	if ! (build "$1" "$3" "$4") >"$log" 2>&1; then
		echo "| $2 | FAILED to build, see $log | | |"
		failed=1
		return
	fi
	warnings=$(grep 'warning:' "$log" | grep -c -v "'getaddrinfo' in statically linked")
	[ -z "$5" ] || (cd "$dir" && emulate "$5") || return
	units=$(cd "$dir" && ls build/unit_* | grep -v machine | sed "s,^,$dir/,")
	(cd "$dir" && sh tests/run.sh $units) >"$log.units" 2>&1 || failed=1
	(cd "$dir" && EMULATED=$5 NUTCRACKER=$dir/nutcracker sh tests/run.sh $(tests)) \
		>"$log.tests" 2>&1 || failed=1
	[ "$warnings" = 0 ] || failed=1
	echo "| $2 | $warnings | $(tail -n 1 "$log.units") | $(tail -n 1 "$log.tests") |"
}

mkdir -p "$out" || exit 2
failed=0
echo '| built with, for | warnings | unit tests: hashes, rings, parsers | tests of the program |'
echo '|---|---|---|---|'
wanted=" $* "
variants >"$out/list"
while IFS='|' read -r name title compiler variables emulator; do
	case $wanted in
	'  ' | *" $name "*) row "$name" "$title" "$compiler" "$variables" "$emulator" </dev/null ;;
	esac
done <"$out/list"
exit $failed
