// What attention and Gated DeltaNet need beside matrices: shapes, parameters and the sequence's state.
#pragma once

#include <cstdint>

#include "formats.h"

namespace inhouse {

constexpr int kKeyBlock = 16;          // keys that lie side by side in the cache
constexpr int kScaleGroup = 32;        // components of an int8 key that share a scale
constexpr int kMaxAttentionRows = 96;  // queries that meet a stretch of keys together
constexpr int kConvChannels = 256;     // channels of the convolution that one call takes
constexpr int kMaxTaps = 8;
constexpr int kDeltaChunk = 16;  // tokens of the delta rule that meet as matrices
constexpr int64_t kDeltaBlock = 64;  // tokens that go through the op together

struct Attention {
  int heads, kv_heads, head_dim, rotary_dim;
  double rope_theta;
  const float *q_norm, *k_norm;  // (head_dim,) or null
  float q_eps, k_eps;
  bool gated;
};

// One head of a cache: halves, or int8 codes where there are scales. A value has one; a key one for every group of
// components, because some of a key's can be a hundred times the others.
struct KvHead {
  void *keys, *values;
  float *key_scales, *value_scales;  // both null for halves

  bool coded() const { return key_scales != nullptr; }
};

inline int64_t scale_groups(int head_dim) { return (head_dim + kScaleGroup - 1) / kScaleGroup; }

// keys (kv_heads, capacity / 16, head_dim, 16): sixteen neighbouring tokens side by side, so that lanes are keys;
// values (kv_heads, capacity, head_dim); key_scales (kv_heads, capacity / 16, groups, 16), value_scales (kv_heads,
// capacity). `length` tokens are filled.
struct KvCache {
  KvHead first;
  int64_t capacity, length;

  KvHead head(int64_t h, int head_dim) const {
    if (first.coded())
      return {at<int8_t>(first.keys, h * capacity * head_dim), at<int8_t>(first.values, h * capacity * head_dim),
              first.key_scales + h * capacity * scale_groups(head_dim), first.value_scales + h * capacity};
    return {at<uint16_t>(first.keys, h * capacity * head_dim), at<uint16_t>(first.values, h * capacity * head_dim),
            nullptr, nullptr};
  }

 private:
  template <class T>
  static T* at(void* p, int64_t i) { return static_cast<T*>(p) + i; }
};

// Queries of one key/value head, normed, rotated and scaled: row r sees the keys below limit[r].
struct AttentionTile {
  const float* q;  // (rows, head_dim)
  const int64_t* limit;
  int rows, head_dim;
};

// Softmax attention over a part of the keys, not yet divided by `total`: parts can be merged.
struct AttentionSums {
  float* out;      // (rows, head_dim)
  float* highest;  // (rows,) largest score
  float* total;    // (rows,) Σ exp(score − highest)
};

struct HeadRotation {
  const float* norm;  // (head_dim,) or null
  float eps, scale;
  int head_dim, rotary_dim;
};

struct DeltaNet {
  int key_heads, value_heads, key_dim, value_dim, kernel;
  bool tiled;
  const float *conv, *a, *dt_bias, *norm;
  float eps;

  int channels() const { return 2 * key_heads * key_dim + value_heads * value_dim; }
  // The i-th value head of those that share a key head.
  int value_head_of(int key_head, int i) const {
    return tiled ? i * key_heads + key_head : key_head * (value_heads / key_heads) + i;
  }
};

// A layer's projections: qkv (tokens, channels), z (tokens, value_heads · value_dim), b and a (tokens, value_heads).
struct DeltaInputs {
  const float *qkv, *z, *b, *a;
};

// One value head's tokens: unit and scaled queries and unit keys (tokens, key_dim), values (tokens, value_dim); per token
// the decay exp(g), the step beta, and the products of its key, and of its query, with the keys of its chunk.
struct DeltaTokens {
  const float *q, *k, *v;
  const float *decay, *beta;
  const float* products;  // (tokens, 2, kDeltaChunk), zero where a key comes later
  const float* next;      // the memory, of the same size, that comes after this one
  int64_t tokens;
  int key_dim, value_dim;

  const float* products_of(int64_t t) const { return products + t * 2 * kDeltaChunk; }
};

struct Convolution {
  const float* weight;  // (channels, kernel), newest tap last
  int64_t channels;
  int kernel;
};

}  // namespace inhouse
