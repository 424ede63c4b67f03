#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "cairn/export.h"
#include "cairn/lease.h"
#include "cairn/options.h"
#include "cairn/results.h"
#include "cairn/statistics.h"

namespace cairn {

class AsyncClient;

/// Many cache servers as one cache. Thread-safe; one Client a process is what is meant. Nothing
/// throws and nothing waits longer than its timeout.
///
/// A status that is not ok means that the server did not answer the question; what it answered,
/// also "no such key", is in the value.
///   Unavailable        no connection, or it broke, or the server is left alone for a while
///   DeadlineExceeded   no answer within the timeouts; a write may have been carried out
///   InvalidArgument    a key that is empty, longer than 250 bytes with its prefix, or with
///                      blanks or control characters; a number that the server takes for none
///   ResourceExhausted  a value above ClientOptions::value_bytes_max, or the server's own limits
///   DataLoss           the server's answers made no sense; the connection was closed
///   Unknown            any other error line of the server, which is the message
///
/// A call's work is done by the threads that wait: one of them sends and reads for all, so an
/// answer costs no switch between threads when one thread asks, and one write when many do.
///
/// A Client belongs to the process that made it, and so do its AsyncClients and what is made of
/// them. After fork() the child has the same connections: whoever of the two asks there may be
/// given the other's answer. So the child must neither call a Client that was made before nor
/// destroy it (nor let exit() do so: that would say goodbye on the parent's connections, and wait
/// for a thread that is the parent's alone); exec() and _exit() are fine, and close all. The parent
/// goes on as ever. Processes that are forked to do the work make their own Client afterwards.
class CAIRN_EXPORT Client {
 public:
  /// InvalidArgument when the options contradict themselves. Resolves host names, hence may take as
  /// long as the resolver does; connects to nothing: a server that is down is no error here.
  static absl::StatusOr<std::unique_ptr<Client>> Make(ClientOptions options);

  /// Ends calls of Async() as ~AsyncClient does: completions that always ask again keep it from
  /// returning, too.
  /// REQUIRES: no call is running
  ~Client();
  Client(const Client&) = delete;
  Client& operator=(const Client&) = delete;

  /// The value; nothing when there is none.
  absl::StatusOr<std::optional<std::string>> Get(std::string_view key,
                                                 const CallOptions& options = {});
  /// The value with its flags and CAS number.
  absl::StatusOr<std::optional<Item>> Gets(std::string_view key, const CallOptions& options = {});
  /// The value, and a new time to live for it. Without the meta protocol these are two requests, a
  /// read and a touch of what was there.
  absl::StatusOr<std::optional<Item>> GetAndTouch(std::string_view key, absl::Duration ttl,
                                                  const CallOptions& options = {});
  /// All at once, from all their servers at the same time. What one server fails to answer costs no
  /// other key its answer. `with_cas` asks for CAS numbers.
  MultiGetResult GetMulti(std::span<const std::string_view> keys, const CallOptions& options = {},
                          bool with_cas = false);

  /// A value that is too large leaves none: what was there before is deleted, as memcached does, by
  /// SetMulti() and SetAll(), too. (A delete that fails is not told of; one for which encoding the
  /// values has left no time is, as DeadlineExceeded.)
  absl::Status Set(std::string_view key, std::string_view value, const WriteOptions& options = {});
  /// Stores if there is no value (Add) or if there is one (Replace): whether it did.
  absl::StatusOr<bool> Add(std::string_view key, std::string_view value,
                           const WriteOptions& options = {});
  absl::StatusOr<bool> Replace(std::string_view key, std::string_view value,
                               const WriteOptions& options = {});
  /// Adds to the end or the beginning of a value; false when there is none, or when servers take
  /// none as large as it would get (they say the same). Flags and TTL stay.
  absl::StatusOr<bool> Append(std::string_view key, std::string_view value,
                              const CallOptions& options = {});
  absl::StatusOr<bool> Prepend(std::string_view key, std::string_view value,
                               const CallOptions& options = {});
  /// Stores if the value is still the one that had `cas`.
  absl::StatusOr<CasOutcome> CompareAndSwap(std::string_view key, std::string_view value,
                                            uint64_t cas, const WriteOptions& options = {});

  /// Whether there was a value.
  absl::StatusOr<bool> Delete(std::string_view key, const CallOptions& options = {});
  absl::StatusOr<bool> Touch(std::string_view key, absl::Duration ttl,
                             const CallOptions& options = {});

  /// The new number; nothing when there is no value. Wraps at 2^64; Decrement stops at 0.
  absl::StatusOr<std::optional<uint64_t>> Increment(std::string_view key, uint64_t delta = 1,
                                                    const CallOptions& options = {});
  absl::StatusOr<std::optional<uint64_t>> Decrement(std::string_view key, uint64_t delta = 1,
                                                    const CallOptions& options = {});

