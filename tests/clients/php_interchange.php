<?php
// php_interchange.php <ring> <host:port,...> <set|get> <key>...: stores "theirs <key>", or prints what
// each key holds, a line each.
$rings = [
    'ketama-weighted' => [[Memcached::OPT_LIBKETAMA_COMPATIBLE, true]],
    'md5' => [[Memcached::OPT_HASH, Memcached::HASH_MD5],
              [Memcached::OPT_DISTRIBUTION, Memcached::DISTRIBUTION_CONSISTENT]],
    'modula' => [],
];
[, $ring, $servers, $verb] = $argv;
$cache = new Memcached();
foreach ($rings[$ring] as [$option, $value]) {
    $cache->setOption($option, $value) || exit(1);
}
foreach (explode(',', $servers) as $server) {
    [$host, $port] = explode(':', $server);
    $cache->addServer($host, (int) $port);
}
foreach (array_slice($argv, 4) as $key) {
    if ($verb === 'set') {
        $cache->set($key, "theirs $key") || exit(1);
    } else {
        echo $key, ' ', $cache->get($key), "\n";
    }
}
