#include "server/flush.h"

#include <algorithm>
#include <limits>

#include "server/runtime_settings.h"

namespace cairn::server {
namespace {

// Far enough for ever, and far from overflow.
constexpr storage::Time kNever{std::numeric_limits<int64_t>::max() / 2};

}  // namespace

void FlushFromWire(Session& session, int64_t exptime) {
  const Clock& clock = *session.server().clock;
  const storage::Time now = session.now();
  storage::Time when = now;
  if (exptime > 0) {
    const storage::Expiry expiry = clock.ExpiryFromWire(exptime, now);
    when = expiry == storage::Expiry::Past() ? kNever : std::max(expiry.at(), now);
  }
  session.store().Flush(when, now);
  const int64_t uptime_s = when == kNever ? 0 : std::max<int64_t>(clock.UptimeSeconds(when), 0);
  session.server().runtime->oldest_live_s = static_cast<uint64_t>(uptime_s);
}

}  // namespace cairn::server
