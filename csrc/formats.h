// The number formats of weights, as they lie in a file: GGUF's block layouts. Knows no kernel.
//
// Ids are GGUF's tensor types, so that a tensor's type number crosses from Python unchanged.
#pragma once

#include <cstdint>
#include <cstring>

namespace inhouse {

#if defined(__aarch64__)
using half = __fp16;
#else
using half = _Float16;
#endif

enum class Format : int {
  F32 = 0, F16 = 1, Q4_0 = 2, Q4_1 = 3, Q5_0 = 6, Q5_1 = 7, Q8_0 = 8,
  Q2_K = 10, Q3_K = 11, Q4_K = 12, Q5_K = 13, Q6_K = 14, IQ4_NL = 20, IQ4_XS = 23, BF16 = 30,
  // Panels of sixteen interleaved rows (weights/packed.py): ours, 1000 + the id of what they hold.
  Q4_0_P16 = 1002, Q4_1_P16 = 1003, Q5_0_P16 = 1006, Q5_1_P16 = 1007, Q8_0_P16 = 1008,
  Q4_K_P16 = 1012, Q5_K_P16 = 1013, Q6_K_P16 = 1014, IQ4_P16 = 1020,
};

constexpr int kPanelRows = 16;  // rows of a packed panel, and of a tile
constexpr int kSpan = 256;  // columns that share one activation scale; the K formats' block

// Columns per block and bytes per block; {0, 0} for an unknown id.
struct BlockSize {
  int columns;
  int bytes;
};

constexpr BlockSize block_size(Format format) {
  switch (format) {
    case Format::F32: return {1, 4};
    case Format::F16: return {1, 2};
    case Format::BF16: return {1, 2};
    case Format::Q4_0: return {32, 18};
    case Format::Q4_1: return {32, 20};
    case Format::Q5_0: return {32, 22};
    case Format::Q5_1: return {32, 24};
    case Format::Q8_0: return {32, 34};
    case Format::Q2_K: return {256, 84};
    case Format::Q3_K: return {256, 110};
    case Format::Q4_K: return {256, 144};
    case Format::Q5_K: return {256, 176};
    case Format::Q6_K: return {256, 210};
    case Format::IQ4_NL: return {32, 18};
    case Format::IQ4_XS: return {256, 136};
    case Format::Q4_0_P16: return {32, 20};
    case Format::Q4_1_P16: return {32, 20};
    case Format::Q5_0_P16: return {32, 24};
    case Format::Q5_1_P16: return {32, 24};
    case Format::Q8_0_P16: return {32, 34};
    case Format::Q4_K_P16: return {256, 148};
    case Format::Q5_K_P16: return {256, 180};
    case Format::Q6_K_P16: return {256, 210};
    case Format::IQ4_P16: return {32, 20};
  }
  return {0, 0};
}

constexpr bool is_float(Format f) { return f == Format::F32 || f == Format::F16 || f == Format::BF16; }

constexpr bool is_packed(Format f) { return static_cast<int>(f) >= 1000; }

// K formats with integer scales per group of 16 or 32 inside a block of 256, all codes unsigned and below 64.
constexpr bool is_k(Format f) {
  return f == Format::Q2_K || f == Format::Q3_K || f == Format::Q4_K || f == Format::Q5_K || f == Format::Q6_K;
}

#pragma pack(push, 1)
struct BlockQ4_0 { uint16_t d; uint8_t q[16]; };
struct BlockQ4_1 { uint16_t d, m; uint8_t q[16]; };
struct BlockQ5_0 { uint16_t d; uint8_t high[4]; uint8_t q[16]; };
struct BlockQ5_1 { uint16_t d, m; uint8_t high[4]; uint8_t q[16]; };
struct BlockQ8_0 { uint16_t d; int8_t q[32]; };
struct BlockQ2_K { uint8_t scales[16]; uint8_t q[64]; uint16_t d, dmin; };
struct BlockQ3_K { uint8_t high[32]; uint8_t q[64]; uint8_t scales[12]; uint16_t d; };
struct BlockQ4_K { uint16_t d, dmin; uint8_t scales[12]; uint8_t q[128]; };
struct BlockQ5_K { uint16_t d, dmin; uint8_t scales[12]; uint8_t high[32]; uint8_t q[128]; };
struct BlockQ6_K { uint8_t low[128]; uint8_t high[64]; int8_t scales[16]; uint16_t d; };
struct BlockIQ4_NL { uint16_t d; uint8_t q[16]; };
struct BlockIQ4_XS { uint16_t d; uint16_t scales_high; uint8_t scales_low[4]; uint8_t q[128]; };

// A panel's sixteen rows × 256 columns. Four columns are a step; a chunk of 64 bytes holds step i of a stretch of eight
// steps for all rows in its low nibbles, step i + 4 in its high ones. Scales of two neighbouring groups lie together.
struct PackedQ4K {
  uint8_t code[32][64];
  uint8_t scale[4][16][2], min[4][16][2];
  uint16_t d[16], dmin[16];
};
struct PackedQ5K {
  uint8_t code[32][64];
  uint8_t high[8][64];  // a bit per step of a stretch
  uint8_t scale[4][16][2], min[4][16][2];
  uint16_t d[16], dmin[16];
};
struct PackedQ6K {
  uint8_t code[32][64];
  uint8_t high[16][64];  // two bits per step of half a stretch
  int8_t scale[8][16][2];
  uint16_t d[16];
};

// Sixteen rows × 32 columns: w = d · (code − kOffset) + m.
struct PackedQ4_0 {
  static constexpr int kBits = 4, kOffset = 8;
  static constexpr bool kSigned = false, kHalf = false, kHasMin = false;
  uint8_t code[4][64];
  float d[16];
};
struct PackedQ4_1 {
  static constexpr int kBits = 4, kOffset = 0;
  static constexpr bool kSigned = false, kHalf = true, kHasMin = true;
  uint8_t code[4][64];
  uint16_t d[16], m[16];
};
struct PackedQ5_0 {
  static constexpr int kBits = 5, kOffset = 16;
  static constexpr bool kSigned = false, kHalf = false, kHasMin = false;
  uint8_t code[4][64];
  uint8_t high[64];
  float d[16];
};
struct PackedQ5_1 {
  static constexpr int kBits = 5, kOffset = 0;
  static constexpr bool kSigned = false, kHalf = true, kHasMin = true;
  uint8_t code[4][64];
  uint8_t high[64];
  uint16_t d[16], m[16];
};
struct PackedIQ4 {  // codes are places in kIQ4Values
  static constexpr int kBits = 4, kOffset = 0;
  static constexpr bool kSigned = true, kHalf = false, kHasMin = false;
  uint8_t code[4][64];
  float d[16];
};
struct PackedQ8_0 {
  static constexpr int kBits = 8, kOffset = 0;
  static constexpr bool kSigned = true, kHalf = true, kHasMin = false;
  int8_t value[8][64];
  uint16_t d[16];
};
#pragma pack(pop)

// The non-linear 4-bit table of IQ4_NL and IQ4_XS.
constexpr int8_t kIQ4Values[16] = {-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113};

// A matrix of weights in somebody else's memory (a mapped file): `rows` rows of `columns` elements.
struct Matrix {
  const uint8_t* data = nullptr;
  int64_t rows = 0;
  int64_t columns = 0;
  int64_t row_stride = 0;  // bytes
  Format format = Format::F32;

  const uint8_t* row(int64_t r) const { return data + r * row_stride; }
  bool like(const Matrix& m) const { return rows == m.rows && columns == m.columns && format == m.format; }
};

// A stack of equal matrices (experts).
struct MatrixStack {
  Matrix first;
  int64_t count = 1;
  int64_t stride = 0;  // bytes from one matrix to the next

  Matrix operator[](int64_t i) const {
    Matrix m = first;
    m.data += i * stride;
    return m;
  }
};

// 256 activations of one token, quantised to int8 with one scale, and their sums over groups: the sums meet the
// weights' minima. The last span of a row may be short: the rest is zero.
struct alignas(64) Span {
  int8_t q[kSpan];
  int16_t sum16[16];
  int16_t sum32[8];
  float d;
};
static_assert(sizeof(Span) == 320);

}  // namespace inhouse
