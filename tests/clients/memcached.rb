# SPDX-License-Identifier: Apache-2.0
# Dalli through the proxy, with memcached's meta commands, which it knows from
# 3.2 on: its other protocol is the binary one. usage: memcached.rb PORT RESTART
require 'dalli'

port, restart = ARGV

def check(got, want)
  return if got == want
  abort "#{caller(1, 1)[0]}: wanted #{want.inspect[0, 200]}, got #{got.inspect[0, 200]}"
end

c = Dalli::Client.new("127.0.0.1:#{port}", protocol: :meta, namespace: 'rb',
                      down_retry_delay: 0.05)
values = (0...200).to_h { |i| ["k#{i}", "v#{i}"] }
values.each { |k, v| c.set(k, v) }
check(c.get_multi(*values.keys), values)
check(c.get('missing'), nil)
check(c.set('a', 'x') ? true : false, true)
check(c.add('a', 'y') ? true : false, false)
check(c.replace('a', 'z') ? true : false, true)
check(c.get('a'), 'z')
check(c.incr('n', 3, 100, 5), 5)
check(c.incr('n', 3), 8)
check(c.decr('n', 1), 7)
check(c.touch('a', 100), true)
check(c.gat('a', 100), 'z')
value, cas = c.get_cas('a')
check(value, 'z')
check(c.set_cas('a', 'new', cas) ? true : false, true)
check(c.set_cas('a', 'newer', cas) ? true : false, false)
large = '0123456789abcdef' * 50_000
c.set('large', large)
check(c.get('large') == large, true)
check(c.delete('a'), true)
check(c.get('a'), nil)

File.write("#{restart}.wanted", '')
sleep 0.02 until File.exist?("#{restart}.done")
deadline = Time.now + 10
begin
  check(c.get('k1'), 'v1')
rescue Dalli::DalliError
  raise if Time.now > deadline
  sleep 0.02
  retry
end
