#pragma once

namespace cairn::storage {

/// Asks for the cache line at `p`, which need not be valid.
inline void PrefetchLine(const void* p) {
  __builtin_prefetch(p);
  // GCC 12 takes a function that only prefetches for one without effect, and drops calls of it.
  asm volatile("");
}

}  // namespace cairn::storage
