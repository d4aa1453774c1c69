# SPDX-License-Identifier: Apache-2.0
"""redis-py through the proxy. usage: redis-py.py PORT RESTART PROTOCOL"""
import os
import sys
import time

import redis

port, restart, protocol = int(sys.argv[1]), sys.argv[2], sys.argv[3]
prefix = "py%s:" % protocol


def key(name):
    return prefix + str(name)


def check(got, want):
    if got != want:
        raise SystemExit("wanted %.200r, got %.200r" % (want, got))


def fails(words, call, *args):
    try:
        call(*args)
    except redis.ResponseError as error:
        if words not in str(error):
            raise SystemExit("wanted an error with %r, got %r" % (words, str(error)))
        return
    raise SystemExit("no error with %r" % words)


options = {"protocol": int(protocol)} if protocol != "default" else {}
c = redis.Redis(port=port, decode_responses=True, **options)
check(c.ping(), True)

names = [key(i) for i in range(100)]
check(c.set(names[0], "a"), True)
check(c.get(names[0]), "a")
check(c.get(key("missing")), None)
check(c.mset({n: n for n in names}), True)
check(c.mget(names + [key("missing")]), names + [None])
check(c.exists(*names), 100)
check(c.delete(*names), 100)

pipe = c.pipeline(transaction=False)
for i in range(500):
    pipe.set(key(i), i)
    pipe.get(key(i))
check(pipe.execute(), [v for i in range(500) for v in (True, str(i))])

large = "0123456789abcdef" * 65536
check(c.set(key("large"), large), True)
check(c.get(key("large")) == large, True)

check(c.hset(key("h"), mapping={"f": "v", "g": "w"}), 2)
check(c.hgetall(key("h")), {"f": "v", "g": "w"})
check(c.rpush(key("l"), 1, 2, 3), 3)
check(c.lrange(key("l"), 0, -1), ["1", "2", "3"])
check(c.sadd(key("s"), 1, 2), 2)
check(c.smembers(key("s")), {"1", "2"})
check(c.zadd(key("z"), {"a": 1, "b": 2.5}), 2)
check(sorted(tuple(x) for x in c.zrange(key("z"), 0, -1, withscores=True)),
      [("a", 1.0), ("b", 2.5)])
check(c.xadd(key("x"), {"f": "v"}, id="1-1"), "1-1")
check([tuple(x) for x in c.xrange(key("x"))], [("1-1", {"f": "v"})])
check(c.xlen(key("x")), 1)
check(c.geoadd(key("g"), (13.361389, 38.115556, "Palermo")), 1)
check(c.geosearch(key("g"), longitude=13, latitude=38, radius=100, unit="km"),
      ["Palermo"])
check(c.pfadd(key("p"), "a", "b", "c"), 1)
check(c.pfcount(key("p")), 3)
check(c.expire(key("h"), 100), True)
check(0 < c.ttl(key("h")) <= 100, True)

check(sorted(c.scan_iter(key("*"), count=100)) ==
      sorted([key(i) for i in range(500)] +
             [key(n) for n in ("large", "h", "l", "s", "z", "x", "g", "p")]), True)

sha = c.script_load("return {KEYS[1], ARGV[1]}")
check(c.script_exists(sha), [True])
for i in range(20):
    check(c.evalsha(sha, 1, key(i), i), [key(i), str(i)])
check(c.register_script("return redis.call('get', KEYS[1])")(keys=[key(7)]), "7")
check(c.eval("return 'no key'", 0), "no key")

fails("wrong kind of value", c.lpush, key("h"), 1)
fails("unknown command", c.execute_command, "NOSUCH", "x")
fails("wrong number of arguments", c.execute_command, "GET")
fails("MULTI", c.execute_command, "MULTI")
fails("SUBSCRIBE", c.execute_command, "SUBSCRIBE", "x")
fails("BLPOP", c.execute_command, "BLPOP", "x", "0")
fails("FLUSHALL", c.flushall)
check(c.get(key(1)), "1")
check(c.dbsize() >= 508, True)
check(c.info()["role"], "master")
check(c.client_setname("tour"), True)
check(c.publish("channel", "x"), 0)

open(restart + ".wanted", "w").close()
while not os.path.exists(restart + ".done"):
    time.sleep(0.02)
until = time.time() + 10
while True:
    try:
        check(c.get(key(1)), "1")
        break
    except redis.ConnectionError:
        if time.time() > until:
            raise
        time.sleep(0.02)
c.close()
