// Compares an instruction set's table with the scalar one over random blocks of every format, over attention and the
// delta rule: what a processor without Python can check, also under an emulator. Usage: compare_tables [instruction set];
// exits 1 and says where they differ. With INHOUSE_EMULATED, the namespace of a table whose missing instructions were
// compiled as functions, it compares that.
#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <random>
#include <vector>

#include "kernels.h"

using namespace inhouse;

namespace {

constexpr Format kFormats[] = {
    Format::F32, Format::F16, Format::BF16, Format::Q4_0, Format::Q4_1, Format::Q5_0, Format::Q5_1, Format::Q8_0,
    Format::Q2_K, Format::Q3_K, Format::Q4_K, Format::Q5_K, Format::Q6_K, Format::IQ4_NL, Format::IQ4_XS,
    Format::Q4_0_P16, Format::Q4_1_P16, Format::Q5_0_P16, Format::Q5_1_P16, Format::Q8_0_P16, Format::Q4_K_P16,
    Format::Q5_K_P16, Format::Q6_K_P16, Format::IQ4_P16,
};

// Bytes below 0x30: whatever half or float they form is small, positive and finite.
std::vector<uint8_t> random_bytes(size_t count, std::mt19937& random) {
  std::vector<uint8_t> bytes(count);
  for (uint8_t& b : bytes) b = static_cast<uint8_t>(random() % 0x30);
  return bytes;
}

double difference(const std::vector<float>& ours, const std::vector<float>& truth) {
  double error = 0, size = 1e-30;
  for (size_t i = 0; i < truth.size(); ++i) {
    if (!(std::isfinite(ours[i]) && std::isfinite(truth[i]))) return INFINITY;
    error += (ours[i] - truth[i]) * (ours[i] - truth[i]);
    size += truth[i] * truth[i];
  }
  return std::sqrt(error / size);
}

bool agree(const Kernels& ours, const Kernels& truth, Format format, int64_t tokens, std::mt19937& random) {
  constexpr int64_t kColumns = 768, kSpans = kColumns / kSpan;
  constexpr int kRows = 48;
  const BlockSize block = block_size(format);
  const int64_t stride = kColumns / block.columns * block.bytes;
  const auto bytes = random_bytes(static_cast<size_t>(stride) * kRows, random);
  const Matrix w{bytes.data(), kRows, kColumns, stride, format};
  std::vector<float> x(static_cast<size_t>(tokens * kColumns));
  for (float& v : x) v = static_cast<float>(static_cast<int>(random() % 2001) - 1000) / 1000.0f;
  std::vector<Span> spans(static_cast<size_t>(tokens * kSpans));
  // One quantiser for both: where a value lies midway between two integers, fused arithmetic may round it the other way.
  for (int64_t t = 0; t < tokens; ++t) truth.quantize(x.data() + t * kColumns, kColumns, spans.data() + t, tokens);
  const auto run = [&](const Kernels& k) {
    std::vector<float> out(static_cast<size_t>(tokens * kChunk)), row(kColumns);
    k.multiply(w, 0, kRows, {x.data(), spans.data(), tokens, kColumns}, tokens, out.data());
    for (int64_t t = 0; t < tokens; ++t) std::fill_n(out.data() + t * kChunk + kRows, kChunk - kRows, 0.0f);
    for (int64_t r = 0; r < kRows; ++r) {
      k.dequantize(w, r, row.data());
      out.insert(out.end(), row.begin(), row.end());
    }
    return out;
  };
  const double error = difference(run(ours), run(truth));
  if (error < 1e-5) return true;
  std::printf("format %d, %d tokens: %s differs from scalar by %g\n", static_cast<int>(format), static_cast<int>(tokens),
              ours.name, error);
  return false;
}

// A head's cache of halves or codes, filled by the scalar table, so that both attend over the same numbers.
struct Cache {
  Cache(const Kernels& k, bool coded, int dim, int64_t capacity, int64_t tokens, std::mt19937& random)
      : keys(static_cast<size_t>(capacity * dim * 2)), values(keys.size()), scales(static_cast<size_t>(capacity * (scale_groups(dim) + 1))) {
    float* const s = coded ? scales.data() : nullptr;
    head = {keys.data(), values.data(), s, s ? s + capacity * scale_groups(dim) : nullptr};
    std::vector<float> k_row(static_cast<size_t>(dim)), v_row(k_row.size());
    for (int64_t t = 0; t < tokens; ++t) {
      for (float& x : k_row) x = number(random);
      for (float& x : v_row) x = number(random);
      k.store(k_row.data(), v_row.data(), dim, t, head);
    }
  }

  static float number(std::mt19937& random) { return static_cast<float>(static_cast<int>(random() % 2001) - 1000) / 500.0f; }

