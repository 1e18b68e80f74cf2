// Four products of bytes into each int32 lane, as a function of AVX2.
#pragma once
#include <immintrin.h>

#include <cstdint>
#include <cstring>

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
