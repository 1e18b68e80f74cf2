// The only file that includes nanobind: Python's view of the kernels. Checks shapes, releases the GIL, calls down.
#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>
#include <nanobind/stl/optional.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/tuple.h>
#include <nanobind/stl/vector.h>

#include <optional>
#include <stdexcept>
#include <string>
#include <tuple>
#include <vector>

#include "bandwidth.h"
#include "ops.h"
#include "pack.h"

namespace nb = nanobind;
using namespace inhouse;

namespace {

using Floats = nb::ndarray<float, nb::c_contig, nb::device::cpu>;
using Parameters = nb::ndarray<const float, nb::c_contig, nb::device::cpu>;
using Numbers = nb::ndarray<nb::c_contig, nb::device::cpu>;  // of a type that is looked at
using Ids = nb::ndarray<const int32_t, nb::c_contig, nb::device::cpu>;
using Bytes = nb::ndarray<const uint8_t, nb::device::cpu>;
using MaybeParameters = std::optional<Parameters>;

void require(bool holds, const char* what) {
  if (!holds) throw std::invalid_argument(what);
}

const float* data_or_null(const MaybeParameters& p) { return p ? p->data() : nullptr; }

// A matrix, or a stack of them, that keeps its bytes' owner alive.
struct Weight {
  MatrixStack stack;
  nb::object owner;