  std::vector<uint8_t> keys, values;
  std::vector<float> scales;
  KvHead head;
};

bool attend_alike(const Kernels& ours, const Kernels& truth, bool coded, int dim, int rows, int64_t keys,
                  std::mt19937& random) {
  const int64_t capacity = (keys + kKeyBlock - 1) / kKeyBlock * kKeyBlock;
  const Cache cache(truth, coded, dim, capacity, keys, random);
  std::vector<float> q(static_cast<size_t>(rows * dim));
  std::vector<int64_t> limit;
  for (float& x : q) x = Cache::number(random) / std::sqrt(static_cast<float>(dim));
  for (int r = 0; r < rows; ++r) limit.push_back(std::max<int64_t>(1, keys - (rows - 1 - r) / 3));  // three heads a token
  const auto run = [&](const Kernels& k) {
    std::vector<float> out(static_cast<size_t>(rows * (dim + 2)));
    AttentionSums sums{out.data(), out.data() + rows * dim, out.data() + rows * (dim + 1)};
    k.attend({q.data(), limit.data(), rows, dim}, cache.head, 0, keys, sums);
    return out;
  };
  // What each stores of one token: codes may differ by one where a product lies midway between two.
  std::mt19937 same(7);
  const Cache mine(ours, coded, dim, kKeyBlock, 1, same);
  same.seed(7);
  const Cache theirs(truth, coded, dim, kKeyBlock, 1, same);
  int apart = 0;
  for (size_t i = 0; i < mine.keys.size(); ++i)
    apart = std::max({apart, std::abs(mine.keys[i] - theirs.keys[i]), std::abs(mine.values[i] - theirs.values[i])});
  const double error = difference(run(ours), run(truth));
  if (error < 1e-5 && apart <= 1) return true;
  std::printf("attention over %s, %d dimensions, %d rows, %d keys: %s differs from scalar by %g, stored bytes by %d\n",
              coded ? "codes" : "halves", dim, rows, static_cast<int>(keys), ours.name, error, apart);
  return false;
}

// The delta rule by chunks and token by token, with what it is given: products, convolution, gate.
bool delta_rules_agree(const Kernels& ours, const Kernels& truth, int key_dim, int value_dim, int64_t tokens,
                       std::mt19937& random) {
  const auto uniform = [&](int64_t count, float low, float high) {
    std::vector<float> x(static_cast<size_t>(count));
    for (float& v : x) v = low + (high - low) * static_cast<float>(random() % 1001) / 1000.0f;
    return x;
  };
  const float size = 2.0f / std::sqrt(static_cast<float>(key_dim));
  const auto q = uniform(tokens * key_dim, -size, size), k = uniform(tokens * key_dim, -size / 2, size / 2);
  const auto inputs = uniform(tokens * value_dim, -1, 1), gate = uniform(tokens * value_dim, -9, 9);
  const auto decay = uniform(tokens, 0, 1), beta = uniform(tokens, 0, 1);
  const auto weight = uniform(4 * value_dim, -1, 1), memory = uniform(key_dim * value_dim, -1, 1);
  const auto run = [&](const Kernels& kernels) {
    std::vector<float> s = memory, v(inputs.size()), out(inputs.size()), newest(static_cast<size_t>(3 * value_dim));
    std::vector<float> products(static_cast<size_t>(tokens * 2 * kDeltaChunk));
    kernels.convolve({weight.data(), value_dim, 4}, inputs.data(), tokens, 0, value_dim, newest.data(), v.data(),
                     value_dim);
    kernels.delta_products(q.data(), k.data(), tokens, key_dim, products.data());
    kernels.delta_rule(s.data(), {q.data(), k.data(), v.data(), decay.data(), beta.data(), products.data(), s.data(),
                                  tokens, key_dim, value_dim}, out.data());
    kernels.silu_gate(out.data(), gate.data(), static_cast<int64_t>(out.size()));
    s.insert(s.end(), out.begin(), out.end());
    s.insert(s.end(), newest.begin(), newest.end());
    return s;
  };
  const double error = difference(run(ours), run(truth));
  if (error < 1e-5) return true;
  std::printf("delta rule, %d x %d, %d tokens: %s differs from scalar by %g\n", key_dim, value_dim,
              static_cast<int>(tokens), ours.name, error);
  return false;
}

const Kernels* wanted([[maybe_unused]] const char* name) {
#if defined(INHOUSE_EMULATED)
  return &INHOUSE_EMULATED::kernels;
#else
  return choose_kernels(name);
#endif
}

}  // namespace

int main(int count, char** arguments) {
  const Kernels* const ours = wanted(count > 1 ? arguments[1] : nullptr);
  const Kernels* const truth = &scalar::kernels;
  if (!ours) {
    std::printf("no such instruction set on this processor\n");
    return 1;
  }
  std::mt19937 random(1);
  bool good = true;
  for (const Format format : kFormats)
    for (const int64_t tokens : {1, 2, 3, 4, 5, 9, 13, 25}) good = agree(*ours, *truth, format, tokens, random) && good;
  for (const bool coded : {false, true})
    for (const int dim : {16, 48, 256})
      for (const int rows : {1, 3, 8, 13, 24, 96})
        for (const int64_t keys : {1, 17, 64, 200})
          good = attend_alike(*ours, *truth, coded, dim, rows, keys, random) && good;
  for (const int value_dim : {6, 16, 40, 128})
    for (const int64_t tokens : {1, 3, 4, 15, 16, 17, 53})
      good = delta_rules_agree(*ours, *truth, 32, value_dim, tokens, random) && good;
  std::printf("%s: %s\n", ours->name, good ? "every format, attention and the delta rule agree with scalar" : "FAILED");
  return good ? 0 : 1;
}
