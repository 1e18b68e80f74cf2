// Packed panels: sixteen rows interleaved, as `inhouse convert` lays them down, so that one load yields the codes of
// all lanes. The same arithmetic serves one token and many, in the same order: a result does not depend on how many
// tokens come together.
#pragma once

#include "tiles.h"

namespace inhouse::INHOUSE_ISA {

// Nibbles: step i of a stretch of eight lies in the low (i < 4) or high half of chunk i % 4.
inline V nibbles(const uint8_t (*chunk)[64], int i, int v) {
  const UL x = reinterpret_cast<UL>(load(chunk[i % 4] + 4 * kLanes * v));
  return reinterpret_cast<V>((i < 4 ? x : x >> 4) & 0x0f0f0f0f);
}

// With `kBits` more bits per code from a plane whose bytes hold steps from bit 0 up.
template <int kBits>
inline V with_plane(V low, const uint8_t* plane, int step, int v) {
  constexpr uint32_t kMask = (kBits == 1 ? 0x01010101u : 0x03030303u) << 4;
  const UL x = reinterpret_cast<UL>(load(plane + 4 * kLanes * v));
  const int from = step * kBits;  // the wanted bits go to bit 4
  return reinterpret_cast<V>(reinterpret_cast<UL>(low) | ((from < 4 ? x << (4 - from) : x >> (from - 4)) & kMask));
}

inline FL halves(const uint16_t* p, int v) { return load_half(p + v * kLanes); }

struct PackedQ4KTile {
  static constexpr int kGroupSteps = 8, kMax = 15;
  const PackedQ4K& b;

  void fetch_ahead(int stretch) const { prefetch_part<sizeof b / 8>(&b, stretch); }
  V code(int stretch, int i, int v) const { return nibbles(b.code + 4 * stretch, i, v); }
  V scale(int stretch, int, int v) const {
    const V pair = load_unsigned(b.scale[stretch / 2][v * kLanes]);
    return stretch % 2 ? second_of(pair) : first_of(pair);
  }
  V min_pair(int p, int v) const { return load_unsigned(b.min[p][v * kLanes]); }
  FL d(int v) const { return halves(b.d, v); }
  FL dmin(int v) const { return halves(b.dmin, v); }
};

struct PackedQ5KTile {
  static constexpr int kGroupSteps = 8, kMax = 31;
  const PackedQ5K& b;

  void fetch_ahead(int stretch) const { prefetch_part<sizeof b / 8>(&b, stretch); }
  V code(int stretch, int i, int v) const {
    return with_plane<1>(nibbles(b.code + 4 * stretch, i, v), b.high[stretch], i, v);
  }
  V scale(int stretch, int, int v) const {
    const V pair = load_unsigned(b.scale[stretch / 2][v * kLanes]);
    return stretch % 2 ? second_of(pair) : first_of(pair);
  }
  V min_pair(int p, int v) const { return load_unsigned(b.min[p][v * kLanes]); }
  FL d(int v) const { return halves(b.d, v); }
  FL dmin(int v) const { return halves(b.dmin, v); }
};

// Codes stand for values 32 lower: the scale is its own minimum, times 32.
struct PackedQ6KTile {
  static constexpr int kGroupSteps = 4, kMax = 63;
  const PackedQ6K& b;

  void fetch_ahead(int stretch) const { prefetch_part<sizeof b / 8>(&b, stretch); }
  V code(int stretch, int i, int v) const {
    return with_plane<2>(nibbles(b.code + 4 * stretch, i, v), b.high[2 * stretch + i / 4], i % 4, v);
  }
  V scale(int stretch, int i, int v) const {
    const V pair = load_signed(b.scale[stretch][v * kLanes]);
    return i < 4 ? first_of(pair) : second_of(pair);
  }
  V min_pair(int p, int v) const { return load_signed(b.scale[p][v * kLanes]); }
  FL d(int v) const { return halves(b.d, v); }
  FL dmin(int v) const { return halves(b.d, v) * 32.0f; }
};

// Formats with a float scale per 32 columns: a block is one group.
template <class Block>
struct PackedGroup {
  const Block& b;

