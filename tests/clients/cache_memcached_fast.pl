#!/usr/bin/perl
# Cache::Memcached::Fast against the servers given: perl cache_memcached_fast.pl <address>...
# Prints TAP; exit code 0 when every test passed.
use strict;
use warnings;
use Cache::Memcached::Fast;
use Test::More;

my @addresses = @ARGV;
sub open_client {
    return Cache::Memcached::Fast->new({
        servers => [@addresses], connect_timeout => 20, io_timeout => 20, @_});
}

my $mc = open_client();
ok($mc->flush_all, 'flush_all');

subtest 'values' => sub {
    for my $value ('value', '', "a\r\nEND\r\n", join('', map { chr } 0 .. 255) x 1000, {a => [1, 2, 3]}) {
        ok($mc->set('key', $value), 'set');
        is_deeply($mc->get('key'), $value, 'get');
    }
    is($mc->get('missing'), undef, 'missing');
    my $long = 'compressible ' x 50000;
    my $compressing = open_client(compress_threshold => 1000);
    ok($compressing->set('long', $long), 'set compressed');
    is($compressing->get('long'), $long, 'get compressed');
};

subtest 'add, replace, append, prepend, delete, touch' => sub {
    my $word = 'k';
    is($mc->replace($word, 'x'), '', 'replace a missing key');
    ok($mc->add($word, 'middle', 1000), 'add');
    is($mc->add($word, 'x'), '', 'add again');
    ok($mc->append($word, '>'), 'append');
    ok($mc->prepend($word, '<'), 'prepend');
    is($mc->get($word), '<middle>', 'get');
    is($mc->append('missing', 'x'), '', 'append to a missing key');
    ok($mc->replace($word, 'new'), 'replace');
    ok($mc->touch($word, 1000), 'touch');
    is($mc->touch('missing', 1000), '', 'touch a missing key');
    ok($mc->delete($word), 'delete');
    is($mc->delete($word), '', 'delete again');
    ok($mc->set('gone', 'x', -1), 'set expired');
    is($mc->get('gone'), undef, 'get expired');
};

subtest 'counters' => sub {
    ok($mc->set('n', 10), 'set');
    is($mc->incr('n'), 11, 'incr');
    is($mc->incr('n', 89), 100, 'incr by');
    is($mc->decr('n'), 99, 'decr');
    is($mc->decr('n', 1000), '0E0', 'decr below 0');    # its spelling of a true zero
    is($mc->incr('missing'), '', 'incr of a missing key');
    is_deeply(scalar $mc->incr_multi(['n', 5], 'missing'), {n => 5, missing => ''}, 'incr_multi');
    ok($mc->set('word', 'abc'), 'set a word');
    is($mc->incr('word'), undef, 'incr of a word is an error');
    is($mc->get('word'), 'abc', 'the word is kept');
};

subtest 'compare and swap' => sub {
    ok($mc->set('c', 'one'), 'set');
    my $found = $mc->gets('c');
    is($found->[1], 'one', 'gets');
    ok($mc->cas('c', $found->[0], 'two'), 'cas');
    is($mc->cas('c', $found->[0], 'three'), '', 'cas again');
    is($mc->get('c'), 'two', 'get');
    is($mc->cas('missing', 1, 'x'), '', 'cas of a missing key');
    my $seen = $mc->gets('c');
    is_deeply(scalar $mc->cas_multi(['c', $seen->[0], 'four'], ['missing', 1, 'x']), {c => 1, missing => ''}, 'cas_multi');
};

subtest 'many' => sub {
    my %pairs = map { ("key$_" => 'v' x $_) } 1 .. 1000;
    my $stored = $mc->set_multi(map { [$_, $pairs{$_}] } keys %pairs);
    is(scalar(grep { $_ } values %$stored), 1000, 'set_multi');
    is_deeply(scalar $mc->get_multi(keys %pairs, 'missing'), \%pairs, 'get_multi');
    my $seen = $mc->gets_multi('key1', 'key2');
    is_deeply([map { $seen->{$_}[1] } qw(key1 key2)], ['v', 'vv'], 'gets_multi');
    is_deeply(scalar $mc->gat_multi(1000, 'key1', 'missing'), {key1 => 'v'}, 'gat_multi') if $mc->can('gat_multi');
    is_deeply(scalar $mc->touch_multi(['key1', 100], ['missing', 100]), {key1 => 1, missing => ''}, 'touch_multi');
    is_deeply(scalar $mc->delete_multi('key1', 'missing'), {key1 => 1, missing => ''}, 'delete_multi');
    is($mc->get('key1'), undef, 'deleted');
};

subtest 'noreply' => sub {
    my $quiet = open_client();
    for my $number (1 .. 500) {
        $quiet->set("quiet$number", $number);    # void context: sent with noreply
    }
    $quiet->nowait_push;
    is($quiet->get('quiet500'), 500, 'the last one');
    is(scalar(keys %{$quiet->get_multi(map { "quiet$_" } 1 .. 500)}), 500, 'all of them');
    $quiet->delete('quiet1');
    $quiet->incr('quiet2');
    $quiet->append('quiet3', '!');
    is($quiet->get('quiet1'), undef, 'delete');
    is($quiet->get('quiet2'), 3, 'incr');
    is($quiet->get('quiet3'), '3!', 'append');
};

subtest 'too large' => sub {
    ok(!$mc->set('large', 'x' x (3 << 20)), 'refused');
    ok($mc->set('after', 'fine'), 'the next one is stored');
    is($mc->get('after'), 'fine', 'and read');
};

subtest 'version and namespace' => sub {
    like($_, qr/^\d+\.\d+\.\d+$/, 'version') for values %{$mc->server_versions};
    my $named = open_client(namespace => 'space:');
    ok($named->set('key', 'inside'), 'set');
    is($mc->get('space:key'), 'inside', 'get');
};

ok($mc->flush_all, 'flush_all');
is($mc->get('after'), undef, 'nothing left');
$mc->disconnect_all;
done_testing();
