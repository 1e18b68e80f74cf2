// NEON with the dot-product extension (sdot): every code is below 128, so signed bytes do. Empty on other platforms.
#if defined(__ARM_FEATURE_DOTPROD)
#define INHOUSE_ISA neon
#define INHOUSE_ISA_NAME "neon"

#include <arm_neon.h>

#include "unpack.h"
#include "vectors.h"

namespace inhouse::neon {

constexpr int kLanes = 4;
constexpr int kTileTokens = 4;
constexpr int64_t kManyTokens = 0;
typedef float FL __attribute__((vector_size(4 * kLanes)));
constexpr float kSignedBias = 0;
using V = int32x4_t;

inline FL load_half(const uint16_t* p) { return vcvt_f32_f16(vreinterpret_f16_u16(vld1_u16(p))); }
inline FL load_codes(const int8_t* p) {
  uint32_t word;
  std::memcpy(&word, p, 4);
  return vcvtq_f32_s32(vmovl_s16(vget_low_s16(vmovl_s8(vcreate_s8(word)))));
}
inline V zero() { return vdupq_n_s32(0); }
inline V load(const void* p) { return vreinterpretq_s32_s8(vld1q_s8(static_cast<const int8_t*>(p))); }
inline V broadcast4(const int8_t* p) {
  int32_t word;
  std::memcpy(&word, p, 4);
  return vdupq_n_s32(word);
}
inline V load_unsigned(const uint8_t* p) { return vreinterpretq_s32_u16(vmovl_u8(vld1_u8(p))); }
inline V load_signed(const int8_t* p) { return vreinterpretq_s32_s16(vmovl_s8(vld1_s8(p))); }
inline V first_of(V pair) { return vshlq_n_s32(pair, 16); }
inline V second_of(V pair) { return pair; }
inline V one_scale() { return vdupq_n_s32(0x00010001); }
inline V iq4_values(V codes) {
  return vreinterpretq_s32_s8(vqtbl1q_s8(vld1q_s8(kIQ4Values), vreinterpretq_u8_s32(codes)));
}
constexpr int exact_steps(int) { return 8; }
inline V dot_signed(V sum, V values, V act) {
  return vdotq_s32(sum, vreinterpretq_s8_s32(values), vreinterpretq_s8_s32(act));
}
inline V dot_codes(V sum, V codes, V act) { return dot_signed(sum, codes, act); }
inline V scale_add(V total, V sum, V scale) { return vmlaq_s32(total, sum, vshrq_n_s32(scale, 16)); }
inline V dot_pairs(V total, V m, V s) {
  total = vmlaq_s32(total, vshrq_n_s32(m, 16), vshrq_n_s32(s, 16));
  return vmlaq_s32(total, vshrq_n_s32(vshlq_n_s32(m, 16), 16), vshrq_n_s32(vshlq_n_s32(s, 16), 16));
}

inline void interleave(const uint8_t* const* rows, int words, uint32_t* out) {
  for (int k = 0; k < words; ++k)
    for (int r = 0; r < 16; ++r) std::memcpy(out + 16 * k + r, rows[r] + 4 * k, 4);
}

inline I8 join(int32x4_t low, int32x4_t high) {
  I8 v;
  std::memcpy(&v, &low, 16);
  std::memcpy(reinterpret_cast<char*>(&v) + 16, &high, 16);
  return v;
}
inline int32x4_t dot16(const void* w, const int8_t* q) {
  return vdotq_s32(vdupq_n_s32(0), vld1q_s8(static_cast<const int8_t*>(w)), vld1q_s8(q));
}
inline I8 row_dot(const KBlock& b, const Span& a, int group) {
  int32x4_t low = vdupq_n_s32(0), high = low;
  for (int i = 0; i < kSpan; i += 32) {
    low = vmlaq_n_s32(low, dot16(b.code + i, a.q + i), b.scale[i / group]);
    high = vmlaq_n_s32(high, dot16(b.code + i + 16, a.q + i + 16), b.scale[(i + 16) / group]);
  }
  return join(low, high);
}
inline I8 row_dot16(const KBlock& b, const Span& a) { return row_dot(b, a, 16); }
inline I8 row_dot32(const KBlock& b, const Span& a) { return row_dot(b, a, 32); }
template <int kGroup>
inline I8 row_mins(const KBlock& b, const Span& a) {
  I8 total{};
  for (int g = 0; g < kSpan / kGroup; ++g) total[g % 8] += b.min[g] * (kGroup == 32 ? a.sum32[g] : a.sum16[g]);
  return total;
}
inline I8 row_signed(B32 value, const int8_t* q) {
  int8_t w[32];
  std::memcpy(w, &value, 32);
  return join(dot16(w, q), dot16(w + 16, q + 16));
}

}  // namespace inhouse::neon

#include "table.h"
#endif
