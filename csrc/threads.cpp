#include "threads.h"

namespace inhouse {
namespace {

// About 50-100 µs on current processors: longer than the gap between two ops of a decode step, far shorter
// than a person notices.
constexpr int kSpins = 20000;

// Now and then a spinning thread offers its processor: the one it waits for may have been put on the same.
constexpr int kSpinsAtOnce = 128;

inline void pause() {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  asm volatile("yield");
#endif
}

}  // namespace

ThreadPool::ThreadPool(int threads) : stretches_(static_cast<size_t>(threads)) {
  for (int i = 1; i < threads; ++i) workers_.emplace_back([this, i] { worker(i); });
}

ThreadPool::~ThreadPool() {
  {
    std::lock_guard lock(mutex_);
    stop_.store(true);
    epoch_.fetch_add(1);
  }
  wake_.notify_all();
  for (auto& thread : workers_) thread.join();
}

void ThreadPool::dispatch(Entry entry, void* context) {
  if (workers_.empty()) return entry(context, 0);
  entry_ = entry;
  context_ = context;
  pending_.store(static_cast<int>(workers_.size()), std::memory_order_relaxed);
  epoch_.fetch_add(1);  // publishes entry_, context_ and pending_
  if (parked_.load() > 0) {
    // Taking the lock orders this wake-up after a worker's last look at epoch_ and before its sleep.
    { std::lock_guard lock(mutex_); }
    wake_.notify_all();
  }
  entry(context, 0);
  for (int spin = 1; pending_.load(std::memory_order_acquire) > 0; ++spin) {
    if (spin % kSpinsAtOnce != 0) pause();
    else std::this_thread::yield();
  }
}

void ThreadPool::worker(int thread) {
  uint32_t seen = 0;
  for (;;) {
    int spin = 0;
    while (epoch_.load(std::memory_order_acquire) == seen && spin++ < kSpins) {
      if (spin % kSpinsAtOnce != 0) pause();
      else std::this_thread::yield();
    }
    if (epoch_.load() == seen) {
      std::unique_lock lock(mutex_);
      parked_.fetch_add(1);
      wake_.wait(lock, [&] { return epoch_.load() != seen; });
      parked_.fetch_sub(1);
    }
    // One region at a time: the next epoch cannot start before this worker has reported.
    seen = epoch_.load(std::memory_order_acquire);
    if (stop_.load()) return;
    entry_(context_, thread);
    pending_.fetch_sub(1, std::memory_order_release);
  }
}

}  // namespace inhouse
