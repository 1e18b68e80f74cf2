// What AVX2 and AVX-VNNI have in common: vectors of eight int32 lanes, few registers. An instruction set adds how bytes are
// multiplied (lanes.h says what is wanted).
#pragma once

#define INHOUSE_FEW_REGISTERS "x"  // the constraint that names a vector register

#include "x86_rows.h"

namespace inhouse::INHOUSE_ISA {

constexpr int kLanes = 8;
constexpr int kTileTokens = 6;
constexpr int64_t kManyTokens = 18;
typedef float FL __attribute__((vector_size(4 * kLanes)));
constexpr float kSignedBias = 0;
using V = __m256i;

inline FL load_half(const uint16_t* p) {
  return _mm256_cvtph_ps(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p)));
}
inline FL load_codes(const int8_t* p) {
  return _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(p))));
}
inline V zero() { return _mm256_setzero_si256(); }
inline V load(const void* p) { return _mm256_loadu_si256(static_cast<const V*>(p)); }
inline V broadcast4(const int8_t* p) {
  int32_t word;
  std::memcpy(&word, p, 4);
  return _mm256_set1_epi32(word);
}

inline V load_unsigned(const uint8_t* p) { return _mm256_cvtepu8_epi16(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p))); }
inline V load_signed(const int8_t* p) { return _mm256_cvtepi8_epi16(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p))); }
inline V first_of(V pair) { return _mm256_or_si256(_mm256_slli_epi32(pair, 16), _mm256_and_si256(pair, _mm256_set1_epi32(0xffff))); }
inline V second_of(V pair) { return _mm256_or_si256(_mm256_srli_epi32(pair, 16), _mm256_andnot_si256(_mm256_set1_epi32(0xffff), pair)); }
inline V one_scale() { return _mm256_set1_epi16(1); }
inline V iq4_values(V codes) {
  const __m128i table = _mm_loadu_si128(reinterpret_cast<const __m128i*>(kIQ4Values));
  return _mm256_shuffle_epi8(_mm256_broadcastsi128_si256(table), codes);
}

inline V dot_pairs(V total, V m, V s) { return _mm256_add_epi32(total, _mm256_madd_epi16(m, s)); }

}  // namespace inhouse::INHOUSE_ISA
