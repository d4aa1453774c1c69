// SPDX-License-Identifier: Apache-2.0
// ioredis, or a library with its interface, through the proxy.
// usage: ioredis.js PORT RESTART MODULE
'use strict';
const assert = require('assert');
const fs = require('fs');
const [port, restart, module_name] = process.argv.slice(2);
const library = require(module_name);
const Redis = library.Redis || library.default || library;
const key = name => `${module_name}:${name}`;
const equal = assert.deepStrictEqual;
const sleep = ms => new Promise(go => setTimeout(go, ms));

async function fails(words, promise) {
	await assert.rejects(promise, error => String(error.message).includes(words));
}

async function tour(c) {
	equal(await c.ping(), 'PONG');
	const names = Array.from({ length: 100 }, (_, i) => key(i));
	equal(await c.set(names[0], 'a'), 'OK');
	equal(await c.get(names[0]), 'a');
	equal(await c.get(key('missing')), null);
	equal(await c.mset(Object.fromEntries(names.map(n => [n, n]))), 'OK');
	equal(await c.mget(...names, key('missing')), [...names, null]);
	equal(await c.exists(...names), 100);
	equal(await c.del(...names), 100);

	const pipe = c.pipeline();
	for (let i = 0; i < 500; i++)
		pipe.set(key(i), i).get(key(i));
	equal(await pipe.exec(), Array.from({ length: 1000 },
		(_, i) => [null, i % 2 ? String(i >> 1) : 'OK']));

	const large = '0123456789abcdef'.repeat(65536);
	equal(await c.set(key('large'), large), 'OK');
	assert(await c.get(key('large')) === large);

	equal(await c.hset(key('h'), { f: 'v', g: 'w' }), 2);
	equal({ ...await c.hgetall(key('h')) }, { f: 'v', g: 'w' });
	equal(await c.rpush(key('l'), 1, 2, 3), 3);
	equal(await c.lrange(key('l'), 0, -1), ['1', '2', '3']);
	equal(await c.sadd(key('s'), 1, 2), 2);
	equal([...await c.smembers(key('s'))].sort(), ['1', '2']);
	equal(await c.zadd(key('z'), 1, 'a', 2.5, 'b'), 2);
	equal(await c.zrange(key('z'), 0, -1), ['a', 'b']);
	equal(Number(await c.zscore(key('z'), 'b')), 2.5);
	equal(await c.xadd(key('x'), '1-1', 'f', 'v'), '1-1');
	equal(await c.xlen(key('x')), 1);
	equal(await c.geoadd(key('g'), 13.361389, 38.115556, 'Palermo'), 1);
	equal(await c.geosearch(key('g'), 'FROMLONLAT', 13, 38, 'BYRADIUS', 100, 'km'),
		['Palermo']);
	equal(await c.pfadd(key('p'), 'a', 'b', 'c'), 1);
	equal(await c.pfcount(key('p')), 3);
	equal(await c.expire(key('h'), 100), 1);
	assert(await c.ttl(key('h')) > 0);

	const found = [];
	for await (const part of c.scanStream({ match: key('*'), count: 100 }))
		found.push(...part);
	equal(found.sort(), [...Array.from({ length: 500 }, (_, i) => key(i)),
		...['large', 'h', 'l', 's', 'z', 'x', 'g', 'p'].map(key)].sort());

	const sha = await c.script('LOAD', 'return {KEYS[1], ARGV[1]}');
	for (let i = 0; i < 20; i++)
		equal(await c.evalsha(sha, 1, key(i), 'x'), [key(i), 'x']);
	c.defineCommand('mine', { numberOfKeys: 1, lua: 'return redis.call("get", KEYS[1])' });
	equal(await c.mine(key(7)), '7');

	await fails('wrong kind of value', c.lpush(key('h'), 1));
	await fails('unknown command', c.call('NOSUCH', 'x'));
	await fails('wrong number of arguments', c.call('GET'));
	await fails('WATCH', c.watch(key(1)));
	await fails('BLPOP', c.blpop(key('l'), 0));
	equal(await c.get(key(1)), '1');
	assert(await c.dbsize() >= 508);

	fs.writeFileSync(restart + '.wanted', '');
	while (!fs.existsSync(restart + '.done'))
		await sleep(20);
	for (const until = Date.now() + 10000; ;) {
		try {
			equal(await c.get(key(1)), '1');
			break;
		} catch (error) {
			if (Date.now() > until || error.code === 'ERR_ASSERTION')
				throw error;
			await sleep(20);
		}
	}
	equal(await c.quit(), 'OK');
}

const c = new Redis({ port: Number(port), host: '127.0.0.1' });
c.on('error', () => {});
tour(c).then(() => process.exit(0), error => {
	console.error(error);
	process.exit(1);
});
