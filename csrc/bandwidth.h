// What this machine can do at best: stream memory, the roof under which decoding lives, and multiply bytes, that of
// reading a prompt.
#pragma once

#include <cstdint>

#include "kernels.h"

namespace inhouse {

// Bytes per second of the best of `rounds` sequential reads of a buffer of `bytes` by `threads` threads.
double read_bandwidth(int threads, int64_t bytes, int rounds);

// Multiplications and additions of bytes per second of the best of `rounds` rounds from registers, on `threads` threads.
double byte_peak(int threads, const Kernels& kernels, int rounds);

}  // namespace inhouse
