// Blocks as they lie in a GGUF file, rearranged into panels of sixteen rows (formats.h). Knows neither files nor Python.
#pragma once

#include "formats.h"

namespace inhouse {

// The packed format of a source format; Format::F32 if it has none.
Format packed_format(Format source);

// Whole panels: w.rows rows of blocks to as many packed rows, back to back at `out`, by `threads` threads. The NumPy
// twin is `pack` of weights/packed.py.
void pack(const Matrix& w, uint8_t* out, int threads);

}  // namespace inhouse
