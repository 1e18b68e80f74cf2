// The table of kernels that differ per instruction set, and how one is chosen. Knows neither threads nor Python.
#pragma once

#include <cstdint>

#include "formats.h"

namespace inhouse {

constexpr int kChunk = 64;  // rows of weights that one task multiplies; the row stride of its output

// Activations of `tokens` tokens: float rows, and for quantised weights their spans, span-major, so that the
// spans which meet one stretch of columns lie side by side.
struct Input {
  const float* x = nullptr;     // (tokens, columns)
  const Span* spans = nullptr;  // (spans per row, tokens)
  int64_t tokens = 0;
  int64_t columns = 0;
};

struct Kernels {
  const char* name;

  // out[i · kChunk + r] = w[first_row + r] · input[token(i)], r < rows ≤ kChunk, i < count, where token(i) is
  // index[i], or i if index is null.
  void (*multiply)(const Matrix& w, int64_t first_row, int rows, const Input& input, const int32_t* index,
                   int64_t count, float* out);

  // One row of activations to spans, `stride` spans apart.
  void (*quantize)(const float* x, int64_t columns, Span* out, int64_t stride);

  void (*rms_norm)(const float* x, const float* weight, int64_t n, float eps, float* out);

  // gate[i] = silu(gate[i]) · up[i]
  void (*silu_multiply)(float* gate, const float* up, int64_t n);

  // One row of a matrix as float32.
  void (*dequantize)(const Matrix& w, int64_t row, float* out);
};

// The named instruction set ("scalar", "avx2", "avx512", "neon"), or the best for this processor if null. Returns
// null if there is none of that name here.
const Kernels* choose_kernels(const char* name);

namespace scalar { extern const Kernels kernels; }
namespace avx2 { extern const Kernels kernels; }
namespace avx512 { extern const Kernels kernels; }
namespace neon { extern const Kernels kernels; }

}  // namespace inhouse
