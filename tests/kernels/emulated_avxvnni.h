// What AVX-VNNI adds to AVX2, as functions: lets a processor without it check the kernels that use it. Included before
// everything else.
#pragma once
#include <immintrin.h>

#include <cstdint>
#include <cstring>

#define __AVXVNNI__ 1
#define _mm256_dpbusd_avx_epi32 emulated_dpbusd

inline __m256i emulated_dpbusd(__m256i sum, __m256i codes, __m256i act) {
  int32_t total[8];
  uint8_t u[32];
  int8_t s[32];
  std::memcpy(total, &sum, 32);
  std::memcpy(u, &codes, 32);
  std::memcpy(s, &act, 32);
  for (int i = 0; i < 32; ++i) total[i / 4] += u[i] * s[i];
  std::memcpy(&sum, total, 32);
  return sum;
}
