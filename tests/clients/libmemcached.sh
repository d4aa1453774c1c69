#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# The programs of libmemcached through the proxy. usage: libmemcached.sh PORT RESTART
set -u
at=--servers=127.0.0.1:$1
restart=$2
mkdir -p "$restart.files"
cd "$restart.files" || exit 1

# Some call them memcWORD, some memWORD.
run() {
	word=$1
	shift
	"$(command -v "memc$word" || command -v "mem$word")" "$at" "$@"
}

fail() {
	echo "$*" >&2
	exit 1
}

run ping || fail ping
awk 'BEGIN { for (i = 0; i < 50000; i++) printf "0123456789abcdef" }' >large
for i in 1 2 3 4 5 6 7 8 9; do
	echo "file $i" >"small$i"
done
run cp large small? || fail cp
run cat large | tr -d '\n' | cmp - large || fail cat
for i in 1 2 3 4 5 6 7 8 9; do
	[ "$(run cat "small$i")" = "file $i" ] || fail "cat small$i"
	run exist "small$i" || fail "exist small$i"
done
run touch --expire=100 small1 || fail touch
run rm small2 || fail rm
run exist small2 && fail 'small2 is still there'
run stat | grep -q 'version\|pid' || fail stat

: >"$restart.wanted"
until [ -e "$restart.done" ]; do
	sleep 0.1
done
[ "$(run cat small3)" = 'file 3' ] || fail 'cat after the restart'
