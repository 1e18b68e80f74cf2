// One K block of one row against one token, for decoding: the generic way unpacks the block into L1 first. An
// instruction set may specialise RowBlock for a format and keep the codes in registers.
#pragma once

#include "unpack.h"
#include "vectors.h"

namespace inhouse::INHOUSE_ISA {

inline I8 row_dot32(const KBlock& b, const Span& a);
inline I8 row_dot16(const KBlock& b, const Span& a);
template <int kGroup>
inline I8 row_mins(const KBlock& b, const Span& a);

template <class K>
struct RowBlock {
  KBlock b;

  explicit RowBlock(const typename K::Block& block) { K::unpack(block, b); }

  // sum + block · a, spread over the lanes in any way
  F8 add(F8 sum, const Span& a) const {
    const I8 dot = K::kGroup == 32 ? row_dot32(b, a) : row_dot16(b, a);
    sum += __builtin_convertvector(dot, F8) * (a.d * b.d);
    return sum - __builtin_convertvector(row_mins<K::kGroup>(b, a), F8) * (a.d * b.dmin);
  }
};

}  // namespace inhouse::INHOUSE_ISA
