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

// GG_ARCH_AT_LEAST(80): the code is compiled for sm_80 or later. GG_HOPPER: for sm_90a. Both are 1
// in the simulator and in nvcc's host pass, which see every body.
#if !defined(__CUDA_ARCH__)
#define GG_ARCH_AT_LEAST(n) 1
#define GG_HOPPER 1
#else
#define GG_ARCH_AT_LEAST(n) (__CUDA_ARCH__ >= (n) * 10)
#if defined(__CUDA_ARCH_FEAT_SM90_ALL)
#define GG_HOPPER 1
#else
#define GG_HOPPER 0
#endif
#endif

namespace gg {

/// cudaStream_t on CUDA; ignored by the simulator, which runs a launch at once.
using Stream = void*;

/// For `if constexpr` in kernels whose body needs an architecture: where it is false the body only
/// traps, and the host does not launch the kernel (code_architecture in core/built_for.h).
constexpr bool kDeviceHas80 = GG_ARCH_AT_LEAST(80);
constexpr bool kDeviceHasHopper = GG_HOPPER;

/// The opposite of kDeviceHas80, but true as well where every body is seen.
#if !defined(__CUDA_ARCH__)
constexpr bool kDeviceBelow80 = true;
#else
constexpr bool kDeviceBelow80 = !kDeviceHas80;
#endif

}  // namespace gg
