// AVX-512 with VNNI: four byte products go straight into an int32 lane (vpdpbusd). Empty on other platforms.
#if defined(__AVX512VNNI__)
#define INHOUSE_ISA avx512
#define INHOUSE_ISA_NAME "avx512"

#include "x86_rows.h"

namespace inhouse::avx512 {

constexpr int kLanes = 16;
constexpr int kTileTokens = 8;
typedef float FL __attribute__((vector_size(4 * kLanes)));
constexpr float kSignedBias = -128;  // signed values are made unsigned by adding 128
using V = __m512i;

inline FL load_half(const uint16_t* p) {
  return _mm512_cvtph_ps(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p)));
}
inline V zero() { return _mm512_setzero_si512(); }
inline V load(const void* p) { return _mm512_load_si512(p); }
inline V broadcast4(const int8_t* p) {
  int32_t word;
  std::memcpy(&word, p, 4);
  return _mm512_set1_epi32(word);
}
constexpr int exact_steps(int) { return 8; }
inline V dot_codes(V sum, V codes, V act) { return _mm512_dpbusd_epi32(sum, codes, act); }
inline V scale_add(V total, V sum, V scale) {
  return _mm512_add_epi32(total, _mm512_mullo_epi32(sum, _mm512_srai_epi32(scale, 16)));
}
inline V dot_pairs(V total, V m, V s) { return _mm512_add_epi32(total, _mm512_madd_epi16(m, s)); }
inline V dot_signed(V total, V values, V act) {
  return _mm512_dpbusd_epi32(total, _mm512_xor_si512(values, _mm512_set1_epi8(-128)), act);
}

}  // namespace inhouse::avx512

#include "table.h"
#endif
