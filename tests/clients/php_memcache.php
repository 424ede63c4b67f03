<?php
// The older PHP extension "memcache" against the servers given: php php_memcache.php <host:port>...
// Prints one line per failed check; exit code 1 when there was any.

$failed = 0;
$checks = 0;

function check($what, $found, $expected) {
    global $failed, $checks;
    $checks++;
    if ($found !== $expected) {
        $failed++;
        printf("%s: found %s, expected %s\n", $what, substr(var_export($found, true), 0, 300),
               substr(var_export($expected, true), 0, 300));
    }
}

$mc = new Memcache();
foreach (array_slice($argv, 1) as $address) {
    [$host, $port] = explode(':', $address);
    check("addServer $address", $mc->addServer($host, (int)$port, false), true);
}

check('flush', $mc->flush(), true);
foreach (['text' => 'value', 'empty' => '', 'int' => 7, 'float' => 3.5, 'true' => true, 'array' => ['a' => [1, 2]],
          'long' => str_repeat('long value ', 30000), 'crlf' => "a\r\nEND\r\n"] as $name => $value) {
    check("set $name", $mc->set($name, $value, 0, 1000), true);
    check("get $name", $mc->get($name), $value);
}
check('set compressed', $mc->set('packed', str_repeat('x', 100000), MEMCACHE_COMPRESSED, 1000), true);
check('get compressed', $mc->get('packed'), str_repeat('x', 100000));
check('get missing', $mc->get('missing'), false);

check('replace missing', $mc->replace('k', 'x'), false);
check('add', $mc->add('k', 'one', 0, 1000), true);
check('add again', $mc->add('k', 'two'), false);
check('replace', $mc->replace('k', 'three'), true);
check('get replaced', $mc->get('k'), 'three');
check('delete', $mc->delete('k'), true);
check('delete again', $mc->delete('k'), false);

check('set counter', $mc->set('n', 10), true);
check('increment', $mc->increment('n'), 11);
check('increment by', $mc->increment('n', 89), 100);
check('decrement', $mc->decrement('n'), 99);
check('decrement below 0', $mc->decrement('n', 1000), 0);
check('increment missing', $mc->increment('missing'), false);

$flags = false;
$cas = false;
check('get with cas', $mc->get('text', $flags, $cas), 'value');
check('cas', $mc->cas('text', 'new', 0, 1000, $cas), true);
check('cas again', $mc->cas('text', 'newer', 0, 1000, $cas), false);
check('get swapped', $mc->get('text'), 'new');

$pairs = [];
for ($i = 0; $i < 500; $i++) {
    $pairs["key$i"] = str_repeat('v', $i);
    check("set key$i", $mc->set("key$i", $pairs["key$i"]), true);
}
$found = $mc->get(array_merge(array_keys($pairs), ['missing']));
ksort($found);
ksort($pairs);
check('get of many', $found, $pairs);

check('set after', $mc->set('after', 'fine'), true);
$stats = $mc->getExtendedStats();
check('stats', count(array_filter($stats, fn($server) => ($server['pid'] ?? 0) > 1)), $argc - 1);
check('slabs', is_array($mc->getExtendedStats('slabs')), true);
check('version', preg_match('/^\d+\.\d+\.\d+$/', (string)$mc->getVersion()), 1);
check('flush at the end', $mc->flush(), true);
check('nothing after flush', $mc->get('after'), false);
$mc->close();

printf("%d checks, %d failed\n", $checks, $failed);
exit($failed || $checks < 500 ? 1 : 0);
