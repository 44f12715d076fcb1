// What a CUDA error says: the kernel, its launch, the error, and the way out. nvcc only.
#pragma once

#include <cuda_runtime.h>
#include <cxxabi.h>

#include <cstdlib>
#include <source_location>
#include <stdexcept>
#include <string>

namespace gg {

class CudaError : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

namespace detail {

struct LaunchSite {
  const void* kernel;
  dim3 grid, block;
  size_t shared_bytes;
  std::source_location where;
};

inline const char* error_hint(cudaError_t error) {
  switch (error) {
    case cudaErrorNoKernelImageForDevice:
    case cudaErrorInvalidDeviceFunction:
      return "\n  This module was not built for this GPU's architecture. Rebuild it, e.g. "
             "GPUGRAD_CUDA=ON pip install . on this machine";
    case cudaErrorInsufficientDriver:
      return "\n  The NVIDIA driver is missing or older than the CUDA version of this module: "
             "install a newer driver (nvidia-smi shows the present one).";
    case cudaErrorNoDevice:
      return "\n  No NVIDIA GPU is visible: check nvidia-smi and CUDA_VISIBLE_DEVICES.";
    case cudaErrorMemoryAllocation:
      return "\n  The GPU is out of memory: use a smaller batch, or free arrays.";
    case cudaErrorIllegalAddress:
    case cudaErrorMisalignedAddress:
    case cudaErrorLaunchFailure:
      return "\n  An earlier kernel failed; CUDA_LAUNCH_BLOCKING=1 finds which. The process must "
             "be restarted. Running the same call on device 'sim' finds the line.";
    default:
      return "";
  }
}

inline std::string kernel_name(const void* kernel) {
  const char* mangled = nullptr;
  if (cudaFuncGetName(&mangled, kernel) != cudaSuccess || !mangled) {
    cudaGetLastError();  // the failed look-up is not the user's error
    return "kernel";
  }
  int status = 0;
  char* readable = abi::__cxa_demangle(mangled, nullptr, nullptr, &status);
  std::string name = readable ? readable : mangled;
  std::free(readable);
  return name;
}

inline std::string to_string(dim3 d) {
  return "(" + std::to_string(d.x) + ", " + std::to_string(d.y) + ", " + std::to_string(d.z) + ")";
}

[[noreturn]] inline void throw_cuda(cudaError_t error, const std::string& what) {
  throw CudaError(what + ": " + cudaGetErrorName(error) + ": " + cudaGetErrorString(error) +
                  error_hint(error));
}

inline void check_launch(cudaError_t error, const LaunchSite& site) {
  if (error == cudaSuccess) error = cudaPeekAtLastError();
  if (error == cudaSuccess) return;
  cudaGetLastError();  // clears it, so that the next launch does not report it again
  throw_cuda(error, "launch of " + kernel_name(site.kernel) + " with grid " + to_string(site.grid) +
                        ", block " + to_string(site.block) + ", " +
                        std::to_string(site.shared_bytes) + " bytes of dynamic shared memory at " +
                        site.where.file_name() + ":" + std::to_string(site.where.line()));
}

/// A kernel must be told to accept more than 48 KiB.
inline void raise_shared_limit(const LaunchSite& site) {
  check_launch(cudaFuncSetAttribute(site.kernel, cudaFuncAttributeMaxDynamicSharedMemorySize,
                                    static_cast<int>(site.shared_bytes)),
               site);
}

}  // namespace detail

inline void check_cuda(cudaError_t error, const char* what) {
  if (error == cudaSuccess) return;
  cudaGetLastError();
  detail::throw_cuda(error, what);
}

}  // namespace gg
