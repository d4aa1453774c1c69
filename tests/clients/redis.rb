# SPDX-License-Identifier: Apache-2.0
# redis-rb through the proxy. usage: redis.rb PORT RESTART
require 'redis'

port, restart = ARGV

def key(name)
  "rb:#{name}"
end

def check(got, want)
  return if got == want
  abort "#{caller(1, 1)[0]}: wanted #{want.inspect[0, 200]}, got #{got.inspect[0, 200]}"
end

def fails(words)
  yield
rescue Redis::CommandError => e
  check(e.message.include?(words), true)
else
  abort "no error with #{words}"
end

r = Redis.new(host: '127.0.0.1', port: port.to_i)
check(r.ping, 'PONG')
names = (0...100).map { |i| key(i) }
check(r.set(names[0], 'a'), 'OK')
check(r.get(names[0]), 'a')
check(r.get(key('missing')), nil)
check(r.mset(*names.flat_map { |n| [n, n] }), 'OK')
check(r.mget(*names, key('missing')), names + [nil])
check(r.exists(*names), 100)
check(r.del(*names), 100)

got = r.pipelined do |pipe|
  500.times do |i|
    pipe.set(key(i), i)
    pipe.get(key(i))
  end
end
check(got, (0...500).flat_map { |i| ['OK', i.to_s] })

large = '0123456789abcdef' * 65_536
check(r.set(key('large'), large), 'OK')
check(r.get(key('large')) == large, true)

check(r.hset(key('h'), 'f', 'v', 'g', 'w'), 2)
check(r.hgetall(key('h')), 'f' => 'v', 'g' => 'w')
check(r.rpush(key('l'), [1, 2, 3]), 3)
check(r.lrange(key('l'), 0, -1), %w[1 2 3])
check([true, 2].include?(r.sadd(key('s'), [1, 2])), true)
check(r.smembers(key('s')).sort, %w[1 2])
check(r.zadd(key('z'), [[1, 'a'], [2.5, 'b']]), 2)
check(r.zrange(key('z'), 0, -1, with_scores: true), [['a', 1.0], ['b', 2.5]])
check(r.xadd(key('x'), { 'f' => 'v' }, id: '1-1'), '1-1')
check(r.xrange(key('x')), [['1-1', { 'f' => 'v' }]])
check(r.geoadd(key('g'), 13.361389, 38.115556, 'Palermo'), 1)
check(r.georadius(key('g'), 13, 38, 100, 'km'), ['Palermo'])
check(r.pfadd(key('p'), %w[a b c]), true)
check(r.pfcount(key('p')), 3)
check(r.expire(key('h'), 100), true)
check(r.ttl(key('h')).positive?, true)

check(r.scan_each(match: key('*'), count: 100).to_a.sort,
      ((0...500).map { |i| key(i) } + %w[large h l s z x g p].map { |n| key(n) }).sort)

sha = r.script(:load, 'return {KEYS[1], ARGV[1]}')
20.times { |i| check(r.evalsha(sha, [key(i)], ['x']), [key(i), 'x']) }

fails('wrong kind of value') { r.lpush(key('h'), 1) }
fails('unknown command') { r.call('NOSUCH', 'x') }
fails('wrong number of arguments') { r.call('GET') }
fails('WATCH') { r.watch(key(1)) }
check(r.get(key(1)), '1')

File.write("#{restart}.wanted", '')
sleep 0.02 until File.exist?("#{restart}.done")
deadline = Time.now + 10
begin
  check(r.get(key(1)), '1')
rescue Redis::BaseConnectionError
  raise if Time.now > deadline
  sleep 0.02
  retry
end
r.quit
