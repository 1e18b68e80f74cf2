// The primitives that an instruction set supplies before it includes anything else, and what follows from them:
//
//   kLanes, kTileTokens         rows per vector V; tokens whose sums fit the registers
//   kManyTokens                 from so many on, packed K formats are unpacked first (0: never, where it was not measured)
//   FL                          kLanes floats
//   zero, load, broadcast4      V of int32 lanes; four bytes per lane; the same four bytes in every lane
//   load_unsigned, load_signed  2 · kLanes bytes as int16, two per lane
//   load_half, load_codes       kLanes halves or int8 as floats
//   exact_steps(max)            how many dot_codes may be summed before scale_add when codes are ≤ max
//   dot_codes(sum, c, a)        sum + Σ unsigned codes × signed activations, four per lane, unscaled
//   scale_add(total, sum, s)    total + sum × the lane's integer scale, given as a pair of equal int16
//   first_of, second_of         one of a lane's two int16 as a scale for scale_add
//   dot_signed(total, v, a)     total + Σ signed values × activations − kSignedBias × Σ activations
//   dot_pairs(total, m, s)      total + Σ two int16 products per lane
//   row_dot16 / row_dot32       one row's 256 codes × activations with scales per 16 or 32, as 8 partial sums
//   row_mins                    Σ min × sum over groups, as 8 partial sums; row_signed: 32 signed products
#pragma once

#include <algorithm>
#include <type_traits>
#include <utility>

#include "kernels.h"
#include "row_block.h"

namespace inhouse::INHOUSE_ISA {

constexpr int kVectors = kPanelRows / kLanes;
constexpr int64_t kFewTokens = 3;  // up to here, tiles do not pay for unpacked formats
constexpr int kPrefetch = 8192;    // bytes ahead of the block in use: far more than processors look ahead by themselves

typedef int32_t IL __attribute__((vector_size(4 * kLanes)));
typedef uint32_t UL __attribute__((vector_size(4 * kLanes)));

// Where registers are few, a sum is added up where the source says so: compilers otherwise multiply for all tokens first and
// keep the products in memory, which costs a third of the speed.
inline void add_now([[maybe_unused]] V& sum) {
#ifdef INHOUSE_FEW_REGISTERS
  asm volatile("" : "+" INHOUSE_FEW_REGISTERS(sum));
#endif
}

inline FL to_float(V v) { return __builtin_convertvector(reinterpret_cast<IL>(v), FL); }

inline FL load_lanes(const float* p) {
  FL v;
  std::memcpy(&v, p, sizeof v);
  return v;
}

inline void add_lanes(float* p, FL v) {
  v += load_lanes(p);
  std::memcpy(p, &v, sizeof v);
}

template <int kBytes>
inline void prefetch(const void* block) {
#pragma GCC unroll 64
  for (int i = 0; i < kBytes; i += 64) __builtin_prefetch(static_cast<const char*>(block) + kPrefetch + i);
}

// Part `i` of a block's bytes, a little at a time so that the misses in flight never fill up.
template <int kBytes>
inline void prefetch_part(const void* block, int i) {
  prefetch<kBytes>(static_cast<const char*>(block) + i * kBytes);
}

// Calls run(n as a type) for 1 ≤ n ≤ as many as kCounts.
template <class F, int... kCounts>
inline void with_count(int64_t n, F&& run, std::integer_sequence<int, kCounts...>) {
  (void)((n == kCounts + 1 && (run(std::integral_constant<int, kCounts + 1>{}), true)) || ...);
}

// Calls run(first, how many as a type) for all of `count` tokens or rows, in the fewest tiles of at most kMost, which are of
// like size: small ones use the registers badly.
template <int kMost, class F>
inline void for_tiles(int64_t count, F&& run) {
  const uint32_t tiles = (static_cast<uint32_t>(count) + kMost - 1) / kMost;
  if (tiles == 0) return;
  const uint32_t size = static_cast<uint32_t>(count) / tiles, larger = static_cast<uint32_t>(count) % tiles;
  int64_t first = 0;
  for (uint32_t i = 0; i < tiles; ++i) {
    const int64_t n = size + (i < larger);
    with_count(n, [&](auto rows) { run(first, rows); }, std::make_integer_sequence<int, kMost>{});
    first += n;
  }
}

}  // namespace inhouse::INHOUSE_ISA
