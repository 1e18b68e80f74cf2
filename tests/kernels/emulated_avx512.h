// The instructions of AVX-512 that the kernels use, as functions: lets a processor without it check them, slowly. Included
// before everything else.
#pragma once
#include <immintrin.h>

#include <cstdint>
#include <cstring>

#include "emulated_dpbusd.h"

#define __AVX512VNNI__ 1
// A call is cheaper to compile than what it stands for, hundreds of times.
#define EMULATED __attribute__((noinline)) inline

namespace emulated {

// A vector's 64 bytes as numbers of type T.
template <typename T>
struct Numbers {
  static constexpr int kCount = 64 / sizeof(T);
  T at[kCount];

  Numbers() = default;
  explicit Numbers(__m512i v) { std::memcpy(at, &v, 64); }
  __m512i vector() const {
    __m512i v;
    std::memcpy(&v, at, 64);
    return v;
  }
};

template <typename T, typename Function>
__m512i each(Function&& value_at) {
  Numbers<T> result;
  for (int i = 0; i < Numbers<T>::kCount; ++i) result.at[i] = static_cast<T>(value_at(i));
  return result.vector();
}

// Numbers of type From, as many as there are of type To in a vector, made wider.
template <typename To, typename From, typename Half>
EMULATED __m512i widen(Half half) {
  From from[64 / sizeof(To)];
  static_assert(sizeof(from) == sizeof(half));
  std::memcpy(from, &half, sizeof(from));
  return each<To>([&](int i) { return from[i]; });
}

EMULATED __m512i set1(int32_t x) { return each<int32_t>([&](int) { return x; }); }
EMULATED __m512i set1_8(char x) { return each<int8_t>([&](int) { return x; }); }
template <typename... T>
EMULATED __m512i set32(T... x) {
  const int32_t all[16] = {x...};
  return each<int32_t>([&](int i) { return all[i]; });
}
template <typename... T>
EMULATED __m512i set64(T... x) {
  const int64_t all[8] = {x...};
  return each<int64_t>([&](int i) { return all[i]; });
}
EMULATED __m512i load(const void* p) {
  __m512i v;
  std::memcpy(&v, p, 64);
  return v;
}

EMULATED __m512i add(__m512i a, __m512i b) {
  const Numbers<uint32_t> x(a), y(b);
  return each<uint32_t>([&](int i) { return x.at[i] + y.at[i]; });
}
EMULATED __m512i subtract(__m512i a, __m512i b) {
  const Numbers<uint32_t> x(a), y(b);
  return each<uint32_t>([&](int i) { return x.at[i] - y.at[i]; });
}
EMULATED __m512i multiply(__m512i a, __m512i b) {
  const Numbers<uint32_t> x(a), y(b);
  return each<uint32_t>([&](int i) { return x.at[i] * y.at[i]; });
}
EMULATED __m512i dpwssd(__m512i sum, __m512i a, __m512i b) {
  const Numbers<int32_t> s(sum);
  const Numbers<int16_t> x(a), y(b);
  return each<int32_t>(
      [&](int i) { return int64_t{s.at[i]} + x.at[2 * i] * y.at[2 * i] + int64_t{x.at[2 * i + 1] * y.at[2 * i + 1]}; });
}

EMULATED __m512i shift_left(__m512i a, unsigned by) {
  const Numbers<uint32_t> x(a);
  return each<uint32_t>([&](int i) { return by < 32 ? x.at[i] << by : 0; });
}
EMULATED __m512i shift_right_signed(__m512i a, unsigned by) {
  const Numbers<int32_t> x(a);
  return each<int32_t>([&](int i) { return x.at[i] >> (by < 32 ? by : 31); });
}
EMULATED __m512i shift_right_words(__m512i a, unsigned by) {
  const Numbers<uint16_t> x(a);
  return each<uint16_t>([&](int i) { return by < 16 ? x.at[i] >> by : 0; });
}
EMULATED __m512i shift_left_each(__m512i a, __m512i by) {
  const Numbers<uint64_t> x(a), n(by);
  return each<uint64_t>([&](int i) { return n.at[i] < 64 ? x.at[i] << n.at[i] : 0; });
}
EMULATED __m512i shift_right_each(__m512i a, __m512i by) {
  const Numbers<uint64_t> x(a), n(by);
  return each<uint64_t>([&](int i) { return n.at[i] < 64 ? x.at[i] >> n.at[i] : 0; });
}

EMULATED __m512i permute(__m512i indices, __m512i a) {
  const Numbers<uint32_t> from(indices), x(a);
  return each<uint32_t>([&](int i) { return x.at[from.at[i] & 15]; });
}
EMULATED __m512i shuffle_bytes(__m512i a, __m512i indices) {  // within each 16 bytes
  const Numbers<uint8_t> x(a), from(indices);
  return each<uint8_t>([&](int i) { return from.at[i] & 128 ? 0 : x.at[(i & ~15) | (from.at[i] & 15)]; });
}
template <typename Part>
EMULATED __m512i repeat(Part part) {
  uint8_t bytes[sizeof(Part)];
  std::memcpy(bytes, &part, sizeof(bytes));
  return each<uint8_t>([&](int i) { return bytes[i % sizeof(bytes)]; });
}
EMULATED __m512i insert(__m512i a, __m256i half, int which) {
  std::memcpy(reinterpret_cast<char*>(&a) + 32 * which, &half, 32);
  return a;
}
EMULATED __m256i extract(__m512i a, int which) {
  __m256i half;
  std::memcpy(&half, reinterpret_cast<const char*>(&a) + 32 * which, 32);
  return half;
}
EMULATED __m512i dpbusd(__m512i sum, __m512i codes, __m512i act) {
  for (int i = 0; i < 2; ++i) sum = insert(sum, emulated_dpbusd(extract(sum, i), extract(codes, i), extract(act, i)), i);
  return sum;
}
EMULATED __m512i extend(__m256i low) { return insert(set1(0), low, 0); }

EMULATED __m512 floats_of_halves(__m256i halves) {
  const __m256 low = _mm256_cvtph_ps(_mm256_castsi256_si128(halves));
  const __m256 high = _mm256_cvtph_ps(_mm256_extracti128_si256(halves, 1));
  __m512 result;
  std::memcpy(&result, &low, 32);
  std::memcpy(reinterpret_cast<char*>(&result) + 32, &high, 32);
  return result;
}
EMULATED __m512 floats_of_integers(__m512i a) {
  const Numbers<int32_t> x(a);
  float values[16];
  for (int i = 0; i < 16; ++i) values[i] = static_cast<float>(x.at[i]);
  __m512 result;
  std::memcpy(&result, values, 64);
  return result;
}

}  // namespace emulated

