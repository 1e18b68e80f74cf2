// The fused ops of a forward pass over one thread pool and one instruction set. Knows neither graphs nor Python.
//
// One caller at a time: scratch memory belongs to the object and grows to the largest chunk seen.
#pragma once

#include <memory>
#include <new>
#include <span>
#include <vector>

#include "kernels.h"
#include "sequence.h"
#include "threads.h"

namespace inhouse {

// Grow-only, cache-line-aligned scratch memory. Contents do not survive growth.
template <class T>
class Scratch {
 public:
  T* get(int64_t count) {
    if (count > size_) {
      data_.reset(static_cast<T*>(::operator new(static_cast<size_t>(count) * sizeof(T), std::align_val_t{64})));
      size_ = count;
    }
    return data_.get();
  }

 private:
  struct Free {
    void operator()(T* p) const { ::operator delete(p, std::align_val_t{64}); }
  };
  std::unique_ptr<T, Free> data_;
  int64_t size_ = 0;
};

struct Norm {
  const float* weight = nullptr;  // null: no norm
  float eps = 0;
};

struct Linear {
  Matrix w;
  const float* bias = nullptr;
  float* out = nullptr;  // (tokens, w.rows)
};

struct Mlp {
  Matrix gate, up, down;
};

struct Moe {
  Matrix router;
  MatrixStack gate, up, down;
  int top_k = 1;
  bool renormalise = true;
  const Mlp* shared = nullptr;
  const float* shared_gate = nullptr;  // null: the shared expert is not scaled
};

class Ops {
 public:
  Ops(int threads, const Kernels& kernels) : pool_(threads), k_(kernels), tile_(pool_.size()) {}

  int threads() const { return pool_.size(); }
  const char* name() const { return k_.name; }

  void embed(const Matrix& table, const int32_t* ids, int64_t tokens, float* out);

  // linears[i].out = norm(x) Wᵢᵀ + bᵢ, or += if `add`.
  void project(const float* x, int64_t tokens, int64_t columns, Norm norm, const Linear* linears, int count, bool add);

  // x += mlp(norm(x)), x of (tokens, columns)
  void mlp(float* x, int64_t tokens, int64_t columns, Norm norm, const Mlp& mlp);

  // x += experts(norm(x))
  void moe(float* x, int64_t tokens, int64_t columns, Norm norm, const Moe& moe);

  // Appends the tokens' keys and values behind cache.length (which the caller then moves on) and attends.
  // Shapes as in the Python protocol: q (tokens, heads · dim), twice as wide if gated; k, v (tokens, kv_heads · dim).
  void attention(const Attention& op, const float* q, const float* k, const float* v, int64_t tokens, KvCache cache,
                 float* out);

  // conv_state (kernel − 1, channels) and s (value_heads, key_dim, value_dim) move on by `tokens`.
  void gated_delta_net(const DeltaNet& op, const DeltaInputs& in, int64_t tokens, float* conv_state, float* s,
                       float* out);

 private:
  void delta_net_block(const DeltaNet& op, int key_head, const DeltaInputs& in, int64_t tokens,
                       Scratch<float>& scratch, float* conv_state, float* s, float* out);

  // One SwiGLU over some tokens, whose intermediate rows are slots [first, first + count).
  struct Run {
    Matrix gate, up, down;
    int64_t first, count;

    bool like(const Run& other) const { return gate.like(other.gate) && up.like(other.up) && down.like(other.down); }
  };

  Input prepare(const float* x, int64_t tokens, int64_t columns, Norm norm, bool spans, Scratch<float>& normed,
                Scratch<Span>& quantized);
  void gate_up(const Input& input, std::span<const Run> runs, float* hidden, int64_t stride);
  Input gather(const Input& input, int64_t first, int64_t end, bool floats, bool quantized);
  void list_runs(int64_t tokens, const Moe& moe, std::vector<Run>& runs);
  void route(const Input& input, const Moe& moe, std::vector<Run>& runs);
  void run_experts(const Input& input, std::span<const Run> runs, float* x);
  void make_rotation(int rotary_dim, double theta, int64_t start, int64_t tokens);
  void enter_cache(const Attention& op, const float* q, const float* k, const float* v, int64_t tokens,
                   const KvCache& cache, float* queries);
  // The per-thread output tile of `tokens` tokens: two side by side.
  float* tile(int thread, int64_t tokens) { return tile_[static_cast<size_t>(thread)].get(2 * tokens * kChunk); }

  ThreadPool pool_;
  const Kernels& k_;
  std::vector<Scratch<float>> tile_;
  Scratch<float> normed_, hidden_, scores_, heads_, parts_, conv_, slot_rows_;
  Scratch<Span> spans_, hidden_spans_, slot_spans_;
  std::vector<int32_t> slot_token_, chosen_;
  std::vector<float> slot_weight_, chosen_weight_;
  struct {
    int dim = 0;
    double theta = 0;
    int64_t start = 0, tokens = 0;
    std::vector<float> cosine, sine;  // (tokens, dim / 2)
  } rotation_;
};

}  // namespace inhouse
