"""The statistics as programs read them that are not here to be run: prometheus' memcached_exporter, admin pages, scripts.

Names and order of memcached 1.6.45; every value one token; a number where memcached has a number.
"""

import re

import checks

GENERAL = """
pid uptime time version libevent pointer_size rusage_user rusage_system max_connections curr_connections
total_connections rejected_connections connection_structures response_obj_oom response_obj_count response_obj_bytes
read_buf_count read_buf_bytes read_buf_bytes_free read_buf_oom reserved_fds cmd_get cmd_set cmd_flush cmd_touch cmd_meta
get_hits get_misses get_expired get_flushed delete_misses delete_hits incr_misses incr_hits decr_misses decr_hits
cas_misses cas_hits cas_badval touch_hits touch_misses store_too_large store_no_memory auth_cmds auth_errors bytes_read
bytes_written limit_maxbytes accepting_conns listen_disabled_num time_in_listen_disabled_us threads conn_yields
hash_power_level hash_bytes hash_is_expanding slab_reassign_rescues slab_reassign_chunk_rescues
slab_reassign_inline_reclaim slab_reassign_busy_items slab_reassign_busy_deletes slab_reassign_busy_nomem
slab_reassign_last_busy_status slab_reassign_running slabs_moved lru_crawler_running lru_crawler_starts
lru_maintainer_juggles malloc_fails log_worker_dropped log_worker_written log_watcher_skipped log_watcher_sent
log_watchers unexpected_napi_ids round_robin_fallback bytes curr_items total_items slab_global_page_pool
expired_unfetched evicted_unfetched evicted_active evictions reclaimed crawler_reclaimed crawler_items_checked
lrutail_reflocked moves_to_cold moves_to_warm moves_within_lru direct_reclaims lru_bumps_dropped
""".split()

SETTINGS = """
maxbytes maxconns tcpport udpport inter verbosity oldest evictions domain_socket umask shutdown_command growth_factor
chunk_size num_threads num_threads_per_udp stat_key_prefix detail_enabled reqs_per_event cas_enabled tcp_backlog
binding_protocol auth_enabled_sasl auth_enabled_ascii item_size_max maxconns_fast hashpower_init slab_reassign
slab_automove slab_automove_ratio slab_automove_window slab_chunk_max lru_crawler lru_crawler_sleep lru_crawler_tocrawl
tail_repair_time flush_enabled dump_enabled hash_algorithm lru_maintainer_thread lru_segmented hot_lru_pct warm_lru_pct
hot_max_factor warm_max_factor temp_lru temporary_ttl idle_timeout watcher_logbuf_size worker_logbuf_size
read_buf_mem_limit track_sizes inline_ascii_response ext_item_size ext_item_age ext_low_ttl ext_recache_rate
ext_wbuf_size ext_compact_under ext_drop_under ext_max_sleep ext_max_frag slab_automove_freeratio ext_drop_unread
ssl_enabled ssl_chain_cert ssl_key ssl_verify_mode ssl_keyformat ssl_ciphers ssl_ca_cert ssl_wbuf_size
ssl_session_cache ssl_kernel_tls ssl_min_version num_napi_ids memory_file client_flags_size
""".split()

# What another value than a number is in memcached by default.
GENERAL_WORDS = {"version", "libevent", "slab_reassign_last_busy_status"}
SETTINGS_DEFAULTS = {
    "evictions": "on", "domain_socket": "NULL", "umask": "700", "shutdown_command": "no", "growth_factor": "1.25",
    "chunk_size": "48", "num_threads": "4", "num_threads_per_udp": "4", "stat_key_prefix": ":", "detail_enabled": "no",
    "reqs_per_event": "20", "cas_enabled": "yes", "tcp_backlog": "1024", "binding_protocol": "auto-negotiate",
    "auth_enabled_sasl": "no", "auth_enabled_ascii": "no", "item_size_max": "1048576", "maxconns_fast": "yes",
    "maxbytes": "67108864", "maxconns": "1024", "inter": "127.0.0.1", "verbosity": "0", "idle_timeout": "0",
    "slab_reassign": "yes", "slab_automove": "1", "slab_automove_ratio": "0.80", "slab_chunk_max": "524288",
    "lru_crawler": "yes", "lru_crawler_sleep": "100", "lru_crawler_tocrawl": "0", "tail_repair_time": "0",
    "flush_enabled": "yes", "dump_enabled": "yes", "hash_algorithm": "murmur3", "lru_maintainer_thread": "yes",
    "lru_segmented": "yes", "hot_lru_pct": "20", "warm_lru_pct": "40", "hot_max_factor": "0.20",
    "warm_max_factor": "2.00", "temp_lru": "no", "temporary_ttl": "61", "watcher_logbuf_size": "262144",
    "worker_logbuf_size": "65536", "track_sizes": "no", "ssl_enabled": "no", "ssl_chain_cert": "(null)",
    "ssl_min_version": "tlsv1.2", "memory_file": "(null)", "slab_automove_freeratio": "0.010", "hashpower_init": "0",
}

