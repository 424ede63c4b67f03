<?php
// php_interchange.php <ring> <host:port,...> <set|get|export> <key>...: stores "theirs <key>", or prints
// what each key holds, a line each; as PHP spells it, with export.
// php_interchange.php <ring> <host:port,...> types: stores a value of each type under the type's name, and
// prints the names, a line each.
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
function store($cache, $key, $value) {
    $cache->set($key, $value) || exit(1);
    echo "$key\n";
}

if ($verb === 'types') {
    store($cache, 'string', 'theirs');
    store($cache, 'int', -42);
    store($cache, 'float', 1.5);
    store($cache, 'true', true);
    store($cache, 'false', false);
    store($cache, 'by-default', str_repeat('z', 5000));
    foreach (['zlib' => Memcached::COMPRESSION_ZLIB, 'fastlz' => Memcached::COMPRESSION_FASTLZ] as $name => $type) {
        $cache->setOption(Memcached::OPT_COMPRESSION_TYPE, $type) || exit(1);
        store($cache, $name, str_repeat('z', 5000));
    }
    $serializers = ['serialize' => Memcached::SERIALIZER_PHP, 'json' => Memcached::SERIALIZER_JSON];
    if (Memcached::HAVE_IGBINARY) {
        $serializers['igbinary'] = Memcached::SERIALIZER_IGBINARY;
    }
    if (Memcached::HAVE_MSGPACK) {
        $serializers['msgpack'] = Memcached::SERIALIZER_MSGPACK;
    }
    foreach ($serializers as $name => $serializer) {
        $cache->setOption(Memcached::OPT_SERIALIZER, $serializer) || exit(1);
        store($cache, $name, [1]);
    }
    $cache->setOption(Memcached::OPT_USER_FLAGS, 3) || exit(1);
    store($cache, 'user-flags', 'theirs');
}
foreach (array_slice($argv, 4) as $key) {
    if ($verb === 'export') {
        echo var_export($cache->get($key), true), "\n";
    } elseif ($verb === 'set') {
        $cache->set($key, "theirs $key") || exit(1);
    } else {
        echo $key, ' ', $cache->get($key), "\n";
    }
}
