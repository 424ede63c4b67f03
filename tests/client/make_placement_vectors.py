#!/usr/bin/python3
"""Asks the installed libmemcached and pymemcache where they put keys; prints placement_vectors.tsv.

Columns: preset, servers (as Server::Parse reads them, separated by commas), key, index of the
server. Run by hand when there are vectors to add: placement_test.cc checks the committed file.
"""

import ctypes

import pymemcache
from pymemcache.client.rendezvous import RendezvousHash

HASH, KETAMA, KETAMA_WEIGHTED = 2, 3, 16  # memcached_behavior_t
MD5 = 1  # memcached_hash_t

PLAIN = [("10.7.0.%d" % i, 11211, 1) for i in range(1, 6)]
PORTS = [("cache-a", 11211, 1), ("cache-b", 11300, 1), ("10.1.1.1", 11301, 1)]
WEIGHTS = [("10.8.0.%d" % i, 11210 + i, weight) for i, weight in enumerate((1, 4, 3, 2, 1, 4), 1)]
EQUAL25 = [("10.9.0.%d" % i, 11211, 1) for i in range(1, 26)]
KEYS = ["k", "user:42", "page:/index.html?lang=en", "x" * 55, "y" * 56, "z" * 250, "caf\u00e9",
        "\u65e5\u672c\u8a9e:7", "a-b_c.d", "\U0001f600"] + ["session:%04d" % i for i in range(0, 90, 9)]

library = ctypes.CDLL("libmemcached.so.11")
library.memcached_create.restype = ctypes.c_void_p
library.memcached_create.argtypes = [ctypes.c_void_p]
library.memcached_behavior_set.argtypes = [ctypes.c_void_p, ctypes.c_int, ctypes.c_uint64]
library.memcached_server_add_with_weight.argtypes = [
    ctypes.c_void_p, ctypes.c_char_p, ctypes.c_uint16, ctypes.c_uint32]
library.memcached_generate_hash.argtypes = [ctypes.c_void_p, ctypes.c_char_p, ctypes.c_size_t]
library.memcached_generate_hash.restype = ctypes.c_uint32


def libmemcached(behaviors, servers, key):
    handle = library.memcached_create(None)
    for name, value in behaviors:
        assert library.memcached_behavior_set(handle, name, value) == 0
    for host, port, weight in servers:
        assert library.memcached_server_add_with_weight(handle, host.encode(), port, weight) == 0
    raw = key.encode()
    return library.memcached_generate_hash(handle, raw, len(raw))


def pymemcache_index(servers, key):
    nodes = ["%s:%d" % server[:2] for server in servers]
    return nodes.index(RendezvousHash(nodes=nodes).get_node(key))


def row(preset, servers, key, index):
    text = ",".join("%s:%d:%d" % server for server in servers)
    print(preset, text, key, index, sep="\t")


def main():
    print("# libmemcached 1.1.4, pymemcache %s; see make_placement_vectors.py" % pymemcache.__version__)
    for preset, behaviors in (
            ("libmemcached-weighted", [(KETAMA_WEIGHTED, 1)]),
            ("libmemcached-md5", [(HASH, MD5), (KETAMA, 1)]),
            ("libmemcached-ketama", [(KETAMA, 1)]),
            ("libmemcached-modula", [])):
        for servers in (PLAIN, PORTS, WEIGHTS, EQUAL25):
            for key in KEYS:
                row(preset, servers, key, libmemcached(behaviors, servers, key))
    for servers in (PLAIN, PORTS, EQUAL25):
        for key in KEYS:
            row("pymemcache", servers, key, pymemcache_index(servers, key))
            row("pymemcache-bytes", servers, key, pymemcache_index(servers, key.encode()))


main()