ITEMS = """
number number_hot number_warm number_cold age_hot age_warm age mem_requested evicted evicted_nonzero evicted_time
outofmemory tailrepairs reclaimed expired_unfetched evicted_unfetched evicted_active crawler_reclaimed
crawler_items_checked lrutail_reflocked moves_to_cold moves_to_warm moves_within_lru direct_reclaims hits_to_hot
hits_to_warm hits_to_cold hits_to_temp
""".split()

SLABS = """
chunk_size chunks_per_page total_pages total_chunks used_chunks free_chunks free_chunks_end get_hits cmd_set delete_hits
incr_hits decr_hits cas_hits cas_badval touch_hits
""".split()

NUMBER = re.compile(r"^\d+$")


class Reader(checks.ServerCase):
    """`stats` with default options, with some items and counters in it."""

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        with cls.server.connect() as client:
            for number in range(50):
                client.ask(b"set key%d 0 0 %d\r\n%s\r\n" % (number, number * 400, b"x" * number * 400))
            client.ask(b"get key1 key2 missing\r\n", b"END\r\n")
            client.ask(b"set n 0 0 1\r\n1\r\n")
            for line in (b"incr n 1", b"decr n 1", b"incr missing 1", b"decr missing 1", b"touch n 0",
                         b"touch missing 0", b"delete missing", b"delete key3"):
                client.ask(line + b"\r\n")
            cas = client.ask(b"gets n\r\n", b"END\r\n").split()[4]
            client.ask(b"cas n 0 0 1 %s\r\n2\r\n" % cas)
            client.ask(b"cas n 0 0 1 %s\r\n2\r\n" % cas)
            client.ask(b"cas missing 0 0 1 1\r\n2\r\n")

    def lines(self, request):
        """The reply's lines, checked to be `STAT name value` of one token each."""
        lines = self.client().ask(request + b"\r\n", b"END\r\n").decode("ascii").split("\r\n")
        self.assertEqual(lines[-2:], ["END", ""])
        pairs = []
        for line in lines[:-2]:
            self.assertRegex(line, r"^STAT \S+ \S+$")
            pairs.append(tuple(line.split()[1:]))
        self.assertEqual(len({name for name, _ in pairs}), len(pairs), "a name is there twice")
        return pairs

    @checks.since(1, 6, 45, reason="other names of the page mover's counters")
    def test_general_names_and_order(self):
        self.assertEqual([name for name, _ in self.lines(b"stats")], GENERAL)

    @checks.since(1, 6, 45, reason="no client_flags_size")
    def test_settings_names_and_order(self):
        self.assertEqual([name for name, _ in self.lines(b"stats settings")], SETTINGS)

    def test_general_values(self):
        stats = dict(self.lines(b"stats"))
        for name, value in stats.items():
            if name.startswith("rusage_"):
                self.assertRegex(value, r"^\d+\.\d{6}$")
            elif name not in GENERAL_WORDS:
                self.assertRegex(value, NUMBER, name)
        self.assertRegex(stats["version"], r"^\d+\.\d+\.\d+$")
        self.assertEqual(int(stats["pid"]), self.server.pid)
        self.assertEqual(stats["pointer_size"], "64")
        self.assertEqual(stats["threads"], "4")
        self.assertEqual(stats["accepting_conns"], "1")
        self.assertEqual(stats["limit_maxbytes"], "67108864")

    def test_counters_count(self):
        stats = {name: int(value) for name, value in self.lines(b"stats") if NUMBER.match(value)}
        expected = {"cmd_get": 4, "get_hits": 3, "get_misses": 1, "cmd_set": 54, "delete_hits": 1, "delete_misses": 1,
                    "incr_hits": 1, "incr_misses": 1, "decr_hits": 1, "decr_misses": 1, "cas_hits": 1, "cas_badval": 1,
                    "cas_misses": 1, "touch_hits": 1, "touch_misses": 1, "cmd_touch": 2, "curr_items": 50}
        self.assertEqual({name: stats[name] for name in expected}, expected)
        self.assertGreaterEqual(stats["total_items"], 52)
        self.assertGreater(stats["bytes"], sum(number * 400 for number in range(50)) - 1200)

    def test_settings_values(self):
        settings = dict(self.lines(b"stats settings"))
        self.assertEqual({name: settings.get(name) for name in SETTINGS_DEFAULTS}, SETTINGS_DEFAULTS)
        self.assertEqual(settings["tcpport"], str(self.server.port))
        for name in ("maxconns", "lru_crawler_sleep", "lru_crawler_tocrawl", "hot_lru_pct", "warm_lru_pct"):
            self.assertRegex(settings[name], NUMBER)

    def test_items(self):
        classes = {}
        for name, value in self.lines(b"stats items"):
            word, number, field = name.split(":")
            self.assertEqual(word, "items")
            self.assertRegex(value, NUMBER, name)
            classes.setdefault(int(number), {})[field] = int(value)
        for number, fields in classes.items():
            self.assertEqual(list(fields), ITEMS, f"class {number}")
        self.assertEqual(sum(fields["number"] for fields in classes.values()), 50)
        self.assertEqual(list(classes), sorted(classes))

    def test_slabs(self):
        classes, totals = {}, {}
        for name, value in self.lines(b"stats slabs"):
            self.assertRegex(value, NUMBER, name)
            if ":" in name:
                number, field = name.split(":")
                classes.setdefault(int(number), {})[field] = int(value)
            else:
                totals[name] = int(value)
        self.assertEqual(list(totals), ["active_slabs", "total_malloced"])
        self.assertEqual(totals["active_slabs"], len(classes))
        for number, fields in classes.items():
            self.assertEqual(list(fields), SLABS, f"class {number}")
            self.assertGreater(fields["chunk_size"], 0)
            self.assertGreater(fields["chunks_per_page"], 0)
            self.assertEqual(fields["used_chunks"] + fields["free_chunks"], fields["total_chunks"])
        self.assertGreater(sum(fields["used_chunks"] for fields in classes.values()), 0)
        self.assertGreaterEqual(sum(fields["get_hits"] for fields in classes.values()), 3)

    def test_every_class_of_items_is_one_of_slabs(self):
        items = {name.split(":")[1] for name, _ in self.lines(b"stats items")}
        slabs = {name.split(":")[0] for name, _ in self.lines(b"stats slabs") if ":" in name}
        self.assertLessEqual(items, slabs)

    def test_conns(self):
        states = set()
        for name, value in self.lines(b"stats conns"):
            number, field = name.split(":")
            self.assertRegex(number, NUMBER)
            if field == "addr":
                self.assertRegex(value, r"^tcp:127\.0\.0\.1:\d+$")
            if field == "state":
                states.add(value)
        self.assertIn("conn_listening", states)
        self.assertGreater(len(states), 1)

    def test_sizes_are_off(self):
        self.assertEqual(self.lines(b"stats sizes"), [("sizes_status", "disabled")])

    def test_an_exporter_finds_what_it_reads(self):
        """What memcached_exporter turns into metrics must be there and parse as it parses it."""
        stats = dict(self.lines(b"stats"))
        for name in ("uptime time cas_badval cmd_flush cmd_set bytes limit_maxbytes curr_items total_items bytes_read "
                     "bytes_written curr_connections total_connections rejected_connections conn_yields "
                     "listen_disabled_num evictions reclaimed store_too_large store_no_memory lru_crawler_starts "
                     "direct_reclaims crawler_items_checked crawler_reclaimed moves_to_cold moves_to_warm "
                     "moves_within_lru accepting_conns get_hits get_misses delete_hits delete_misses incr_hits "
                     "incr_misses decr_hits decr_misses cas_hits cas_misses touch_hits touch_misses").split():
            float(stats[name])
        for name in ("rusage_user", "rusage_system"):
            seconds, micros = stats[name].split(".")
            float(seconds), float(micros)
        settings = dict(self.lines(b"stats settings"))
        self.assertEqual(settings["lru_crawler"], "yes")
        self.assertIn(settings["lru_maintainer_thread"], ("yes", "no"))
        for name in ("maxconns lru_crawler_sleep lru_crawler_tocrawl hot_lru_pct warm_lru_pct hot_max_factor "
                     "warm_max_factor").split():
            float(settings[name])
        set_only = int(stats["cmd_set"]) - sum(int(stats[f"cas_{end}"]) for end in ("hits", "misses", "badval"))
        self.assertGreaterEqual(set_only, 0)


