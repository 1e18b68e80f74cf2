// What AVX-VNNI adds to AVX2, as a function: lets a processor without it check the kernels that use it. Included before
// everything else.
#pragma once
#include "emulated_dpbusd.h"

#define __AVXVNNI__ 1
#define _mm256_dpbusd_avx_epi32 emulated_dpbusd