  const Matrix& matrix() const { return stack.first; }
};

Weight make_weight(nb::object owner, int64_t columns, int format_id) {
  const auto bytes = nb::cast<Bytes>(owner);
  const auto format = static_cast<Format>(format_id);
  const BlockSize block = block_size(format);
  const size_t n = bytes.ndim();
  require(block.bytes > 0, "unknown weight format");
  require(n == 2 || n == 3, "a weight has two axes, a stack three");
  require(columns % block.columns == 0 &&
              static_cast<int64_t>(bytes.shape(n - 1)) == columns / block.columns * block.bytes,
          "a row is not a whole number of blocks");
  require(bytes.stride(n - 1) == 1, "rows are not contiguous");
  require(!is_packed(format) || (bytes.shape(n - 2) % kPanelRows == 0 &&
                                 bytes.stride(n - 2) == static_cast<int64_t>(bytes.shape(n - 1))),
          "packed panels are not whole");
  Weight w;
  w.owner = std::move(owner);
  w.stack.first = {bytes.data(), static_cast<int64_t>(bytes.shape(n - 2)), columns, bytes.stride(n - 2), format};
  if (n == 3) {
    w.stack.count = static_cast<int64_t>(bytes.shape(0));
    w.stack.stride = bytes.stride(0);
  }
  return w;
}

void require_matrix(const Weight& w, int64_t rows, int64_t columns, const char* what) {
  require(w.matrix().rows == rows && w.matrix().columns == columns, what);
}

Norm make_norm(const MaybeParameters& weight, float eps, int64_t columns) {
  require(!weight || static_cast<int64_t>(weight->size()) == columns, "norm: wrong size");
  return {data_or_null(weight), eps};
}

using LinearArgs = std::tuple<const Weight*, MaybeParameters, Floats>;

void project(Ops& ops, const Floats& x, const MaybeParameters& norm, float eps, const std::vector<LinearArgs>& args,
             bool add) {
  require(x.ndim() == 2, "project: x is not (T, H)");
  const auto tokens = static_cast<int64_t>(x.shape(0)), columns = static_cast<int64_t>(x.shape(1));
  std::vector<Linear> linears;
  for (const auto& [w, bias, out] : args) {
    require(w->matrix().columns == columns, "project: weight and x differ in columns");
    require(static_cast<int64_t>(out.size()) == tokens * w->matrix().rows, "project: wrong output size");
    require(!bias || static_cast<int64_t>(bias->size()) == w->matrix().rows, "project: wrong bias size");
    linears.push_back({w->matrix(), data_or_null(bias), out.data()});
  }
  const Norm n = make_norm(norm, eps, columns);
  nb::gil_scoped_release release;
  ops.project(x.data(), tokens, columns, n, linears.data(), static_cast<int>(linears.size()), add);
}

Mlp make_mlp(const Weight& gate, const Weight& up, const Weight& down, int64_t columns) {
  require(gate.matrix().columns == columns, "mlp: wrong columns");
  require_matrix(up, gate.matrix().rows, columns, "mlp: gate and up differ");
  require_matrix(down, columns, gate.matrix().rows, "mlp: down does not fit");
  return {gate.matrix(), up.matrix(), down.matrix()};
}

void mlp(Ops& ops, const Floats& x, const MaybeParameters& norm, float eps, const Weight& gate, const Weight& up,
         const Weight& down) {
  require(x.ndim() == 2, "mlp: x is not (T, H)");
  const auto tokens = static_cast<int64_t>(x.shape(0)), columns = static_cast<int64_t>(x.shape(1));
  const Mlp m = make_mlp(gate, up, down, columns);
  const Norm n = make_norm(norm, eps, columns);
  nb::gil_scoped_release release;
  ops.mlp(x.data(), tokens, columns, n, m);
}

using SharedArgs = std::tuple<const Weight*, const Weight*, const Weight*>;

void moe(Ops& ops, const Floats& x, const MaybeParameters& norm, float eps, const Weight& router, const Weight& gate,
         const Weight& up, const Weight& down, int top_k, bool renormalise, const std::optional<SharedArgs>& shared,
         const MaybeParameters& shared_gate) {
  require(x.ndim() == 2, "moe: x is not (T, H)");
  const auto tokens = static_cast<int64_t>(x.shape(0)), columns = static_cast<int64_t>(x.shape(1));
  const int64_t experts = router.matrix().rows;
  require(router.matrix().columns == columns, "moe: wrong router");
  require(gate.stack.count == experts && up.stack.count == experts && down.stack.count == experts,
          "moe: number of experts");
  require(1 <= top_k && top_k <= experts, "moe: top_k");
  (void)make_mlp(gate, up, down, columns);
  Moe m{router.matrix(), gate.stack, up.stack, down.stack, top_k, renormalise, nullptr, nullptr};
  Mlp shared_mlp;
  if (shared) {
    const auto [g, u, d] = *shared;
    shared_mlp = make_mlp(*g, *u, *d, columns);
    m.shared = &shared_mlp;
    require(!shared_gate || static_cast<int64_t>(shared_gate->size()) == columns, "moe: shared gate");
    m.shared_gate = data_or_null(shared_gate);
  }
  const Norm n = make_norm(norm, eps, columns);
  nb::gil_scoped_release release;
  ops.moe(x.data(), tokens, columns, n, m);
}

void attention(Ops& ops, int heads, int kv_heads, int head_dim, int rotary_dim, double rope_theta,
               const MaybeParameters& q_norm, float q_eps, const MaybeParameters& k_norm, float k_eps, bool gated,
               const Floats& q, const Floats& k, const Floats& v, const Numbers& keys, const Numbers& values,
               const std::optional<Floats>& key_scales, const std::optional<Floats>& value_scales, int64_t length,
               const Floats& out) {
  require(q.ndim() == 2 && k.ndim() == 2 && v.ndim() == 2, "attention: q, k, v are not (T, width)");
  const auto tokens = static_cast<int64_t>(q.shape(0));
  require(head_dim % kKeyBlock == 0 && rotary_dim % 2 == 0 && rotary_dim <= head_dim && heads % kv_heads == 0,
          "attention: head shape");
  const auto width = static_cast<size_t>(heads) * static_cast<size_t>(head_dim);
  const auto kv_width = static_cast<size_t>(kv_heads) * static_cast<size_t>(head_dim);
  require(q.shape(1) == (gated ? 2 * width : width), "attention: width of q");
  require(k.shape(1) == kv_width && v.shape(1) == kv_width && k.shape(0) == q.shape(0) && v.shape(0) == q.shape(0),
          "attention: shape of k or v");
  require(out.size() == width * q.shape(0), "attention: wrong output size");
  require(!q_norm || static_cast<int>(q_norm->size()) == head_dim, "attention: q_norm");
  require(!k_norm || static_cast<int>(k_norm->size()) == head_dim, "attention: k_norm");
  require(values.ndim() == 3 && values.size() == keys.size() && static_cast<int>(values.shape(0)) == kv_heads &&
              static_cast<int>(values.shape(2)) == head_dim && values.shape(1) % kKeyBlock == 0,
          "attention: shape of the cache");
  const auto capacity = static_cast<int64_t>(values.shape(1));
  const auto number = key_scales ? nb::dtype<int8_t>() : nb::dtype<uint16_t>();
  require(keys.dtype() == number && values.dtype() == number, "attention: halves, or int8 with scales");
  const size_t scales = static_cast<size_t>(kv_heads) * values.shape(1);
  const size_t for_keys = scales * static_cast<size_t>(scale_groups(head_dim));
  require(key_scales.has_value() == value_scales.has_value() &&
              (!key_scales || (key_scales->size() == for_keys && value_scales->size() == scales)),
          "attention: scales of the cache");
  const KvHead first{keys.data(), values.data(), key_scales ? key_scales->data() : nullptr,
                     value_scales ? value_scales->data() : nullptr};
  require(length >= 0 && length + tokens <= capacity, "attention: the cache is full");
  const Attention op{heads, kv_heads, head_dim, rotary_dim, rope_theta, data_or_null(q_norm), data_or_null(k_norm),
                     q_eps, k_eps, gated};
  nb::gil_scoped_release release;
  ops.attention(op, q.data(), k.data(), v.data(), tokens, {first, capacity, length}, out.data());
}

void gated_delta_net(Ops& ops, int key_heads, int value_heads, int key_dim, int value_dim, bool tiled,
                     const Parameters& conv, const Parameters& a_log, const Parameters& dt_bias,
                     const Parameters& norm, float eps, const Floats& qkv, const Floats& z, const Floats& b,
                     const Floats& a, const Floats& conv_state, const Floats& s, const Floats& out) {
  require(conv.ndim() == 2 && qkv.ndim() == 2, "gated_delta_net: conv is (C, kernel), qkv (T, C)");
  DeltaNet op{key_heads, value_heads, key_dim, value_dim, static_cast<int>(conv.shape(1)), tiled,
              conv.data(), a_log.data(), dt_bias.data(), norm.data(), eps};
  const auto tokens = static_cast<int64_t>(qkv.shape(0));
  const auto channels = static_cast<size_t>(op.channels()), heads = static_cast<size_t>(value_heads);
  const size_t width = heads * static_cast<size_t>(value_dim), rows = qkv.shape(0);
  require(key_dim % 2 == 0 && value_heads % key_heads == 0, "gated_delta_net: head shape");
  require(1 <= op.kernel && op.kernel <= kMaxTaps, "gated_delta_net: kernel");
  require(conv.shape(0) == channels && qkv.shape(1) == channels, "gated_delta_net: channels");
  require(a_log.size() == heads && dt_bias.size() == heads && norm.size() == static_cast<size_t>(value_dim),
          "gated_delta_net: parameters");
  require(z.size() == rows * width && out.size() == rows * width, "gated_delta_net: z or out");
  require(b.size() == rows * heads && a.size() == rows * heads, "gated_delta_net: a or b");
  require(conv_state.size() == channels * (conv.shape(1) - 1), "gated_delta_net: convolution state");
  require(s.size() == width * static_cast<size_t>(key_dim), "gated_delta_net: state");
  nb::gil_scoped_release release;
  const DeltaInputs inputs{qkv.data(), z.data(), b.data(), a.data()};
  ops.gated_delta_net(op, inputs, tokens, conv_state.data(), s.data(), out.data());
}

void embed(Ops& ops, const Weight& table, const Ids& ids, const Floats& out) {
  for (size_t i = 0; i < ids.size(); ++i)
    require(0 <= ids.data()[i] && ids.data()[i] < table.matrix().rows, "embed: id out of range");
  require(static_cast<int64_t>(out.size()) == static_cast<int64_t>(ids.size()) * table.matrix().columns,
          "embed: wrong output size");
  nb::gil_scoped_release release;
  ops.embed(table.matrix(), ids.data(), static_cast<int64_t>(ids.size()), out.data());
}

// Rows of whole panels to `out`, which has a packed row for each.
void pack_rows(const Weight& w, const nb::ndarray<uint8_t, nb::c_contig, nb::device::cpu>& out, int threads) {
  const Matrix& m = w.matrix();
  const Format target = packed_format(m.format);
  const BlockSize block = block_size(target);
  require(is_packed(target), "pack: a format that has no panels");
  require(w.stack.count == 1 && m.rows % kPanelRows == 0, "pack: not whole panels");
  require(static_cast<int64_t>(out.size()) == m.rows * (m.columns / block.columns * block.bytes), "pack: output size");
  nb::gil_scoped_release release;
  pack(m, out.data(), threads);
}

}  // namespace

