#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Builds and runs the fuzzers. `make fuzz` and tests/fuzz.test come here.
#
# usage: fuzz.sh build DIR                 the fuzzers, as DIR/fuzz_NAME
#        fuzz.sh replay DIR NAME           its corpus once
#        fuzz.sh run DIR SECONDS NAME ...  each for so long, with libFuzzer; what
#                                          is new goes to DIR/new/NAME, what
#                                          fails to DIR/found/NAME
#        fuzz.sh merge DIR NAME ...        of DIR/new/NAME into the corpus what
#                                          reaches more than the corpus does
#
# `build` takes the compiler with its flags from COMPILE, what makes it note the
# way through the program from COVER, what links a driver from DRIVER (else the
# fuzzers only replay files), libraries from LDLIBS. For AFL++:
#
#	COMPILE='afl-clang-fast -std=c11 -D_DEFAULT_SOURCE -O2' \
#		DRIVER=-fsanitize=fuzzer sh tests/fuzz.sh build build/fuzz-afl
#	afl-fuzz -i tests/corpus/redis_reply -o found build/fuzz-afl/fuzz_redis_reply

here=$(cd "$(dirname "$0")" && pwd) || exit 2
cd "$here/.." || exit 2
corpus=tests/corpus
names='redis_request redis_reply memcached_request memcached_reply yaml conf
	stats request proxy'

# Those of the program without proxy.c and loop.c, which fuzz_world.h includes.
parts='pool client request reply split local server resolve workers conn stats
	command parse'
# What a run of the whole only passes through at its start is not worth notes.
leaves='conf yaml_min hash ketama util'

# links NAME: the sources and objects that the fuzzer is made of.
links() {
	case $1 in
	redis_* | memcached_*) echo "$dir/parse.o $dir/command.o" ;;
	yaml) echo "yaml_min.c $dir/util.o" ;;
	conf) echo "yaml_min.c $dir/hash.o $dir/util.o" ;;
	*) for part in $parts $leaves; do echo "$dir/$part.o"; done ;;
	esac
}

build() {
	mkdir -p "$dir" || return
	for part in $leaves; do
		$COMPILE -c -o "$dir/$part.o" $part.c || return
	done
	for part in $parts; do
		$COMPILE ${COVER:-} -c -o "$dir/$part.o" $part.c || return
	done
	for name in $names; do
		$COMPILE ${COVER:-} ${DRIVER:-tests/fuzz_main.c} -I. \
			-o "$dir/fuzz_$name" "tests/fuzz_$name.c" $(links $name) \
			${LDLIBS:-} || return
	done
	: >"$dir/built"
}

# Words of the language, for libFuzzer to put into what it tries.
words() {
	case $1 in
	redis_*) set -- redis ;;
	memcached_*) set -- memcached ;;
	request) set -- redis memcached ;;
	proxy) set -- redis memcached proxy ;;
	esac
	for language; do
		[ ! -f "$corpus/$language.words" ] || cat "$corpus/$language.words"
	done
}

run() {
	seconds=$1
	shift
	failed=0
	for name in ${*:-$names}; do
		mkdir -p "$dir/new/$name" "$dir/found/$name"
		words "$name" >"$dir/$name.words"
		dict=
		[ ! -s "$dir/$name.words" ] || dict=-dict=$dir/$name.words
		echo "fuzz_$name: $seconds seconds"
		# A small quarantine: the program gives its memory back at each turn.
		ASAN_OPTIONS=quarantine_size_mb=16:${ASAN_OPTIONS:-} \
			"$dir/fuzz_$name" -max_total_time="$seconds" -timeout=30 \
			-max_len=2048 ${dict:+"$dict"} -artifact_prefix="$dir/found/$name/" \
			-print_final_stats=1 "$dir/new/$name" "$corpus/$name" \
			>"$dir/$name.log" 2>&1 || {
			echo "fuzz_$name: found something: $dir/$name.log"
			failed=1
		}
		grep -a -e 'DONE' -e number_of_executed "$dir/$name.log"
	done
	return $failed
}

merge() {
	for name; do
		"$dir/fuzz_$name" -merge=1 "$corpus/$name" "$dir/new/$name" 2>&1 |
			tail -n 1
	done
}

what=${1:-}
dir=${2:?usage: fuzz.sh build|replay|run|merge DIR ...}
shift 2
case $what in
build) build ;;
replay) "$dir/fuzz_$1" "$corpus/$1"/* ;;
run) run "$@" ;;
merge) merge "$@" ;;
*) sed -n 's/^# usage: /usage: /p' "$0" >&2; exit 2 ;;
esac
