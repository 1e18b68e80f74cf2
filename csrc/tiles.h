// Sixteen rows × 256 columns against several tokens: the arithmetic shared by tiles that were unpacked on the fly and by
// packed panels. Lanes are rows. A tile says how it yields its codes, four columns (a step) of all lanes at a time.
#pragma once

#include "lanes.h"

namespace inhouse::INHOUSE_ISA {

// Integer scales. Tile: kGroupSteps steps share a scale; kMax is the largest code; code(stretch, i, v), where a stretch is
// eight steps; fetch_ahead(stretch) before each; scale(stretch, i, v) for scale_add; min_pair(p, v) of groups 2p and 2p + 1; d(v), dmin(v).
// y[t · kChunk + row] += tile · token t, for T tokens whose spans lie side by side.
template <int T, class Tile>
inline void multiply_scaled(const Tile& tile, const Span* a, float* y) {
  constexpr int kFlush = std::min(Tile::kGroupSteps, exact_steps(Tile::kMax));
  constexpr int kChains = std::clamp(4 / (T * kVectors), 1, std::min(kFlush, 2));  // hides the latency of a lone sum
  V total[T][kVectors];
  for (int t = 0; t < T; ++t)
    for (int v = 0; v < kVectors; ++v) total[t][v] = zero();
  for (int stretch = 0; stretch < 8; ++stretch) {
    tile.fetch_ahead(stretch);
#pragma GCC unroll 8
    for (int start = 0; start < 8; start += kFlush) {
      V sum[T][kVectors][kChains];
#pragma GCC unroll 12
      for (int t = 0; t < T; ++t)
#pragma GCC unroll 4
        for (int v = 0; v < kVectors; ++v)
#pragma GCC unroll 2
          for (int c = 0; c < kChains; ++c) sum[t][v][c] = zero();
#pragma GCC unroll 8
      for (int i = start; i < start + kFlush; ++i) {
        V code[kVectors];
#pragma GCC unroll 4
        for (int v = 0; v < kVectors; ++v) code[v] = tile.code(stretch, i, v);
#pragma GCC unroll 12
        for (int t = 0; t < T; ++t) {
          const V act = broadcast4(a[t].q + 32 * stretch + 4 * i);
#pragma GCC unroll 4
          for (int v = 0; v < kVectors; ++v)
            sum[t][v][i % kChains] = dot_codes(sum[t][v][i % kChains], code[v], act);
#pragma GCC unroll 4
          for (int v = 0; v < kVectors; ++v) add_now(sum[t][v][i % kChains]);
        }
      }
#pragma GCC unroll 4
      for (int v = 0; v < kVectors; ++v) {
        const V scale = tile.scale(stretch, start, v);
#pragma GCC unroll 12
        for (int t = 0; t < T; ++t)
#pragma GCC unroll 2
          for (int c = 0; c < kChains; ++c) total[t][v] = scale_add(total[t][v], sum[t][v][c], scale);
      }
    }
  }
  constexpr int kGroups = 64 / Tile::kGroupSteps;
#pragma GCC unroll 4
  for (int v = 0; v < kVectors; ++v) {
    V mins[T];
    for (int t = 0; t < T; ++t) mins[t] = zero();
#pragma GCC unroll 8
    for (int p = 0; p < kGroups / 2; ++p) {
      const V pair = tile.min_pair(p, v);
#pragma GCC unroll 12
      for (int t = 0; t < T; ++t) {
        const int16_t* const sums = kGroups == 8 ? a[t].sum32 : a[t].sum16;
        mins[t] = dot_pairs(mins[t], pair, broadcast4(reinterpret_cast<const int8_t*>(sums + 2 * p)));
      }
    }
    const FL d = tile.d(v), dmin = tile.dmin(v);
#pragma GCC unroll 12
    for (int t = 0; t < T; ++t)
      add_lanes(y + t * kChunk + v * kLanes, (d * to_float(total[t][v]) - dmin * to_float(mins[t])) * a[t].d);
  }
}

// Float scales. Tile: kSigned says whether codes are signed bytes, kMax is the largest unsigned one; group(g) yields 32
// columns: code(i, v), and w = d(v) · code + m(v).
template <int T, class Tile>
inline void multiply_grouped(const Tile& tile, int groups, const Span* a, float* y) {
  constexpr int kFlush = Tile::kSigned ? 8 : exact_steps(Tile::kMax);
  FL sum[T][kVectors] = {};
  for (int g = 0; g < groups; ++g) {
    const auto group = tile.group(g);
    group.fetch_ahead();
    V total[T][kVectors];
#pragma GCC unroll 12
    for (int t = 0; t < T; ++t)
#pragma GCC unroll 4
      for (int v = 0; v < kVectors; ++v) total[t][v] = zero();
#pragma GCC unroll 8
    for (int start = 0; start < 8; start += kFlush) {
      V codes[T][kVectors];  // unscaled sums of unsigned codes
#pragma GCC unroll 12
      for (int t = 0; t < T; ++t)
#pragma GCC unroll 4
        for (int v = 0; v < kVectors; ++v) codes[t][v] = zero();
#pragma GCC unroll 8
      for (int i = start; i < start + kFlush; ++i)
#pragma GCC unroll 4
        for (int v = 0; v < kVectors; ++v) {
          const V code = group.code(i, v);
#pragma GCC unroll 12
          for (int t = 0; t < T; ++t) {
            const V act = broadcast4(a[t].q + 32 * g + 4 * i);
            if constexpr (Tile::kSigned)
              total[t][v] = dot_signed(total[t][v], code, act);
            else
              codes[t][v] = dot_codes(codes[t][v], code, act);
          }
        }
      if constexpr (!Tile::kSigned)
#pragma GCC unroll 12
        for (int t = 0; t < T; ++t)
#pragma GCC unroll 4
          for (int v = 0; v < kVectors; ++v) total[t][v] = scale_add(total[t][v], codes[t][v], one_scale());
    }
#pragma GCC unroll 4
    for (int v = 0; v < kVectors; ++v) {
      const FL d = group.d(v), m = group.m(v);
#pragma GCC unroll 12
      for (int t = 0; t < T; ++t)
        sum[t][v] += d * to_float(total[t][v]) + m * static_cast<float>(a[t].sum32[g]);
    }
  }
  for (int t = 0; t < T; ++t)
    for (int v = 0; v < kVectors; ++v) add_lanes(y + t * kChunk + v * kLanes, sum[t][v] * a[t].d);
}

// ---- Tiles unpacked on the fly ----

// One K format's sixteen rows × 256 columns.
template <class K>
struct alignas(64) KTile {
  static constexpr int kGroupSteps = K::kGroup / 4, kMax = K::kMax;
  uint32_t codes[kSpan / 4][kPanelRows];  // four codes of a row in each word
  int16_t scales[16][kPanelRows][2];      // each twice
  int16_t mins[8][kPanelRows][2];         // of two neighbouring groups
  float ds[kPanelRows], dmins[kPanelRows];

