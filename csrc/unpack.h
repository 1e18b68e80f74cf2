// One unpacker per format: a block's codes in plain row order plus its scales. Plain loops that every compiler
// vectorises; included once per instruction set (INHOUSE_ISA names the namespace, so that no two copies merge).
#pragma once

#include "formats.h"

namespace inhouse::INHOUSE_ISA {

inline float from_half(uint16_t bits) {
  half h;
  std::memcpy(&h, &bits, 2);
  return static_cast<float>(h);
}

inline float from_bfloat(uint16_t bits) {
  const uint32_t wide = static_cast<uint32_t>(bits) << 16;
  float f;
  std::memcpy(&f, &wide, 4);
  return f;
}

// A K block as w = d · scale[g] · code − dmin · min[g], g = column / kGroup.
struct KBlock {
  alignas(64) uint8_t code[kSpan];
  int16_t scale[16];
  int16_t min[16];
  float d, dmin;
};

// The 6-bit scales and minima of Q4_K and Q5_K: eight of each in twelve bytes, four at a time in 32-bit words.
inline void unpack_scales_6bit(const uint8_t* packed, int16_t* scale, int16_t* min) {
  uint32_t word[3];
  std::memcpy(word, packed, 12);
  const uint32_t bytes[4] = {
      word[0] & 0x3f3f3f3f, (word[2] & 0x0f0f0f0f) | ((word[0] >> 6) & 0x03030303) << 4,  // scales
      word[1] & 0x3f3f3f3f, ((word[2] >> 4) & 0x0f0f0f0f) | ((word[1] >> 6) & 0x03030303) << 4,  // minima
  };
  uint8_t plain[16];
  std::memcpy(plain, bytes, 16);
  for (int g = 0; g < 8; ++g) scale[g] = plain[g];
  for (int g = 0; g < 8; ++g) min[g] = plain[g + 8];
}

// The formats as types, so that kernels are instantiated per format: kGroup columns share an integer scale; kMax is
// the largest code, which says how many products fit an int16 sum.
struct Q4K {
  static constexpr int kGroup = 32, kMax = 15;
  using Block = BlockQ4_K;
  static void unpack(const Block& b, KBlock& out) {
    out.d = from_half(b.d);
    out.dmin = from_half(b.dmin);
    unpack_scales_6bit(b.scales, out.scale, out.min);
    for (int j = 0; j < 4; ++j)
      for (int i = 0; i < 32; ++i) {
        out.code[64 * j + i] = b.q[32 * j + i] & 15;
        out.code[64 * j + 32 + i] = b.q[32 * j + i] >> 4;
      }
  }
};

struct Q5K {
  static constexpr int kGroup = 32, kMax = 31;
  using Block = BlockQ5_K;
  static void unpack(const Block& b, KBlock& out) {
    out.d = from_half(b.d);
    out.dmin = from_half(b.dmin);
    unpack_scales_6bit(b.scales, out.scale, out.min);
    for (int j = 0; j < 4; ++j)
      for (int i = 0; i < 32; ++i) {
        const uint8_t high = b.high[i] >> (2 * j);
        out.code[64 * j + i] = (b.q[32 * j + i] & 15) | (high & 1) << 4;
        out.code[64 * j + 32 + i] = (b.q[32 * j + i] >> 4) | (high & 2) << 3;
      }
  }
};

// Codes 0..63 stand for −32..31: the offset becomes a minimum of 32 · scale.
struct Q6K {
  static constexpr int kGroup = 16, kMax = 63;
  using Block = BlockQ6_K;
  static void unpack(const Block& b, KBlock& out) {
    out.d = out.dmin = from_half(b.d);
    for (int g = 0; g < 16; ++g) {
      out.scale[g] = b.scales[g];
      out.min[g] = static_cast<int16_t>(32 * b.scales[g]);
    }
    for (int j = 0; j < 2; ++j)
      for (int i = 0; i < 32; ++i) {
        const uint8_t low0 = b.low[64 * j + i], low1 = b.low[64 * j + 32 + i], high = b.high[32 * j + i];
        uint8_t* code = out.code + 128 * j + i;
        code[0] = (low0 & 15) | (high & 3) << 4;
        code[32] = (low1 & 15) | ((high >> 2) & 3) << 4;
        code[64] = (low0 >> 4) | ((high >> 4) & 3) << 4;
        code[96] = (low1 >> 4) | (high >> 6) << 4;
      }
  }
};

struct Q2K {
  static constexpr int kGroup = 16, kMax = 3;
  using Block = BlockQ2_K;
  static void unpack(const Block& b, KBlock& out) {
    out.d = from_half(b.d);
    out.dmin = from_half(b.dmin);
    for (int g = 0; g < 16; ++g) {
      out.scale[g] = b.scales[g] & 15;
      out.min[g] = b.scales[g] >> 4;
    }
    for (int j = 0; j < 2; ++j)
      for (int k = 0; k < 4; ++k)
        for (int i = 0; i < 32; ++i) out.code[128 * j + 32 * k + i] = (b.q[32 * j + i] >> (2 * k)) & 3;
  }
};

// Two low bits plus one high bit: codes 0..7 stand for −4..3.
struct Q3K {
  static constexpr int kGroup = 16, kMax = 7;
  using Block = BlockQ3_K;
  static void unpack(const Block& b, KBlock& out) {
    out.d = out.dmin = from_half(b.d);
    for (int g = 0; g < 16; ++g) {
      const int low = g < 8 ? b.scales[g] & 15 : b.scales[g - 8] >> 4;
      const int high = (b.scales[8 + g % 4] >> (2 * (g / 4))) & 3;
      out.scale[g] = static_cast<int16_t>((low | high << 4) - 32);
      out.min[g] = static_cast<int16_t>(4 * out.scale[g]);
    }
    for (int j = 0; j < 2; ++j)
      for (int k = 0; k < 4; ++k)
        for (int i = 0; i < 32; ++i)
          out.code[128 * j + 32 * k + i] =
              ((b.q[32 * j + i] >> (2 * k)) & 3) | ((b.high[i] >> (4 * j + k)) & 1) << 2;
  }
};

typedef uint8_t B16 __attribute__((vector_size(16)));
typedef uint8_t B32 __attribute__((vector_size(32)));  // signed or not, as its user says

template <class T>
inline T load_bytes(const void* p) {
  T v;
  std::memcpy(&v, p, sizeof v);
  return v;
}

// Both halves in one vector, without a way through memory.
inline B32 join(B16 low, B16 high) {
  return __builtin_shufflevector(low, high, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20,
                                 21, 22, 23, 24, 25, 26, 27, 28, 29, 30, 31);
}

// Formats with a float scale per 32 columns, as w = d[g] · value + m[g] with signed bytes: 32 columns at a time.
struct Signed32 {
  B32 value;
  float d, m;
};

// Sixteen bytes of nibbles as columns 0..15 (low) and 16..31 (high).
inline B32 unpack_nibbles(const uint8_t* q) {
  const B16 v = load_bytes<B16>(q);
  return join(v & 15, v >> 4);
}

inline void unpack_signed(const BlockQ4_0& b, Signed32& out) {
  out.d = from_half(b.d);
  out.m = 0;
  out.value = unpack_nibbles(b.q) - 8;
}

inline void unpack_signed(const BlockQ4_1& b, Signed32& out) {
  out.d = from_half(b.d);
  out.m = from_half(b.m);
  out.value = unpack_nibbles(b.q);
}

// The high bits of 32 columns: 16 in each byte whose bit is set.
inline B32 spread_bits(const uint8_t* bits) {
  const uint8_t a = bits[0], b = bits[1], c = bits[2], d = bits[3];
  const B16 low = {a, a, a, a, a, a, a, a, b, b, b, b, b, b, b, b};
  const B16 high = {c, c, c, c, c, c, c, c, d, d, d, d, d, d, d, d};
  const B16 mask = {1, 2, 4, 8, 16, 32, 64, 128, 1, 2, 4, 8, 16, 32, 64, 128};
  return reinterpret_cast<B32>((join(low, high) & join(mask, mask)) != 0) & 16;
}

inline void unpack_signed(const BlockQ5_0& b, Signed32& out) {
  out.d = from_half(b.d);
  out.m = 0;
  out.value = (unpack_nibbles(b.q) | spread_bits(b.high)) - 16;
}

inline void unpack_signed(const BlockQ5_1& b, Signed32& out) {
  out.d = from_half(b.d);
  out.m = from_half(b.m);
  out.value = unpack_nibbles(b.q) | spread_bits(b.high);
}

inline void unpack_signed(const BlockQ8_0& b, Signed32& out) {
  out.d = from_half(b.d);
  out.m = 0;
  out.value = load_bytes<B32>(b.q);
}

inline B32 unpack_iq4(const uint8_t* q) {
  const B16 table = load_bytes<B16>(kIQ4Values), v = load_bytes<B16>(q);
  return join(__builtin_shuffle(table, v & 15), __builtin_shuffle(table, v >> 4));
}

inline void unpack_signed(const BlockIQ4_NL& b, Signed32& out) {
  out.d = from_half(b.d);
  out.m = 0;
  out.value = unpack_iq4(b.q);
}

// Group g (of 32 columns) of a row, whatever the block size.
template <class Block>
inline void unpack_group(const uint8_t* row, int64_t g, Signed32& out) {
  unpack_signed(reinterpret_cast<const Block*>(row)[g], out);
}

template <>
inline void unpack_group<BlockIQ4_XS>(const uint8_t* row, int64_t g, Signed32& out) {
  const auto& b = reinterpret_cast<const BlockIQ4_XS*>(row)[g / 8];
  const int i = static_cast<int>(g % 8);
  const int scale = ((b.scales_low[i / 2] >> (4 * (i % 2))) & 15) | ((b.scales_high >> (2 * i)) & 3) << 4;
  out.d = from_half(b.d) * static_cast<float>(scale - 32);
  out.m = 0;
  out.value = unpack_iq4(b.q + 16 * i);
}

// Any stretch of a float row as float32.
inline void unpack_float(Format format, const uint8_t* data, int64_t count, float* out) {
  if (format == Format::F32) {
    std::memcpy(out, data, static_cast<size_t>(count) * 4);
  } else if (format == Format::F16) {
    const auto* h = reinterpret_cast<const uint16_t*>(data);
    for (int64_t i = 0; i < count; ++i) out[i] = from_half(h[i]);
  } else {
    const auto* h = reinterpret_cast<const uint16_t*>(data);
    for (int64_t i = 0; i < count; ++i) out[i] = from_bfloat(h[i]);
  }
}

// Calls f with the format as a type (a K type or a block of 32-column groups).
template <class F>
inline void with_k_format(Format format, F&& f) {
  switch (format) {
    case Format::Q2_K: return f(Q2K{});
    case Format::Q3_K: return f(Q3K{});
    case Format::Q4_K: return f(Q4K{});
    case Format::Q5_K: return f(Q5K{});
    default: return f(Q6K{});
  }
}

template <class F>
inline void with_signed_format(Format format, F&& f) {
  switch (format) {
    case Format::Q4_0: return f(BlockQ4_0{});
    case Format::Q4_1: return f(BlockQ4_1{});
    case Format::Q5_0: return f(BlockQ5_0{});
    case Format::Q5_1: return f(BlockQ5_1{});
    case Format::Q8_0: return f(BlockQ8_0{});
    case Format::IQ4_NL: return f(BlockIQ4_NL{});
    default: return f(BlockIQ4_XS{});
  }
}

}  // namespace inhouse::INHOUSE_ISA
