// A pool of worker threads for short, latency-bound parallel regions.
//
// Workers spin for a bounded time after each region, so that the dozens of regions of one decode step cost
// about a microsecond each, and then park on a condition variable, so that an idle engine leaves the machine
// free. The caller takes part as thread 0. Knows nothing of tensors.
#pragma once

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <mutex>
#include <thread>
#include <type_traits>
#include <vector>

namespace inhouse {

class ThreadPool {
 public:
  explicit ThreadPool(int threads);
  ~ThreadPool();
  ThreadPool(const ThreadPool&) = delete;
  ThreadPool& operator=(const ThreadPool&) = delete;

  int size() const { return static_cast<int>(workers_.size()) + 1; }

  // Runs body(thread_index) once on each of size() threads and returns when all are done. `body` must not
  // throw and must not enter the pool again.
  template <class Body>
  void run(Body&& body) {
    using Plain = std::remove_reference_t<Body>;
    dispatch([](void* context, int thread) { (*static_cast<Plain*>(context))(thread); },
             const_cast<void*>(static_cast<const void*>(&body)));
  }

  // Splits [0, count) into pieces of `grain` handed out on demand: body(begin, end, thread_index).
  template <class Body>
  void for_range(int64_t count, int64_t grain, Body&& body) {
    if (count <= 0) return;
    if (count <= grain || workers_.empty()) return body(int64_t{0}, count, 0);
    std::atomic<int64_t> next{0};
    run([&](int thread) {
      for (int64_t begin; (begin = next.fetch_add(grain, std::memory_order_relaxed)) < count;)
        body(begin, begin + grain < count ? begin + grain : count, thread);
    });
  }

  // body(i, thread_index) for each i below `count`, of which every thread first takes a stretch of its own, from its
  // front, and then, from their backs, what others have left. So that each reads memory on and on.
  template <class Body>
  void for_stretches(int64_t count, Body&& body) {
    if (count <= 1 || workers_.empty()) return for_each(count, body);
    const int64_t threads = size();
    for (int64_t t = 0; t < threads; ++t)
      stretches_[static_cast<size_t>(t)].reset(count * t / threads, count * (t + 1) / threads);
    run([&](int thread) {
      for (int64_t t = 0; t < threads; ++t) {
        Stretch& stretch = stretches_[static_cast<size_t>((thread + t) % threads)];
        for (int64_t i; (i = t == 0 ? stretch.front() : stretch.back()) >= 0;) body(i, thread);
      }
    });
  }

  // body(i, thread_index) for each i below `count`, handed out one by one on demand.
  template <class Body>
  void for_each(int64_t count, Body&& body) {
    for_range(count, 1, [&](int64_t begin, int64_t end, int thread) {
      for (int64_t i = begin; i < end; ++i) body(i, thread);
    });
  }

 private:
  using Entry = void (*)(void*, int);

  // Numbers from `begin` to `end`, taken at both ends; −1 when there are no more.
  class alignas(64) Stretch {
   public:
    void reset(int64_t begin, int64_t end) { left_.store(static_cast<uint64_t>(begin) << 32 | static_cast<uint64_t>(end)); }
    int64_t front() { return take(true); }
    int64_t back() { return take(false); }

   private:
    int64_t take(bool front) {
      uint64_t left = left_.load(std::memory_order_relaxed);
      for (;;) {
        const uint64_t begin = left >> 32, end = left & 0xffffffff;
        if (begin == end) return -1;
        const uint64_t rest = front ? left + (uint64_t{1} << 32) : left - 1;
        if (left_.compare_exchange_weak(left, rest, std::memory_order_relaxed))
          return static_cast<int64_t>(front ? begin : end - 1);
      }
    }
    std::atomic<uint64_t> left_{0};
  };

  void dispatch(Entry entry, void* context);
  void worker(int thread);

  std::vector<std::thread> workers_;
  std::vector<Stretch> stretches_;
  std::atomic<uint32_t> epoch_{0};
  std::atomic<int> pending_{0};
  std::atomic<int> parked_{0};
  std::atomic<bool> stop_{false};
  Entry entry_ = nullptr;
  void* context_ = nullptr;
  std::mutex mutex_;
  std::condition_variable wake_;
};

}  // namespace inhouse