  void fetch_ahead(int) const {}
  V code(int stretch, int i, int v) const { return load(&codes[8 * stretch + i][v * kLanes]); }
  V scale(int stretch, int i, int v) const { return load(&scales[(8 * stretch + i) / kGroupSteps][v * kLanes]); }
  V min_pair(int p, int v) const { return load(&mins[p][v * kLanes]); }
  FL d(int v) const { return load_lanes(ds + v * kLanes); }
  FL dmin(int v) const { return load_lanes(dmins + v * kLanes); }

  void fill(const Matrix& w, int64_t first, int rows, int64_t span) {
    KBlock block[kPanelRows];
    for (int r = 0; r < kPanelRows; ++r) {
      if (r < rows)
        K::unpack(reinterpret_cast<const typename K::Block*>(w.row(first + r))[span], block[r]);
      else
        block[r] = KBlock{};  // adds zero
      ds[r] = block[r].d;
      dmins[r] = block[r].dmin;
      constexpr int kGroups = kSpan / K::kGroup;
      for (int g = 0; g < kGroups; ++g) scales[g][r][0] = scales[g][r][1] = block[r].scale[g];
      for (int g = 0; g < kGroups; ++g) mins[g / 2][r][g % 2] = block[r].min[g];
    }
    const uint8_t* rows_of_tile[kPanelRows];
    for (int r = 0; r < kPanelRows; ++r) rows_of_tile[r] = block[r].code;
    interleave(rows_of_tile, kSpan / 4, &codes[0][0]);
  }
};

// The formats with a float scale per 32 columns.
struct alignas(64) SignedTile {
  static constexpr bool kSigned = true;
  static constexpr int kMax = 0;
  uint32_t values[kSpan / 4][kPanelRows];
  float ds[8][kPanelRows], ms[8][kPanelRows];

