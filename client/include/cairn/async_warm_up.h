#pragma once

#include <string>
#include <vector>

#include "absl/time/time.h"
#include "cairn/async.h"
#include "cairn/async_look_aside.h"
#include "cairn/client.h"
#include "cairn/export.h"
#include "cairn/warm_up.h"

namespace cairn {

/// WarmUp for event loops and coroutines: the same without waiting, on the loop of `look_aside`,
/// with as many batches under way as `concurrency` says and no thread. Begins are timed by the
/// loop.
///
///   WarmUpProgress done = co_await AsyncWarmUp(AsyncLookAside(&pages), keys, load,
///                                              {.keys_per_second = 1000});
///
/// `load` is called on the loop's thread, where it must not wait, for what is missing of a batch:
/// it begins that and passes `done` on (see AsyncLookAside). One that throws or drops `done` fails
/// the batch (Aborted). `progress` is called there, too; an exception of it says false.
///
/// Needs the AsyncClient and the Clients until it is over, but the LookAside no more. When the
/// AsyncClient is destroyed before, that is when it is over: what was under way has failed, no more
/// was begun, and if nothing had failed until then `failure` is Cancelled.
CAIRN_EXPORT AsyncResult<WarmUpProgress> AsyncWarmUp(AsyncLookAside look_aside,
                                                     std::vector<std::string> keys,
                                                     AsyncLookAside::ComputeMulti load,
                                                     WarmUpOptions options = {});

/// WarmUpFromPool on the loops of the two (Client::Async()), `progress` on that of `to`. On another
/// loop: AsyncWarmUp of a LookAside with LookAsideOptions::fill_from, and a `load` that has
/// nothing.
CAIRN_EXPORT AsyncResult<WarmUpProgress> AsyncWarmUpFromPool(Client* to, Client* from,
                                                             std::vector<std::string> keys,
                                                             absl::Duration ttl,
                                                             WarmUpOptions options = {});

}  // namespace cairn
