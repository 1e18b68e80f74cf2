#include "bandwidth.h"

#include <algorithm>
#include <chrono>
#include <memory>

#include "threads.h"

namespace inhouse {

double read_bandwidth(int threads, int64_t bytes, int rounds) {
  constexpr int64_t kPiece = 1 << 20;
  const int64_t words = bytes / 8, piece = kPiece / 8;
  const std::unique_ptr<uint64_t[]> buffer(new uint64_t[static_cast<size_t>(words)]);
  ThreadPool pool(threads);
  pool.for_range(words, piece, [&](int64_t begin, int64_t end, int) {
    for (int64_t i = begin; i < end; ++i) buffer[static_cast<size_t>(i)] = static_cast<uint64_t>(i);
  });
  std::atomic<uint64_t> sink{0};  // so that no read can be left out
  double best = 0;
  for (int round = 0; round < rounds; ++round) {
    const auto start = std::chrono::steady_clock::now();
    pool.for_range(words, piece, [&](int64_t begin, int64_t end, int) {
      uint64_t sum[16] = {};
      for (int64_t i = begin; i + 16 <= end; i += 16) {
        // The processor's own prefetching alone does not fill the memory bus.
        __builtin_prefetch(&buffer[static_cast<size_t>(i)] + 1024);
        __builtin_prefetch(&buffer[static_cast<size_t>(i)] + 1032);
        for (int64_t j = 0; j < 16; ++j) sum[j] ^= buffer[static_cast<size_t>(i + j)];
      }
      uint64_t all = 0;
      for (const uint64_t s : sum) all ^= s;
      sink.fetch_xor(all, std::memory_order_relaxed);
    });
    const std::chrono::duration<double> elapsed = std::chrono::steady_clock::now() - start;
    best = std::max(best, static_cast<double>(words * 8) / elapsed.count());
  }
  return best;
}

double byte_peak(int threads, const Kernels& kernels, int rounds) {
  ThreadPool pool(threads);
  double best = 0;
  for (int round = 0; round < rounds; ++round) {
    std::atomic<int64_t> products{0};
    const auto start = std::chrono::steady_clock::now();
    pool.run([&](int) {
      int32_t sink = round;
      products.fetch_add(kernels.byte_products(2'000'000, &sink));
    });
    const std::chrono::duration<double> elapsed = std::chrono::steady_clock::now() - start;
    best = std::max(best, static_cast<double>(products.load()) / elapsed.count());
  }
  return best;
}

}  // namespace inhouse
