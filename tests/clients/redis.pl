# SPDX-License-Identifier: Apache-2.0
# Perl's Redis, or Redis::Fast, through the proxy. usage: redis.pl PORT RESTART MODULE
use strict;
use warnings;

my ($port, $restart, $module) = @ARGV;
eval "require $module" or die $@;
my $prefix = "$module:";
my $r = $module->new(server => "127.0.0.1:$port", reconnect => 10, every => 20_000);

sub key { return $prefix . $_[0] }

sub check {
	my ($got, $want) = @_;
	$got = 'undef' unless defined $got;
	die 'line ' . (caller)[2] . ": wanted $want, got " . substr($got, 0, 200) . "\n"
		if $got ne $want;
}

sub fails {
	my ($words, $call) = @_;
	eval { $call->(); 1 } and die "no error with $words\n";
	die "wanted an error with $words, got $@" if index($@, $words) < 0;
}

check($r->ping ? 1 : 0, 1);
my @names = map { key($_) } 0 .. 99;
check($r->set($names[0], 'a'), 'OK');
check($r->get($names[0]), 'a');
check(defined $r->get(key('missing')) ? 1 : 0, 0);
check($r->mset(map { ($_, $_) } @names), 'OK');
check(join(' ', $r->mget(@names)), join(' ', @names));
check($r->del(@names), 100);

my $got = 0;
for my $i (0 .. 499) {
	$r->set(key($i), $i, sub { });
	$r->get(key($i), sub { my ($reply, $error) = @_; $got++ if !$error && $reply eq $i });
}
$r->wait_all_responses;
check($got, 500);

my $large = '0123456789abcdef' x 65536;
check($r->set(key('large'), $large), 'OK');
check($r->get(key('large')) eq $large ? 1 : 0, 1);

check($r->hset(key('h'), 'f', 'v'), 1);
check(join(' ', $r->hgetall(key('h'))), 'f v');
check($r->rpush(key('l'), 1, 2, 3), 3);
check(join(' ', $r->lrange(key('l'), 0, -1)), '1 2 3');
check($r->sadd(key('s'), 1, 2), 2);
check(join(' ', sort $r->smembers(key('s'))), '1 2');
check($r->zadd(key('z'), 1, 'a', 2.5, 'b'), 2);
check(join(' ', $r->zrange(key('z'), 0, -1, 'WITHSCORES')), 'a 1 b 2.5');
check($r->xadd(key('x'), '1-1', 'f', 'v'), '1-1');
check($r->xlen(key('x')), 1);
check($r->geoadd(key('g'), 13.361389, 38.115556, 'Palermo'), 1);
check(join(' ', $r->georadius(key('g'), 13, 38, 100, 'km')), 'Palermo');
check($r->pfadd(key('p'), 'a', 'b', 'c'), 1);
check($r->pfcount(key('p')), 3);
check($r->expire(key('h'), 100), 1);
check($r->ttl(key('h')) > 0 ? 1 : 0, 1);

my ($cursor, %seen) = (0);
do {
	($cursor, my $keys) = $r->scan($cursor, 'MATCH', key('*'), 'COUNT', 100);
	$seen{$_}++ for @$keys;
} while ($cursor ne '0');
check(scalar(keys %seen), 508);

my $sha = $r->script_load('return {KEYS[1], ARGV[1]}');
check(join(' ', $r->evalsha($sha, 1, key($_), 'x')), key($_) . ' x') for 0 .. 19;

fails('wrong kind of value', sub { $r->lpush(key('h'), 1) });
fails('unknown command', sub { $r->nosuch('x') });
fails('wrong number of arguments', sub { $r->get() });
fails('BLPOP', sub { $r->blpop(key('l'), 0) });
check($r->get(key(1)), 1);

open(my $wanted, '>', "$restart.wanted") or die $!;
close $wanted;
select(undef, undef, undef, 0.02) until -e "$restart.done";
my $until = time + 10;
while (!eval { check($r->get(key(1)), 1); 1 }) {
	die $@ if time > $until;
	select(undef, undef, undef, 0.02);
}
$r->quit;
