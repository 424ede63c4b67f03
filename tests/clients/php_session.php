<?php
// PHP's session handler on memcached: php -d session.save_path=... php_session.php <session id> <write|read|destroy> [value]
ini_set('session.use_cookies', '0');
ini_set('session.cache_limiter', '');
session_id($argv[1]);
if (!session_start()) {
    exit(2);
}
switch ($argv[2]) {
    case 'write':
        $_SESSION['value'] = $argv[3];
        session_write_close();
        break;
    case 'read':
        echo $_SESSION['value'] ?? '(none)';
        break;
    case 'destroy':
        session_destroy();
        break;
}
