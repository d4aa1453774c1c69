#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Finds a real redis (or valkey) and memcached for the tests and the demo, and
# fetches them if they are missing and it can. Never starts a system service.
#
# usage: setup.sh     writes what it found to $BUILD/servers.sh
#
# FETCH=no only looks. Without servers the tests use fake_server instead, and
# those that need a real one are skipped.

LC_ALL=C
export LC_ALL
here=$(cd "$(dirname "$0")" && pwd) || exit 2
BUILD=${BUILD:-${here%/tests}/build}
mkdir -p "$BUILD" || exit 2
BUILD=$(cd "$BUILD" && pwd) || exit 2
own=$BUILD/servers

# find_one NAME ...: prints the path of the first of these programs.
find_one() {
	for name; do
		for dir in "$own/bin" $(echo "$PATH" | tr : ' ') /usr/local/bin /usr/local/sbin \
			/opt/homebrew/bin /usr/pkg/bin; do
			[ -x "$dir/$name" ] || continue
			echo "$dir/$name"
			return
		done
	done
}

look() {
	REDIS_SERVER=${REDIS_SERVER:-$(find_one redis-server valkey-server)}
	REDIS_CLI=${REDIS_CLI:-$(find_one redis-cli valkey-cli)}
	MEMCACHED=${MEMCACHED:-$(find_one memcached)}
}

missing() {
	[ -n "$REDIS_SERVER" ] || printf ' redis'
	[ -n "$MEMCACHED" ] || printf ' memcached'
}

have() {
	command -v "$1" >/dev/null 2>&1
}

say() {
	echo "setup: $*"
}

# Unpacked Debian packages: nothing is installed, no script of theirs is run.
# The programs are started through a wrapper that knows where their libraries are.
unpack_debian() {
	wanted=$(missing | sed 's/redis/redis-server redis-tools/')
	say "downloads and unpacks$wanted and what they need into $own, installs nothing"
	mkdir -p "$own/packages" "$own/bin" && cd "$own/packages" || return 1
	apt-get -s --no-install-recommends install $wanted >plan 2>/dev/null || {
		[ "$(id -u)" = 0 ] || return 1
		apt-get -q update >/dev/null
		apt-get -s --no-install-recommends install $wanted >plan || return 1
	}
	apt-get -q -o APT::Sandbox::User="$(id -un)" download \
		$(sed -n 's/^Inst \([^ ]*\) .*/\1/p' plan) >/dev/null || return 1
	for package in *.deb; do
		dpkg -x "$package" "$own" || return 1
	done
	libraries=$(find "$own" -name '*.so*' | sed 's,/[^/]*$,,' | sort -u | tr '\n' ':')
	for name in redis-server redis-cli redis-benchmark memcached; do
		[ -x "$own/usr/bin/$name" ] || continue
		cat >"$own/bin/$name" <<-END
			#!/bin/sh
			LD_LIBRARY_PATH=$libraries\${LD_LIBRARY_PATH:-}
			export LD_LIBRARY_PATH
			exec $own/usr/bin/$name "\$@"
		END
		chmod +x "$own/bin/$name"
	done
	cd "$here"
}

# The command that installs them here, where installing starts no service.
install_command() {
	wanted=$(missing)
	if have apk; then
		echo "apk add$wanted"
	elif have dnf; then
		echo "dnf install -y$wanted"
	elif have pacman; then
		echo "pacman -S --noconfirm$wanted"
	elif have zypper; then
		echo "zypper --non-interactive install$wanted"
	elif have pkg_add; then
		echo "pkg_add -I$wanted"
	elif have pkgin; then
		echo "pkgin -y install$wanted"
	elif have brew; then
		echo "brew install$wanted"
	elif have pkg; then
		echo "pkg install -y$wanted"
	elif have apt-get; then
		echo "apt-get install -y --no-install-recommends$(missing | sed 's/redis/redis-server/')"
	fi
}

# Installs them if that starts nothing and we may; else says how to.
fetch() {
	have apt-get && have dpkg && unpack_debian && return
	command=$(install_command)
	if [ -z "$command" ]; then
		say "missing:$(missing); install them with what your system has for that"
	elif have brew || { [ "$(id -u)" = 0 ] && ! have apt-get; }; then
		say "runs: $command"
		$command || say "that failed"
	else
		say "missing:$(missing); as root, this installs them: $command"
	fi
}

# setting NAME VALUE: a line that leaves alone what the environment says.
setting() {
	printf ': "${%s=%s}"\n' "$1" "$2"
}

look
if [ -n "$(missing)" ] && [ "${FETCH:-yes}" != no ]; then
	fetch
	look
fi
{
	setting REDIS_SERVER "$REDIS_SERVER"
	setting REDIS_CLI "$REDIS_CLI"
	setting MEMCACHED "$MEMCACHED"
} >"$BUILD/servers.sh"
if [ -n "$(missing)" ]; then
	say "goes on without$(missing): a scripted stand-in takes their place"
else
	say "uses $REDIS_SERVER and $MEMCACHED"
fi
