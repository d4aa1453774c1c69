#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Puts the npm clients of package.json, of exactly these versions, into
# $BUILD/npm. Does nothing if they are there, or if FETCH=no.

here=$(cd "$(dirname "$0")" && pwd) || exit 2
BUILD=${BUILD:-$here/../../build}
npm=$BUILD/npm

cmp -s "$here/package.json" "$npm/package.json" && [ -f "$npm/ready" ] && exit
[ "${FETCH:-yes}" != no ] && command -v npm >/dev/null || exit 0
rm -rf "$npm"
mkdir -p "$npm" && cp "$here/package.json" "$npm/" && cd "$npm" || exit 1
npm install --no-audit --no-fund --ignore-scripts --loglevel=error \
	--fetch-retries=1 --fetch-timeout=20000 >install.log 2>&1 && : >ready
