// SPDX-License-Identifier: Apache-2.0
// npm's memcached through the proxy. usage: memcached.js PORT RESTART
'use strict';
const assert = require('assert');
const fs = require('fs');
const { promisify } = require('util');
const Memcached = require('memcached');
const [port, restart] = process.argv.slice(2);
const c = new Memcached(`127.0.0.1:${port}`, { retry: 50, reconnect: 50, retries: 1 });
const key = name => `node:${name}`;
const equal = assert.deepStrictEqual;
const sleep = ms => new Promise(go => setTimeout(go, ms));
const call = (name, ...args) => promisify(c[name]).apply(c, args);

async function tour() {
	const names = Array.from({ length: 200 }, (_, i) => key(i));
	equal(await Promise.all(names.map(n => call('set', n, n, 0))), names.map(() => true));
	equal(Object.keys(await call('getMulti', names)).length, 200);
	equal(await call('get', key(7)), key(7));
	equal(await call('get', key('missing')), undefined);
	equal(await call('set', key('n'), '5', 0), true);
	equal(await call('incr', key('n'), 3), 8);
	equal(await call('decr', key('n'), 1), 7);
	equal(await call('append', key(1), '!'), true);
	equal(await call('get', key(1)), key(1) + '!');
	equal(await call('touch', key(1), 100), true);
	const { cas, [key(2)]: value } = await call('gets', key(2));
	equal(value, key(2));
	equal(await call('cas', key(2), 'new', cas, 0), true);
	equal(await call('cas', key(2), 'newer', cas, 0), false);
	const large = '0123456789abcdef'.repeat(50000);
	equal(await call('set', key('large'), large, 0), true);
	assert(await call('get', key('large')) === large);
	await assert.rejects(call('add', key(1), 'x', 0), /not stored/i);
	await assert.rejects(call('incr', key(1), 1), /CLIENT_ERROR|non-numeric/);
	equal(await call('del', key(3)), true);
	equal(await call('get', key(3)), undefined);
	assert((await call('version'))[0].version.startsWith('1.'));

	fs.writeFileSync(restart + '.wanted', '');
	while (!fs.existsSync(restart + '.done'))
		await sleep(20);
	for (const until = Date.now() + 10000; ;) {
		try {
			equal(await call('get', key(7)), key(7));
			break;
		} catch (error) {
			if (Date.now() > until)
				throw error;
			await sleep(20);
		}
	}
	c.end();
}

tour().then(() => process.exit(0), error => {
	console.error(error);
	process.exit(1);
});
