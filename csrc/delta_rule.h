// The gated delta rule of one value head. Few tokens go one by one; many go by chunks, where nearly everything is a
// product of matrices. Lanes are components of the value; included once per instruction set.
//
// A token changes the memory to γ S + k uᵀ with u = β (v − γ Sᵀk). Written out, every u of a chunk of tokens depends on
// the memory S before it and on the earlier u's:
//   u_t = β_t (v_t − γ_1…γ_t Sᵀk_t − Σ_{s<t} γ_{s+1}…γ_t (k_t·k_s) u_s),
// a triangular system that is the same for all columns of the memory. Its inverse is taken once: as keys are unit
// vectors and β ≤ 1, none of its entries exceeds 1.
// Source: Yang et al., "Parallelizing Linear Transformers with the Delta Rule over Sequence Length", 2024, and "Gated
// Delta Networks", 2024.
#pragma once

#include "multiply.h"
#include "sequence.h"

namespace inhouse::INHOUSE_ISA {

constexpr int kDeltaVectors = kLanes == 4 ? 4 : 2;  // vectors of value components that go together
constexpr int kDeltaWidth = kDeltaVectors * kLanes;
constexpr int kDeltaRows = kLanes == 16 ? 12 : kLanes == 8 ? 6 : 4;  // rows of sums that fit the registers
constexpr int kDeltaDims = 256;      // key components, at most, of columns that are copied
constexpr int64_t kDeltaFewest = 4;  // tokens that pay for chunks

inline void store_lanes(float* p, FL v) { std::memcpy(p, &v, sizeof v); }

// ---- One token after another ----

// A stretch of N vectors of value components, over all tokens: the memory's columns, whose rows lie `stride` floats
// apart, stay in L1. One pass over them a token: it decays and corrects the memory, and already reads it for the next token.
// The first pass fetches the same columns of the memory that comes next: processors do not look ahead so far.
template <int N>
inline void delta_columns(float* s, int stride, const DeltaTokens& x, int column, float* out) {
  FL seen[2][N], read[2][N];  // Sᵀk and Sᵀq, even and odd key dimensions apart for the sake of latency
  const auto clear = [&] {
    for (int p = 0; p < 2; ++p)
      for (int v = 0; v < N; ++v) seen[p][v] = read[p][v] = FL{};
  };
  clear();
  const int dk = x.key_dim, dv = x.value_dim;
  for (int d = 0; d < dk; ++d)
    for (int v = 0; v < N; ++v) {
      const FL row = load_lanes(s + d * stride + v * kLanes);
      seen[0][v] += x.k[d] * row;
      read[0][v] += x.q[d] * row;
      if (v * kLanes % 16 == 0) __builtin_prefetch(x.next + d * stride + column + v * kLanes, 0, 2);
    }
  for (int64_t t = 0; t < x.tokens; ++t) {
    const float* const k = x.k + t * dk;
    const bool last = t + 1 == x.tokens;
    const float* const next_k = last ? k : k + dk;
    const float* const next_q = x.q + (last ? t : t + 1) * dk;
    const float decay = x.decay[t], beta = x.beta[t], qk = x.products_of(t)[kDeltaChunk + t % kDeltaChunk];
    FL u[N];
    for (int v = 0; v < N; ++v) {
      u[v] = beta * (load_lanes(x.v + t * dv + column + v * kLanes) - decay * (seen[0][v] + seen[1][v]));
      store_lanes(out + t * dv + column + v * kLanes, decay * (read[0][v] + read[1][v]) + qk * u[v]);
    }
    clear();
    for (int d = 0; d < dk; d += 2)
#pragma GCC unroll 2
      for (int p = 0; p < 2; ++p)
#pragma GCC unroll 4
        for (int v = 0; v < N; ++v) {
          float* const cell = s + (d + p) * stride + v * kLanes;
          const FL row = decay * load_lanes(cell) + k[d + p] * u[v];
          store_lanes(cell, row);
          seen[p][v] += next_k[d + p] * row;
          read[p][v] += next_q[d + p] * row;
        }
  }
}

// ---- By chunks ----

// What the columns of a chunk of tokens share.
struct alignas(64) DeltaChunk {
  float correct[kDeltaChunk][kDeltaChunk];  // u = correct · (v − start · Sᵀk)
  float read[kDeltaChunk][kDeltaChunk];     // out = start · Sᵀq + read · u
  float start[kDeltaChunk];                 // the decay from before the chunk's first token to behind this one
  float rest[kDeltaChunk];                  // from behind this one to behind the last
};

// Products of decays rather than differences of their logarithms: no logarithm grows so large that its differences lose
// digits, and what decays to nothing is zero.
inline void prepare_chunk(const DeltaTokens& x, int64_t first, int tokens, DeltaChunk& chunk) {
  constexpr int kVectorsOfRow = kDeltaChunk / kLanes;
  const FL tiny = FL{} + 1e-30f;  // below lie numbers that some processors are slow with
  alignas(64) float ratio[kDeltaChunk] = {};
  float start = 1;
  for (int t = 0; t < tokens; ++t) {
    const float decay = x.decay[first + t], beta = x.beta[first + t];
    const float *const kk = x.products_of(first + t), *const qk = kk + kDeltaChunk;
    chunk.start[t] = start *= decay;
    for (int v = 0; v < kVectorsOfRow; ++v) {
      const FL r = load_lanes(ratio + v * kLanes) * decay;
      store_lanes(ratio + v * kLanes, r < tiny ? FL{} : r);
    }
    ratio[t] = 1;
    for (int v = 0; v < kVectorsOfRow; ++v)
      store_lanes(chunk.read[t] + v * kLanes, load_lanes(ratio + v * kLanes) * load_lanes(qk + v * kLanes));
    FL inverse[kVectorsOfRow] = {};
    for (int s = 0; s < t; ++s) {  // forward substitution
      const float a = beta * kk[s] * ratio[s];
      for (int v = 0; v < kVectorsOfRow; ++v) inverse[v] -= a * load_lanes(chunk.correct[s] + v * kLanes);
    }
    for (int v = 0; v < kVectorsOfRow; ++v) store_lanes(chunk.correct[t] + v * kLanes, inverse[v]);
    chunk.correct[t][t] = beta;
  }
  std::copy_n(ratio, kDeltaChunk, chunk.rest);
}

// sum[r] += Σᵢ a[r · row + i · step] · b[i] for R rows of sums, which stay in registers only if this is part of its caller.
template <int R>
[[gnu::always_inline]] inline void add_products(FL (&sum)[R][kDeltaVectors], const float* a, int64_t row, int64_t step,
                                                const float* b, int64_t n) {
  for (int64_t i = 0; i < n; ++i) {
    FL y[kDeltaVectors];
#pragma GCC unroll 4
    for (int v = 0; v < kDeltaVectors; ++v) y[v] = load_lanes(b + i * kDeltaWidth + v * kLanes);
#pragma GCC unroll 12
    for (int r = 0; r < R; ++r)
#pragma GCC unroll 4
      for (int v = 0; v < kDeltaVectors; ++v) sum[r][v] += a[r * row + i * step] * y[v];
  }
}

// Runs each(r, v, sum) over the sums of a tile.
template <int R, class F>
[[gnu::always_inline]] inline void for_sums(FL (&sum)[R][kDeltaVectors], F&& each) {
#pragma GCC unroll 12
  for (int r = 0; r < R; ++r)
#pragma GCC unroll 4
    for (int v = 0; v < kDeltaVectors; ++v) each(r, v * kLanes, sum[r][v]);
}

// Columns of the memory, a copy (key_dim, kDeltaWidth), over the chunk from token `first` on. Meanwhile the next columns,
// of the values and of the memory (from `next` on), come into the second-level cache: processors do not look ahead so far.
inline void delta_chunk(float* s, const DeltaChunk& chunk, const DeltaTokens& x, int64_t first, int column,
                        const float* next, float* out) {
  const int dk = x.key_dim, dv = x.value_dim;
  const int64_t tokens = std::min<int64_t>(kDeltaChunk, x.tokens - first);
  const float *const q = x.q + first * dk, *const k = x.k + first * dk, *const value = x.v + first * dv + column;
  alignas(64) float wanted[kDeltaChunk * kDeltaWidth], u[kDeltaChunk * kDeltaWidth], rest[kDeltaChunk * kDeltaWidth];
  for_tiles<kDeltaRows>(tokens, [&](int64_t t, auto count) {
    FL sum[decltype(count)::value][kDeltaVectors] = {};
    add_products(sum, k + t * dk, dk, 1, s, dk);
    for_sums(sum, [&](int r, int lane, FL seen) {
      const float* const v = value + (t + r) * dv + lane;
      store_lanes(wanted + (t + r) * kDeltaWidth + lane, load_lanes(v) - chunk.start[t + r] * seen);
      __builtin_prefetch(v + kDeltaWidth, 0, 2);
    });
  });
  for_tiles<kDeltaRows>(tokens, [&](int64_t t, auto count) {
    FL sum[decltype(count)::value][kDeltaVectors] = {};
    add_products(sum, chunk.correct[t], kDeltaChunk, 1, wanted, t + count);
    for_sums(sum, [&](int r, int lane, FL y) {
      store_lanes(u + (t + r) * kDeltaWidth + lane, y);
      store_lanes(rest + (t + r) * kDeltaWidth + lane, chunk.rest[t + r] * y);
    });
  });
  for_tiles<kDeltaRows>(tokens, [&](int64_t t, auto count) {
    FL sum[decltype(count)::value][kDeltaVectors] = {};
    add_products(sum, q + t * dk, dk, 1, s, dk);
    for_sums(sum, [&](int r, int, FL& y) { y *= chunk.start[t + r]; });
    add_products(sum, chunk.read[t], kDeltaChunk, 1, u, t + count);
    for_sums(sum, [&](int r, int lane, FL y) { store_lanes(out + (first + t + r) * dv + column + lane, y); });
  });
  const float decay = chunk.start[tokens - 1];
  for_tiles<kDeltaRows>(dk, [&](int64_t d, auto count) {
    FL sum[decltype(count)::value][kDeltaVectors];
    for_sums(sum, [&](int r, int lane, FL& y) { y = decay * load_lanes(s + (d + r) * kDeltaWidth + lane); });
    for (int r = 0; r < count; ++r) __builtin_prefetch(next + (d + r) * dv, 0, 2);
    add_products(sum, k + d, 1, dk, rest, tokens);
    for_sums(sum, [&](int r, int lane, FL y) { store_lanes(s + (d + r) * kDeltaWidth + lane, y); });
  });
}

// As many columns as whole stretches hold; returns how many. Each stretch is copied, so that its rows lie side by side:
// rows a power of two apart share few sets of the cache.
inline int delta_chunks(float* s, const DeltaTokens& x, float* out) {
  const int dk = x.key_dim, dv = x.value_dim;
  DeltaChunk chunks[kDeltaBlock / kDeltaChunk];
  for (int64_t t = 0; t < x.tokens; t += kDeltaChunk)
    prepare_chunk(x, t, static_cast<int>(std::min<int64_t>(kDeltaChunk, x.tokens - t)), chunks[t / kDeltaChunk]);
  alignas(64) float copy[kDeltaDims * kDeltaWidth];
  int column = 0;
  for (; column + kDeltaWidth <= dv; column += kDeltaWidth) {
    const float* const next = s + (column + kDeltaWidth) % dv;
    for (int d = 0; d < dk; ++d) std::copy_n(s + d * dv + column, kDeltaWidth, copy + d * kDeltaWidth);
    for (int64_t t = 0; t < x.tokens; t += kDeltaChunk)
      delta_chunk(copy, chunks[t / kDeltaChunk], x, t, column, next, out);
    for (int d = 0; d < dk; ++d) std::copy_n(copy + d * kDeltaWidth, kDeltaWidth, s + d * dv + column);
  }
  return column;
}

void delta_rule(float* s, const DeltaTokens& x, float* out) {
  int column = 0;
  if (x.tokens >= kDeltaFewest && x.key_dim <= kDeltaDims) column = delta_chunks(s, x, out);
  if constexpr (kLanes == 16)
    for (; column + 4 * kLanes <= x.value_dim; column += 4 * kLanes)
      delta_columns<4>(s + column, x.value_dim, x, column, out);
  for (; column + 2 * kLanes <= x.value_dim; column += 2 * kLanes)
    delta_columns<2>(s + column, x.value_dim, x, column, out);
  for (; column + kLanes <= x.value_dim; column += kLanes) delta_columns<1>(s + column, x.value_dim, x, column, out);
  for (; column < x.value_dim; ++column)  // narrower than a vector
    for (int64_t t = 0; t < x.tokens; ++t) {
      const float *k = x.k + t * x.key_dim, *q = x.q + t * x.key_dim;
      float seen = 0, read = 0;
      for (int d = 0; d < x.key_dim; ++d) seen += k[d] * s[d * x.value_dim + column];
      const float u = x.beta[t] * (x.v[t * x.value_dim + column] - x.decay[t] * seen);
      for (int d = 0; d < x.key_dim; ++d) {
        float& cell = s[d * x.value_dim + column];
        cell = x.decay[t] * cell + k[d] * u;
        read += q[d] * cell;
      }
      out[t * x.value_dim + column] = read;
    }
}

// Every token's key and query against the keys of its own chunk up to its own: (tokens, 2, kDeltaChunk), zero beyond.
void delta_products(const float* q, const float* k, int64_t tokens, int key_dim, float* products) {
  for (int64_t t = 0; t < tokens; ++t) {
    const float* const keys = k + t / kDeltaChunk * kDeltaChunk * key_dim;
    float* const row = products + t * 2 * kDeltaChunk;
    const float* const x[2] = {k + t * key_dim, q + t * key_dim};
    std::fill_n(row, 2 * kDeltaChunk, 0.0f);
    for_tiles<4>(t % kDeltaChunk + 1, [&](int64_t s, auto count) {
      float* const out[2] = {row + s, row + kDeltaChunk + s};
      multiply_float_tile<decltype(count)::value, 2>(keys + s * key_dim, key_dim, x, key_dim, out);
    });
  }
}

}  // namespace inhouse::INHOUSE_ISA
