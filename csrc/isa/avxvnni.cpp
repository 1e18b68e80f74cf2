// AVX-VNNI: AVX2 whose four byte products go straight into an int32 lane (vpdpbusd in 256 bits), as processors without
// AVX-512 have it. Packed panels are multiplied here, all else by AVX2's kernels. Empty on other platforms.
#if defined(__AVXVNNI__)
#define INHOUSE_ISA avxvnni

#include "x86_lanes.h"

namespace inhouse::avxvnni {

constexpr int exact_steps(int) { return 8; }
inline V dot_codes(V sum, V codes, V act) { return _mm256_dpbusd_avx_epi32(sum, codes, act); }
inline V scale_add(V total, V sum, V scale) {
  return _mm256_add_epi32(total, _mm256_mullo_epi32(sum, _mm256_srai_epi32(scale, 16)));
}
inline V dot_signed(V total, V values, V act) {
  return _mm256_dpbusd_avx_epi32(total, _mm256_abs_epi8(values), _mm256_sign_epi8(act, values));
}

}  // namespace inhouse::avxvnni

#include "packed.h"

namespace inhouse {
namespace avxvnni {

static void multiply(const Matrix& w, int64_t first, int rows, const Input& in, int64_t count, float* out) {
  if (!is_packed(w.format)) return avx2::kernels.multiply(w, first, rows, in, count, out);
  for (int64_t i = 0; i < count; ++i) std::fill_n(out + i * kChunk, kChunk, 0.0f);
  multiply_packed(w, first, rows, in, count, out);
}

}  // namespace avxvnni

const Kernels avxvnni::kernels = [] {
  Kernels table = avx2::kernels;
  table.name = "avxvnni";
  table.multiply = multiply;
  table.byte_products = byte_products;
  return table;
}();

}  // namespace inhouse
#endif
