// Weights × activations for every format, and the treatment of rows of activations.
//
// Three ways through a quantised matrix: packed panels (packed.h) for any number of tokens; unpacked rows (rows.h) for
// few; tiles unpacked on the fly (tiles.h) for many, so that unpacking is paid once per chunk of tokens.
#pragma once

#include "packed.h"
#include "rows.h"

namespace inhouse::INHOUSE_ISA {

inline void unpack_stretch(Format format, const uint8_t* data, int64_t count, float* out) {
  int64_t i = 0;
  if (format == Format::F16)
    for (; i + kLanes <= count; i += kLanes) {
      const FL v = load_half(reinterpret_cast<const uint16_t*>(data) + i);
      std::memcpy(out + i, &v, sizeof v);
    }
  unpack_float(format, data + i * block_size(format).bytes, count - i, out + i);
}

inline float sum_lanes(FL v) {
  F8 part[std::max(kLanes / 8, 1)] = {};
  std::memcpy(part, &v, sizeof v);
  for (int i = 1; i < kLanes / 8; ++i) part[0] += part[i];
  return sum8(part[0]);
}

// Rows lie pages apart, where processors do not look ahead by themselves.
inline void prefetch_row(const float* row, int64_t count) {
  for (int64_t c = 0; c < count; c += 16) __builtin_prefetch(row + c);
}

// R rows (floats, `stride` apart) × T tokens over n columns, added to out: every sum in the same order, whatever R and T.
template <int R, int T>
inline void multiply_float_tile(const float* rows, int64_t stride, const float* const* x, int64_t n, float* const* out) {
  FL sum[R][T] = {};
  int64_t c = 0;
  for (; c + kLanes <= n; c += kLanes) {
    FL y[T];
#pragma GCC unroll 4
    for (int t = 0; t < T; ++t) y[t] = load_lanes(x[t] + c);
#pragma GCC unroll 4
    for (int r = 0; r < R; ++r) {
      const FL w = load_lanes(rows + r * stride + c);
#pragma GCC unroll 4
      for (int t = 0; t < T; ++t) sum[r][t] += w * y[t];
    }
  }
  for (int r = 0; r < R; ++r)
    for (int t = 0; t < T; ++t) {
      float whole = sum_lanes(sum[r][t]);
      for (int64_t i = c; i < n; ++i) whole += rows[r * stride + i] * x[t][i];
      out[t][r] += whole;
    }
}

// Columns go in stretches, each unpacked once for all tokens: of four rows that stay in the first-level cache while few
// tokens pass, of all rows, in the second, while many do. Floats for few tokens are read where they are.
void multiply_float(const Matrix& w, int64_t first, int rows, const Input& in, int64_t count, float* out) {
  constexpr int64_t kStretch = 512;
  const int64_t bytes = block_size(w.format).bytes;
  const int block = count > 16 ? rows : 4;
  const bool in_place = w.format == Format::F32 && block == 4;
  for (int64_t i = 0; i < count; ++i) std::fill_n(out + i * kChunk, rows, 0.0f);
  for (int begin = 0; begin < rows; begin += block)
    for (int64_t c = 0; c < w.columns; c += kStretch) {
      const int64_t n = std::min(kStretch, w.columns - c);
      const int end = std::min(begin + block, rows);
      alignas(64) float unpacked[kChunk * kStretch];
      const float* from = unpacked;
      int64_t stride = kStretch;
      if (in_place) {
        from = reinterpret_cast<const float*>(w.row(first + begin)) + c;
        stride = w.row_stride / 4;
        for (int r = 0; r < block; ++r) prefetch_row(from + (block + r) * stride, n);
      } else {
        for (int r = begin; r < end; ++r)
          unpack_stretch(w.format, w.row(first + r) + c * bytes, n, unpacked + (r - begin) * kStretch);
      }
      for_tiles<4>(count, [&](int64_t token, auto t) {
        constexpr int kTokens = decltype(t)::value;
        const float* x[kTokens];
        for (int i = 0; i < kTokens; ++i) x[i] = in.x + (token + i) * in.columns + c;
        for_tiles<4>(end - begin, [&](int64_t r, auto here) {
          float* y[kTokens];
          for (int i = 0; i < kTokens; ++i) y[i] = out + (token + i) * kChunk + begin + r;
          multiply_float_tile<decltype(here)::value, kTokens>(from + r * stride, stride, x, n, y);
        });
      });
    }
}

void multiply(const Matrix& w, int64_t first, int rows, const Input& in, int64_t count, float* out) {
  if (is_float(w.format)) return multiply_float(w, first, rows, in, count, out);
  if (is_packed(w.format) || count > kFewTokens)
    for (int64_t i = 0; i < count; ++i) std::fill_n(out + i * kChunk, kChunk, 0.0f);
  if (is_packed(w.format)) return multiply_packed(w, first, rows, in, count, out);
  if (is_k(w.format)) {
    with_k_format(w.format, [&](auto k) {
      using K = decltype(k);
      const auto run = count > kFewTokens ? multiply_k_tiles<K>
                       : count == 1       ? multiply_k_rows<K, 1>
                       : count == 2       ? multiply_k_rows<K, 2>
                                          : multiply_k_rows<K, 3>;
      run(w, first, rows, in, count, out);
    });
  } else {
    with_signed_format(w.format, [&](auto block) {
      using Block = decltype(block);
      const auto run = count > kFewTokens ? multiply_signed_tiles<Block>
                       : count == 1       ? multiply_signed_rows<Block, 1>
                       : count == 2       ? multiply_signed_rows<Block, 2>
                                          : multiply_signed_rows<Block, 3>;
      run(w, first, rows, in, count, out);
    });
  }
}

// ---- Rows of activations ----

// Symmetric int8 with one scale per span: the largest magnitude maps to 127.
void quantize(const float* x, int64_t columns, Span* out, int64_t stride) {
  for (int64_t c = 0; c < columns; c += kSpan, out += stride) {
    const int n = static_cast<int>(std::min<int64_t>(kSpan, columns - c));
    const float most = largest(x + c, n);
    const float inverse = most > 0 ? 127.0f / most : 0.0f;
    out->d = most / 127.0f;
    if (n < kSpan) std::memset(out->q, 0, kSpan);
    for (int i = 0; i < n; ++i) out->q[i] = nearest_code(x[c + i] * inverse);
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
  if (is_packed(w.format)) return dequantize_packed(w, row, out);
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
