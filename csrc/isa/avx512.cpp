// AVX-512 with VNNI: four byte products go straight into an int32 lane (vpdpbusd). Empty on other platforms.
#if defined(__AVX512VNNI__)
#define INHOUSE_ISA avx512
#define INHOUSE_ISA_NAME "avx512"

#include "x86_rows.h"

namespace inhouse::avx512 {

constexpr int kLanes = 16;
constexpr int kTileTokens = 12;
constexpr int64_t kManyTokens = 0;
typedef float FL __attribute__((vector_size(4 * kLanes)));
constexpr float kSignedBias = -128;  // signed values are made unsigned by adding 128
using V = __m512i;

inline FL load_half(const uint16_t* p) {
  return _mm512_cvtph_ps(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p)));
}
inline FL load_codes(const int8_t* p) {
  return _mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p))));
}
inline V zero() { return _mm512_setzero_si512(); }
inline V load(const void* p) { return _mm512_loadu_si512(p); }
inline V broadcast4(const int8_t* p) {
  int32_t word;
  std::memcpy(&word, p, 4);
  return _mm512_set1_epi32(word);
}
inline V load_unsigned(const uint8_t* p) { return _mm512_cvtepu8_epi16(load256(p)); }
inline V load_signed(const int8_t* p) { return _mm512_cvtepi8_epi16(load256(p)); }
inline V first_of(V pair) { return _mm512_slli_epi32(pair, 16); }
inline V second_of(V pair) { return pair; }
inline V one_scale() { return _mm512_set1_epi32(0x00010001); }
inline V iq4_values(V codes) {
  const __m128i table = _mm_loadu_si128(reinterpret_cast<const __m128i*>(kIQ4Values));
  return _mm512_shuffle_epi8(_mm512_broadcast_i32x4(table), codes);
}
constexpr int exact_steps(int) { return 8; }
inline V dot_codes(V sum, V codes, V act) { return _mm512_dpbusd_epi32(sum, codes, act); }
inline V scale_add(V total, V sum, V scale) {
  return _mm512_add_epi32(total, _mm512_mullo_epi32(sum, _mm512_srai_epi32(scale, 16)));
}
inline V dot_pairs(V total, V m, V s) { return _mm512_dpwssd_epi32(total, m, s); }
inline V dot_signed(V total, V values, V act) {
  return _mm512_dpbusd_epi32(total, _mm512_xor_si512(values, _mm512_set1_epi8(-128)), act);
}

inline __m512i load512(const void* p) { return _mm512_loadu_si512(p); }
inline __m512i join(const void* low, const void* high) {
  return _mm512_inserti64x4(_mm512_castsi256_si512(load256(low)), load256(high), 1);
}
inline F8 fold(__m512i v) {
  return _mm256_cvtepi32_ps(_mm256_add_epi32(_mm512_castsi512_si256(v), _mm512_extracti64x4_epi64(v, 1)));
}

// 64 bytes of a block hold groups 0 and 2 in their low nibbles, 1 and 3 in their high ones.
template <>
struct RowBlock<Q4K> {
  __m512i code[2], scale;  // scale: eight int32, twice
  __m128i min;
  float d, dmin;

  explicit RowBlock(const BlockQ4_K& block) : d(from_half(block.d)), dmin(from_half(block.dmin)) {
    for (int j = 0; j < 2; ++j) code[j] = load512(block.q + 64 * j);
    const __m128i bytes = scales_6bit(block.scales);
    scale = _mm512_broadcast_i64x4(_mm256_cvtepu8_epi32(bytes));
    min = _mm_cvtepu8_epi16(_mm_unpackhi_epi64(bytes, bytes));
  }

