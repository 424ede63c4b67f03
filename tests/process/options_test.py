"""Command line options: what is accepted, what is refused, with which line and exit code."""

import re
import signal
import socket
import tempfile
import unittest

import checks
import servers
from starts import BAD, NOUSER, OSERR, USAGE, failing


class Information(unittest.TestCase):
    def ask(self, option):
        done = checks.run([servers.find_candidate(), option])
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        return done.stdout

    def test_version(self):
        for option in ("-V", "--version"):
            self.assertRegex(self.ask(option), r"^(cairnd|memcached) \d+\.\d+\.\d+")
            self.assertEqual(self.ask(option).count("\n"), 1)

    def test_help(self):
        for option in ("-h", "--help"):
            lines = self.ask(option).splitlines()
            self.assertRegex(lines[0], r"^(cairnd|memcached) \d+\.\d+\.\d+")
            text = "\n".join(lines)
            for word in ("-p, --port", "-m, --memory-limit", "-s, --unix-socket", "-o, --extended", "idle_timeout"):
                self.assertIn(word, text)

    def test_license(self):
        self.assertRegex(self.ask("-i"), r"(?i)copyright")


class Refused(unittest.TestCase):
    """Exit code, and one line on stderr with all of the texts: memcached's words, without its function's name and errno."""

    def refuse(self, options, code, *texts, lines=1, **more):
        with self.subTest(" ".join(options)):
            found_code, found = failing(*options, **more)
            self.assertEqual(found_code, code, found)
            for text in texts:
                self.assertIn(text, found)
            if checks.program().is_cairnd:
                self.assertEqual(len(found.splitlines()), lines, found)

    def test_numbers(self):
        for options, code, text in (
                (["-c", "0"], BAD, "Maximum connections must be greater than 0"),
                (["-c", "-5"], BAD, "Maximum connections must be greater than 0"),
                (["-c", "many"], BAD, "Maximum connections must be greater than 0"),
                (["--conn-limit=0"], BAD, "Maximum connections must be greater than 0"),
                (["-t", "0"], BAD, "Number of threads must be greater than 0"),
                (["-t", "-1"], BAD, "Number of threads must be greater than 0"),
                (["-R", "0"], BAD, "Number of requests per event must be greater than 0"),
                (["-f", "1"], BAD, "Factor must be greater than 1"),
                (["-f", "x"], BAD, "Factor must be greater than 1"),
                (["-n", "0"], BAD, "Chunk size must be greater than 0"),
                (["-p", "70000"], USAGE, "Invalid port number 70000."),
                (["-p", "65536"], USAGE, "Invalid port number 65536."),
                (["-I", "512"], USAGE, "Item max size cannot be less than 1024 bytes."),
                (["-I", "1"], USAGE, "Item max size cannot be less than 1024 bytes."),
                (["-I", "40m"], USAGE, "Cannot set item size limit higher than 1/2 of memory max."),
                (["-I", "1025m", "-m", "4096"], USAGE, "Cannot set item size limit higher than a gigabyte."),
                (["-D", ""], BAD, "No delimiter specified")):
            self.refuse(options, code, text)

    def test_words(self):
        for options, word in ((["-B", "http"], "http"), (["--protocol=none"], "none")):
            self.refuse(options, USAGE, f"Invalid value for binding protocol: {word}",
                        "should be one of auto, binary, or ascii", lines=2)

    def test_unknown_option(self):
        for options in (["-Q"], ["--no-such-option"], ["-p"]):
            with self.subTest(options):
                code, found = failing(*options, user=False)
                self.assertEqual(code, BAD)
                self.assertRegex(found, r"option|argument")

    def test_suboptions(self):
        for suboption, text in (
                ("foo", 'Illegal suboption "foo"'),
                ("no_foo", 'Illegal suboption "no_foo"'),
                ("hashpower", "Missing numeric argument for hashpower"),
                ("hashpower=11", "Initial hashtable multiplier of 11 is too low"),
                ("slab_automove=3", "slab_automove must be between 0 and 2"),
                ("slab_automove_ratio", "Missing slab_automove_ratio argument"),
                ("slab_automove_ratio=0", "slab_automove_ratio must be > 0 and < 1"),
                ("slab_automove_ratio=1.5", "slab_automove_ratio must be > 0 and < 1"),
                ("slab_automove_window", "Missing slab_automove_window argument"),
                ("slab_automove_window=2", "slab_automove_window must be > 2"),
                ("tail_repair_time", "Missing numeric argument for tail_repair_time"),
                ("tail_repair_time=9", "Cannot set tail_repair_time to less than 10 seconds"),
                ("hash_algorithm", "Missing hash_algorithm argument"),
                ("hash_algorithm=md5", "Unknown hash_algorithm option (jenkins, murmur3, xxh3)"),
                ("lru_crawler_sleep", "Missing lru_crawler_sleep value"),
                ("lru_crawler_sleep=1000001", "LRU crawler sleep must be between 0 and 1 second"),
                ("lru_crawler_tocrawl", "Missing lru_crawler_tocrawl value"),
                ("lru_crawler_tocrawl=x", "lru_crawler_tocrawl takes a numeric 32bit value"),
                ("hot_lru_pct", "Missing hot_lru_pct argument"),
                ("hot_lru_pct=0", "hot_lru_pct must be > 1 and < 80"),
                ("warm_lru_pct=80", "warm_lru_pct must be > 1 and < 80"),
                ("hot_max_factor=0", "hot_max_factor must be > 0"),
                ("warm_max_factor=0", "warm_max_factor must be > 0"),
                ("temporary_ttl", "Missing temporary_ttl argument"),
                ("idle_timeout", "Missing numeric argument for idle_timeout"),
                ("watcher_logbuf_size", "Missing watcher_logbuf_size argument"),
                ("watcher_logbuf_size=x", "could not parse argument to watcher_logbuf_size"),
                ("worker_logbuf_size", "Missing worker_logbuf_size argument"),
                ("worker_logbuf_size=x", "could not parse argument to worker_logbuf_size"),
                ("read_buf_mem_limit", "Missing read_buf_mem_limit argument"),
                ("read_buf_mem_limit=x", "could not parse argument to read_buf_mem_limit")):
            self.refuse(["-o", suboption], BAD, text)
        self.refuse(["-o", "hashpower=33"], BAD, "Initial hashtable multiplier of 33 is too high", lines=2)

    @checks.since(1, 6, 45, reason="it crashes")
    def test_chunk_size(self):
        for suboption, text in (("slab_chunk_max", "Missing slab_chunk_max argument"),
                                ("slab_chunk_max=x", "could not parse argument to slab_chunk_max"),
                                ("slab_chunk_max=0", "slab_chunk_max must be >= 0"),
                                ("slab_chunk_max=2000", "slab_chunk_max must be specified in kilobytes.")):
            self.refuse(["-o", suboption], BAD, text)

    def test_suboptions_of_tls(self):
        for suboption, text in (
                ("ssl_chain_cert", "Missing ssl_chain_cert argument"),
                ("ssl_key", "Missing ssl_key argument"),
                ("ssl_verify_mode", "Missing ssl_verify_mode argument"),
                ("ssl_verify_mode=x", "could not parse argument to ssl_verify_mode"),
                ("ssl_verify_mode=4", "Invalid ssl_verify_mode. Use help to see valid options."),
                ("ssl_keyformat", "Missing ssl_keyformat argument"),
                ("ssl_keyformat=x", "could not parse argument to ssl_keyformat"),
                ("ssl_ciphers", "Missing ssl_ciphers argument"),
                ("ssl_ca_cert", "Missing ssl_ca_cert argument"),
                ("ssl_wbuf_size", "Missing ssl_wbuf_size argument"),
                ("ssl_wbuf_size=x", "could not parse argument to ssl_wbuf_size"),
                ("ssl_min_version", "Missing ssl_min_version argument"),
                ("ssl_min_version=x", "could not parse argument to ssl_min_version"),
                ("ssl_min_version=4", "Invalid ssl_min_version. Use help to see valid options.")):
            self.refuse(["-o", suboption], BAD, text)

    def test_combinations(self):
        for options, code, text in (
                (["-o", "hot_lru_pct=50,warm_lru_pct=40"], USAGE,
                 "hot_lru_pct + warm_lru_pct cannot be more than 80% combined"),
                (["-o", "temporary_ttl=10,no_lru_maintainer"], USAGE,
                 "temporary_ttl requires lru_maintainer to be enabled"),
                (["-S", "-B", "ascii"], USAGE, "ERROR: You cannot allow the ASCII protocol while using SASL."),
                (["-S", "-U", "11211"], USAGE, "ERROR: Cannot enable UDP while using binary SASL authentication."),
                (["-Y", "/dev/null", "-B", "binary"], USAGE,
                 "ERROR: You cannot allow the BINARY protocol while using ascii authentication tokens."),
                (["-Y", "/dev/null", "-U", "11211"], USAGE,
                 "Cannot use UDP with ascii authentication enabled (-U 0 to disable)"),
                (["-N", "5", "-t", "2"], USAGE, "Number of napi_ids(5) cannot be greater than number of threads(2)"),
                (["-Z", "-p", "0"], USAGE, "ERROR: You cannot enable SSL without a TCP port.")):
            self.refuse(options, code, text)

    @checks.since(1, 6, 45, reason="-N 0 not looked at")
    def test_napi_ids(self):
        self.refuse(["-N", "0"], BAD, "Maximum number of NAPI IDs must be greater than 0")

    def test_files_that_are_not_there(self):
        self.refuse(["-Y", "/no/such/file"], BAD, "Could not open authfile [/no/such/file] for reading")
        self.refuse(["-Z", "-o", "ssl_chain_cert=/no/such/cert,ssl_key=/no/such/key"], USAGE, "/no/such/cert")
        self.refuse(["-s", "/no/such/folder/socket"], OSERR, "failed to listen on UNIX socket",
                    "/no/such/folder/socket")

    def test_password_files(self):
        def file(text):
            out = self.enterContext(tempfile.NamedTemporaryFile(prefix="cairn-test-"))
            out.write(text)
            out.flush()
            return out.name

        bad = file(b"user:password\nno colon\n")
        self.refuse(["-Y", bad], BAD, f"Authfile [{bad}] has a malformed entry. Should be 'user:password'")
        if checks.program().at_least(1, 6, 45):  # earlier ones start and let nobody in
            empty = file(b"")
            self.refuse(["-Y", empty], BAD, empty)

    def test_tls_without_a_key(self):
        code, found = failing("-Z")
        self.assertEqual(code, USAGE, found)
        self.assertNotEqual(found, "")

    def test_interfaces(self):
        self.refuse(["-l", "no.such.host.invalid"], OSERR, "failed to listen on", "no.such.host.invalid")
        self.refuse(["-l", "192.0.2.1"], OSERR, "failed to listen on", "192.0.2.1")

    def test_listen_prefixes(self):
        for listen in ("tag[waytoolongtag]:127.0.0.1", "tag[]:127.0.0.1", "tag[open:127.0.0.1",
                       "proto[open:127.0.0.1", "notls:127.0.0.1", "btls:127.0.0.1", "mtls:127.0.0.1"):
            with self.subTest(listen):
                code, found = failing("-l", listen, "-p", "-1")
                self.assertEqual(code, OSERR, found)
                self.assertNotEqual(found, "")

    @checks.cairnd_only("takes an unknown protocol of a listener for the default one")
    def test_unknown_protocol_of_a_listener(self):
        code, found = failing("-l", "proto[http]:127.0.0.1", "-p", "-1")
        self.assertEqual(code, OSERR, found)
        self.assertIn("http", found)

    @checks.cairnd_only("it says what it knows of each suboption; here a build without these parts must not start silently")
    def test_what_is_not_built_stops_the_start(self):
        for options in (["-e", "/tmp/cairn-test-memory"], ["--memory-file=/tmp/cairn-test-memory"],
                        ["-o", "ext_path=/tmp/cairn-test-ext:64m"], ["-o", "proxy_config=/tmp/cairn-test.lua"]):
            with self.subTest(options):
                code, found = failing(*options)
                self.assertNotEqual(code, 0)
                self.assertRegex(found, r"not (built|supported|implemented)")
                self.assertEqual(len(found.splitlines()), 1, found)

    @unittest.skipUnless(checks.is_root(), "needs root")
    def test_root(self):
        self.refuse([], USAGE, "-u root" if checks.program().at_least(1, 6, 45) else "root", user=False)
        self.refuse(["-u", "no_such_user"], NOUSER, "can't find the user no_such_user to switch to", user=False)

    def test_port_in_use(self):
        with servers.Server(servers.find_candidate()) as server:
            self.refuse(["-l", "127.0.0.1", "-p", str(server.port)], OSERR, "failed to listen on", "127.0.0.1")
            self.refuse(["-l", f"127.0.0.1:{server.port}", "-p", "-1"], OSERR, "failed to listen on", "127.0.0.1",
                        str(server.port))

    def test_port_in_use_on_every_address(self):
        port = servers.free_port()
        for family, address in ((socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1")):
            try:
                held = self.enterContext(socket.socket(family))
                held.bind((address, port))
                held.listen()
            except OSError as error:
                self.skipTest(f"{address}: {error}")
        self.refuse(["-p", str(port)], OSERR, f"failed to listen on TCP port {port}")


class Accepted(unittest.TestCase):
    """Each starts a server that serves and shows the setting."""

    def settings(self, *options):
        with servers.Server(servers.find_candidate(), list(options)) as server, server.connect() as client:
            client.send(b"set a 0 0 1\r\nx\r\n")
            self.assertEqual(client.read_line(), b"STORED\r\n")
            return client.stats(b"settings")

    def shown(self, options, **expected):
        with self.subTest(" ".join(options)):
            found = self.settings(*options)
            self.assertEqual({name: found.get(name) for name in expected}, expected)

    def test_short_and_long_names(self):
        self.shown(["-m", "100", "-c", "200", "-t", "2", "-R", "7", "-b", "99", "-f", "1.5", "-n", "60"],
                   maxbytes=str(100 << 20), maxconns="200", num_threads="2", reqs_per_event="7", tcp_backlog="99",
                   growth_factor="1.50", chunk_size="60")
        self.shown(["--memory-limit=100", "--conn-limit=200", "--threads=2", "--max-reqs-per-event=7",
                    "--listen-backlog=99", "--slab-growth-factor=1.5", "--slab-min-size=60"],
                   maxbytes=str(100 << 20), maxconns="200", num_threads="2", reqs_per_event="7", tcp_backlog="99",
                   growth_factor="1.50", chunk_size="60")
        self.shown(["-M", "-C", "-F", "-X", "-A"], evictions="off", cas_enabled="no", flush_enabled="no",
                   dump_enabled="no", shutdown_command="yes")
        self.shown(["--disable-evictions", "--disable-cas", "--disable-flush-all", "--disable-dumping",
                    "--enable-shutdown", "--disable-watch"], evictions="off", cas_enabled="no", flush_enabled="no",
                   dump_enabled="no", shutdown_command="yes")
        self.shown(["-MCFXA"], evictions="off", cas_enabled="no", shutdown_command="yes")
        self.shown(["-m100", "-t2"], maxbytes=str(100 << 20), num_threads="2")
        self.shown(["--protocol", "ascii"], binding_protocol="ascii")

    def test_item_size(self):
        self.shown(["-I", "2m"], item_size_max=str(2 << 20))
        self.shown(["-I", "512k"], item_size_max=str(512 << 10))
        self.shown(["-I", "2097152"], item_size_max=str(2 << 20))
        self.shown(["-I", "4M", "-m", "64"], item_size_max=str(4 << 20))
        self.shown(["--max-item-size=1024m", "-m", "2048"], item_size_max=str(1 << 30))

    def test_delimiter(self):
        self.shown(["-D", "/"], stat_key_prefix="/", detail_enabled="yes")

    def test_verbose_and_rest(self):
        self.shown(["-v"], verbosity="1")
        self.shown(["-vv"], verbosity="2")
        self.shown(["-r"])
        self.shown(["-L"])

    @checks.since(1, 6, 45, reason="it crashes")
    def test_napi_ids(self):
        self.shown(["-N", "2"], num_napi_ids="2")

    def test_locked_memory(self):
        self.shown(["-k", "-m", "16", "-I", "1m", "-t", "1"])

    def test_more_than_64_threads_are_warned_of(self):
        with servers.Server(servers.find_candidate(), ["-t", "65", "-c", "4096"]) as server:
            with server.connect() as client:
                self.assertEqual(client.stats(b"settings")["num_threads"], "65")
            self.assertIn("threads is not recommended", server.log())

    def test_every_suboption(self):
        self.shown(["-o", "modern"])
        self.shown(["-o", "maxconns_fast,hashpower=20,no_hashexpand,hash_algorithm=jenkins,slab_reassign,"
                    "slab_automove=2,slab_automove_ratio=0.5,slab_automove_window=100,slab_automove_freeratio=0.02,"
                    "tail_repair_time=3600,lru_crawler,lru_crawler_sleep=200,lru_crawler_tocrawl=5000,lru_maintainer,"
                    "hot_lru_pct=30,warm_lru_pct=30,hot_max_factor=0.5,warm_max_factor=3"],
                   hashpower_init="20", hash_algorithm="jenkins", slab_automove="2", slab_automove_ratio="0.50",
                   slab_automove_window="100", tail_repair_time="3600", lru_crawler_sleep="200",
                   lru_crawler_tocrawl="5000", hot_lru_pct="30", warm_lru_pct="30", hot_max_factor="0.50",
                   warm_max_factor="3.00")
        self.shown(["-o", "temporary_ttl=30,idle_timeout=100,watcher_logbuf_size=512,worker_logbuf_size=128,"
                    "track_sizes,no_inline_ascii_resp,read_buf_mem_limit=64"],
                   temporary_ttl="30", temp_lru="yes", idle_timeout="100", watcher_logbuf_size=str(512 << 10),
                   worker_logbuf_size=str(128 << 10), track_sizes="yes", read_buf_mem_limit=str(64 << 20))
        self.shown(["-o", "no_maxconns_fast,no_slab_reassign,no_slab_automove,no_lru_crawler,no_lru_maintainer,"
                    "no_drop_privileges,inline_ascii_resp"],
                   maxconns_fast="no", slab_reassign="no", slab_automove="0", lru_crawler="no",
                   lru_maintainer_thread="no", lru_segmented="no")
        self.shown(["-o", "no_modern"], maxconns_fast="no", slab_reassign="no", lru_crawler="no",
                   lru_maintainer_thread="no", hash_algorithm="jenkins")
        self.shown(["-o", "no_chunked_items"])
        self.shown(["-o", "slab_sizes=100-200-400-1000-8000"])
        self.shown(["-o", "hash_algorithm=xxh3"], hash_algorithm="xxh3")
        self.shown(["-o", "hash_algorithm=murmur3", "-o", "hashpower=18"], hash_algorithm="murmur3",
                   hashpower_init="18")
        self.shown(["-o", "slab_automove"], slab_automove="1")

    @checks.since(1, 6, 45, reason="it forgets that the size is in kilobytes")
    def test_chunk_size(self):
        self.shown(["-o", "slab_chunk_max=256"], slab_chunk_max=str(256 << 10))

    def test_suboptions_of_parts_that_are_off(self):
        self.shown(["-o", "ssl_verify_mode=1,ssl_keyformat=1,ssl_ciphers=HIGH,ssl_wbuf_size=32,ssl_session_cache,"
                    "ssl_min_version=3"], ssl_enabled="no", ssl_verify_mode="1", ssl_ciphers="HIGH",
                   ssl_wbuf_size=str(32 << 10), ssl_session_cache="yes", ssl_min_version="tlsv1.3")

    @checks.cairnd_only("only a build that drops privileges knows it, but every test of memcached's own passes it")
    def test_relaxed_privileges(self):
        self.shown(["-o", "relaxed_privileges,drop_privileges,no_drop_privileges"])

    def test_a_deprecated_suboption_is_named(self):
        with servers.Server(servers.find_candidate(), ["-o", "resp_obj_mem_limit=10"]) as server:
            self.assertIn("DEPRECATED: resp_obj_mem_limit", server.log())


class Verbose(unittest.TestCase):
    def log(self, option):
        """What is written about some commands, in order and without the numbers of connections."""
        with servers.Server(servers.find_candidate(), [option]) as server:
            with server.connect() as client:
                self.assertEqual(client.ask(b"set a 0 0 1\r\nx\r\n"), b"STORED\r\n")
                self.assertEqual(client.ask(b"delete missing\r\n"), b"NOT_FOUND\r\n")
                self.assertEqual(client.ask(b"get a\r\n", b"END\r\n"), b"VALUE a 0 1\r\nx\r\nEND\r\n")
                self.assertEqual(client.ask(b"nonsense\r\n"), b"ERROR\r\n")
            server.signal(signal.SIGTERM)
            server.process.wait(checks.DEADLINE)
            text = server.log()
        return re.sub(r"^([<>])\d+ ", r"\1 ", text, flags=re.MULTILINE).splitlines()

    def test_not_at_all(self):
        with servers.Server(servers.find_candidate()) as server, server.connect() as client:
            client.ask(b"nonsense\r\n")
            self.assertEqual(server.log(), "")

    def test_once(self):
        self.assertEqual([line for line in self.log("-v") if "set a" in line], [])

    def test_twice_shows_commands_and_replies(self):
        lines = self.log("-vv")
        for line in ("< set a 0 0 1", "> STORED", "< get a", "< nonsense", "> ERROR"):
            self.assertEqual(lines.count(line), 1, lines)
        self.assertLess(lines.index("< set a 0 0 1"), lines.index("> STORED"), "the request comes first")
        self.assertLess(lines.index("> STORED"), lines.index("< get a"))
        self.assertLess(lines.index("< nonsense"), lines.index("> ERROR"), "the request comes first")


if __name__ == "__main__":
    checks.main()
