#include "pack.h"

#include <algorithm>

#include "threads.h"

namespace inhouse {
namespace {

uint32_t load32(const uint8_t* p) {
  uint32_t x;
  std::memcpy(&x, p, 4);
  return x;
}

void store32(uint8_t* p, uint32_t x) { std::memcpy(p, &x, 4); }

float half_value(uint16_t bits) {
  half h;
  std::memcpy(&h, &bits, 2);
  return static_cast<float>(h);
}

// ---- A row's codes into its place in a panel block ----

// 32 codes: their nibbles go to four chunks.
void put_nibbles(const uint8_t* codes, int row, uint8_t (*chunk)[64]) {
  uint8_t both[16];
  for (int i = 0; i < 16; ++i) both[i] = static_cast<uint8_t>((codes[i] & 15) | codes[16 + i] << 4);
  for (int i = 0; i < 4; ++i) store32(chunk[i] + 4 * row, load32(both + 4 * i));
}

// The bits above a nibble of 8 / kBits steps, a step at a time from bit 0 up.
template <int kBits>
void put_plane(const uint8_t* codes, int row, uint8_t* plane) {
  constexpr uint32_t kMask = ((1u << kBits) - 1) * 0x01010101u;
  constexpr int kSteps = kBits == 1 ? 8 : 4;
  uint32_t bits = 0;
  for (int i = 0; i < kSteps; ++i) bits |= (load32(codes + 4 * i) >> 4 & kMask) << (kBits * i);
  store32(plane + 4 * row, bits);
}

// ---- GGUF's planes of codes: a run of kWidth bytes holds element i in its low bits, i + kWidth in the next ----

template <int kWidth>
void take_nibbles(const uint8_t* q, int columns, uint8_t* codes) {
  for (int c = 0; c < columns; c += 2 * kWidth, q += kWidth)
    for (int i = 0; i < kWidth; ++i) {
      codes[c + i] = q[i] & 15;
      codes[c + kWidth + i] = q[i] >> 4;
    }
}

void take_fifth_bits(const uint8_t* high, uint8_t* codes) {
  const uint32_t bits = load32(high);
  for (int i = 0; i < 32; ++i) codes[i] |= static_cast<uint8_t>((bits >> i & 1) << 4);
}

// The eight 6-bit scales and minima of Q4_K and Q5_K.
template <class Packed>
void put_scales(const uint8_t* s, int row, Packed& out) {
  for (int g = 0; g < 8; ++g) {
    const bool first = g < 4;
    out.scale[g / 2][row][g % 2] = first ? s[g] & 63 : static_cast<uint8_t>((s[g + 4] & 15) | s[g - 4] >> 6 << 4);
    out.min[g / 2][row][g % 2] = first ? s[g + 4] & 63 : static_cast<uint8_t>(s[g + 4] >> 4 | s[g] >> 6 << 4);
  }
}

// ---- put(block of one row, its row in the panel, the panel's packed blocks it fills) ----

void put(const BlockQ4_K& b, int row, PackedQ4K* out) {
  uint8_t codes[256];
  take_nibbles<32>(b.q, 256, codes);
  for (int s = 0; s < 8; ++s) put_nibbles(codes + 32 * s, row, out->code + 4 * s);
  put_scales(b.scales, row, *out);
  out->d[row] = b.d;
  out->dmin[row] = b.dmin;
}

void put(const BlockQ5_K& b, int row, PackedQ5K* out) {
  uint8_t codes[256];
  take_nibbles<32>(b.q, 256, codes);
  for (int s = 0; s < 8; ++s) {
    for (int i = 0; i < 32; ++i) codes[32 * s + i] |= static_cast<uint8_t>((b.high[i] >> s & 1) << 4);
    put_nibbles(codes + 32 * s, row, out->code + 4 * s);
    put_plane<1>(codes + 32 * s, row, out->high[s]);
  }
  put_scales(b.scales, row, *out);
  out->d[row] = b.d;
  out->dmin[row] = b.dmin;
}

void put(const BlockQ6_K& b, int row, PackedQ6K* out) {
  uint8_t codes[256];
  take_nibbles<64>(b.low, 256, codes);
  for (int s = 0; s < 8; ++s) {
    const uint8_t* const high = b.high + s / 4 * 32;
    for (int i = 0; i < 32; ++i) codes[32 * s + i] |= static_cast<uint8_t>((high[i] >> 2 * (s % 4) & 3) << 4);
    put_nibbles(codes + 32 * s, row, out->code + 4 * s);
    put_plane<2>(codes + 32 * s, row, out->high[2 * s]);
    put_plane<2>(codes + 32 * s + 16, row, out->high[2 * s + 1]);
  }
  for (int g = 0; g < 16; ++g) out->scale[g / 2][row][g % 2] = b.scales[g];
  out->d[row] = b.d;
}

void put(const BlockQ4_0& b, int row, PackedQ4_0* out) {
  uint8_t codes[32];
  take_nibbles<16>(b.q, 32, codes);
  put_nibbles(codes, row, out->code);
  out->d[row] = half_value(b.d);
}

void put(const BlockQ4_1& b, int row, PackedQ4_1* out) {
  uint8_t codes[32];
  take_nibbles<16>(b.q, 32, codes);
  put_nibbles(codes, row, out->code);
  out->d[row] = b.d;
  out->m[row] = b.m;
}

void put(const BlockQ5_0& b, int row, PackedQ5_0* out) {
  uint8_t codes[32];
  take_nibbles<16>(b.q, 32, codes);
  take_fifth_bits(b.high, codes);
  put_nibbles(codes, row, out->code);
  put_plane<1>(codes, row, out->high);
  out->d[row] = half_value(b.d);
}

void put(const BlockQ5_1& b, int row, PackedQ5_1* out) {
  uint8_t codes[32];
  take_nibbles<16>(b.q, 32, codes);
  take_fifth_bits(b.high, codes);
  put_nibbles(codes, row, out->code);
  put_plane<1>(codes, row, out->high);
  out->d[row] = b.d;
  out->m[row] = b.m;
}

void put(const BlockQ8_0& b, int row, PackedQ8_0* out) {
  for (int i = 0; i < 8; ++i) std::memcpy(out->value[i] + 4 * row, b.q + 4 * i, 4);
  out->d[row] = b.d;
}

void put(const BlockIQ4_NL& b, int row, PackedIQ4* out) {
  uint8_t codes[32];
  take_nibbles<16>(b.q, 32, codes);
  put_nibbles(codes, row, out->code);
  out->d[row] = half_value(b.d);
}

void put(const BlockIQ4_XS& b, int row, PackedIQ4* out) {
  uint8_t codes[256];
  take_nibbles<16>(b.q, 256, codes);
  for (int s = 0; s < 8; ++s) {
    put_nibbles(codes + 32 * s, row, out[s].code);
    const int scale = (b.scales_low[s / 2] >> 4 * (s % 2) & 15) | (b.scales_high >> 2 * s & 3) << 4;
    out[s].d[row] = half_value(b.d) * static_cast<float>(scale - 32);
  }
}

template <class Block, class Packed>
void pack_panels(const Matrix& w, uint8_t* out, int threads) {
  const int64_t blocks = w.columns / block_size(w.format).columns;
  const BlockSize packed = block_size(packed_format(w.format));
  const int split = block_size(w.format).columns / packed.columns;
  const int64_t panel_bytes = w.columns / packed.columns * packed.bytes * kPanelRows;
  static_assert(sizeof(Packed) % kPanelRows == 0);
  ThreadPool(threads).for_range(w.rows / kPanelRows, 8, [&](int64_t begin, int64_t end, int) {
    for (int64_t p = begin; p < end; ++p) {
      auto* const panel = reinterpret_cast<Packed*>(out + p * panel_bytes);
      for (int64_t b = 0; b < blocks; ++b)
        for (int r = 0; r < kPanelRows; ++r)
          put(reinterpret_cast<const Block*>(w.row(p * kPanelRows + r))[b], r, panel + b * split);
    }
  });
}

}  // namespace

Format packed_format(Format source) {
  switch (source) {
    case Format::Q4_0: return Format::Q4_0_P16;
    case Format::Q4_1: return Format::Q4_1_P16;
    case Format::Q5_0: return Format::Q5_0_P16;
    case Format::Q5_1: return Format::Q5_1_P16;
    case Format::Q8_0: return Format::Q8_0_P16;
    case Format::Q4_K: return Format::Q4_K_P16;
    case Format::Q5_K: return Format::Q5_K_P16;
    case Format::Q6_K: return Format::Q6_K_P16;
    case Format::IQ4_NL:
    case Format::IQ4_XS: return Format::IQ4_P16;
    default: return Format::F32;
  }
}

void pack(const Matrix& w, uint8_t* out, int threads) {
  switch (w.format) {
    case Format::Q4_0: return pack_panels<BlockQ4_0, PackedQ4_0>(w, out, threads);
    case Format::Q4_1: return pack_panels<BlockQ4_1, PackedQ4_1>(w, out, threads);
    case Format::Q5_0: return pack_panels<BlockQ5_0, PackedQ5_0>(w, out, threads);
    case Format::Q5_1: return pack_panels<BlockQ5_1, PackedQ5_1>(w, out, threads);
    case Format::Q8_0: return pack_panels<BlockQ8_0, PackedQ8_0>(w, out, threads);
    case Format::Q4_K: return pack_panels<BlockQ4_K, PackedQ4K>(w, out, threads);
    case Format::Q5_K: return pack_panels<BlockQ5_K, PackedQ5K>(w, out, threads);
    case Format::Q6_K: return pack_panels<BlockQ6_K, PackedQ6K>(w, out, threads);
    case Format::IQ4_NL: return pack_panels<BlockIQ4_NL, PackedIQ4>(w, out, threads);
    case Format::IQ4_XS: return pack_panels<BlockIQ4_XS, PackedIQ4>(w, out, threads);
    default: return;
  }
}

}  // namespace inhouse