  void fetch_ahead() const { prefetch<sizeof b>(&b); }
  V code(int i, int v) const {
    if constexpr (std::is_same_v<Block, PackedQ8_0>) return load(b.value[i] + 4 * kLanes * v);
    else if constexpr (std::is_same_v<Block, PackedIQ4>) return iq4_values(nibbles(b.code, i, v));
    else if constexpr (Block::kBits == 5) return with_plane<1>(nibbles(b.code, i, v), b.high, i, v);
    else return nibbles(b.code, i, v);
  }
  FL d(int v) const {
    if constexpr (Block::kHalf) return halves(b.d, v);
    else return load_lanes(b.d + v * kLanes);
  }
  FL m(int v) const {
    if constexpr (Block::kHasMin) return halves(b.m, v);
    else return d(v) * (kSigned ? kSignedBias : static_cast<float>(-Block::kOffset));
  }
  static constexpr bool kSigned = Block::kSigned;
};

template <class Block>
struct PackedGroups {
  static constexpr bool kSigned = Block::kSigned;
  static constexpr int kMax = (1 << Block::kBits) - 1;
  const Block* blocks;
  PackedGroup<Block> group(int g) const { return {blocks[g]}; }
};

// What lies before the first fetch_ahead, which would otherwise arrive line by line.
inline void fetch_first(const Matrix& w, int64_t first, int rows) {
  for (int64_t i = 0; i < std::min<int64_t>(kPrefetch, rows * w.row_stride); i += 64) __builtin_prefetch(w.row(first) + i);
}

// Token tiles outside, panels inside: the tokens' spans stay in the first-level cache, the chunk's weights in the second.
template <class Block, class F>
inline void multiply_panels(const Matrix& w, int64_t first, int rows, const Input& in, int64_t count, float* out,
                            F&& multiply_span) {
  const int64_t spans = (w.columns + kSpan - 1) / kSpan;
  fetch_first(w, first, rows);
  for_tiles<kTileTokens>(count, [&](int64_t token, auto n) {
    for (int r = 0; r < rows; r += kPanelRows) {
      const auto* const blocks = reinterpret_cast<const Block*>(w.row(first + r));
      float* const y = out + token * kChunk + r;
      for (int64_t s = 0; s < spans; ++s) multiply_span(blocks, s, in.spans + s * in.tokens + token, y, n);
    }
  });
}

template <class K, class Tile>
inline void unpack(const Tile& packed, KTile<K>& out) {
  constexpr int kGroupSteps = Tile::kGroupSteps, kGroups = 64 / kGroupSteps;
  const auto keep = [](void* to, auto value) { std::memcpy(to, &value, sizeof value); };
  for (int stretch = 0; stretch < 8; ++stretch) {
    packed.fetch_ahead(stretch);
#pragma GCC unroll 8
    for (int i = 0; i < 8; ++i)
      for (int v = 0; v < kVectors; ++v) {
        keep(&out.codes[8 * stretch + i][v * kLanes], packed.code(stretch, i, v));
        if (i % kGroupSteps == 0)
          keep(&out.scales[(8 * stretch + i) / kGroupSteps][v * kLanes], packed.scale(stretch, i, v));
      }
  }
  for (int v = 0; v < kVectors; ++v) {
    for (int p = 0; p < kGroups / 2; ++p) keep(&out.mins[p][v * kLanes], packed.min_pair(p, v));
    keep(out.ds + v * kLanes, packed.d(v));
    keep(out.dmins + v * kLanes, packed.dmin(v));
  }
}

// For many tokens: panels outside, of which two at a time are unpacked into the first-level cache, tokens inside. The same
// sums in the same order.
template <class K, class Tile, class Block>
void multiply_unpacked_k(const Matrix& w, int64_t first, int rows, const Input& in, int64_t count, float* out) {
  constexpr int kPanels = 2;
  fetch_first(w, first, rows);
  for (int64_t s = 0; s < w.columns / kSpan; ++s)
    for (int r = 0; r < rows; r += kPanels * kPanelRows) {
      KTile<K> tiles[kPanels];
      const int panels = std::min(kPanels, (rows - r + kPanelRows - 1) / kPanelRows);
      for (int p = 0; p < panels; ++p)
        unpack(Tile{reinterpret_cast<const Block*>(w.row(first + r + p * kPanelRows))[s]}, tiles[p]);
      for_tokens(in, s, count, out + r, [&](const Span* a, float* y, auto n) {
        for (int p = 0; p < panels; ++p) multiply_scaled<decltype(n)::value>(tiles[p], a, y + p * kPanelRows);
      });
    }
}

template <class K, class Tile, class Block>
void multiply_packed_k(const Matrix& w, int64_t first, int rows, const Input& in, int64_t count, float* out) {
  if constexpr (kManyTokens > 0)
    if (count >= kManyTokens) return multiply_unpacked_k<K, Tile, Block>(w, first, rows, in, count, out);
  multiply_panels<Block>(w, first, rows, in, count, out,
                         [](const Block* blocks, int64_t s, const Span* a, float* y, auto n) {
                           multiply_scaled<decltype(n)::value>(Tile{blocks[s]}, a, y);
                         });
}

template <class Block>
void multiply_packed_groups(const Matrix& w, int64_t first, int rows, const Input& in, int64_t count, float* out) {
  const int64_t groups = w.columns / 32;
  multiply_panels<Block>(w, first, rows, in, count, out,
                         [&](const Block* blocks, int64_t s, const Span* a, float* y, auto n) {
                           const int here = static_cast<int>(std::min<int64_t>(8, groups - 8 * s));
                           multiply_grouped<decltype(n)::value>(PackedGroups<Block>{blocks + 8 * s}, here, a, y);
                         });
}

void multiply_packed(const Matrix& w, int64_t first, int rows, const Input& in, int64_t count, float* out) {
  const auto run = [&]() {
    switch (w.format) {
      case Format::Q4_K_P16: return multiply_packed_k<Q4K, PackedQ4KTile, PackedQ4K>;
      case Format::Q5_K_P16: return multiply_packed_k<Q5K, PackedQ5KTile, PackedQ5K>;
      case Format::Q6_K_P16: return multiply_packed_k<Q6K, PackedQ6KTile, PackedQ6K>;
      case Format::Q4_0_P16: return multiply_packed_groups<PackedQ4_0>;
      case Format::Q4_1_P16: return multiply_packed_groups<PackedQ4_1>;
      case Format::Q5_0_P16: return multiply_packed_groups<PackedQ5_0>;
      case Format::Q5_1_P16: return multiply_packed_groups<PackedQ5_1>;
      case Format::IQ4_P16: return multiply_packed_groups<PackedIQ4>;
      default: return multiply_packed_groups<PackedQ8_0>;
    }
  }();
  run(w, first, rows, in, count, out);
}

// ---- The roof: how fast the arithmetic of panels could be ----

int64_t byte_products(int64_t rounds, int32_t* sink) {
  constexpr int kSums = kTileTokens * kVectors;  // what the registers hold: more than latency × units
  V sum[kSums], codes = broadcast4(reinterpret_cast<const int8_t*>(sink)), act = codes;
#pragma GCC unroll 16
  for (int j = 0; j < kSums; ++j) sum[j] = zero();
  for (int64_t i = 0; i < rounds; ++i)
#pragma GCC unroll 16
    for (int j = 0; j < kSums; ++j) {
      add_now(act);  // the product is not taken out of the loop
      sum[j] = dot_codes(sum[j], codes, act);
      add_now(sum[j]);
    }
#pragma GCC unroll 16
  for (int j = 1; j < kSums; ++j) sum[0] = dot_codes(sum[0], sum[j], act);
  std::memcpy(sink, &sum[0], 4);
  return rounds * kSums * kLanes * 4 * 2;
}

// ---- One row as floats: the embedding of a tied head ----

inline int packed_nibble(const uint8_t (*chunk)[64], int row, int column) {
  const int i = column / 4;
  const uint8_t byte = chunk[i % 4][4 * row + column % 4];
  return i < 4 ? byte & 15 : byte >> 4;
}

inline int packed_bits(const uint8_t* plane, int bits, int row, int byte, int step) {
  return (plane[4 * row + byte] >> (bits * step)) & ((1 << bits) - 1);
}

inline float packed_value(const PackedQ4K& b, int row, int c) {
  const int g = c / 32, code = packed_nibble(b.code + 4 * g, row, c % 32);
  return from_half(b.d[row]) * b.scale[g / 2][row][g % 2] * code - from_half(b.dmin[row]) * b.min[g / 2][row][g % 2];
}

inline float packed_value(const PackedQ5K& b, int row, int c) {
  const int g = c / 32, high = packed_bits(b.high[g], 1, row, c % 4, c % 32 / 4);
  const int code = packed_nibble(b.code + 4 * g, row, c % 32) | high << 4;
  return from_half(b.d[row]) * b.scale[g / 2][row][g % 2] * code - from_half(b.dmin[row]) * b.min[g / 2][row][g % 2];
}

inline float packed_value(const PackedQ6K& b, int row, int c) {
  const int g = c / 16, high = packed_bits(b.high[g], 2, row, c % 4, c % 16 / 4);
  const int code = packed_nibble(b.code + 4 * (c / 32), row, c % 32) | high << 4;
  return from_half(b.d[row]) * b.scale[g / 2][row][g % 2] * (code - 32);
}

template <class Block>
inline float packed_value(const Block& b, int row, int c) {
  float d, m = 0;
  if constexpr (Block::kHalf) d = from_half(b.d[row]);
  else d = b.d[row];
  if constexpr (Block::kHasMin) m = from_half(b.m[row]);
  if constexpr (std::is_same_v<Block, PackedQ8_0>) {
    return d * b.value[c / 4][4 * row + c % 4];
  } else {
    int code = packed_nibble(b.code, row, c);
    if constexpr (Block::kBits == 5) code |= packed_bits(b.high, 1, row, c % 4, c / 4) << 4;
    return d * (std::is_same_v<Block, PackedIQ4> ? kIQ4Values[code] : code - Block::kOffset) + m;
  }
}

inline void dequantize_packed(const Matrix& w, int64_t row, float* out) {
  const uint8_t* const panel = w.row(row / kPanelRows * kPanelRows);
  const int r = static_cast<int>(row % kPanelRows), block = block_size(w.format).columns;
  const auto fill = [&](auto type) {
    const auto* const blocks = reinterpret_cast<const decltype(type)*>(panel);
    for (int64_t c = 0; c < w.columns; ++c) out[c] = packed_value(blocks[c / block], r, static_cast<int>(c % block));
  };
  switch (w.format) {
    case Format::Q4_K_P16: return fill(PackedQ4K{});
    case Format::Q5_K_P16: return fill(PackedQ5K{});
    case Format::Q6_K_P16: return fill(PackedQ6K{});
    case Format::Q4_0_P16: return fill(PackedQ4_0{});
    case Format::Q4_1_P16: return fill(PackedQ4_1{});
    case Format::Q5_0_P16: return fill(PackedQ5_0{});
    case Format::Q5_1_P16: return fill(PackedQ5_1{});
    case Format::IQ4_P16: return fill(PackedIQ4{});
    default: return fill(PackedQ8_0{});
  }
}

}  // namespace inhouse::INHOUSE_ISA