class Reset(checks.ServerCase):
    def test_reset_keeps_the_gauges(self):
        client = self.client()
        client.ask(b"set a 0 0 1\r\nx\r\n")
        client.ask(b"get a\r\n", b"END\r\n")
        before = client.stats()
        self.assertEqual(client.ask(b"stats reset\r\n"), b"RESET\r\n")
        after = client.stats()
        for name in ("cmd_get", "cmd_set", "get_hits", "total_items", "evictions", "cas_hits"):
            self.assertEqual(after[name], "0", name)
        for name in ("curr_items", "bytes", "limit_maxbytes", "pid", "threads", "max_connections"):
            self.assertEqual(after[name], before[name], name)


class Counters(checks.ServerCase):
    def test_expired_items_are_counted(self):
        client = self.client()
        before = client.stats()
        for number in range(20):
            client.ask(b"set e%d 0 -1 1\r\nx\r\n" % number)
            self.assertEqual(client.ask(b"get e%d\r\n" % number, b"END\r\n"), b"END\r\n")
        after = client.stats()
        self.assertEqual(int(after["get_misses"]) - int(before["get_misses"]), 20)
        expired = int(after["get_expired"]) - int(before["get_expired"])
        self.assertIn(expired, range(10, 21))  # the background may have been quicker with some

    def test_states_of_connections(self):
        asking, sending, idle = self.client(), self.client(), self.client()
        for client in (asking, sending, idle):
            client.ask(b"mn\r\n")
        sending.send(b"set half 0 0 100\r\npart of it")

        def states():
            fields = asking.stats(b"conns")
            return sorted(value for name, value in fields.items() if name.endswith(":state"))

        checks.until(lambda: "conn_nread" in states(), "a connection waits for the rest of a value")
        found = states()
        self.assertEqual(found.count("conn_listening"), 1, found)
        self.assertEqual(found.count("conn_parse_cmd"), 1, found)  # the one that asks
        sending.send(b"x" * 90 + b"\r\n")
        self.assertEqual(sending.read_line(), b"STORED\r\n")


