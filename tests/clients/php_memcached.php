<?php
// php-memcached against the server given: php php_memcached.php <host:port or socket> <text|binary> <option,option...>
// Prints one line per failed check; exit code 1 when there was any.

[, $address, $protocol, $options] = $argv;
$options = array_filter(explode(',', $options));
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

function open_client($address, $protocol, $options) {
    $mc = new Memcached();
    $mc->setOption(Memcached::OPT_BINARY_PROTOCOL, $protocol == 'binary');
    foreach ($options as $option) {
        [$name, $value] = explode('=', $option . '=1');
        if (!$mc->setOption(constant("Memcached::$name"), (int)$value)) {
            echo "cannot set option $name\n";
            exit(2);
        }
    }
    if ($address[0] == '/') {
        $mc->addServer($address, 0);
    } else {
        [$host, $port] = explode(':', $address);
        $mc->addServer($host, (int)$port);
    }
    return $mc;
}

$mc = open_client($address, $protocol, $options);
$binary = $protocol == 'binary';
$quiet = in_array('OPT_NOREPLY', $options);

check('flush', $mc->flush(), true);

// Values
foreach (['text' => 'value', 'empty' => '', 'int' => 7, 'negative' => -7, 'float' => 3.5, 'true' => true,
          'null' => null, 'array' => ['a' => [1, 2, 3]], 'long' => str_repeat('long value ', 30000),
          'bytes' => random_bytes(200000), 'crlf' => "a\r\nEND\r\n"] as $name => $value) {
    check("set $name", $mc->set($name, $value, 1000), true);
    check("get $name", $mc->get($name), $value);
    check("code $name", $mc->getResultCode(), Memcached::RES_SUCCESS);
}
check('get missing', $mc->get('missing'), false);
check('code of missing', $mc->getResultCode(), Memcached::RES_NOTFOUND);
check('get with callback', $mc->get('filled', function ($m, $key, &$v) { $v = "made $key"; return true; }),
      'made filled');
check('callback stored', $mc->get('filled'), 'made filled');

// Add, replace, delete, touch
if (!$quiet) {
    check('replace missing', $mc->replace('k', 'x'), false);
    check('replace missing, code', $mc->getResultCode(), $binary ? Memcached::RES_NOTFOUND : Memcached::RES_NOTSTORED);
    check('add', $mc->add('k', 'first', 1000), true);
    check('add again', $mc->add('k', 'second'), false);
    check('add again, code', $mc->getResultCode(), $binary ? Memcached::RES_DATA_EXISTS : Memcached::RES_NOTSTORED);
    check('replace', $mc->replace('k', 'third'), true);
    check('touch', $mc->touch('k', 1000), true);
    check('touch missing', $mc->touch('missing', 1000), false);
    check('touch missing, code', $mc->getResultCode(), Memcached::RES_NOTFOUND);
    check('get replaced', $mc->get('k'), 'third');
    check('delete', $mc->delete('k'), true);
    check('delete again', $mc->delete('k'), false);
    check('delete again, code', $mc->getResultCode(), Memcached::RES_NOTFOUND);
}

// Append, prepend: only without compression
$mc->setOption(Memcached::OPT_COMPRESSION, false);
check('set middle', $mc->set('m', 'middle'), true);
check('append', $mc->append('m', '>'), true);
check('prepend', $mc->prepend('m', '<'), true);
check('get both', $mc->get('m'), '<middle>');
if (!$quiet) {
    check('append missing', $mc->append('missing', 'x'), false);
}
$mc->setOption(Memcached::OPT_COMPRESSION, true);

// Counters
check('set counter', $mc->set('n', 10), true);
if (!$quiet) {
    check('increment', $mc->increment('n'), 11);
    check('increment by', $mc->increment('n', 89), 100);
    check('decrement', $mc->decrement('n'), 99);
    check('decrement below 0', $mc->decrement('n', 1000), 0);
    check('increment missing', $mc->increment('missing', 1), false);
    check('increment missing, code', $mc->getResultCode(), Memcached::RES_NOTFOUND);
    if ($binary) {
        check('increment with initial', $mc->increment('fresh', 1, 5, 1000), 5);
        check('increment after initial', $mc->increment('fresh', 1, 5), 6);
        check('decrement with initial', $mc->decrement('fresher', 1, 50, 1000), 50);
    }
    $mc->set('word', 'abc');
    check('increment a word', $mc->increment('word'), false);
}

// Compare and swap
$mc->set('c', 'one');
$found = $mc->get('c', null, Memcached::GET_EXTENDED);
check('get extended', $found['value'] ?? null, 'one');
check('cas is there', is_int($found['cas']) && $found['cas'] > 0, true);
if (!$quiet) {
    check('cas', $mc->cas($found['cas'], 'c', 'two'), true);
    check('cas again', $mc->cas($found['cas'], 'c', 'three'), false);
    check('cas again, code', $mc->getResultCode(), Memcached::RES_DATA_EXISTS);
    check('get swapped', $mc->get('c'), 'two');
    check('cas missing', $mc->cas(1.0, 'missing', 'x'), false);
}

// Many
$pairs = [];
for ($i = 0; $i < 1000; $i++) {
    $pairs["key$i"] = str_repeat('v', $i);
}
check('setMulti', $mc->setMulti($pairs, 1000), true);
check('getMulti', $mc->getMulti(array_keys($pairs)), $pairs);
check('getMulti in order', array_keys($mc->getMulti(['key5', 'none', 'key3'], Memcached::GET_PRESERVE_ORDER)),
      ['key5', 'none', 'key3']);
$extended = $mc->getMulti(['key1', 'key2'], Memcached::GET_EXTENDED);
check('getMulti extended', array_map(function ($v) { return $v['value']; }, $extended),
      ['key1' => 'v', 'key2' => 'vv']);
check('getDelayed', $mc->getDelayed(['key1', 'key2'], true), true);
$delayed = [];
while ($row = $mc->fetch()) {
    $delayed[$row['key']] = $row['value'];
}
ksort($delayed);
check('fetch', $delayed, ['key1' => 'v', 'key2' => 'vv']);
if (!$quiet) {
    check('deleteMulti', $mc->deleteMulti(['key1', 'none']),
          ['key1' => true, 'none' => Memcached::RES_NOTFOUND]);
    check('deleted', $mc->getMulti(['key1', 'key2']), ['key2' => 'vv']);
}
check('setByKey', $mc->setByKey('group', 'grouped', 'x'), true);
check('getByKey', $mc->getByKey('group', 'grouped'), 'x');

// Too large: refused, and the connection goes on
$mc->setOption(Memcached::OPT_COMPRESSION, false);
if (!$quiet) {
    check('set too large', $mc->set('large', str_repeat('x', 3 << 20)), false);
    check('too large, code', $mc->getResultCode(), Memcached::RES_E2BIG);
}
check('set after too large', $mc->set('after', 'fine'), true);
check('get after too large', $mc->get('after'), 'fine');

// Statistics; the client reads no replies to these in its noreply mode
if (!$quiet) {
    $stats = $mc->getStats();
    check('one server answers stats', count($stats), 1);
    check('stats pid', reset($stats)['pid'] > 1, true);
    $version = $mc->getVersion();
    check('version', preg_match('/^\d+\.\d+\.\d+$/', (string)reset($version)), 1);
}

check('flush at the end', $mc->flush(), true);
check('nothing after flush', $mc->get('after'), false);
check('quit', $mc->quit(), true);

printf("%d checks, %d failed\n", $checks, $failed);
exit($failed || $checks < 50 ? 1 : 0);
