#!/bin/sh
# Builds the kernels for 64-bit ARM with a cross compiler and compares them with plain C++ under qemu's user mode.
# Needs aarch64-linux-gnu-g++ and qemu-aarch64 (apt install g++-aarch64-linux-gnu qemu-user).
set -eu
CXX="${CXX_AARCH64:-aarch64-linux-gnu-g++}"
out=build/neon
mkdir -p "$out"
flags="-std=c++20 -O2 -DNDEBUG -Icsrc -Wall -Wextra -Wno-psabi -fno-math-errno -fno-trapping-math"
for source in csrc/kernels.cpp csrc/isa/scalar.cpp tests/kernels/compare_tables.cpp; do
  "$CXX" $flags -c "$source" -o "$out/$(basename "$source" .cpp).o"
done
"$CXX" $flags -march=armv8.2-a+dotprod+fp16 -c csrc/isa/neon.cpp -o "$out/neon.o"
"$CXX" -static "$out"/*.o -o "$out/compare_tables"
qemu-aarch64 -cpu max "$out/compare_tables" neon