@checks.since(1, 6, 45, reason="other names of the page mover's counters")
class WithOptions(checks.ServerCase):
    """Names that come with options."""

    options = ["-o", "idle_timeout=1000,temporary_ttl=20,track_sizes", "-M", "-F", "-X", "-A", "-c", "500", "-m", "100",
               "-t", "2", "-I", "2m", "-R", "30", "-b", "500", "-D", "/", "-C"]

    def test_general(self):
        names = list(self.stats())
        at = GENERAL.index("auth_errors") + 1
        self.assertEqual(names, GENERAL[:at] + ["idle_kicks"] + GENERAL[at:])

    def test_settings(self):
        settings = self.stats(b"settings")
        self.assertEqual(list(settings), SETTINGS)
        expected = {"evictions": "off", "flush_enabled": "no", "dump_enabled": "no", "shutdown_command": "yes",
                    "maxconns": "500", "maxbytes": str(100 << 20), "num_threads": "2", "item_size_max": str(2 << 20),
                    "reqs_per_event": "30", "tcp_backlog": "500", "stat_key_prefix": "/", "detail_enabled": "yes",
                    "cas_enabled": "no", "idle_timeout": "1000", "temp_lru": "yes", "temporary_ttl": "20",
                    "track_sizes": "yes"}
        self.assertEqual({name: settings[name] for name in expected}, expected)

    def test_items_with_a_temporary_lru(self):
        client = self.client()
        client.ask(b"set a 0 0 1\r\nx\r\n")
        names = [name.split(":")[2] for name in client.stats(b"items")]
        at = ITEMS.index("number_cold") + 1
        self.assertEqual(names, ITEMS[:at] + ["number_temp"] + ITEMS[at:])

    def test_sizes(self):
        client = self.client()
        client.ask(b"set a 0 0 1\r\nx\r\n")
        for name, value in client.stats(b"sizes").items():
            self.assertRegex(f"{name} {value}", r"^\d+ \d+$")
            self.assertEqual(int(name) % 32, 0)


@checks.since(1, 6, 45, reason="other names of the page mover's counters")
class WithoutFastMaxconns(checks.ServerCase):
    options = ["-o", "no_maxconns_fast"]

    def test_general(self):
        self.assertEqual(list(self.stats()), [name for name in GENERAL if name != "rejected_connections"])
        self.assertEqual(self.stats(b"settings")["maxconns_fast"], "no")


if __name__ == "__main__":
    checks.main()
