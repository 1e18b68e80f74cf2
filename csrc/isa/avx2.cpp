// AVX2: bytes are multiplied in pairs into int16 (vpmaddubsw), which holds several sums of small codes exactly
// before the group's integer scale widens them to int32 (vpmaddwd). Empty on other platforms.
#if defined(__AVX2__)
#define INHOUSE_ISA avx2
#define INHOUSE_ISA_NAME "avx2"
#define INHOUSE_FEW_REGISTERS "x"  // the constraint that names a vector register

#include "x86_rows.h"

namespace inhouse::avx2 {

constexpr int kLanes = 8;
constexpr int kTileTokens = 6;
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

// The largest power of two of products of two codes ≤ max with ±127 whose sum fits an int16.
constexpr int exact_steps(int max) {
  int steps = 1;
  while (steps * 2 * (2 * 127 * max) <= 32767 && steps < 8) steps *= 2;
  return steps;
}
inline V dot_codes(V sum, V codes, V act) { return _mm256_add_epi16(sum, _mm256_maddubs_epi16(codes, act)); }
inline V scale_add(V total, V sum, V scale) { return _mm256_add_epi32(total, _mm256_madd_epi16(sum, scale)); }
inline V dot_pairs(V total, V m, V s) { return _mm256_add_epi32(total, _mm256_madd_epi16(m, s)); }
inline V dot_signed(V total, V values, V act) {
  const V product = _mm256_maddubs_epi16(_mm256_abs_epi8(values), _mm256_sign_epi8(act, values));
  return _mm256_add_epi32(total, _mm256_madd_epi16(product, _mm256_set1_epi16(1)));
}

inline F8 floats(__m256i v) { return _mm256_cvtepi32_ps(v); }

// Four loads of 32 bytes hold two groups each: low nibbles, then high ones.
template <>
struct RowBlock<Q4K> {
  __m256i code[4], scale;  // scale: eight int16, twice
  __m128i min;
  float d, dmin;

  explicit RowBlock(const BlockQ4_K& block) : d(from_half(block.d)), dmin(from_half(block.dmin)) {
    for (int j = 0; j < 4; ++j) code[j] = load256(block.q + 32 * j);
    const __m128i bytes = scales_6bit(block.scales);
    scale = _mm256_broadcastsi128_si256(_mm_cvtepu8_epi16(bytes));
    min = _mm_cvtepu8_epi16(_mm_unpackhi_epi64(bytes, bytes));
  }

  F8 add(F8 sum, const Span& a) const {
    const __m256i nibble = _mm256_set1_epi8(15), next = _mm256_set1_epi16(0x0202);
    __m256i pick = _mm256_set1_epi16(0x0100), total = _mm256_setzero_si256();
#pragma GCC unroll 4
    for (int j = 0; j < 4; ++j) {
      const __m256i low = _mm256_and_si256(code[j], nibble);
      const __m256i high = _mm256_and_si256(_mm256_srli_epi16(code[j], 4), nibble);
      const __m256i p = _mm256_maddubs_epi16(low, load256(a.q + 64 * j));
      const __m256i q = _mm256_maddubs_epi16(high, load256(a.q + 64 * j + 32));
      total = _mm256_add_epi32(total, _mm256_madd_epi16(p, _mm256_shuffle_epi8(scale, pick)));
      pick = _mm256_add_epi8(pick, next);
      total = _mm256_add_epi32(total, _mm256_madd_epi16(q, _mm256_shuffle_epi8(scale, pick)));
      pick = _mm256_add_epi8(pick, next);
    }
    const __m128i mins = _mm_madd_epi16(min, _mm_loadu_si128(reinterpret_cast<const __m128i*>(a.sum32)));
    return sum + floats(total) * (a.d * d) - floats(_mm256_zextsi128_si256(mins)) * (a.d * dmin);
  }
};

template <>
struct RowBlock<Q6K> {
  __m256i code[8], scale;  // scale: sixteen int16
  float d;

  explicit RowBlock(const BlockQ6_K& block) : d(from_half(block.d)) {
    const __m256i nibble = _mm256_set1_epi8(15), top = _mm256_set1_epi8(0x30);
    for (int j = 0; j < 2; ++j) {
      const __m256i low0 = load256(block.low + 64 * j), low1 = load256(block.low + 64 * j + 32);
      const __m256i high = load256(block.high + 32 * j);
      const auto join = [&](__m256i low, __m256i shifted) {
        return _mm256_or_si256(_mm256_and_si256(low, nibble), _mm256_and_si256(shifted, top));
      };
      code[4 * j] = join(low0, _mm256_slli_epi16(high, 4));
      code[4 * j + 1] = join(low1, _mm256_slli_epi16(high, 2));
      code[4 * j + 2] = join(_mm256_srli_epi16(low0, 4), high);
      code[4 * j + 3] = join(_mm256_srli_epi16(low1, 4), _mm256_srli_epi16(high, 2));
    }
    scale = _mm256_cvtepi8_epi16(_mm_loadu_si128(reinterpret_cast<const __m128i*>(block.scales)));
  }

  F8 add(F8 sum, const Span& a) const {
    // Each 128-bit half of a product has its own scale: bytes 2g, 2g+1 of `scale` repeated.
    const __m256i low = _mm256_permute2x128_si256(scale, scale, 0x00);
    const __m256i high = _mm256_permute2x128_si256(scale, scale, 0x11);
    __m256i pick = _mm256_set_m128i(_mm_set1_epi16(0x0302), _mm_set1_epi16(0x0100));
    const __m256i next = _mm256_set1_epi8(4);
    // Codes stand for values 32 lower.
    __m256i total = _mm256_slli_epi32(_mm256_madd_epi16(scale, load256(a.sum16)), 5);
    total = _mm256_sub_epi32(_mm256_setzero_si256(), total);
#pragma GCC unroll 8
    for (int j = 0; j < 8; ++j) {
      const __m256i product = _mm256_maddubs_epi16(code[j], load256(a.q + 32 * j));
      const __m256i s = _mm256_shuffle_epi8(j < 4 ? low : high, pick);
      total = _mm256_add_epi32(total, _mm256_madd_epi16(product, s));
      pick = j == 3 ? _mm256_set_m128i(_mm_set1_epi16(0x0302), _mm_set1_epi16(0x0100)) : _mm256_add_epi8(pick, next);
    }
    return sum + floats(total) * (a.d * d);
  }
};

}  // namespace inhouse::avx2

#include "table.h"
#endif
