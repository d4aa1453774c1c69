# SPDX-License-Identifier: Apache-2.0
# Perl's Cache::Memcached through the proxy. usage: memcached.pl PORT RESTART
use strict;
use warnings;
use Cache::Memcached;

my ($port, $restart) = @ARGV;
my $c = Cache::Memcached->new({ servers => ["127.0.0.1:$port"], namespace => 'perl:' });

sub check {
	my ($got, $want) = @_;
	$got = 'undef' unless defined $got;
	die 'line ' . (caller)[2] . ": wanted $want, got " . substr($got, 0, 200) . "\n"
		if $got ne $want;
}

check($c->set($_, "v$_"), 1) for 0 .. 199;
my $all = $c->get_multi(0 .. 200);
check(scalar(keys %$all), 200);
check($all->{$_}, "v$_") for 0 .. 199;
check($c->get('missing'), 'undef');
check($c->add(1, 'x') ? 1 : 0, 0);
check($c->replace(1, 'x'), 1);
check($c->append(1, 'y'), 1);
check($c->prepend(1, 'w'), 1);
check($c->get(1), 'wxy');
check($c->set('n', 5), 1);
check($c->incr('n', 3), 8);
check($c->decr('n'), 7);
check($c->set('list', [1, { a => 2 }]), 1);
check($c->get('list')->[1]{a}, 2);
my $large = '0123456789abcdef' x 50000;
check($c->set('large', $large), 1);
check($c->get('large') eq $large ? 1 : 0, 1);
check($c->delete(2), 1);
check($c->get(2), 'undef');
check(ref $c->stats(['misc']), 'HASH');

open(my $wanted, '>', "$restart.wanted") or die $!;
close $wanted;
select(undef, undef, undef, 0.02) until -e "$restart.done";
my $until = time + 10;
while (($c->get(3) // '') ne 'v3') {
	die "not back after the restart\n" if time > $until;
	$c->forget_dead_hosts;
	select(undef, undef, undef, 0.02);
}
