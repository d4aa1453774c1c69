#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Fetches the client libraries that the system's own packages do not have, to
# $BUILD, installing nothing: those of package.json from npm, of exactly these
# versions, and a redis-py that speaks RESP3. Does nothing for what is there, or
# if FETCH=no.

here=$(cd "$(dirname "$0")" && pwd) || exit 2
BUILD=${BUILD:-$here/../../build}
npm=$BUILD/npm
python=$BUILD/python

[ "${FETCH:-yes}" != no ] || exit 0

fetch_npm() {
	cmp -s "$here/package.json" "$npm/package.json" && [ -f "$npm/ready" ] && return
	rm -rf "$npm"
	mkdir -p "$npm" && cp "$here/package.json" "$npm/" && (
		cd "$npm" && npm install --no-audit --no-fund --ignore-scripts \
			--loglevel=error --fetch-retries=1 --fetch-timeout=20000 \
			>install.log 2>&1 && : >ready
	)
}

# Debian 12 has redis-py 4, which knows only RESP2: the package of Debian 13 is
# plain Python, and is unpacked beside it.
fetch_python() {
	keys=/usr/share/keyrings/debian-archive-keyring.gpg
	[ ! -e "$python/tried" ] && [ -e $keys ] && command -v dpkg >/dev/null || return
	mkdir -p "$python/lists/partial" "$python/cache/archives/partial" || return
	: >"$python/tried"
	echo "deb [signed-by=$keys] http://deb.debian.org/debian trixie main" \
		>"$python/sources.list"
	(
		cd "$python" || exit
		set -- -qq -o Dir::Etc::sourcelist="$PWD/sources.list" \
			-o Dir::Etc::sourceparts=/dev/null -o Dir::State::lists="$PWD/lists" \
			-o Dir::Cache="$PWD/cache" -o Acquire::Retries=1
		apt-get "$@" update && apt-get "$@" -t trixie download python3-redis \
			python3-async-timeout && for deb in ./*.deb; do dpkg -x "$deb" .; done
		rm -rf lists cache
	) >"$python/install.log" 2>&1
}

command -v npm >/dev/null && fetch_npm
command -v apt-get >/dev/null && fetch_python
exit 0
