<?php
// SPDX-License-Identifier: Apache-2.0
// phpredis through the proxy. usage: redis.php PORT RESTART
[, $port, $restart] = $argv;

function key_of($name) { return "php:$name"; }

function check($got, $want) {
	if ($got === $want)
		return;
	$line = debug_backtrace()[0]['line'];
	fwrite(STDERR, "line $line: wanted " . substr(var_export($want, true), 0, 200) .
		', got ' . substr(var_export($got, true), 0, 200) . "\n");
	exit(1);
}

function fails($r, $words, ...$command) {
	$r->clearLastError();
	try {
		check($r->rawCommand(...$command), false);
		$said = $r->getLastError();
	} catch (RedisException $e) {
		$said = $e->getMessage();
	}
	check(strpos((string)$said, $words) !== false, true);
}

$r = new Redis();
$r->connect('127.0.0.1', (int)$port);
check((bool)$r->ping(), true);
$names = array_map('key_of', range(0, 99));
check($r->set($names[0], 'a'), true);
check($r->get($names[0]), 'a');
check($r->get(key_of('missing')), false);
check($r->mset(array_combine($names, $names)), true);
check($r->mget($names), $names);
check($r->exists($names), 100);
check($r->del($names), 100);

$pipe = $r->pipeline();
$want = [];
for ($i = 0; $i < 500; $i++) {
	$pipe->set(key_of($i), $i)->get(key_of($i));
	array_push($want, true, (string)$i);
}
check($pipe->exec(), $want);

$large = str_repeat('0123456789abcdef', 65536);
check($r->set(key_of('large'), $large), true);
check($r->get(key_of('large')) === $large, true);

check($r->hMSet(key_of('h'), ['f' => 'v', 'g' => 'w']), true);
check($r->hGetAll(key_of('h')), ['f' => 'v', 'g' => 'w']);
check($r->rPush(key_of('l'), 1, 2, 3), 3);
check($r->lRange(key_of('l'), 0, -1), ['1', '2', '3']);
check($r->sAdd(key_of('s'), 1, 2), 2);
check(count($r->sMembers(key_of('s'))), 2);
check($r->zAdd(key_of('z'), 1, 'a', 2.5, 'b'), 2);
check($r->zRange(key_of('z'), 0, -1, true), ['a' => 1.0, 'b' => 2.5]);
check($r->xAdd(key_of('x'), '1-1', ['f' => 'v']), '1-1');
check($r->xRange(key_of('x'), '-', '+'), ['1-1' => ['f' => 'v']]);
check($r->geoAdd(key_of('g'), 13.361389, 38.115556, 'Palermo'), 1);
check($r->geoRadius(key_of('g'), 13, 38, 100, 'km'), ['Palermo']);
check($r->pfAdd(key_of('p'), ['a', 'b', 'c']), 1);
check($r->pfCount(key_of('p')), 3);
check($r->expire(key_of('h'), 100), true);
check($r->ttl(key_of('h')) > 0, true);

$found = [];
$cursor = null;
$r->setOption(Redis::OPT_SCAN, Redis::SCAN_RETRY);
while (($keys = $r->scan($cursor, key_of('*'), 100)) !== false)
	$found = array_merge($found, $keys);
check(count($found), 508);
check(count(array_unique($found)), 508);

$sha = $r->script('load', 'return {KEYS[1], ARGV[1]}');
for ($i = 0; $i < 20; $i++)
	check($r->evalSha($sha, [key_of($i), 'x'], 1), [key_of($i), 'x']);

fails($r, 'wrong kind of value', 'LPUSH', key_of('h'), 1);
fails($r, 'unknown command', 'NOSUCH', 'x');
fails($r, 'wrong number of arguments', 'GET');
fails($r, 'WATCH', 'WATCH', key_of(1));
check($r->get(key_of(1)), '1');

touch("$restart.wanted");
while (clearstatcache() || !file_exists("$restart.done"))
	usleep(20000);
for ($until = time() + 10; ;) {
	try {
		check($r->get(key_of(1)), '1');
		break;
	} catch (RedisException $e) {
		if (time() > $until)
			throw $e;
		usleep(20000);
	}
}
$r->close();
