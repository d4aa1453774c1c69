<?php
// SPDX-License-Identifier: Apache-2.0
// PHP's Memcached, which is libmemcached, through the proxy.
// usage: memcached.php PORT RESTART
[, $port, $restart] = $argv;

function check($got, $want) {
	if ($got === $want)
		return;
	$line = debug_backtrace()[0]['line'];
	fwrite(STDERR, "line $line: wanted " . substr(var_export($want, true), 0, 200) .
		', got ' . substr(var_export($got, true), 0, 200) . "\n");
	exit(1);
}

$c = new Memcached();
$c->addServer('127.0.0.1', (int)$port);
$c->setOption(Memcached::OPT_PREFIX_KEY, 'php:');
check(strncmp(array_values($c->getVersion())[0], '1.', 2), 0);
$values = [];
for ($i = 0; $i < 500; $i++)
	$values["k$i"] = "v$i";
check($c->setMulti($values), true);
check($c->getMulti(array_keys($values)), $values);
check($c->set('a', '1'), true);
check($c->get('a'), '1');
check($c->get('missing'), false);
check($c->getResultCode(), Memcached::RES_NOTFOUND);
check($c->add('a', '2'), false);
check($c->replace('a', 5), true);
check($c->increment('a', 3), 8);
check($c->decrement('a'), 7);
check($c->touch('a', 100), true);
$c->setOption(Memcached::OPT_COMPRESSION, false);
check($c->set('t', 'b'), true);
check($c->append('t', 'c'), true);
check($c->prepend('t', 'a'), true);
check($c->get('t'), 'abc');
$got = $c->get('t', null, Memcached::GET_EXTENDED);
check($c->cas($got['cas'], 't', 'new'), true);
check($c->cas($got['cas'], 't', 'newer'), false);
$large = str_repeat('0123456789abcdef', 50000);
check($c->set('large', $large), true);
check($c->get('large') === $large, true);
check($c->delete('t'), true);
check($c->get('t'), false);
$c->setOption(Memcached::OPT_NOREPLY, true);
for ($i = 0; $i < 200; $i++)
	$c->set("quiet", $i);
$c->setOption(Memcached::OPT_NOREPLY, false);
check($c->get('k1'), 'v1');
$c->setOption(Memcached::OPT_BUFFER_WRITES, true);
for ($i = 0; $i < 200; $i++)
	$c->set("buffered$i", $i);
$c->flushBuffers();
check($c->get('buffered199'), 199);
$c->setOption(Memcached::OPT_BUFFER_WRITES, false);
check(is_array($c->getStats()), true);

touch("$restart.wanted");
while (clearstatcache() || !file_exists("$restart.done"))
	usleep(20000);
for ($until = time() + 10; $c->get('k2') !== 'v2'; usleep(20000))
	check(time() > $until, false);