NB_MODULE(_core, m) {
  nb::class_<ThreadPool>(m, "ThreadPool").def(nb::init<int>()).def_prop_ro("size", &ThreadPool::size);

  nb::class_<Weight>(m, "Weight")
      .def_prop_ro("rows", [](const Weight& w) { return w.matrix().rows; })
      .def_prop_ro("columns", [](const Weight& w) { return w.matrix().columns; });
  m.def("pack", &pack_rows, nb::arg("weight"), nb::arg("out"), nb::arg("threads"));
  m.def("weight", &make_weight, nb::arg("data"), nb::arg("columns"), nb::arg("format"));

  nb::class_<Ops>(m, "Ops")
      .def("__init__",
           [](Ops* self, int threads, const std::optional<std::string>& isa) {
             const Kernels* const kernels = choose_kernels(isa ? isa->c_str() : nullptr);
             require(kernels != nullptr, "no such instruction set on this machine");
             require(threads >= 1, "threads must be at least 1");
             new (self) Ops(threads, *kernels);
           },
           nb::arg("threads"), nb::arg("isa") = nb::none())
      .def_prop_ro("threads", &Ops::threads)
      .def_prop_ro("isa", &Ops::name)
      .def("embed", &embed)
      .def("project", &project, nb::arg(), nb::arg().none(), nb::arg(), nb::arg(), nb::arg())
      .def("mlp", &mlp)
      .def("moe", &moe)
      .def("attention", &attention)
      .def("gated_delta_net", &gated_delta_net);

  m.def(
      "read_bandwidth",
      [](int threads, int64_t bytes, int rounds) {
        nb::gil_scoped_release release;
        return read_bandwidth(threads, bytes, rounds);
      },
      nb::arg("threads"), nb::arg("bytes"), nb::arg("rounds"));
  m.def(
      "byte_peak",
      [](int threads, const std::string& isa, int rounds) {
        const Kernels* const kernels = choose_kernels(isa.c_str());
        require(kernels != nullptr && threads >= 1, "no such instruction set on this machine");
        nb::gil_scoped_release release;
        return byte_peak(threads, *kernels, rounds);
      },
      nb::arg("threads"), nb::arg("isa"), nb::arg("rounds"));
  m.def("instruction_sets", [] {
    std::vector<std::string> names;
    for (const char* name : {"scalar", "avx2", "avxvnni", "avx512", "neon"})
      if (choose_kernels(name)) names.emplace_back(name);
    return names;
  });
}
