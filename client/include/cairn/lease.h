#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "absl/time/time.h"

namespace cairn {

/// A lease is the right to compute a value that is missing, stale, or about to expire. Of all who
/// ask for the value one wins it; the others are told that somebody has it. It ends when a value is
/// stored with it, when it is given back, when the key is deleted or invalidated, or when its time
/// is up; what is stored with a lease that has ended is not stored. So a value that was computed
/// from what a database said before a write never outlives the delete that followed the write.
///
/// On servers only a missing value's lease has a time of its own. Of a stale value they remember
/// until its end that somebody has won it; so a client that is told so for as long as
/// LeaseOptions::lease, of one lease that it has not won itself, gives that back, and asks once
/// more. Of a value near its end they do, too: if he who won it dies, it is computed when it has
/// expired. Leases need CAS, which memcached's -C turns off.
///
/// Servers with the meta protocol keep leases themselves, with an empty value in the key's place
/// until it was computed: classic reads (Client::Get) see that one. With the others a lock does,
/// "lk:<key>", that is added beside the key; there values are never stale and never refreshed ahead
/// of their expiry. What is stored at the very moment of a delete is noticed there when the lock is
/// taken away, and taken back.
///
/// An empty value without flags is not told from what stands in the place of one: give it a flag.

struct LeaseOptions {
  /// For how long a missing value's lease is given, and a stale one's left to somebody else, since
  /// this client first heard of him; rounded up to seconds, a day at most. Zero: none is asked for,
  /// and a value that is not there is just a miss.
  absl::Duration lease = absl::Seconds(10);
  /// Off: a stale value's lease is left to whoever has it, for as long as the value lasts.
  bool takes_over_stale = true;
  /// With less than this to live (at most a day) a value can be won, once, although it is good.
  /// Zero: never.
  absl::Duration refresh_ahead = absl::ZeroDuration();
  /// The most the call takes; zero: ClientOptions::call_timeout.
  absl::Duration timeout = absl::ZeroDuration();
};

/// What shows that one has a lease. A value; copies are the same lease.
class LeaseToken {
 public:
  bool held() const { return kind_ != Kind::kNone; }

 private:
  friend class Client;
  friend class LookAsideCall;
  enum class Kind : uint8_t {
    kNone,
    kMissing,  // of a value that was not there
    kStale,    // of one that was invalidated
    kEarly,    // of one that is good still
    kLock,     // a lock beside the key
  };
  Kind kind_ = Kind::kNone;
  uint64_t cas_ = 0;
  std::string lock_;  // what the lock holds
};

/// What is known of a value, and of the right to compute it.
struct LeasedItem {
  /// Nothing when there is none. Also without a value somebody may be computing it.
  std::optional<std::string> value;
  uint32_t flags = 0;
  /// The value was invalidated, or is about to be computed by somebody else because it was.
  bool stale = false;
  /// The caller is to compute the value, with `token`.
  bool won = false;
  /// Somebody else is, as far as the server knows.
  bool taken = false;
  LeaseToken token;
  /// With `won` or `taken`, which lease it is: the same number, the same one.
  uint64_t lease_id = 0;
  /// Of the value, or of what stands in its place; for Client::CompareAndSwap. 0: there is none.
  uint64_t cas = 0;
  /// How long the value has to live; nothing when there is none or the server does not say so.
  std::optional<absl::Duration> ttl_left;
};

/// One of many to store with leases; views need to last for the call only.
struct LeasedStore {
  std::string_view key;
  std::string_view value;
  LeaseToken token;
  absl::Duration ttl = absl::InfiniteDuration();
  uint32_t flags = 0;
};

/// One of many to give back; the view needs to last for the call only.
struct HeldLease {
  std::string_view key;
  LeaseToken token;
};

}  // namespace cairn
