// Unpacked formats × few tokens: each row's blocks are unpacked into registers and multiplied at once, so that weights
// stream at the speed of memory.
#pragma once

#include "lanes.h"

namespace inhouse::INHOUSE_ISA {

template <class K, int N>
void multiply_k_rows(const Matrix& w, int64_t first, int rows, const Input& in, int64_t, float* out) {
  const Span* a[N];
  for (int i = 0; i < N; ++i) a[i] = in.spans + i;
  for (int r = 0; r < rows; ++r) {
    const auto* block = reinterpret_cast<const typename K::Block*>(w.row(first + r));
    F8 sum[N] = {};
    for (int64_t s = 0; s < w.columns / kSpan; ++s) {
      prefetch<sizeof *block>(block + s);
      const RowBlock<K> b(block[s]);
#pragma GCC unroll 4
      for (int i = 0; i < N; ++i) sum[i] = b.add(sum[i], a[i][s * in.tokens]);
    }
    for (int i = 0; i < N; ++i) out[i * kChunk + r] = sum8(sum[i]);
  }
}

template <class Block, int N>
void multiply_signed_rows(const Matrix& w, int64_t first, int rows, const Input& in, int64_t, float* out) {
  constexpr int kGroupBytes = std::is_same_v<Block, BlockIQ4_XS> ? sizeof(Block) / 8 : sizeof(Block);
  const Span* a[N];
  for (int i = 0; i < N; ++i) a[i] = in.spans + i;
  for (int r = 0; r < rows; ++r) {
    const uint8_t* const row = w.row(first + r);
    F8 sum[N] = {};
    float offset[N] = {};
    for (int64_t g = 0; g < w.columns / 32; ++g) {
      prefetch<kGroupBytes>(row + g * kGroupBytes);
      Signed32 b;
      unpack_group<Block>(row, g, b);
#pragma GCC unroll 4
      for (int i = 0; i < N; ++i) {
        const Span& s = a[i][g / 8 * in.tokens];
        sum[i] += __builtin_convertvector(row_signed(b.value, s.q + g % 8 * 32), F8) * (s.d * b.d);
        offset[i] += s.d * b.m * s.sum32[g % 8];
      }
    }
    for (int i = 0; i < N; ++i) out[i * kChunk + r] = sum8(sum[i]) + offset[i];
  }
}

}  // namespace inhouse::INHOUSE_ISA
