// Ops that mix the tokens of one sequence: softmax attention and Gated DeltaNet.
#include <algorithm>
#include <cmath>

#include "ops.h"

namespace inhouse {

// Angles are the same for every layer of a forward pass: made once, kept until the positions change.
void Ops::make_rotation(int rotary_dim, double theta, int64_t start, int64_t tokens) {
  if (rotation_.dim == rotary_dim && rotation_.theta == theta && rotation_.start == start &&
      rotation_.tokens >= tokens)
    return;
  const int64_t half = rotary_dim / 2;
  rotation_.dim = rotary_dim;
  rotation_.theta = theta;
  rotation_.start = start;
  rotation_.tokens = tokens;
  rotation_.cosine.resize(static_cast<size_t>(tokens * half));
  rotation_.sine.resize(static_cast<size_t>(tokens * half));
  std::vector<double> frequency(static_cast<size_t>(half));
  for (int64_t i = 0; i < half; ++i)
    frequency[static_cast<size_t>(i)] = std::pow(theta, -static_cast<double>(i) / static_cast<double>(half));
  pool_.for_range(tokens, 8, [&](int64_t begin, int64_t end, int) {
    for (int64_t t = begin; t < end; ++t)
      for (int64_t i = 0; i < half; ++i) {
        const double angle = static_cast<double>(start + t) * frequency[static_cast<size_t>(i)];
        rotation_.cosine[static_cast<size_t>(t * half + i)] = static_cast<float>(std::cos(angle));
        rotation_.sine[static_cast<size_t>(t * half + i)] = static_cast<float>(std::sin(angle));
      }
  });
}

// Normed, rotated queries to `queries` as (kv head, token, head of the group, dim), so that the queries which share
// keys are neighbours; keys and values to the cache.
void Ops::enter_cache(const Attention& op, const float* q, const float* k, const float* v, int64_t tokens,
                      const KvCache& cache, float* queries) {
  const int64_t dim = op.head_dim, half = op.rotary_dim / 2, group = op.heads / op.kv_heads;
  const int64_t q_width = op.gated ? 2 * dim : dim;
  const HeadRotation of_q{op.q_norm, op.q_eps, 1.0f / std::sqrt(static_cast<float>(dim)), op.head_dim, op.rotary_dim};
  const HeadRotation of_k{op.k_norm, op.k_eps, 1.0f, op.head_dim, op.rotary_dim};
  pool_.for_range(tokens * op.kv_heads, 4, [&](int64_t begin, int64_t end, int thread) {
    float* const key = tile_[static_cast<size_t>(thread)].get(dim);
    for (int64_t i = begin; i < end; ++i) {
      const int64_t t = i / op.kv_heads, h = i % op.kv_heads;
      const float* const cosine = rotation_.cosine.data() + t * half;
      const float* const sine = rotation_.sine.data() + t * half;
      for (int64_t g = 0; g < group; ++g)
        k_.rotate(q + (t * op.heads + h * group + g) * q_width, of_q, cosine, sine,
                  queries + ((h * tokens + t) * group + g) * dim);
      k_.rotate(k + i * dim, of_k, cosine, sine, key);
      k_.store(key, v + i * dim, op.head_dim, cache.length + t, cache.head(h, op.head_dim));
    }
  });
}

// Tasks are (key/value head, block of tokens, part of the keys). Long contexts with few queries are split along the
// keys, so that every thread has work; the parts are merged at the end.
void Ops::attention(const Attention& op, const float* q, const float* k, const float* v, int64_t tokens,
                    KvCache cache, float* out) {
  const int64_t dim = op.head_dim, group = op.heads / op.kv_heads;
  make_rotation(op.rotary_dim, op.rope_theta, cache.length, tokens);
  float* const queries = heads_.get(tokens * op.heads * dim);
  enter_cache(op, q, k, v, tokens, cache, queries);

  const int64_t per_block = std::max<int64_t>(1, kMaxAttentionRows / group);
  const int64_t blocks = (tokens + per_block - 1) / per_block;
  const int64_t keys = cache.length + tokens;
  const int64_t wanted = (2 * threads() + op.kv_heads * blocks - 1) / (op.kv_heads * blocks);
  const int64_t parts = op.kv_heads * blocks >= threads() ? 1 : std::clamp<int64_t>(keys / 256, 1, wanted);
  const int64_t stretch = ((keys + parts - 1) / parts + kKeyBlock - 1) / kKeyBlock * kKeyBlock;
  const int64_t rows = tokens * group;  // of one key/value head
  float* const sums = parts_.get(parts * op.kv_heads * rows * (dim + 2));
  const auto sums_at = [&](int64_t part, int64_t h, int64_t row) {
    float* const base = sums + (part * op.kv_heads + h) * rows * (dim + 2);
    return AttentionSums{base + row * dim, base + rows * dim + row, base + rows * (dim + 1) + row};
  };
  pool_.for_each(op.kv_heads * blocks * parts, [&](int64_t task, int) {
    // Later blocks see more keys: they go first, so that no thread is left with the longest one.
    const int64_t part = task % parts, h = task / parts % op.kv_heads;
    const int64_t block = blocks - 1 - task / parts / op.kv_heads;
    const int64_t first = block * per_block, count = std::min(per_block, tokens - first) * group;
    const float* const query = queries + (h * tokens + first) * group * dim;
    const KvHead head = cache.head(h, op.head_dim);
    int64_t limit[kMaxAttentionRows];
    for (int64_t done = 0, n; done < count; done += n) {  // a group may hold more heads than a tile takes
      n = std::min<int64_t>(kMaxAttentionRows, count - done);
      for (int64_t r = 0; r < n; ++r) limit[r] = cache.length + first + (done + r) / group + 1;
      const AttentionTile tile{query + done * dim, limit, static_cast<int>(n), op.head_dim};
      AttentionSums s = sums_at(part, h, first * group + done);
      k_.attend(tile, head, part * stretch, std::min((part + 1) * stretch, limit[n - 1]), s);
    }
  });

  pool_.for_range(tokens * op.heads, 16, [&](int64_t begin, int64_t end, int) {
    for (int64_t i = begin; i < end; ++i) {
      const int64_t t = i / op.heads, head = i % op.heads, h = head / group;
      const int64_t row = t * group + head % group;
      float highest = *sums_at(0, h, row).highest, total = 0;
      for (int64_t p = 1; p < parts; ++p) highest = std::max(highest, *sums_at(p, h, row).highest);
      float* const y = out + i * dim;
      std::fill_n(y, dim, 0.0f);
      for (int64_t p = 0; p < parts; ++p) {
        const AttentionSums s = sums_at(p, h, row);
        const float weight = std::exp(*s.highest - highest);
        total += weight * *s.total;
        for (int64_t d = 0; d < dim; ++d) y[d] += weight * s.out[d];
      }
      for (int64_t d = 0; d < dim; ++d) y[d] /= total;
      if (op.gated) k_.sigmoid_gate(y, q + i * 2 * dim + dim, dim);
    }
  });
}

// Block after block of tokens, and within one key head after key head, with all that it touches: what passes between
// convolution, delta rule and norm stays in the second-level cache.
void Ops::gated_delta_net(const DeltaNet& op, const DeltaInputs& in, int64_t tokens, float* conv_state, float* s,
                          float* out) {
  const int64_t inner = int64_t{op.value_heads} * op.value_dim;
  for (int64_t t = 0; t < tokens; t += kDeltaBlock) {
    const DeltaInputs block{in.qkv + t * op.channels(), in.z + t * inner, in.b + t * op.value_heads,
                            in.a + t * op.value_heads};
    pool_.for_stretches(op.key_heads, [&](int64_t key_head, int thread) {
      delta_net_block(op, static_cast<int>(key_head), block, std::min(kDeltaBlock, tokens - t),
                      tile_[static_cast<size_t>(thread)], conv_state, s, out + t * inner);
    });
  }
}

// One key head's queries and keys, then each of the value heads that share them.
void Ops::delta_net_block(const DeltaNet& op, int key_head, const DeltaInputs& in, int64_t tokens,
                          Scratch<float>& scratch, float* conv_state, float* s, float* out) {
  constexpr float kUnitEps = 1e-6f;
  const int64_t dk = op.key_dim, dv = op.value_dim, keys = op.key_heads * dk;
  const Convolution conv{op.conv, op.channels(), op.kernel};
  const float query_scale = 1.0f / std::sqrt(static_cast<float>(dk));
  float* const q = scratch.get(tokens * (2 * dk + 2 * dv + 2 * kDeltaChunk + 2));
  float *const k = q + tokens * dk, *const v = k + tokens * dk, *const read = v + tokens * dv;
  float* const products = read + tokens * dv;
  float *const decay = products + tokens * 2 * kDeltaChunk, *const beta = decay + tokens;
  const auto convolve = [&](int64_t first, int64_t width, float* y) {
    for (int64_t c = 0; c < width; c += kConvChannels)
      k_.convolve(conv, in.qkv, tokens, first + c, static_cast<int>(std::min<int64_t>(kConvChannels, width - c)),
                  conv_state, y + c, width);
  };
  convolve(key_head * dk, dk, q);
  convolve(keys + key_head * dk, dk, k);
  for (int64_t t = 0; t < tokens; ++t) {
    k_.unit(q + t * dk, op.key_dim, kUnitEps, query_scale);
    k_.unit(k + t * dk, op.key_dim, kUnitEps, 1.0f);
  }
  k_.delta_products(q, k, tokens, op.key_dim, products);
  const int shared = op.value_heads / op.key_heads;
  for (int i = 0; i < shared; ++i) {
    const int64_t head = op.value_head_of(key_head, i);
    const bool last = key_head + 1 == op.key_heads;
    const int64_t next = i + 1 < shared ? op.value_head_of(key_head, i + 1) : last ? head : op.value_head_of(key_head + 1, 0);
    convolve(2 * keys + head * dv, dv, v);
    for (int64_t t = 0; t < tokens; ++t) {
      const float step = in.a[t * op.value_heads + head] + op.dt_bias[head];
      const float softplus = step > 20.0f ? step : std::log1p(std::exp(step));
      decay[t] = std::exp(op.a[head] * softplus);
      beta[t] = 1.0f / (1.0f + std::exp(-in.b[t * op.value_heads + head]));
    }
    k_.delta_rule(s + head * dk * dv,
                  {q, k, v, decay, beta, products, s + next * dk * dv, tokens, op.key_dim, op.value_dim}, read);
    for (int64_t t = 0; t < tokens; ++t) {
      const int64_t row = (t * op.value_heads + head) * dv, later = 2 * op.value_heads * dv;
      if (t + 2 < tokens)
        for (int64_t d = 0; d < dv; d += 16) __builtin_prefetch(in.z + row + later + d);
      k_.rms_norm(read + t * dv, op.norm, dv, op.eps, out + row);
      k_.silu_gate(out + row, in.z + row, dv);
    }
  }
}

}  // namespace inhouse
