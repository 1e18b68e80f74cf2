// Eight floats at a time, in the compiler's own vector types: AVX2 and AVX-512 get one register, NEON and the
// baseline two. Included once per instruction set.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>

namespace inhouse::INHOUSE_ISA {

typedef float F8 __attribute__((vector_size(32)));
typedef int32_t I8 __attribute__((vector_size(32)));

inline F8 load8(const float* p) {
  F8 v;
  std::memcpy(&v, p, sizeof v);
  return v;
}
inline void store8(float* p, F8 v) { std::memcpy(p, &v, sizeof v); }
inline F8 splat8(float x) { return F8{x, x, x, x, x, x, x, x}; }
inline float sum8(F8 v) { return ((v[0] + v[4]) + (v[1] + v[5])) + ((v[2] + v[6]) + (v[3] + v[7])); }

inline F8 magnitude8(F8 x) {
  return reinterpret_cast<F8>(reinterpret_cast<I8>(x) & 0x7fffffff);
}
inline float max8(F8 v) {
  const float a = std::max(std::max(v[0], v[4]), std::max(v[1], v[5])), b = std::max(std::max(v[2], v[6]), std::max(v[3], v[7]));
  return std::max(a, b);
}

// The largest magnitude of n floats.
inline float largest(const float* x, int n) {
  F8 most = splat8(0);
  int i = 0;
  for (; i + 8 <= n; i += 8) {
    const F8 size = magnitude8(load8(x + i));
    most = size > most ? size : most;
  }
  float whole = max8(most);
  for (; i < n; ++i) whole = std::max(whole, std::fabs(x[i]));
  return whole;
}

// x as an integer from −127 to 127, where it is not far outside: adding 1.5 · 2^23 rounds to the nearest, ties to even.
inline int8_t nearest_code(float x) {
  const float shifted = x + 12582912.0f;
  int32_t bits;
  std::memcpy(&bits, &shifted, 4);
  return static_cast<int8_t>(bits);
}

// exp of every x to about 2 ulp: 2^n · p(r), r in ±ln 2 / 2 (Cephes' polynomial); saturates instead of overflowing. One
// exp is a long chain of operations that wait for each other: several go step by step together.
template <int N>
inline void exp_all(F8 (&x)[N]) {
  const F8 high = splat8(88.3f), low = splat8(-87.3f);
  F8 n[N], p[N];
  I8 exponent[N];
  const auto each = [](auto&& step) {
#pragma GCC unroll 4
    for (int i = 0; i < N; ++i) step(i);
  };
  each([&](int i) { x[i] = x[i] > high ? high : x[i]; });
  each([&](int i) { x[i] = x[i] < low ? low : x[i]; });
  each([&](int i) { n[i] = x[i] * 1.44269504f + 12582912.0f; });  // adding 1.5 · 2^23 rounds to an integer
  each([&](int i) { n[i] -= 12582912.0f; });
  each([&](int i) { exponent[i] = __builtin_convertvector(n[i], I8) << 23; });
  each([&](int i) { x[i] -= n[i] * 0.693359375f; });
  each([&](int i) { x[i] += n[i] * 2.12194440e-4f; });
  each([&](int i) { p[i] = x[i] * 1.9875691500e-4f + 1.3981999507e-3f; });
  each([&](int i) { p[i] = p[i] * x[i] + 8.3334519073e-3f; });
  each([&](int i) { p[i] = p[i] * x[i] + 4.1665795894e-2f; });
  each([&](int i) { p[i] = p[i] * x[i] + 1.6666665459e-1f; });
  each([&](int i) { p[i] = p[i] * x[i] + 5.0000001201e-1f; });
  each([&](int i) { p[i] = p[i] * (x[i] * x[i]) + x[i] + 1.0f; });
  each([&](int i) { x[i] = reinterpret_cast<F8>(reinterpret_cast<I8>(p[i]) + exponent[i]); });
}

inline F8 exp8(F8 x) {
  F8 one[1] = {x};
  exp_all(one);
  return one[0];
}

inline F8 silu8(F8 x) { return x / (1.0f + exp8(-x)); }

template <int N>
inline void silu_all(F8 (&x)[N]) {
  F8 e[N];
  for (int i = 0; i < N; ++i) e[i] = -x[i];
  exp_all(e);
  for (int i = 0; i < N; ++i) x[i] /= 1.0f + e[i];
}

// Applies f to n floats, eight at a time; the tail passes through a padded buffer.
template <class F>
inline void map8(float* x, const float* y, int64_t n, F&& f) {
  int64_t i = 0;
  for (; i + 8 <= n; i += 8) store8(x + i, f(load8(x + i), load8(y + i)));
  if (i < n) {
    float a[8] = {}, b[8] = {};
    std::memcpy(a, x + i, static_cast<size_t>(n - i) * 4);
    std::memcpy(b, y + i, static_cast<size_t>(n - i) * 4);
    store8(a, f(load8(a), load8(b)));
    std::memcpy(x + i, a, static_cast<size_t>(n - i) * 4);
  }
}

// x · y over n floats with four partial sums.
inline float dot(const float* x, const float* y, int64_t n) {
  F8 a = splat8(0), b = a, c = a, d = a;
  int64_t i = 0;
  for (; i + 32 <= n; i += 32) {
    a += load8(x + i) * load8(y + i);
    b += load8(x + i + 8) * load8(y + i + 8);
    c += load8(x + i + 16) * load8(y + i + 16);
    d += load8(x + i + 24) * load8(y + i + 24);
  }
  for (; i + 8 <= n; i += 8) a += load8(x + i) * load8(y + i);
  float rest = 0;
  for (; i < n; ++i) rest += x[i] * y[i];
  return sum8((a + b) + (c + d)) + rest;
}

}  // namespace inhouse::INHOUSE_ISA
