// AVX2: bytes are multiplied in pairs into int16 (vpmaddubsw), which holds several sums of small codes exactly
// before the group's integer scale widens them to int32 (vpmaddwd). Empty on other platforms.
#if defined(__AVX2__)
#define INHOUSE_ISA avx2
#define INHOUSE_ISA_NAME "avx2"

#include "x86_rows.h"

namespace inhouse::avx2 {

constexpr int kLanes = 8;
constexpr int kTileTokens = 4;
typedef float FL __attribute__((vector_size(4 * kLanes)));
constexpr float kSignedBias = 0;
using V = __m256i;

inline FL load_half(const uint16_t* p) {
  return _mm256_cvtph_ps(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p)));
}
inline V zero() { return _mm256_setzero_si256(); }
inline V load(const void* p) { return _mm256_load_si256(static_cast<const V*>(p)); }
inline V broadcast4(const int8_t* p) {
  int32_t word;
  std::memcpy(&word, p, 4);
  return _mm256_set1_epi32(word);
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

}  // namespace inhouse::avx2

#include "table.h"
#endif
