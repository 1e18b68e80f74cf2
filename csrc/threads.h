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

  // body(i, thread_index) for each i below `count`, handed out one by one on demand.
  template <class Body>
  void for_each(int64_t count, Body&& body) {
    for_range(count, 1, [&](int64_t begin, int64_t end, int thread) {
      for (int64_t i = begin; i < end; ++i) body(i, thread);
    });
  }

 private:
  using Entry = void (*)(void*, int);
  void dispatch(Entry entry, void* context);
  void worker(int thread);

  std::vector<std::thread> workers_;
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
