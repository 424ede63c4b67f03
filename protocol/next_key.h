#pragma once

#include <string_view>

/// Looks ahead in the input for the keys that requests will ask for, so that the memory they are in
/// can be fetched meanwhile. A hint, not a parser: what is odd yields no key or one that nobody
/// asks for, and is judged when its turn comes. Pure: no state, no allocation.
namespace cairn::protocol {

/// Takes one request off the front of `input`: its first key as it stands there, empty when it has
/// none or one that is too long. What is incomplete is taken as the last.
std::string_view NextTextKey(std::string_view* input);
std::string_view NextBinaryKey(std::string_view* input);

}  // namespace cairn::protocol
