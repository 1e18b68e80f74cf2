#!/bin/sh
# Builds an instruction set's kernels with what this processor lacks emulated on AVX2, and compares them with plain C++.
# Where a processor has it, the tests of all kernels cover it. Usage: test_emulated.sh avxvnni|avx512
set -eu
isa="$1"
CXX="${CXX:-g++}"
out="build/$isa"
mkdir -p "$out"
flags="-std=c++20 -O1 -DNDEBUG -Icsrc -Wall -Wextra -Wno-psabi -fno-math-errno -fno-trapping-math"
avx2="-mavx2 -mfma -mf16c -mbmi2"
"$CXX" $flags -c csrc/isa/scalar.cpp -o "$out/scalar.o"
"$CXX" $flags $avx2 -c csrc/isa/avx2.cpp -o "$out/avx2.o"
"$CXX" $flags $avx2 -include "tests/kernels/emulated_$isa.h" -c "csrc/isa/$isa.cpp" -o "$out/$isa.o"
"$CXX" $flags "-DINHOUSE_EMULATED=$isa" -c tests/kernels/compare_tables.cpp -o "$out/compare_tables.o"
"$CXX" "$out"/*.o -o "$out/compare_tables"
"$out/compare_tables"
