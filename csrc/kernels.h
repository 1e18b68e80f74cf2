// The table of kernels that differ per instruction set, and how one is chosen. Knows neither threads nor Python.
#pragma once

#include <cstdint>

#include "formats.h"
#include "sequence.h"

namespace inhouse {

constexpr int kChunk = 64;  // rows of weights that one task multiplies; the row stride of its output

// Activations of `tokens` tokens: float rows, and for quantised weights their spans, span-major, so that the
// spans which meet one stretch of columns lie side by side.
struct Input {
  const float* x = nullptr;     // (tokens, columns)
  const Span* spans = nullptr;  // (spans per row, tokens)
  int64_t tokens = 0;
  int64_t columns = 0;

  // Without the first `n` tokens.
  Input from(int64_t n) const { return {x ? x + n * columns : x, spans ? spans + n : spans, tokens, columns}; }
};

struct Kernels {
  const char* name;

  // out[i · kChunk + r] = w[first_row + r] · input[i], r < rows ≤ kChunk, i < count.
  void (*multiply)(const Matrix& w, int64_t first_row, int rows, const Input& input, int64_t count, float* out);

  // One row of activations to spans, `stride` spans apart.
  void (*quantize)(const float* x, int64_t columns, Span* out, int64_t stride);

  float (*dot)(const float* x, const float* y, int64_t n);

  void (*rms_norm)(const float* x, const float* weight, int64_t n, float eps, float* out);

  // gate[i] = silu(gate[i]) · up[i]
  void (*silu_multiply)(float* gate, const float* up, int64_t n);

  // One row of a matrix as float32.
  void (*dequantize)(const Matrix& w, int64_t row, float* out);

  // Attention of a tile of queries over the keys [begin, end) of one head; begin is a multiple of kKeyBlock.
  void (*attend)(const AttentionTile& tile, const KvHead& cache, int64_t begin, int64_t end, AttentionSums& sums);

  // One head of q or k: norm, rotation (tables of rotary_dim / 2), scale.
  void (*rotate)(const float* x, const HeadRotation& r, const float* cosine, const float* sine, float* out);

  // One head's key and value of the token at `position` into that head's part of the cache.
  void (*store)(const float* k, const float* v, int dim, int64_t position, const KvHead& cache);

  // x[i] *= sigmoid(gate[i])
  void (*sigmoid_gate)(float* x, const float* gate, int64_t n);

  // x[i] *= silu(gate[i])
  void (*silu_gate)(float* x, const float* gate, int64_t n);

  // The gated delta rule over at most kDeltaBlock tokens of one value head, whose memory s is (key_dim, value_dim):
  // s = decay · s + k (beta · (v − decay · sᵀk))ᵀ, out = sᵀq. out is (tokens, value_dim).
  void (*delta_rule)(float* s, const DeltaTokens& tokens, float* out);

  // The products that the delta rule needs of one key head's tokens, see DeltaTokens.
  void (*delta_products)(const float* q, const float* k, int64_t tokens, int key_dim, float* products);

  // Causal convolution + SiLU of channels [first, first + count), count ≤ kConvChannels, and its state (kernel − 1,
  // channels) of the newest inputs. out (tokens, stride) begins at the first of these channels.
  void (*convolve)(const Convolution& conv, const float* x, int64_t tokens, int64_t first, int count, float* state,
                   float* out, int64_t stride);

  // x = x / sqrt(Σ x² + eps) · scale
  void (*unit)(float* x, int n, float eps, float scale);

  // Byte products from registers alone, the fastest this instruction set can: how many multiplications and additions
  // that was. `sink` receives what they add up to.
  int64_t (*byte_products)(int64_t rounds, int32_t* sink);
};

// The named instruction set ("scalar", "avx2", "avxvnni", "avx512", "neon"), or the best for this processor if null. Returns
// null if there is none of that name here.
const Kernels* choose_kernels(const char* name);

namespace scalar { extern const Kernels kernels; }
namespace avx2 { extern const Kernels kernels; }
namespace avxvnni { extern const Kernels kernels; }
namespace avx512 { extern const Kernels kernels; }
namespace neon { extern const Kernels kernels; }

}  // namespace inhouse