  struct Group {
    const SignedTile& tile;
    int g;
    void fetch_ahead() const {}
    V code(int i, int v) const { return load(&tile.values[8 * g + i][v * kLanes]); }
    FL d(int v) const { return load_lanes(tile.ds[g] + v * kLanes); }
    FL m(int v) const { return load_lanes(tile.ms[g] + v * kLanes); }
  };
  Group group(int g) const { return {*this, g}; }

  template <class Block>
  void fill(const Matrix& w, int64_t first, int rows, int64_t first_group, int groups) {
    alignas(32) uint8_t value[kPanelRows][kSpan];
    for (int r = 0; r < kPanelRows; ++r)
      for (int g = 0; g < groups; ++g) {
        Signed32 b{};
        if (r < rows) unpack_group<Block>(w.row(first + r), first_group + g, b);
        std::memcpy(value[r] + 32 * g, &b.value, 32);
        ds[g][r] = b.d;
        ms[g][r] = b.m + kSignedBias * b.d;
      }
    const uint8_t* rows_of_tile[kPanelRows];
    for (int r = 0; r < kPanelRows; ++r) rows_of_tile[r] = value[r];
    interleave(rows_of_tile, groups * 8, &values[0][0]);
  }
};

// Runs multiply(token spans, outputs, T as a type) over all tokens for one span of columns.
template <class F>
inline void for_tokens(const Input& in, int64_t span, int64_t count, float* out, F&& multiply) {
  const Span* const base = in.spans + span * in.tokens;
  for_tiles<kTileTokens>(count, [&](int64_t first, auto n) { multiply(base + first, out + first * kChunk, n); });
}

template <class K>
void multiply_k_tiles(const Matrix& w, int64_t first, int rows, const Input& in, int64_t count, float* out) {
  for (int64_t s = 0; s < w.columns / kSpan; ++s)
    for (int r = 0; r < rows; r += kPanelRows) {
      KTile<K> tile;
      tile.fill(w, first + r, std::min(kPanelRows, rows - r), s);
      for_tokens(in, s, count, out + r, [&](const Span* a, float* y, auto n) {
        multiply_scaled<decltype(n)::value>(tile, a, y);
      });
    }
}

template <class Block>
void multiply_signed_tiles(const Matrix& w, int64_t first, int rows, const Input& in, int64_t count,
                           float* out) {
  const int64_t groups = w.columns / 32;
  for (int64_t g = 0; g < groups; g += 8)
    for (int r = 0; r < rows; r += kPanelRows) {
      SignedTile tile;
      const int here = static_cast<int>(std::min<int64_t>(8, groups - g));
      tile.fill<Block>(w, first + r, std::min(kPanelRows, rows - r), g, here);
      for_tokens(in, g / 8, count, out + r, [&](const Span* a, float* y, auto n) {
        multiply_grouped<decltype(n)::value>(tile, here, a, y);
      });
    }
}

}  // namespace inhouse::INHOUSE_ISA
