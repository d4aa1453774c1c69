// SPDX-License-Identifier: Apache-2.0
// node-redis through the proxy.
// usage: node-redis.js PORT RESTART MODULE [RESP]; RESP: not the module's default
'use strict';
const assert = require('assert');
const fs = require('fs');
const [port, restart, module_name, resp] = process.argv.slice(2);
const { createClient } = require(module_name);
const prefix = `node-${module_name}-${resp}:`;
const key = name => prefix + name;
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
	equal(await c.mSet(names.map(n => [n, n])), 'OK');
	equal(await c.mGet([...names, key('missing')]), [...names, null]);
	equal(await c.exists(names), 100);
	equal(await c.del(names), 100);

	const all = [];
	for (let i = 0; i < 500; i++)
		all.push(c.set(key(i), String(i)), c.get(key(i)));
	equal(await Promise.all(all), all.map((_, i) => i % 2 ? String(i >> 1) : 'OK'));

	const large = '0123456789abcdef'.repeat(65536);
	equal(await c.set(key('large'), large), 'OK');
	assert(await c.get(key('large')) === large);

	equal(await c.hSet(key('h'), { f: 'v', g: 'w' }), 2);
	equal({ ...await c.hGetAll(key('h')) }, { f: 'v', g: 'w' });
	equal(await c.rPush(key('l'), ['1', '2', '3']), 3);
	equal(await c.lRange(key('l'), 0, -1), ['1', '2', '3']);
	equal(await c.sAdd(key('s'), ['1', '2']), 2);
	equal([...await c.sMembers(key('s'))].sort(), ['1', '2']);
	equal(await c.zAdd(key('z'), [{ score: 1, value: 'a' }, { score: 2.5, value: 'b' }]), 2);
	equal(await c.zRangeWithScores(key('z'), 0, -1),
		[{ score: 1, value: 'a' }, { score: 2.5, value: 'b' }]);
	equal(await c.xAdd(key('x'), '1-1', { f: 'v' }), '1-1');
	equal((await c.xRange(key('x'), '-', '+'))[0].id, '1-1');
	equal(await c.geoAdd(key('g'),
		{ longitude: 13.361389, latitude: 38.115556, member: 'Palermo' }), 1);
	equal(await c.geoSearch(key('g'), { longitude: 13, latitude: 38 },
		{ radius: 100, unit: 'km' }), ['Palermo']);
	equal(Number(await c.pfAdd(key('p'), ['a', 'b', 'c'])), 1);
	equal(await c.pfCount(key('p')), 3);
	equal(Number(await c.expire(key('h'), 100)), 1);
	assert(await c.ttl(key('h')) > 0);

	const found = [];
	for await (const part of c.scanIterator({ MATCH: key('*'), COUNT: 100 }))
		found.push(...[].concat(part));
	equal(found.sort(), [...Array.from({ length: 500 }, (_, i) => key(i)),
		...['large', 'h', 'l', 's', 'z', 'x', 'g', 'p'].map(key)].sort());

	const sha = await c.scriptLoad('return {KEYS[1], ARGV[1]}');
	for (let i = 0; i < 20; i++)
		equal(await c.evalSha(sha, { keys: [key(i)], arguments: ['x'] }), [key(i), 'x']);
	equal(await c.eval('return 1', {}), 1);

	await fails('wrong kind of value', c.lPush(key('h'), '1'));
	await fails('unknown command', c.sendCommand(['NOSUCH', 'x']));
	await fails('wrong number of arguments', c.sendCommand(['GET']));
	await fails('MULTI', c.sendCommand(['MULTI']));
	await fails('MONITOR', c.sendCommand(['MONITOR']));
	equal(await c.get(key(1)), '1');
	assert(await c.dbSize() >= 508);
	assert((await c.info()).includes('role:master'));

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
	await (c.close ? c.close() : c.quit());
}

async function main() {
	const options = { socket: { port: Number(port), host: '127.0.0.1' } };
	if (resp)
		options.RESP = Number(resp);
	const c = createClient(options);
	c.on('error', () => {});
	await c.connect();
	await tour(c);
}

main().then(() => process.exit(0), error => {
	console.error(error);
	process.exit(1);
});
