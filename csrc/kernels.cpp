#include "kernels.h"

#include <cstring>

namespace inhouse {
namespace {

bool runs_here(const Kernels& k) {
#if defined(__x86_64__)
  __builtin_cpu_init();
  const bool has_avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") &&
                        __builtin_cpu_supports("f16c") && __builtin_cpu_supports("bmi2");
  if (&k == &avx2::kernels) return has_avx2;
#if defined(INHOUSE_AVXVNNI)
  if (&k == &avxvnni::kernels) return has_avx2 && __builtin_cpu_supports("avxvnni");
#endif
  if (&k == &avx512::kernels)
    return has_avx2 && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
           __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512dq") &&
           __builtin_cpu_supports("avx512vnni");
#endif
  (void)k;
  return true;  // scalar everywhere; neon is compiled only where the platform has the dot product
}

}  // namespace

const Kernels* choose_kernels(const char* name) {
  static const Kernels* const best_first[] = {
#if defined(__x86_64__)
      &avx512::kernels,
#if defined(INHOUSE_AVXVNNI)
      &avxvnni::kernels,  // compilers before 2021 do not know it
#endif
      &avx2::kernels,
#elif defined(__aarch64__)
      &neon::kernels,
#endif
      &scalar::kernels,
  };
  for (const Kernels* k : best_first)
    if ((!name || std::strcmp(name, k->name) == 0) && runs_here(*k)) return k;
  return nullptr;
}

}  // namespace inhouse
