#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "cairn/compression.h"
#include "cairn/placement.h"
#include "cairn/server.h"
#include "cairn/tls.h"
#include "cairn/tracing.h"

namespace cairn {

/// For one call.
struct CallOptions {
  /// The most it takes; zero: ClientOptions::call_timeout.
  absl::Duration timeout = absl::ZeroDuration();
};

/// For a call that stores.
struct WriteOptions {
  /// How long the server may keep it, rounded up to seconds. Infinite: until it is evicted. Zero or
  /// negative: expired at once. What ends after 19 January 2038 ends then: servers know no later
  /// dates.
  absl::Duration ttl = absl::InfiniteDuration();
  /// 32 bits that come back with the value.
  uint32_t flags = 0;
  absl::Duration timeout = absl::ZeroDuration();
};

/// One of many to store; views need to last for the call only.
struct SetItem {
  std::string_view key;
  std::string_view value;
};

/// What a Client is made of. Only `servers` has no default.
struct ClientOptions {
  std::vector<Server> servers;

  /// For new sites. One that shares its servers with another client library says
  /// PlacementOptions::For(PlacementPreset::...).
  PlacementOptions placement;

  /// Stands before every key on the wire, e.g. "v7:": raising it starts with an empty cache. Counts
  /// towards the 250 bytes of a key; at most 200.
  std::string key_prefix;
  /// Whether the prefix takes part in choosing the server. Without, a key stays on its server
  /// whatever the prefix, as with libmemcached and pymemcache.
  bool hash_key_prefix = false;

  enum class Protocol : uint8_t {
    /// Each connection asks: meta from memcached 1.6.12 on, unless a proxy in between has none.
    kAuto,
    kText,  ///< Classic text only, and nothing asked: for proxies that dislike questions.
  };
  Protocol protocol = Protocol::kAuto;

  /// What connections begin with; nothing when `username` is empty.
  std::string username;
  std::string password;
  enum class Auth : uint8_t {
    kAscii,  ///< memcached's ASCII authentication (-Y).
    /// SASL PLAIN (-S). Such servers speak the binary protocol only: `protocol` is not looked at,
    /// and leases are what they are with classic text. PLAIN sends the password as it is: TLS
    /// hides it.
    kSaslPlain,
  };
  Auth auth = Auth::kAscii;

  /// Looks up a host name in place of the system's resolver: its addresses, as text, in the order
  /// in which they are to be tried. It is called for each name when the Client is made, and again
  /// after failures, on threads of the library's that may outlive the Client: it owns what it
  /// needs, and is thread-safe. Not asked about addresses and paths.
  using Resolver = std::function<absl::StatusOr<std::vector<std::string>>(const std::string& host)>;
  Resolver resolver;

  /// TLS to all servers but those at UNIX sockets; without it, none. Unimplemented when the library
  /// was built without OpenSSL.
  std::optional<TlsOptions> tls;

  /// Until a connection is up: TLS, authentication and the version included. A host with several
  /// addresses has it for all of them; each gets an equal share of what is left.
  absl::Duration connect_timeout = absl::Milliseconds(250);
  /// How long a server that owes an answer may send nothing (and take nothing) before it counts as
  /// hung: its connection is closed and all that waited on it fails.
  absl::Duration request_timeout = absl::Milliseconds(500);
  /// The most any call takes, however many servers and batches it needs. CallOptions::timeout
  /// replaces it for one call.
  absl::Duration call_timeout = absl::Seconds(5);

  /// After this many failures (refused, timed out, broken stream), each within `fail_timeout` of
  /// the one before (plus connect_timeout and request_timeout, which it may take to show), a server
  /// is left alone for `fail_timeout`, then for twice that after each failed trial, up to
  /// `pause_max`. Its keys fail at once meanwhile. 0: never left alone.
  uint32_t max_fails = 3;
  absl::Duration fail_timeout = absl::Seconds(2);
  absl::Duration pause_max = absl::Seconds(30);
  /// While a server is left alone its keys go to the others, and return with it. Off: they fail,
  /// and no key is ever found stale after its server was away for a while.
  bool eject = false;
  /// The longest time to live of what is stored on backups (Server::backup), rounded up to seconds;
  /// at most 30 days, or infinite. A short one makes them a gutter: a value that another process
  /// has changed or deleted where it lives is found there for no longer than this.
  absl::Duration backup_ttl_max = absl::InfiniteDuration();

  /// Connections are shared: what threads ask at the same time leaves in one write. More of them
  /// let several threads read answers at once, and a large value hold up fewer others. 1 to 64.
  size_t connections_per_server = 1;

  /// Compresses what is stored; without it, nothing is compressed and nothing unpacked. Append and
  /// Prepend are refused with it (FailedPrecondition): they would spoil compressed values.
  /// Unimplemented when the library was built without zstd.
  std::optional<CompressionOptions> compression;

  /// Hears of every request (cairn/tracing.h). Null: nobody, which costs nothing.
  std::shared_ptr<Tracer> tracer;

  /// A larger value is refused before it is sent, to whichever server; what counts is what is sent,
  /// i.e. after compression. Servers are also asked for their own -I, which proxies do not tell,
  /// before the first value of about 1 KB or more, and what one of them refuses for certain is not
  /// sent to it. Instead of a set a delete is: no older value is left.
  size_t value_bytes_max = size_t{1024} * 1024 - 512;
};

}  // namespace cairn
