// The CUDA language, from the toolkit or from the simulator.
//
// GG_SIMULATOR is 1 when the simulator runs the kernels, 0 under nvcc. Only csrc/device and
// csrc/sim look at it. GG_DEVICE marks functions that run on the device only. GG_WHERE is a last
// parameter that carries file and line of the call into the simulator's reports, and vanishes under
// nvcc.
#pragma once

#include <cstddef>
#include <cstdint>

#include "device/qualifiers.h"

#if defined(__CUDACC__)
#include <cuda_runtime.h>
#define GG_SIMULATOR 0
#define GG_DEVICE static __device__ __forceinline__
#define GG_WHERE
#define GG_WHERE_ONLY
#define GG_PASS_WHERE
#define GG_PASS_WHERE_ONLY
#else
#include "sim/sim.h"
#define GG_SIMULATOR 1
#define GG_DEVICE inline
#define GG_WHERE_ONLY [[maybe_unused]] ::gg::sim::Where where = ::gg::sim::Where::current()
#define GG_WHERE , GG_WHERE_ONLY
#define GG_PASS_WHERE_ONLY where
#define GG_PASS_WHERE , where
#endif

namespace gg {

/// cudaStream_t on CUDA; ignored by the simulator, which runs a launch at once.
using Stream = void*;

}  // namespace gg
