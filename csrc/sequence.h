// What attention and Gated DeltaNet need beside matrices: shapes, parameters and the sequence's state.
#pragma once

#include <cstdint>

#include "formats.h"

namespace inhouse {

struct Attention {
  int heads, kv_heads, head_dim, rotary_dim;
  double rope_theta;
  const float *q_norm, *k_norm;  // (head_dim,) or null
  float q_eps, k_eps;
  bool gated;
};

// (kv_heads, capacity, head_dim) halves each; `length` tokens are filled.
struct KvCache {
  uint16_t *keys, *values;
  int64_t capacity, length;
};

struct DeltaNet {
  int key_heads, value_heads, key_dim, value_dim, kernel;
  bool tiled;
  const float *conv, *a, *dt_bias, *norm;
  float eps;

  int channels() const { return 2 * key_heads * key_dim + value_heads * value_dim; }
  int key_head_of(int h) const { return tiled ? h % key_heads : h / (value_heads / key_heads); }
};

}  // namespace inhouse