  /// The same, but a number that is not there begins as `initial`, to which `delta` is then
  /// applied, and lives for `ttl` from then on.
  absl::StatusOr<uint64_t> IncrementOrStart(std::string_view key, uint64_t delta, uint64_t initial,
                                            absl::Duration ttl, const CallOptions& options = {});
  absl::StatusOr<uint64_t> DecrementOrStart(std::string_view key, uint64_t delta, uint64_t initial,
                                            absl::Duration ttl, const CallOptions& options = {});

  /// Many writes at once, acknowledged each by each. Of a key given twice, once with a value that
  /// is too large, either item may have the last word.
  MultiWriteResult SetMulti(std::span<const SetItem> items, const WriteOptions& options = {});
  /// The same with one answer for all, which costs less: ok when every value was stored; otherwise
  /// what first went wrong, and any of the others may have been stored or not.
  absl::Status SetAll(std::span<const SetItem> items, const WriteOptions& options = {});
  MultiWriteResult DeleteMulti(std::span<const std::string_view> keys,
                               const CallOptions& options = {});
  MultiWriteResult TouchMulti(std::span<const std::string_view> keys, absl::Duration ttl,
                              const CallOptions& options = {});

  /// Leases: cairn/lease.h says what they are. Most applications want cairn/look_aside.h.
  absl::StatusOr<LeasedItem> GetWithLease(std::string_view key, const LeaseOptions& options = {});
  /// One answer a key, in their order.
  std::vector<absl::StatusOr<LeasedItem>> GetMultiWithLease(std::span<const std::string_view> keys,
                                                            const LeaseOptions& options = {});
  /// Stores what was computed, and with that gives the lease back. False: the lease was lost, to a
  /// delete, to a set, or because its time was up, and nothing was stored.
  /// REQUIRES: token.held()
  absl::StatusOr<bool> SetWithLease(std::string_view key, std::string_view value,
                                    const LeaseToken& token, const WriteOptions& options = {});
  std::vector<absl::StatusOr<bool>> SetMultiWithLease(std::span<const LeasedStore> stores,
                                                      const CallOptions& options = {});
  /// Gives a lease back unused, so that the next who asks gets it; but that of a value near its
  /// end, which is won once. False: it was lost before. REQUIRES: token.held()
  absl::StatusOr<bool> ReleaseLease(std::string_view key, const LeaseToken& token,
                                    const CallOptions& options = {});
  std::vector<absl::StatusOr<bool>> ReleaseMulti(std::span<const HeldLease> leases,
                                                 const CallOptions& options = {});
  /// Deletes a value, and takes the lease away from whoever is computing a new one: what was read
  /// before this call is not stored after it. Whether there was a value.
  absl::StatusOr<bool> DeleteAndLease(std::string_view key, const CallOptions& options = {});
  /// Marks a value as stale for `stale_for`, after which it is gone: one reader gets a lease to
  /// compute it anew and the others may take the stale value meanwhile. Takes leases away as
  /// DeleteAndLease does. With classic text, or without `stale_for`, that is what it is.
  absl::StatusOr<bool> Invalidate(std::string_view key, absl::Duration stale_for,
                                  const CallOptions& options = {});
  std::vector<absl::StatusOr<bool>> InvalidateMulti(std::span<const std::string_view> keys,
                                                    absl::Duration stale_for,
                                                    const CallOptions& options = {});
  /// Deletes a value that still has `cas`: kStored, if it did.
  absl::StatusOr<CasOutcome> DeleteIf(std::string_view key, uint64_t cas,
                                      const CallOptions& options = {});

  /// To every server that is not marked down; the first failure, if any, after all were asked.
  absl::Status FlushAll(const CallOptions& options = {});

  /// The same calls without waiting (cairn/async.h), on an event loop of the library's own: a
  /// thread that is started the first time this is called and ends with the Client.
  AsyncClient& Async();

  size_t server_count() const;
  const Server& server(size_t index) const;
  /// Where a key (without prefix) lives just now.
  size_t ServerOf(std::string_view key) const;

  /// What this client has seen of each server, in the order of ClientOptions::servers. To be asked
  /// every few seconds rather than with every call: it adds up a few thousand numbers.
  std::vector<ServerStatistics> Stats() const;

  /// One server's version, and its `stats <group>` (empty: the general ones) as names and values.
  /// REQUIRES: server < server_count()
  absl::StatusOr<std::string> Version(size_t server, const CallOptions& options = {});
  absl::StatusOr<std::vector<std::pair<std::string, std::string>>> Stats(
      size_t server, std::string_view group = {}, const CallOptions& options = {});

 private:
  friend class AsyncClient;
  friend class AtHome;  // private to the library
  class Impl;
  class Leases;
  explicit Client(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace cairn
