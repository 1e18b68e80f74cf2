// Plain C++ for any processor; the reference that the vectorised kernels are tested against.
#define INHOUSE_ISA scalar
#define INHOUSE_ISA_NAME "scalar"

#include "unpack.h"
#include "vectors.h"

namespace inhouse::scalar {

constexpr int kLanes = 4;
constexpr int kTileTokens = 2;
constexpr int64_t kManyTokens = 0;
typedef float FL __attribute__((vector_size(4 * kLanes)));
constexpr float kSignedBias = 0;
typedef int32_t V __attribute__((vector_size(16)));

inline FL load_half(const uint16_t* p) {
  return FL{from_half(p[0]), from_half(p[1]), from_half(p[2]), from_half(p[3])};
}
inline FL load_codes(const int8_t* p) {
  return FL{static_cast<float>(p[0]), static_cast<float>(p[1]), static_cast<float>(p[2]), static_cast<float>(p[3])};
}
inline V zero() { return V{}; }
inline V load(const void* p) {
  V v;
  std::memcpy(&v, p, sizeof v);
  return v;
}
inline V broadcast4(const int8_t* p) {
  int32_t word;
  std::memcpy(&word, p, 4);
  return V{word, word, word, word};
}
template <class A>
inline V pairs_of(const A* p) {
  int16_t wide[8];
  for (int i = 0; i < 8; ++i) wide[i] = p[i];
  return load(wide);
}
inline V load_unsigned(const uint8_t* p) { return pairs_of(p); }
inline V load_signed(const int8_t* p) { return pairs_of(p); }
inline V first_of(V pair) { return pair; }
inline V second_of(V pair) { return pair >> 16; }
inline V one_scale() { return V{1, 1, 1, 1}; }
inline V iq4_values(V codes) {
  uint8_t c[16];
  int8_t values[16];
  std::memcpy(c, &codes, 16);
  for (int i = 0; i < 16; ++i) values[i] = kIQ4Values[c[i]];
  return load(values);
}
constexpr int exact_steps(int) { return 8; }

template <class A>
inline V dot_bytes(V sum, V weights, V act) {
  A w[16];
  int8_t a[16];
  std::memcpy(w, &weights, 16);
  std::memcpy(a, &act, 16);
  for (int lane = 0; lane < 4; ++lane)
    for (int i = 0; i < 4; ++i) sum[lane] += w[4 * lane + i] * a[4 * lane + i];
  return sum;
}
inline V dot_codes(V sum, V codes, V act) { return dot_bytes<uint8_t>(sum, codes, act); }
inline V dot_signed(V sum, V values, V act) { return dot_bytes<int8_t>(sum, values, act); }
inline V scale_add(V total, V sum, V scale) { return total + sum * ((scale << 16) >> 16); }
inline V dot_pairs(V total, V m, V s) { return total + (m >> 16) * (s >> 16) + ((m << 16) >> 16) * ((s << 16) >> 16); }

inline void interleave(const uint8_t* const* rows, int words, uint32_t* out) {
  for (int k = 0; k < words; ++k)
    for (int r = 0; r < 16; ++r) std::memcpy(out + 16 * k + r, rows[r] + 4 * k, 4);
}

inline I8 row_dot(const KBlock& b, const Span& a, int group) {
  I8 total{};
  for (int i = 0; i < kSpan; ++i) total[i / 4 % 8] += b.scale[i / group] * b.code[i] * a.q[i];
  return total;
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
  I8 total{};
  for (int i = 0; i < 32; ++i) total[i / 4] += static_cast<int8_t>(value[i]) * q[i];
  return total;
}

}  // namespace inhouse::scalar

#include "table.h"
