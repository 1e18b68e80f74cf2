// One row's products with AVX2, shared by the AVX2 and AVX-512 kernels (each in its own namespace).
#pragma once

#include <immintrin.h>

#include "row_block.h"

namespace inhouse::INHOUSE_ISA {

inline __m256i load256(const void* p) { return _mm256_loadu_si256(static_cast<const __m256i*>(p)); }

inline I8 row_dot32(const KBlock& b, const Span& a) {
  __m256i total = _mm256_setzero_si256();
#pragma GCC unroll 8
  for (int g = 0; g < 8; ++g) {
    const __m256i product = _mm256_maddubs_epi16(load256(b.code + 32 * g), load256(a.q + 32 * g));
    total = _mm256_add_epi32(total, _mm256_madd_epi16(product, _mm256_set1_epi16(b.scale[g])));
  }
  return reinterpret_cast<I8>(total);
}

inline I8 row_dot16(const KBlock& b, const Span& a) {
  __m256i total = _mm256_setzero_si256();
#pragma GCC unroll 8
  for (int g = 0; g < 8; ++g) {
    const __m256i product = _mm256_maddubs_epi16(load256(b.code + 32 * g), load256(a.q + 32 * g));
    const __m256i scale = _mm256_set_m128i(_mm_set1_epi16(b.scale[2 * g + 1]), _mm_set1_epi16(b.scale[2 * g]));
    total = _mm256_add_epi32(total, _mm256_madd_epi16(product, scale));
  }
  return reinterpret_cast<I8>(total);
}

template <int kGroup>
inline I8 row_mins(const KBlock& b, const Span& a) {
  if constexpr (kGroup == 16) return reinterpret_cast<I8>(_mm256_madd_epi16(load256(b.min), load256(a.sum16)));
  const __m128i min = _mm_loadu_si128(reinterpret_cast<const __m128i*>(b.min));
  const __m128i sum = _mm_loadu_si128(reinterpret_cast<const __m128i*>(a.sum32));
  return reinterpret_cast<I8>(_mm256_zextsi128_si256(_mm_madd_epi16(min, sum)));
}

// |w| · sign(a, w): activations are never −128, so the sign never overflows, and 2 · 128 · 127 fits an int16.
inline I8 row_signed(B32 value, const int8_t* q) {
  const __m256i w = reinterpret_cast<__m256i>(value);
  const __m256i magnitude = _mm256_abs_epi8(w), signed_q = _mm256_sign_epi8(load256(q), w);
#if defined(__AVX512VNNI__)
  return reinterpret_cast<I8>(_mm256_dpbusd_epi32(_mm256_setzero_si256(), magnitude, signed_q));
#else
  const __m256i product = _mm256_maddubs_epi16(magnitude, signed_q);
  return reinterpret_cast<I8>(_mm256_madd_epi16(product, _mm256_set1_epi16(1)));
#endif
}

// The scales (first eight bytes) and minima (last eight) of a Q4_K or Q5_K block.
inline __m128i scales_6bit(const uint8_t* packed) {
  uint32_t word[3];
  std::memcpy(word, packed, 12);
  return _mm_setr_epi32(static_cast<int>(word[0] & 0x3f3f3f3f),
                        static_cast<int>((word[2] & 0x0f0f0f0f) | ((word[0] >> 6) & 0x03030303) << 4),
                        static_cast<int>(word[1] & 0x3f3f3f3f),
                        static_cast<int>(((word[2] >> 4) & 0x0f0f0f0f) | ((word[1] >> 6) & 0x03030303) << 4));
}

// Four-byte words of sixteen rows to word-major order: eight 8×8 transposes of 32-bit lanes at a time.
inline void transpose8x8(const uint8_t* const* rows, int word, uint32_t* out, int stride) {
  __m256i r[8], s[8];
  for (int i = 0; i < 8; ++i) r[i] = load256(rows[i] + 4 * word);
  for (int i = 0; i < 4; ++i) {
    s[2 * i] = _mm256_unpacklo_epi32(r[2 * i], r[2 * i + 1]);
    s[2 * i + 1] = _mm256_unpackhi_epi32(r[2 * i], r[2 * i + 1]);
  }
  for (int i = 0; i < 2; ++i) {
    r[4 * i] = _mm256_unpacklo_epi64(s[4 * i], s[4 * i + 2]);
    r[4 * i + 1] = _mm256_unpackhi_epi64(s[4 * i], s[4 * i + 2]);
    r[4 * i + 2] = _mm256_unpacklo_epi64(s[4 * i + 1], s[4 * i + 3]);
    r[4 * i + 3] = _mm256_unpackhi_epi64(s[4 * i + 1], s[4 * i + 3]);
  }
  for (int i = 0; i < 4; ++i) {
    const __m256i low = _mm256_permute2x128_si256(r[i], r[i + 4], 0x20);
    const __m256i high = _mm256_permute2x128_si256(r[i], r[i + 4], 0x31);
    _mm256_store_si256(reinterpret_cast<__m256i*>(out + i * stride), low);
    _mm256_store_si256(reinterpret_cast<__m256i*>(out + (i + 4) * stride), high);
  }
}

inline void interleave(const uint8_t* const* rows, int words, uint32_t* out) {
  for (int k = 0; k < words; k += 8)
    for (int r = 0; r < 16; r += 8) transpose8x8(rows + r, k, out + 16 * k + r, 16);
}

}  // namespace inhouse::INHOUSE_ISA
