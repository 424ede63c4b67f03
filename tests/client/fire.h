#pragma once

#if defined(__cpp_impl_coroutine)
#include <coroutine>
#include <exception>

namespace cairn {

/// A coroutine that begins at once and is nobody's: what servers of requests have.
struct Fire {
  struct promise_type {
    Fire get_return_object() { return {}; }
    std::suspend_never initial_suspend() { return {}; }
    std::suspend_never final_suspend() noexcept { return {}; }
    void return_void() {}
    void unhandled_exception() { std::terminate(); }
  };
};

}  // namespace cairn
#endif
