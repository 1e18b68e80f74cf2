#!/bin/sh
# Builds the AVX-VNNI kernels with its instruction emulated by AVX2, and compares them with plain C++: for processors that
# lack it. Where a processor has it, the tests of all kernels cover it.
set -eu
CXX="${CXX:-g++}"
out=build/avxvnni
mkdir -p "$out"
flags="-std=c++20 -O2 -DNDEBUG -Icsrc -Wall -Wextra -Wno-psabi -fno-math-errno -fno-trapping-math"
avx2="-mavx2 -mfma -mf16c -mbmi2"
"$CXX" $flags -c csrc/isa/scalar.cpp -o "$out/scalar.o"
"$CXX" $flags $avx2 -c csrc/isa/avx2.cpp -o "$out/avx2.o"
"$CXX" $flags $avx2 -include tests/kernels/emulated_avxvnni.h -c csrc/isa/avxvnni.cpp -o "$out/avxvnni.o"
"$CXX" $flags -DINHOUSE_EMULATED=avxvnni -c tests/kernels/compare_tables.cpp -o "$out/compare_tables.o"
"$CXX" "$out"/*.o -o "$out/compare_tables"
"$out/compare_tables"
