// How fast this machine streams memory: the roof under which decoding lives.
#pragma once

#include <cstdint>

namespace inhouse {

// Bytes per second of the best of `rounds` sequential reads of a buffer of `bytes` by `threads` threads.
double read_bandwidth(int threads, int64_t bytes, int rounds);

}  // namespace inhouse
