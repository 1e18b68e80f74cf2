// Ends an instruction set's translation unit: its kernels as a table.
#pragma once

#include "multiply.h"
#include "sequence_kernels.h"

namespace inhouse {
const Kernels INHOUSE_ISA::kernels = {
    INHOUSE_ISA_NAME,
    INHOUSE_ISA::multiply,
    INHOUSE_ISA::quantize,
    INHOUSE_ISA::dot,
    INHOUSE_ISA::rms_norm,
    INHOUSE_ISA::silu_multiply,
    INHOUSE_ISA::dequantize,
    INHOUSE_ISA::attend,
    INHOUSE_ISA::rotate,
    INHOUSE_ISA::store,
    INHOUSE_ISA::sigmoid_gate,
    INHOUSE_ISA::silu_gate,
    INHOUSE_ISA::delta_rule,
    INHOUSE_ISA::delta_products,
    INHOUSE_ISA::convolve,
    INHOUSE_ISA::unit,
    INHOUSE_ISA::byte_products,
};
}