#undef _mm512_setr_epi32
#undef _mm512_setr_epi64
#undef _mm256_dpbusd_epi32
#define _mm256_dpbusd_epi32 emulated_dpbusd
#define _mm512_add_epi32 emulated::add
#define _mm512_and_si512(a, b) ((a) & (b))
#define _mm512_broadcast_i32x4 emulated::repeat<__m128i>
#define _mm512_broadcast_i64x4 emulated::repeat<__m256i>
#define _mm512_castsi256_si512 emulated::extend
#define _mm512_castsi512_si256(a) emulated::extract(a, 0)
#define _mm512_cvtepi32_ps emulated::floats_of_integers
#define _mm512_cvtepi8_epi16 (emulated::widen<int16_t, int8_t, __m256i>)
#define _mm512_cvtepi8_epi32 (emulated::widen<int32_t, int8_t, __m128i>)
#define _mm512_cvtepu8_epi16 (emulated::widen<int16_t, uint8_t, __m256i>)
#define _mm512_cvtph_ps emulated::floats_of_halves
#define _mm512_dpbusd_epi32 emulated::dpbusd
#define _mm512_dpwssd_epi32 emulated::dpwssd
#define _mm512_extracti64x4_epi64 emulated::extract
#define _mm512_inserti64x4 emulated::insert
#define _mm512_loadu_si512 emulated::load
#define _mm512_mullo_epi32 emulated::multiply
#define _mm512_or_si512(a, b) ((a) | (b))
#define _mm512_permutexvar_epi32 emulated::permute
#define _mm512_set1_epi32 emulated::set1
#define _mm512_set1_epi8 emulated::set1_8
#define _mm512_setr_epi32 emulated::set32
#define _mm512_setr_epi64 emulated::set64
#define _mm512_setzero_si512() emulated::set1(0)
#define _mm512_shuffle_epi8 emulated::shuffle_bytes
#define _mm512_slli_epi32 emulated::shift_left
#define _mm512_sllv_epi64 emulated::shift_left_each
#define _mm512_srai_epi32 emulated::shift_right_signed
#define _mm512_srli_epi16 emulated::shift_right_words
#define _mm512_srlv_epi64 emulated::shift_right_each
#define _mm512_sub_epi32 emulated::subtract
#define _mm512_xor_si512(a, b) ((a) ^ (b))
#define _mm512_zextsi256_si512 emulated::extend
