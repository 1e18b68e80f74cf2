#include "ops.h"

#include <algorithm>
#include <cmath>
#include <numeric>

namespace inhouse {
namespace {

int64_t chunks(int64_t rows) { return (rows + kChunk - 1) / kChunk; }

int rows_of_chunk(int64_t rows, int64_t chunk) {
  return static_cast<int>(std::min<int64_t>(kChunk, rows - chunk * kChunk));
}

// The beginning of rows that are needed next: what their own product fetches ahead begins behind it.
void prefetch_rows(const Matrix& w, int64_t row, int rows) {
  const uint8_t* const start = w.row(row);
  const int64_t bytes = std::min<int64_t>(8192, rows * w.row_stride);
  for (int64_t i = 0; i < bytes; i += 64) __builtin_prefetch(start + i, 0, 2);
}

}  // namespace

void Ops::embed(const Matrix& table, const int32_t* ids, int64_t tokens, float* out) {
  pool_.for_range(tokens, 64, [&](int64_t begin, int64_t end, int) {
    for (int64_t t = begin; t < end; ++t) k_.dequantize(table, ids[t], out + t * table.columns);
  });
}

Input Ops::prepare(const float* x, int64_t tokens, int64_t columns, Norm norm, bool spans, Scratch<float>& normed,
                   Scratch<Span>& quantized) {
  const int64_t per_row = (columns + kSpan - 1) / kSpan;
  float* const y = norm.weight ? normed.get(tokens * columns) : nullptr;
  Span* const q = spans ? quantized.get(tokens * per_row) : nullptr;
  const int64_t grain = std::max<int64_t>(4, 16384 / columns);  // what takes longer than waking a thread
  if (y || q)
    pool_.for_range(tokens, grain, [&](int64_t begin, int64_t end, int) {
      for (int64_t t = begin; t < end; ++t) {
        const float* row = x + t * columns;
        if (y) {
          k_.rms_norm(row, norm.weight, columns, norm.eps, y + t * columns);
          row = y + t * columns;
        }
        if (q) k_.quantize(row, columns, q + t, tokens);
      }
    });
  return {y ? y : x, q, tokens, columns};
}

void Ops::project(const float* x, int64_t tokens, int64_t columns, Norm norm, const Linear* linears, int count,
                  bool add) {
  const bool spans = std::any_of(linears, linears + count, [](const Linear& l) { return !is_float(l.w.format); });
  const Input input = prepare(x, tokens, columns, norm, spans, normed_, spans_);
  // All matrices share one parallel region: task i is a chunk of 64 rows of one of them.
  std::vector<int64_t> first(static_cast<size_t>(count) + 1, 0);
  for (int i = 0; i < count; ++i)
    first[static_cast<size_t>(i) + 1] = first[static_cast<size_t>(i)] + chunks(linears[i].w.rows);
  pool_.for_stretches(first.back(), [&](int64_t task, int thread) {
    const auto which = std::upper_bound(first.begin(), first.end(), task) - first.begin() - 1;
    const Linear& l = linears[which];
    const int64_t chunk = task - first[static_cast<size_t>(which)], row = chunk * kChunk;
    const int rows = rows_of_chunk(l.w.rows, chunk);
    float* const part = tile(thread, tokens);
    k_.multiply(l.w, row, rows, input, tokens, part);
    for (int64_t t = 0; t < tokens; ++t) {
      float* const out = l.out + t * l.w.rows + row;
      const float* const y = part + t * kChunk;
      for (int r = 0; r < rows; ++r) out[r] = y[r] + (l.bias ? l.bias[row + r] : 0.0f) + (add ? out[r] : 0.0f);
    }
  });
}

void Ops::gate_up(const Input& input, std::span<const Run> runs, float* hidden, int64_t stride) {
  std::vector<int64_t> first(runs.size() + 1, 0);
  for (size_t i = 0; i < runs.size(); ++i) first[i + 1] = first[i] + chunks(runs[i].gate.rows);
  pool_.for_stretches(first.back(), [&](int64_t task, int thread) {
    const auto which = static_cast<size_t>(std::upper_bound(first.begin(), first.end(), task) - first.begin() - 1);
    const Run& run = runs[which];
    const int64_t chunk = task - first[which], row = chunk * kChunk, slot = run.first - runs[0].first;
    const int rows = rows_of_chunk(run.gate.rows, chunk);
    float* const gate = tile(thread, run.count);
    float* const up = gate + run.count * kChunk;
    const Input in = input.from(slot);
    prefetch_rows(run.up, row, rows);
    k_.multiply(run.gate, row, rows, in, run.count, gate);
    k_.multiply(run.up, row, rows, in, run.count, up);
    for (int64_t i = 0; i < run.count; ++i) {
      k_.silu_multiply(gate + i * kChunk, up + i * kChunk, rows);
      std::copy_n(gate + i * kChunk, rows, hidden + (slot + i) * stride + row);
    }
  });
}

// Some tokens at a time, so that what passes from the gates to the output stays in the caches; reading the weights again
// costs little beside multiplying with them so often.
void Ops::mlp(float* x, int64_t tokens, int64_t columns, Norm norm, const Mlp& mlp) {
  constexpr int64_t kTokensAtOnce = 192;
  const bool spans = !is_float(mlp.gate.format) || !is_float(mlp.up.format);
  const int64_t inner = mlp.gate.rows, blocks = (tokens + kTokensAtOnce - 1) / kTokensAtOnce;
  for (int64_t block = 0, first = 0, n; block < blocks; ++block, first += n) {
    n = (tokens - first) / (blocks - block);  // of like size
    float* const rows = x + first * columns;
    const Input input = prepare(rows, n, columns, norm, spans, normed_, spans_);
    float* const hidden = hidden_.get(n * inner);
    const Run run{mlp.gate, mlp.up, mlp.down, 0, n};
    gate_up(input, {&run, 1}, hidden, inner);
    const Linear down{mlp.down, nullptr, rows};
    project(hidden, n, inner, {}, &down, 1, true);
  }
}

// Chooses a token's experts by score, equal scores going to the lower expert as in the reference, and their weights.
static void choose_experts(const float* scores, int64_t experts, const Moe& moe, int32_t* chosen, float* weight) {
  int count = 0;  // of those chosen so far, best first
  for (int64_t e = 0; e < experts; ++e) {
    if (count == moe.top_k && !(scores[e] > scores[chosen[count - 1]])) continue;
    int place = count < moe.top_k ? count++ : count - 1;
    for (; place > 0 && scores[e] > scores[chosen[place - 1]]; --place) chosen[place] = chosen[place - 1];
    chosen[place] = static_cast<int32_t>(e);
  }
  const float top = scores[chosen[0]];
  float total = 0;
  if (moe.renormalise)
    for (int j = 0; j < moe.top_k; ++j) total += std::exp(scores[chosen[j]] - top);
  else
    for (int64_t e = 0; e < experts; ++e) total += std::exp(scores[e] - top);
  for (int j = 0; j < moe.top_k; ++j) weight[j] = std::exp(scores[chosen[j]] - top) / total;
}

// Lists the runs, expert by expert: slots of one expert are consecutive, in token order, so that sums over experts are
// always taken in the same order.
void Ops::list_runs(int64_t tokens, const Moe& moe, std::vector<Run>& runs) {
  const int64_t experts = moe.router.rows;
  const auto slots = static_cast<size_t>(tokens * moe.top_k);
  std::vector<int64_t> load(static_cast<size_t>(experts) + 1, 0);
  for (size_t slot = 0; slot < slots; ++slot) ++load[static_cast<size_t>(chosen_[slot]) + 1];
  std::partial_sum(load.begin(), load.end(), load.begin());
  for (int64_t e = 0; e < experts; ++e)
    if (const int64_t first = load[static_cast<size_t>(e)], end = load[static_cast<size_t>(e) + 1]; end > first)
      runs.push_back({moe.gate[e], moe.up[e], moe.down[e], first, end - first});
  std::vector<int64_t> next(load.begin(), load.end() - 1);
  for (size_t slot = 0; slot < slots; ++slot) {
    const auto place = static_cast<size_t>(next[static_cast<size_t>(chosen_[slot])]++);
    slot_token_[place] = static_cast<int32_t>(slot / static_cast<size_t>(moe.top_k));
    slot_weight_[place] = chosen_weight_[slot];
  }
}

// The input's rows for slots [first, end), so that every expert's tokens are neighbours: as floats, as spans.
Input Ops::gather(const Input& input, int64_t first, int64_t end, bool floats, bool quantized) {
  const int64_t columns = input.columns, per_row = (columns + kSpan - 1) / kSpan, slots = end - first;
  float* const x = floats ? slot_rows_.get(slots * columns) : nullptr;
  Span* const spans = quantized ? slot_spans_.get(slots * per_row) : nullptr;
  pool_.for_range(slots, 32, [&](int64_t begin, int64_t stop, int) {
    for (int64_t i = begin; i < stop; ++i) {
      const int64_t t = slot_token_[static_cast<size_t>(first + i)];
      if (floats) std::copy_n(input.x + t * columns, columns, x + i * columns);
      for (int64_t s = 0; quantized && s < per_row; ++s) spans[s * slots + i] = input.spans[s * input.tokens + t];
    }
  });
  return {x, spans, slots, columns};
}

// Which slots each expert has, best scores first: fills the slots' tokens and weights. A shared expert takes every token.
void Ops::route(const Input& input, const Moe& moe, std::vector<Run>& runs) {
  const int64_t tokens = input.tokens, experts = moe.router.rows, routed = tokens * moe.top_k;
  float* const scores = scores_.get(tokens * experts);
  pool_.for_stretches(chunks(experts), [&](int64_t chunk, int thread) {
    const int rows = rows_of_chunk(experts, chunk);
    float* const part = tile(thread, tokens);
    k_.multiply(moe.router, chunk * kChunk, rows, input, tokens, part);
    for (int64_t t = 0; t < tokens; ++t) std::copy_n(part + t * kChunk, rows, scores + t * experts + chunk * kChunk);
  });

  const int64_t slots = routed + (moe.shared ? tokens : 0);
  chosen_.resize(static_cast<size_t>(routed));
  chosen_weight_.resize(static_cast<size_t>(routed));
  slot_token_.resize(static_cast<size_t>(slots));
  slot_weight_.resize(static_cast<size_t>(slots));
  pool_.for_range(tokens, 8, [&](int64_t begin, int64_t end, int) {
    for (int64_t t = begin; t < end; ++t) {
      const auto first = static_cast<size_t>(t * moe.top_k);
      choose_experts(scores + t * experts, experts, moe, &chosen_[first], &chosen_weight_[first]);
      if (!moe.shared) continue;
      const auto slot = static_cast<size_t>(routed + t);
      const float gate = moe.shared_gate ? k_.dot(moe.shared_gate, input.x + t * input.columns, input.columns) : 0;
      slot_token_[slot] = static_cast<int32_t>(t);
      slot_weight_[slot] = moe.shared_gate ? 1.0f / (1.0f + std::exp(-gate)) : 1.0f;
    }
  });
  list_runs(tokens, moe, runs);
  if (moe.shared) runs.push_back({moe.shared->gate, moe.shared->up, moe.shared->down, routed, tokens});
}

// Adds the results of some consecutive experts, whose matrices have the same formats and sizes, to x.
void Ops::run_experts(const Input& input, std::span<const Run> runs, float* x) {
  const Matrix &gate = runs[0].gate, &up = runs[0].up, &down = runs[0].down;
  const int64_t first = runs[0].first, slots = runs.back().first + runs.back().count - first;
  const bool floats = is_float(gate.format) || is_float(up.format);
  const bool quantized = !is_float(gate.format) || !is_float(up.format);
  const int64_t inner = gate.rows, columns = input.columns;
  float* const hidden = hidden_.get(slots * inner);
  gate_up(gather(input, first, first + slots, floats, quantized), runs, hidden, inner);
  const Input in = prepare(hidden, slots, inner, {}, !is_float(down.format), normed_, hidden_spans_);
  // A task owns 64 columns of the result and adds all experts to it in order: deterministic without a reduction.
  pool_.for_stretches(chunks(columns), [&](int64_t chunk, int thread) {
    const int rows = rows_of_chunk(columns, chunk);
    for (size_t i = 0; i < runs.size(); ++i) {
      const Run& run = runs[i];
      if (i + 1 < runs.size()) prefetch_rows(runs[i + 1].down, chunk * kChunk, rows);
      float* const part = tile(thread, run.count);
      k_.multiply(run.down, chunk * kChunk, rows, in.from(run.first - first), run.count, part);
      for (int64_t j = 0; j < run.count; ++j) {
        const auto slot = static_cast<size_t>(run.first + j);
        float* const out = x + slot_token_[slot] * columns + chunk * kChunk;
        for (int r = 0; r < rows; ++r) out[r] += slot_weight_[slot] * part[j * kChunk + r];
      }
    }
  });
}

// Some experts at a time, so that what passes from their gates to their outputs stays in the caches.
void Ops::moe(float* x, int64_t tokens, int64_t columns, Norm norm, const Moe& moe) {
  constexpr int64_t kSlotsAtOnce = 256;
  const Input input = prepare(x, tokens, columns, norm, true, normed_, spans_);
  std::vector<Run> runs;
  route(input, moe, runs);
  const bool apart = !runs[0].like(runs.back());  // the shared expert may be of another kind
  const size_t together = runs.size() - (apart ? 1 : 0);
  for (size_t begin = 0, end; begin < runs.size(); begin = end) {
    const size_t last = begin < together ? together : runs.size();
    for (end = begin + 1; end < last; ++end)
      if (runs[end].first + runs[end].count - runs[begin].first > kSlotsAtOnce) break;
    run_experts(input, std::span(runs).subspan(begin, end - begin), x);
  }
}

}  // namespace inhouse
