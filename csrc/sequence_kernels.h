// The float kernels that mix tokens: softmax attention over a cache of halves or int8 codes, the delta rule, the short
// causal convolution. Lanes are keys, or components of a value; included once per instruction set, which supplies
// load_half and load_codes (kLanes of them as floats).
#pragma once

#include <limits>

#include "delta_rule.h"

namespace inhouse::INHOUSE_ISA {

constexpr int kPerKeyBlock = kKeyBlock / kLanes;  // vectors that one block of keys, or 16 value components, takes
constexpr int kRowTile = kLanes == 16 ? 12 : kLanes == 8 ? 6 : 4;  // rows of accumulators that fit the registers
constexpr int64_t kKeyStretch = 64;  // keys between two looks at the running maximum

inline uint16_t to_half(float x) {
  const half h = static_cast<half>(x);
  uint16_t bits;
  std::memcpy(&bits, &h, 2);
  return bits;
}

inline FL load_numbers(const uint16_t* p) { return load_half(p); }
inline FL load_numbers(const int8_t* p) { return load_codes(p); }
inline FL load_numbers(const float* p) { return load_lanes(p); }

// c[r][0..16) += Σᵢ a[r][i] · b[i][0..16) for R rows, b as it lies in the cache; times scales[0..16) if kScaled. What lies
// `ahead` of b is fetched meanwhile.
template <int R, bool kScaled, class T>
inline void multiply_cached_rows(const float* a, int64_t a_stride, const T* b, int64_t b_stride, int64_t n, float* c,
                                 int64_t c_stride, int64_t ahead, const float* scales = nullptr) {
  FL sum[R][kPerKeyBlock];
#pragma GCC unroll 16
  for (int r = 0; r < R; ++r)
#pragma GCC unroll 4
    for (int v = 0; v < kPerKeyBlock; ++v) sum[r][v] = kScaled ? FL{} : load_lanes(c + r * c_stride + v * kLanes);
  for (int64_t i = 0; i < n; ++i) {
    FL y[kPerKeyBlock];
#pragma GCC unroll 4
    for (int v = 0; v < kPerKeyBlock; ++v) y[v] = load_numbers(b + i * b_stride + v * kLanes);
    __builtin_prefetch(b + i * b_stride + ahead, 0, 2);
#pragma GCC unroll 16
    for (int r = 0; r < R; ++r)
#pragma GCC unroll 4
      for (int v = 0; v < kPerKeyBlock; ++v) sum[r][v] += a[r * a_stride + i] * y[v];
  }
#pragma GCC unroll 16
  for (int r = 0; r < R; ++r)
#pragma GCC unroll 4
    for (int v = 0; v < kPerKeyBlock; ++v) {
      float* const to = c + r * c_stride + v * kLanes;
      if constexpr (kScaled) sum[r][v] = load_lanes(to) + sum[r][v] * load_lanes(scales + v * kLanes);
      store_lanes(to, sum[r][v]);
    }
}

// The same for any number of rows, in tiles of like size, for `blocks` of b and of c's columns: a tile's rows stay in the
// first-level cache while b streams by. Codes that many tiles need are made floats once, as many as stay there. If kScaled,
// b's rows have scales (groups, 16) for each block, one after the other.
template <bool kScaled, class T>
inline void multiply_cached(const float* a, int64_t a_stride, int rows, const T* b, int64_t b_stride, int64_t b_step,
                            int64_t n, float* c, int64_t c_stride, int blocks, int64_t ahead,
                            const float* scales = nullptr) {
  const int64_t scale_step = (n + kScaleGroup - 1) / kScaleGroup * kKeyBlock;
  if (std::is_same_v<T, int8_t> && rows > 2 * kRowTile) {
    constexpr int64_t kDeep = 256;
    alignas(64) float block[kDeep * kKeyBlock];
    for (int j = 0; j < blocks; ++j)
      for (int64_t first = 0; first < n; first += kDeep) {
        const int64_t deep = std::min(kDeep, n - first);
        const T* const from = b + j * b_step + first * b_stride;
        for (int64_t i = 0; i < deep; ++i)
#pragma GCC unroll 4
          for (int v = 0; v < kPerKeyBlock; ++v) {
            FL x = load_numbers(from + i * b_stride + v * kLanes);
            if constexpr (kScaled)
              x *= load_lanes(scales + j * scale_step + (first + i) / kScaleGroup * kKeyBlock + v * kLanes);
            store_lanes(block + i * kKeyBlock + v * kLanes, x);
          }
        for_tiles<kRowTile>(rows, [&](int64_t r, auto count) {
          multiply_cached_rows<decltype(count)::value, false>(a + r * a_stride + first, a_stride, block, kKeyBlock, deep,
                                                              c + r * c_stride + j * kKeyBlock, c_stride, 0);
        });
      }
    return;
  }
  for_tiles<kRowTile>(rows, [&](int64_t r, auto count) {
    constexpr int kRows = decltype(count)::value;
    for (int j = 0; j < blocks; ++j) {
      float* const to = c + r * c_stride + j * kKeyBlock;
      if constexpr (kScaled)
        for (int64_t i = 0; i < n; i += kScaleGroup)
          multiply_cached_rows<kRows, true>(a + r * a_stride + i, a_stride, b + j * b_step + i * b_stride, b_stride,
                                            std::min<int64_t>(kScaleGroup, n - i), to, c_stride, ahead,
                                            scales + j * scale_step + i / kScaleGroup * kKeyBlock);
      else
        multiply_cached_rows<kRows, false>(a + r * a_stride, a_stride, b + j * b_step, b_stride, n, to, c_stride, ahead);
    }
    ahead = 0;  // once is enough
  });
}

// Turns the scores of one row over `n` keys, of which the first `seen` are visible, into weights relative to the new
// running maximum. Returns the factor by which everything accumulated so far shrinks.
inline float soften(float* s, int64_t n, int64_t seen, float& highest, float& total) {
  for (int64_t j = seen; j < n; ++j) s[j] = -std::numeric_limits<float>::infinity();
  F8 most = splat8(highest), sum = splat8(0);
  for (int64_t j = 0; j < n; j += 8) {
    const F8 x = load8(s + j);
    most = x > most ? x : most;
  }
  const float top = max8(most);
  for (int64_t j = 0; j < n; j += 8) {
    const F8 x = load8(s + j);
    const F8 e = x > -1e30f ? exp8(x - top) : splat8(0);
    store8(s + j, e);
    sum += e;
  }
  const float shrink = highest > -1e30f ? std::exp(highest - top) : 0.0f;
  highest = top;
  total = total * shrink + sum8(sum);
  return shrink;
}

// T: uint16_t for halves, int8_t for codes. A value's scale is applied to the weight with which it is added.
template <class T>
inline void attend_over(const AttentionTile& tile, const KvHead& cache, int64_t begin, int64_t end, AttentionSums& sums) {
  constexpr bool kCoded = std::is_same_v<T, int8_t>;
  const T* const all_keys = static_cast<const T*>(cache.keys);
  const T* const all_values = static_cast<const T*>(cache.values);
  const int dim = tile.head_dim, rows = tile.rows;
  [[maybe_unused]] const int64_t groups = scale_groups(dim);
  alignas(64) float score[kMaxAttentionRows * kKeyStretch];
  std::fill_n(sums.out, rows * dim, 0.0f);
  std::fill_n(sums.highest, rows, -std::numeric_limits<float>::infinity());
  std::fill_n(sums.total, rows, 0.0f);
  for (int64_t key = begin; key < end; key += kKeyStretch) {
    const int64_t keys = std::min(kKeyStretch, end - key);
    const int64_t padded = (keys + kKeyBlock - 1) / kKeyBlock * kKeyBlock;
    const int64_t ahead = key + kKeyStretch < end ? kKeyStretch * dim : 0;
    std::fill_n(score, rows * kKeyStretch, 0.0f);
    multiply_cached<kCoded>(tile.q, dim, rows, all_keys + key * dim, kKeyBlock, kKeyBlock * dim, dim, score, kKeyStretch,
                            static_cast<int>(padded / kKeyBlock), ahead, kCoded ? cache.key_scales + key * groups : nullptr);
    for (int r = 0; r < rows; ++r) {
      const int64_t visible = std::clamp<int64_t>(tile.limit[r] - key, 0, keys);
      float* const s = score + r * kKeyStretch;
      if (visible == 0) {
        std::fill_n(s, padded, 0.0f);
        continue;
      }
      const float shrink = soften(s, padded, visible, sums.highest[r], sums.total[r]);
      if constexpr (kCoded) map8(s, cache.value_scales + key, padded, [](F8 weight, F8 scale) { return weight * scale; });
      float* const out = sums.out + r * dim;
      if (shrink != 1.0f)
        for (int d = 0; d < dim; ++d) out[d] *= shrink;
    }
    multiply_cached<false>(score, kKeyStretch, rows, all_values + key * dim, dim, kKeyBlock, keys, sums.out, dim,
                           dim / kKeyBlock, ahead);
  }
}

void attend(const AttentionTile& tile, const KvHead& cache, int64_t begin, int64_t end, AttentionSums& sums) {
  return cache.coded() ? attend_over<int8_t>(tile, cache, begin, end, sums)
                       : attend_over<uint16_t>(tile, cache, begin, end, sums);
}

// Normalises a head (if there is a weight), rotates its first dimensions, scales it.
void rotate(const float* x, const HeadRotation& r, const float* cosine, const float* sine, float* out) {
  if (r.norm)
    rms_norm(x, r.norm, r.head_dim, r.eps, out);
  else
    std::copy_n(x, r.head_dim, out);
  const int half_dim = r.rotary_dim / 2;
  for (int i = 0; i < half_dim; ++i) {
    const float a = out[i], b = out[i + half_dim];
    out[i] = a * cosine[i] - b * sine[i];
    out[i + half_dim] = b * cosine[i] + a * sine[i];
  }
  if (r.scale != 1.0f)
    for (int i = 0; i < r.head_dim; ++i) out[i] *= r.scale;
}

// `dim` numbers, `step` apart, as halves or as codes of which the largest is 127; returns the codes' scale.
inline void store_halves(const float* x, int dim, void* out, int64_t at, int step) {
  uint16_t* const row = static_cast<uint16_t*>(out) + at;
  for (int d = 0; d < dim; ++d) row[d * step] = to_half(x[d]);
}
inline float store_codes(const float* x, int dim, void* out, int64_t at, int step) {
  const float most = largest(x, dim), inverse = most > 0 ? 127.0f / most : 0.0f;
  int8_t* const row = static_cast<int8_t*>(out) + at;
  for (int d = 0; d < dim; ++d) row[d * step] = nearest_code(x[d] * inverse);
  return most / 127.0f;
}

// A token's rotated key and its value of one head into the cache.
void store(const float* k, const float* v, int dim, int64_t position, const KvHead& cache) {
  const int64_t key = position / kKeyBlock * kKeyBlock * dim + position % kKeyBlock, value = position * dim;
  if (cache.coded()) {
    float* const scales = cache.key_scales + position / kKeyBlock * kKeyBlock * scale_groups(dim) + position % kKeyBlock;
    for (int d = 0; d < dim; d += kScaleGroup)
      scales[d / kScaleGroup * kKeyBlock] =
          store_codes(k + d, std::min(kScaleGroup, dim - d), cache.keys, key + d * kKeyBlock, kKeyBlock);
    cache.value_scales[position] = store_codes(v, dim, cache.values, value, 1);
  } else {
    store_halves(k, dim, cache.keys, key, kKeyBlock);
    store_halves(v, dim, cache.values, value, 1);
  }
}

void sigmoid_gate(float* x, const float* gate, int64_t n) {
  map8(x, gate, n, [](F8 a, F8 g) { return a / (1.0f + exp8(-g)); });
}

// ---- Gated DeltaNet ----

constexpr int kTogether = 4;  // vectors whose exp is taken together

// x[i] *= silu(gate[i])
void silu_gate(float* x, const float* gate, int64_t n) {
  int64_t i = 0;
  for (; i + 8 * kTogether <= n; i += 8 * kTogether) {
    F8 g[kTogether];
    for (int j = 0; j < kTogether; ++j) g[j] = load8(gate + i + 8 * j);
    silu_all(g);
    for (int j = 0; j < kTogether; ++j) store8(x + i + 8 * j, load8(x + i + 8 * j) * g[j]);
  }
  map8(x + i, gate + i, n - i, [](F8 y, F8 g) { return y * silu8(g); });
}

template <int kTaps>
inline void convolve_taps(const Convolution& conv, const float* x, int64_t tokens, int64_t first, int count,
                          const float* state, float* out, int64_t stride) {
  constexpr int kBefore = kTaps - 1, kAhead = 2;
  alignas(64) float weight[kTaps][kConvChannels];
  for (int c = 0; c < count; ++c)
    for (int j = 0; j < kTaps; ++j) weight[j][c] = conv.weight[(first + c) * kTaps + j];
  for (int64_t t = 0; t < tokens; ++t) {
    float* const y = out + t * stride;
    const float* in[kTaps];
    for (int j = 0; j < kTaps; ++j) {
      const int64_t source = t - kBefore + j;
      in[j] = (source < 0 ? state + (kBefore + source) * conv.channels : x + source * conv.channels) + first;
    }
    if (t + kAhead < tokens) prefetch_row(in[kBefore] + kAhead * conv.channels, count);
    int c = 0;
    for (; c + 8 * kTogether <= count; c += 8 * kTogether) {
      F8 sum[kTogether] = {};
#pragma GCC unroll 8
      for (int j = 0; j < kTaps; ++j)
#pragma GCC unroll 4
        for (int i = 0; i < kTogether; ++i) sum[i] += load8(weight[j] + c + 8 * i) * load8(in[j] + c + 8 * i);
      silu_all(sum);
      for (int i = 0; i < kTogether; ++i) store8(y + c + 8 * i, sum[i]);
    }
    for (; c < count; ++c) {
      float sum = 0;
      for (int j = 0; j < kTaps; ++j) sum += weight[j][c] * in[j][c];
      y[c] = sum / (1.0f + std::exp(-sum));
    }
  }
}

// Channels [first, first + count ≤ kConvChannels) of the causal convolution + SiLU over all tokens; x has `channels`
// columns, out (tokens, stride) begins at the first of these. Then the newest inputs become the state.
void convolve(const Convolution& conv, const float* x, int64_t tokens, int64_t first, int count, float* state,
              float* out, int64_t stride) {
  with_count(conv.kernel, [&](auto taps) {
    convolve_taps<decltype(taps)::value>(conv, x, tokens, first, count, state, out, stride);
  }, std::make_integer_sequence<int, kMaxTaps>{});
  const int64_t channels = conv.channels, before = conv.kernel - 1;
  for (int64_t j = 0; j < before; ++j) {  // oldest first: a source never lies behind its target
    const int64_t t = tokens - before + j;
    const float* const newest = t < 0 ? state + (before + t) * channels : x + t * channels;
    std::memmove(state + j * channels + first, newest + first, static_cast<size_t>(count) * 4);
  }
}

// x / √(Σx² + eps) · scale
void unit(float* x, int n, float eps, float scale) {
  const float factor = scale / std::sqrt(dot(x, x, n) + eps);
  for (int i = 0; i < n; ++i) x[i] *= factor;
}

}  // namespace inhouse::INHOUSE_ISA
