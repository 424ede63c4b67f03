#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "cairn/export.h"

namespace cairn {

/// What a request asks for. Patterns such as LookAside are made of these.
enum class Operation : uint8_t {
  kGet,
  kGetAndTouch,
  kGetWithLease,
  kSet,
  kAdd,
  kReplace,
  kAppend,
  kPrepend,
  kCompareAndSwap,
  kDelete,
  kDeleteIf,
  kTouch,
  kInvalidate,
  kReleaseLease,
  kIncrement,
  kDecrement,
  kFlushAll,
  kAskServer,  ///< Version and statistics.
};

/// "get", "get_and_touch", ...: words for names of spans and labels of metrics.
CAIRN_EXPORT std::string_view NameOf(Operation operation);

/// One server's part of a call, when it is over. Views and references are valid within
/// Tracer::OnEnd only.
struct RequestTrace {
  Operation operation = Operation::kGet;
  size_t server = 0;         ///< The index in ClientOptions::servers.
  std::string_view address;  ///< Server::Address()
  size_t keys = 0;           ///< That were asked for; 0 with kFlushAll and kAskServer.
  size_t hits = 0;           ///< That were there; of keys to be changed, where it was done.
  size_t bytes_sent = 0;     ///< Of the request; 0 when it was never sent.
  size_t bytes_received = 0;
  /// From the beginning of the call (its keys placed and its request written) to now.
  absl::Duration duration;
  /// Ok when the server answered; an error line of the server for some of the keys is no failure
  /// here. Otherwise why the keys that were not answered were not reached.
  const absl::Status& status;
  bool sent_again = false;  ///< A read: on a second connection, after the first one was closed.
  /// The call's time was up before, and its caller was told DeadlineExceeded.
  bool abandoned = false;
  uint64_t context = 0;  ///< What OnBegin returned.
};

/// Hears of every request to a server, e.g. to make spans of them. Implemented by the application
/// and given to ClientOptions::tracer.
///
/// Both are called from many threads at the same time, with no lock of the library held. What they
/// do takes their time from calls, and OnEnd from all that share the connection: they must not wait
/// (for a lock that is long held, for I/O) and must not throw. OnEnd must make no call of a Client
/// that waits (it would wait for itself); it may begin asynchronous ones (AsyncResult::Then).
class CAIRN_EXPORT Tracer {
 public:
  virtual ~Tracer() = default;

  /// On the thread that makes a call, before anything of it is sent; asynchronous calls are made
  /// when they are prepared. Once a call, however many servers it asks; not if it asks none. What
  /// it returns comes back with each of the call's requests: a pointer to the span that is open on
  /// this thread, an index.
  virtual uint64_t OnBegin() { return 0; }

  /// Once for each request, when it is over: before the call returns, unless its time is up first
  /// (then `abandoned`), but on the thread that does the I/O, which is another caller's or the
  /// event loop's as often as not.
  virtual void OnEnd(const RequestTrace& request) = 0;
};

}  // namespace cairn