  F8 add(F8 sum, const Span& a) const {
    const __m512i nibble = _mm512_set1_epi8(15);
    const __m512i step = _mm512_set1_epi32(1);
    __m512i pick = _mm512_inserti64x4(_mm512_setzero_si512(), _mm256_set1_epi32(2), 1);  // groups 0 and 2
    __m512i total = _mm512_setzero_si512();
#pragma GCC unroll 2
    for (int j = 0; j < 2; ++j) {
      const __m512i even = join(a.q + 128 * j, a.q + 128 * j + 64);
      const __m512i odd = join(a.q + 128 * j + 32, a.q + 128 * j + 96);
      const __m512i low = _mm512_dpbusd_epi32(_mm512_setzero_si512(), _mm512_and_si512(code[j], nibble), even);
      const __m512i high = _mm512_dpbusd_epi32(_mm512_setzero_si512(),
                                               _mm512_and_si512(_mm512_srli_epi16(code[j], 4), nibble), odd);
      total = _mm512_add_epi32(total, _mm512_mullo_epi32(low, _mm512_permutexvar_epi32(pick, scale)));
      pick = _mm512_add_epi32(pick, step);
      total = _mm512_add_epi32(total, _mm512_mullo_epi32(high, _mm512_permutexvar_epi32(pick, scale)));
      pick = _mm512_add_epi32(pick, _mm512_set1_epi32(3));
    }
    const __m128i mins = _mm_madd_epi16(min, _mm_loadu_si128(reinterpret_cast<const __m128i*>(a.sum32)));
    return sum + fold(total) * (a.d * d) - F8(_mm256_cvtepi32_ps(_mm256_zextsi128_si256(mins))) * (a.d * dmin);
  }
};

template <>
struct RowBlock<Q6K> {
  __m512i code[4], scale;  // in column order; scale: sixteen int32
  __m256i scale16;
  float d;

  explicit RowBlock(const BlockQ6_K& block) : d(from_half(block.d)) {
    const __m512i nibble = _mm512_set1_epi8(15), top = _mm512_set1_epi8(0x30);
    const __m512i left = _mm512_setr_epi64(4, 4, 4, 4, 2, 2, 2, 2), right = _mm512_setr_epi64(0, 0, 0, 0, 2, 2, 2, 2);
    for (int j = 0; j < 2; ++j) {
      const __m512i low = load512(block.low + 64 * j);
      const __m512i high = _mm512_broadcast_i64x4(load256(block.high + 32 * j));
      code[2 * j] = _mm512_or_si512(_mm512_and_si512(low, nibble),
                                    _mm512_and_si512(_mm512_sllv_epi64(high, left), top));
      code[2 * j + 1] = _mm512_or_si512(_mm512_and_si512(_mm512_srli_epi16(low, 4), nibble),
                                        _mm512_and_si512(_mm512_srlv_epi64(high, right), top));
    }
    const __m128i bytes = _mm_loadu_si128(reinterpret_cast<const __m128i*>(block.scales));
    scale = _mm512_cvtepi8_epi32(bytes);
    scale16 = _mm256_cvtepi8_epi16(bytes);
  }

  F8 add(F8 sum, const Span& a) const {
    // Codes stand for values 32 lower.
    const __m256i offset = _mm256_slli_epi32(_mm256_madd_epi16(scale16, load256(a.sum16)), 5);
    __m512i total = _mm512_sub_epi32(_mm512_setzero_si512(), _mm512_zextsi256_si512(offset));
    __m512i pick = _mm512_setr_epi32(0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2, 2, 3, 3, 3, 3);
#pragma GCC unroll 4
    for (int j = 0; j < 4; ++j) {
      const __m512i product = _mm512_dpbusd_epi32(_mm512_setzero_si512(), code[j], load512(a.q + 64 * j));
      total = _mm512_add_epi32(total, _mm512_mullo_epi32(product, _mm512_permutexvar_epi32(pick, scale)));
      pick = _mm512_add_epi32(pick, _mm512_set1_epi32(4));
    }
    return sum + fold(total) * (a.d * d);
  }
};

}  // namespace inhouse::avx512

#include "table.h"
#endif
