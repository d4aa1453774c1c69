# SPDX-License-Identifier: Apache-2.0
"""pymemcache or python-memcached through the proxy.
usage: memcached-py.py PORT RESTART pymemcache|memcache"""
import os
import sys
import time

port, restart, name = int(sys.argv[1]), sys.argv[2], sys.argv[3]


def key(i):
    return "py-%s:%s" % (name, i)


def check(got, want):
    if got != want:
        raise SystemExit("wanted %.200r, got %.200r" % (want, got))


if name == "pymemcache":
    from pymemcache.client.base import Client
    c = Client(("127.0.0.1", port), default_noreply=False, encoding="ascii",
               deserializer=lambda key, value, flags: value.decode())
    get_many, set_many, incr = c.get_many, c.set_many, c.incr
    missed = set_many({key(i): str(i) for i in range(1000)})
else:
    import memcache
    c = memcache.Client(["127.0.0.1:%d" % port], dead_retry=0.05,
                        server_max_value_length=900000)
    get_many, incr = c.get_multi, c.incr
    missed = c.set_multi({key(i): str(i) for i in range(1000)})

check(list(missed), [])
check(get_many([key(i) for i in range(1001)]),
      {key(i): str(i) for i in range(1000)})
check(bool(c.set(key("a"), "1")), True)
check(c.get(key("a")), "1")
check(c.get(key("missing")), None)
check(bool(c.add(key("a"), "2")), False)
check(bool(c.replace(key("a"), "2")), True)
check(bool(c.append(key("a"), "3")), True)
check(bool(c.prepend(key("a"), "1")), True)
check(c.get(key("a")), "123")
check(c.incr(key("a"), 7), 130)
check(c.decr(key("a"), 30), 100)
check(bool(c.touch(key("a"), 100)), True)
check(bool(c.delete(key("a"))), True)
check(c.get(key("a")), None)
large = "0123456789abcdef" * 50000
check(bool(c.set(key("large"), large)), True)
check(c.get(key("large")) == large, True)

if name == "pymemcache":
    from pymemcache.exceptions import MemcacheClientError, MemcacheUnknownCommandError
    value, cas = c.gets(key(1))
    check((value, c.cas(key(1), "one", cas)), ("1", True))
    check(c.cas(key(1), "two", cas), False)
    for _ in range(200):
        c.set(key("quiet"), "v", noreply=True)
    check(c.get(key("quiet")), "v")
    check(c.delete(key("quiet"), noreply=True), True)
    check(c.get(key("quiet")), None)
    try:
        c.incr(key(1), 1)
        raise SystemExit("a word was incremented")
    except MemcacheClientError:
        pass
    try:
        c.raw_command("nosuch")
    except (MemcacheUnknownCommandError, AttributeError):
        pass
    check(c.version()[:2], b"1.")
    check(len(c.stats()) > 0, True)
    check(c.get(key(2)), "2")

open(restart + ".wanted", "w").close()
while not os.path.exists(restart + ".done"):
    time.sleep(0.02)
until = time.time() + 10
while True:
    try:
        got = c.get(key(3))
        if got == "3":
            break
    except OSError:
        pass
    except Exception as error:
        if "Close" not in type(error).__name__:
            raise
    if time.time() > until:
        raise SystemExit("not back after the restart")
    time.sleep(0.02)
