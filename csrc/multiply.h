// Weights × activations for every format, written once over a handful of primitives that each instruction set
// supplies before including this file:
//
//   kLanes, kTileTokens         rows per vector V; tokens whose sums fit the registers
//   FL                          kLanes floats
//   zero, load, broadcast4      V of int32 lanes; four bytes per lane; the same four bytes in every lane
//   exact_steps(max)            how many dot_codes may be summed before scale_add when codes are ≤ max
//   dot_codes(sum, c, a)        sum + Σ unsigned codes × signed activations, four per lane, unscaled
//   scale_add(total, sum, s)    total + sum × the lane's integer scale, given as a pair of equal int16
//   dot_signed(total, v, a)     total + Σ signed values × activations − kSignedBias × Σ activations
//   dot_pairs(total, m, s)      total + Σ two int16 products per lane
//   row_dot16 / row_dot32       one row's 256 codes × activations with scales per 16 or 32, as 8 partial sums
//   load_half                   kLanes halves as floats
//   row_mins                    Σ min × sum over groups, as 8 partial sums; row_signed: 32 signed products
//
// Two ways through a matrix. Few tokens (decode): each row's blocks are unpacked into L1 and multiplied at once, so
// weights stream at memory speed. Many tokens (prefill): sixteen rows × 256 columns are unpacked into a tile whose
// lanes are rows, which then meets every token, kTileTokens at a time, so unpacking is paid once per chunk.
#pragma once

#include <algorithm>
#include <type_traits>

#include "kernels.h"
#include "row_block.h"

