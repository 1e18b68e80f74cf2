// The only file that includes nanobind: Python's view of the kernels. Checks shapes, releases the GIL, calls down.
#include <nanobind/nanobind.h>

#include "threads.h"

namespace nb = nanobind;

NB_MODULE(_core, m) {
  nb::class_<inhouse::ThreadPool>(m, "ThreadPool")
      .def(nb::init<int>())
      .def_prop_ro("size", &inhouse::ThreadPool::size);
}
