#pragma once

#include <bitset>
#include <cstdint>
#include <memory>

#include "server/session.h"

/// Listings of what is in the cache, produced piece by piece: no lock is held while a slow client
/// drains one, any number may run at once, and writers go on. An item that is there from beginning
/// to end is listed at least once.
namespace cairn::server {

/// Which slab classes a listing shows, by class id.
using ClassSet = std::bitset<kMaxSlabClasses>;

/// `lru_crawler metadump`: a line of facts an item, keys URI-encoded.
std::unique_ptr<Continuation> MakeMetadump(const ClassSet& classes);

/// `lru_crawler mgdump`: an `mg` command an item, ready to be replayed.
std::unique_ptr<Continuation> MakeMgdump(const ClassSet& classes);

/// `stats cachedump`: at most `limit` items (0: no limit) and 2 MiB of one class. Items whose key
/// was given in base64 are passed over.
std::unique_ptr<Continuation> MakeCachedump(unsigned class_id, uint64_t limit);

}  // namespace cairn::server