namespace inhouse::INHOUSE_ISA {

constexpr int kTileRows = 16;
constexpr int kVectors = kTileRows / kLanes;
constexpr int64_t kFewTokens = 3;  // up to here, tiles do not pay
constexpr int kPrefetch = 8192;    // bytes ahead of a row's block in use: far more than the processor looks ahead by itself

typedef int32_t IL __attribute__((vector_size(4 * kLanes)));

inline FL to_float(V v) { return __builtin_convertvector(reinterpret_cast<IL>(v), FL); }

inline FL load_lanes(const float* p) {
  FL v;
  std::memcpy(&v, p, sizeof v);
  return v;
}

// ---- Few tokens: one row at a time ----

template <int kBytes>
inline void prefetch(const void* block) {
#pragma GCC unroll 8
  for (int i = 0; i < kBytes; i += 64) __builtin_prefetch(static_cast<const char*>(block) + kPrefetch + i);
}

template <class K, int N>
void multiply_k_rows(const Matrix& w, int64_t first, int rows, const Input& in, const int32_t* index, int64_t,
                     float* out) {
  const Span* a[N];
  for (int i = 0; i < N; ++i) a[i] = in.spans + (index ? index[i] : i);
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
void multiply_signed_rows(const Matrix& w, int64_t first, int rows, const Input& in, const int32_t* index, int64_t,
                          float* out) {
  constexpr int kGroupBytes = std::is_same_v<Block, BlockIQ4_XS> ? sizeof(Block) / 8 : sizeof(Block);
  const Span* a[N];
  for (int i = 0; i < N; ++i) a[i] = in.spans + (index ? index[i] : i);
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

// ---- Many tokens: tiles of sixteen rows × 256 columns ----

struct alignas(64) KTile {
  uint32_t code[kSpan / 4][kTileRows];  // four codes of a row in each word
  int16_t scale[16][kTileRows][2];      // each twice, for scale_add
  int16_t min[8][kTileRows][2];         // of two neighbouring groups, for dot_pairs
  float d[kTileRows], dmin[kTileRows];
};

template <class K>
void fill_tile(KTile& tile, const Matrix& w, int64_t first, int rows, int64_t span) {
  KBlock block[kTileRows];
  for (int r = 0; r < kTileRows; ++r) {
    if (r < rows)
      K::unpack(reinterpret_cast<const typename K::Block*>(w.row(first + r))[span], block[r]);
    else
      block[r] = KBlock{};  // adds zero
    tile.d[r] = block[r].d;
    tile.dmin[r] = block[r].dmin;
    constexpr int kGroups = kSpan / K::kGroup;
    for (int g = 0; g < kGroups; ++g) tile.scale[g][r][0] = tile.scale[g][r][1] = block[r].scale[g];
    for (int g = 0; g < kGroups; ++g) tile.min[g / 2][r][g % 2] = block[r].min[g];
  }
  const uint8_t* codes[kTileRows];
  for (int r = 0; r < kTileRows; ++r) codes[r] = block[r].code;
  interleave(codes, kSpan / 4, &tile.code[0][0]);
}

// y[t][row] += tile · token t, for T tokens.
template <class K, int T>
void multiply_tile(const KTile& tile, const Span* const* a, float* const* y) {
  constexpr int kSteps = std::min(K::kGroup / 4, exact_steps(K::kMax));
  constexpr int kGroups = kSpan / K::kGroup;
  V total[T][kVectors], mins[T][kVectors];
  for (int t = 0; t < T; ++t)
    for (int v = 0; v < kVectors; ++v) total[t][v] = mins[t][v] = zero();
  for (int step = 0; step < kSpan / 4; step += kSteps) {
    V sum[T][kVectors];
#pragma GCC unroll 8
    for (int t = 0; t < T; ++t)
#pragma GCC unroll 4
      for (int v = 0; v < kVectors; ++v) sum[t][v] = zero();
#pragma GCC unroll 8
    for (int i = 0; i < kSteps; ++i) {
      V code[kVectors];
#pragma GCC unroll 4
      for (int v = 0; v < kVectors; ++v) code[v] = load(&tile.code[step + i][v * kLanes]);
#pragma GCC unroll 8
      for (int t = 0; t < T; ++t) {
        const V act = broadcast4(a[t]->q + 4 * (step + i));
#pragma GCC unroll 4
        for (int v = 0; v < kVectors; ++v) sum[t][v] = dot_codes(sum[t][v], code[v], act);
      }
    }
    const int g = step * 4 / K::kGroup;
#pragma GCC unroll 4
    for (int v = 0; v < kVectors; ++v) {
      const V scale = load(&tile.scale[g][v * kLanes]);
#pragma GCC unroll 8
      for (int t = 0; t < T; ++t) total[t][v] = scale_add(total[t][v], sum[t][v], scale);
    }
  }
  for (int p = 0; p < kGroups / 2; ++p)
    for (int v = 0; v < kVectors; ++v) {
      const V pair = load(&tile.min[p][v * kLanes]);
#pragma GCC unroll 8
      for (int t = 0; t < T; ++t) {
        const int16_t* sums = K::kGroup == 32 ? a[t]->sum32 : a[t]->sum16;
        mins[t][v] = dot_pairs(mins[t][v], pair, broadcast4(reinterpret_cast<const int8_t*>(sums + 2 * p)));
      }
    }
  for (int t = 0; t < T; ++t)
    for (int v = 0; v < kVectors; ++v) {
      FL* const target = reinterpret_cast<FL*>(y[t] + v * kLanes);
      const FL part = load_lanes(tile.d + v * kLanes) * to_float(total[t][v]) -
                      load_lanes(tile.dmin + v * kLanes) * to_float(mins[t][v]);
      *target += part * a[t]->d;
    }
}

struct alignas(64) SignedTile {
  uint32_t value[kSpan / 4][kTileRows];
  float d[8][kTileRows], m[8][kTileRows];
};

template <class Block>
void fill_tile(SignedTile& tile, const Matrix& w, int64_t first, int rows, int64_t first_group, int groups) {
  alignas(32) uint8_t value[kTileRows][kSpan];
  for (int r = 0; r < kTileRows; ++r)
    for (int g = 0; g < groups; ++g) {
      Signed32 b{};
      if (r < rows) unpack_group<Block>(w.row(first + r), first_group + g, b);
      std::memcpy(value[r] + 32 * g, &b.value, 32);
      tile.d[g][r] = b.d;
      tile.m[g][r] = b.m + kSignedBias * b.d;
    }
  const uint8_t* rows_of_tile[kTileRows];
  for (int r = 0; r < kTileRows; ++r) rows_of_tile[r] = value[r];
  interleave(rows_of_tile, groups * 8, &tile.value[0][0]);
}

template <int T>
void multiply_tile(const SignedTile& tile, int groups, const Span* const* a, float* const* y) {
  FL sum[T][kVectors] = {};
  for (int g = 0; g < groups; ++g) {
    V total[T][kVectors];
    for (int t = 0; t < T; ++t)
      for (int v = 0; v < kVectors; ++v) total[t][v] = zero();
#pragma GCC unroll 8
    for (int i = 0; i < 8; ++i) {
#pragma GCC unroll 4
      for (int v = 0; v < kVectors; ++v) {
        const V value = load(&tile.value[8 * g + i][v * kLanes]);
#pragma GCC unroll 8
        for (int t = 0; t < T; ++t)
          total[t][v] = dot_signed(total[t][v], value, broadcast4(a[t]->q + 32 * g + 4 * i));
      }
    }
    for (int v = 0; v < kVectors; ++v) {
      const FL d = load_lanes(tile.d[g] + v * kLanes), m = load_lanes(tile.m[g] + v * kLanes);
      for (int t = 0; t < T; ++t) sum[t][v] += d * to_float(total[t][v]) + m * static_cast<float>(a[t]->sum32[g]);
    }
  }
  for (int t = 0; t < T; ++t)
    for (int v = 0; v < kVectors; ++v) *reinterpret_cast<FL*>(y[t] + v * kLanes) += sum[t][v] * a[t]->d;
}

// Runs `tile(token spans, outputs, T as a type)` over all tokens, kTileTokens at a time, for one span of columns.
template <class F>
inline void for_tokens(const Input& in, int64_t span, const int32_t* index, int64_t count, float* out, F&& tile) {
  const Span* base = in.spans + span * in.tokens;
  const Span* a[kTileTokens];
  float* y[kTileTokens];
  const auto run = [&](int64_t i, auto n) {
    for (int t = 0; t < n; ++t) {
      a[t] = base + (index ? index[i + t] : i + t);
      y[t] = out + (i + t) * kChunk;
    }
    tile(a, y, n);
  };
  int64_t i = 0;
  for (; i + kTileTokens <= count; i += kTileTokens) run(i, std::integral_constant<int, kTileTokens>{});
  for (; i + 2 <= count; i += 2) run(i, std::integral_constant<int, 2>{});
  if (i < count) run(i, std::integral_constant<int, 1>{});
}

template <class K>
void multiply_k_tiles(const Matrix& w, int64_t first, int rows, const Input& in, const int32_t* index, int64_t count,
                      float* out) {
  const int64_t spans = w.columns / kSpan;
  for (int64_t s = 0; s < spans; ++s)
    for (int r = 0; r < rows; r += kTileRows) {
      KTile tile;
      fill_tile<K>(tile, w, first + r, std::min(kTileRows, rows - r), s);
      for_tokens(in, s, index, count, out + r, [&](const Span* const* a, float* const* y, auto n) {
        multiply_tile<K, decltype(n)::value>(tile, a, y);
      });
    }
}

template <class Block>
void multiply_signed_tiles(const Matrix& w, int64_t first, int rows, const Input& in, const int32_t* index,
                           int64_t count, float* out) {
  const int64_t groups = w.columns / 32;
  for (int64_t g = 0; g < groups; g += 8)
    for (int r = 0; r < rows; r += kTileRows) {
      SignedTile tile;
      const int here = static_cast<int>(std::min<int64_t>(8, groups - g));
      fill_tile<Block>(tile, w, first + r, std::min(kTileRows, rows - r), g, here);
      for_tokens(in, g / 8, index, count, out + r, [&](const Span* const* a, float* const* y, auto n) {
        multiply_tile<decltype(n)::value>(tile, here, a, y);
      });
    }
}

// ---- Float weights ----

inline void unpack_stretch(Format format, const uint8_t* data, int64_t count, float* out) {
  int64_t i = 0;
  if (format == Format::F16)
    for (; i + kLanes <= count; i += kLanes) {
      const FL v = load_half(reinterpret_cast<const uint16_t*>(data) + i);
      std::memcpy(out + i, &v, sizeof v);
    }
  unpack_float(format, data + i * block_size(format).bytes, count - i, out + i);
}

// Columns go in stretches that fit L1, each unpacked once for all tokens; for few tokens row after row, as the
// memory's own prefetching likes it.
void multiply_float(const Matrix& w, int64_t first, int rows, const Input& in, const int32_t* index, int64_t count,
                    float* out) {
  constexpr int64_t kStretch = 1024;
  const int64_t bytes = block_size(w.format).bytes, step = count > kFewTokens ? kStretch : w.columns;
  for (int64_t i = 0; i < count; ++i) std::fill_n(out + i * kChunk, rows, 0.0f);
  for (int64_t start = 0; start < w.columns; start += step)
    for (int r = 0; r < rows; ++r)
      for (int64_t c = start; c < std::min(start + step, w.columns); c += kStretch) {
        const int64_t n = std::min(kStretch, w.columns - c);
        alignas(64) float row[kStretch];
        unpack_stretch(w.format, w.row(first + r) + c * bytes, n, row);
        for (int64_t i = 0; i < count; ++i)
          out[i * kChunk + r] += dot(row, in.x + (index ? index[i] : i) * in.columns + c, n);
      }
}

void multiply(const Matrix& w, int64_t first, int rows, const Input& in, const int32_t* index, int64_t count,
              float* out) {
  if (is_float(w.format)) return multiply_float(w, first, rows, in, index, count, out);
  if (count > kFewTokens)
    for (int64_t i = 0; i < count; ++i) std::fill_n(out + i * kChunk, kChunk, 0.0f);
  if (is_k(w.format)) {
    with_k_format(w.format, [&](auto k) {
      using K = decltype(k);
      const auto run = count > kFewTokens ? multiply_k_tiles<K>
                       : count == 1       ? multiply_k_rows<K, 1>
                       : count == 2       ? multiply_k_rows<K, 2>
                                          : multiply_k_rows<K, 3>;
      run(w, first, rows, in, index, count, out);
    });
  } else {
    with_signed_format(w.format, [&](auto block) {
      using Block = decltype(block);
      const auto run = count > kFewTokens ? multiply_signed_tiles<Block>
                       : count == 1       ? multiply_signed_rows<Block, 1>
                       : count == 2       ? multiply_signed_rows<Block, 2>
                                          : multiply_signed_rows<Block, 3>;
      run(w, first, rows, in, index, count, out);
    });
  }
}

// ---- Rows of activations ----

// Symmetric int8 with one scale per span: the largest magnitude maps to 127.
void quantize(const float* x, int64_t columns, Span* out, int64_t stride) {
  for (int64_t c = 0; c < columns; c += kSpan, out += stride) {
    const int n = static_cast<int>(std::min<int64_t>(kSpan, columns - c));
    float largest = 0;
    for (int i = 0; i < n; ++i) largest = std::max(largest, std::fabs(x[c + i]));
    const float inverse = largest > 0 ? 127.0f / largest : 0.0f;
    out->d = largest / 127.0f;
    if (n < kSpan) std::memset(out->q, 0, kSpan);
    for (int i = 0; i < n; ++i) {
      // Adding 1.5 · 2^23 rounds to the nearest integer, ties to even.
      const float shifted = x[c + i] * inverse + 12582912.0f;
      int32_t bits;
      std::memcpy(&bits, &shifted, 4);
      out->q[i] = static_cast<int8_t>(bits);
    }
    for (int g = 0; g < 16; ++g) {
      int sum = 0;
      for (int i = 0; i < 16; ++i) sum += out->q[16 * g + i];
      out->sum16[g] = static_cast<int16_t>(sum);
    }
    for (int g = 0; g < 8; ++g) out->sum32[g] = static_cast<int16_t>(out->sum16[2 * g] + out->sum16[2 * g + 1]);
  }
}

void rms_norm(const float* x, const float* weight, int64_t n, float eps, float* out) {
  const float inverse = 1.0f / std::sqrt(dot(x, x, n) / static_cast<float>(n) + eps);
  for (int64_t i = 0; i < n; ++i) out[i] = x[i] * inverse * weight[i];
}

void silu_multiply(float* gate, const float* up, int64_t n) {
  map8(gate, up, n, [](F8 g, F8 u) { return silu8(g) * u; });
}

void dequantize(const Matrix& w, int64_t row, float* out) {
  const uint8_t* data = w.row(row);
  if (is_float(w.format)) return unpack_float(w.format, data, w.columns, out);
  if (is_k(w.format))
    return with_k_format(w.format, [&](auto k) {
      using K = decltype(k);
      for (int64_t s = 0; s < w.columns / kSpan; ++s) {
        KBlock b;
        K::unpack(reinterpret_cast<const typename K::Block*>(data)[s], b);
        for (int i = 0; i < kSpan; ++i)
          out[s * kSpan + i] = b.d * b.scale[i / K::kGroup] * b.code[i] - b.dmin * b.min[i / K::kGroup];
      }
    });
  with_signed_format(w.format, [&](auto block) {
    for (int64_t g = 0; g < w.columns / 32; ++g) {
      Signed32 b;
      unpack_group<decltype(block)>(data, g, b);
      for (int i = 0; i < 32; ++i) out[32 * g + i] = b.d * static_cast<int8_t>(b.value[i]) + b.m;
    }
  });
}

}  // namespace inhouse::INHOUSE_ISA
