// What a CUDA error says: the kernel, its launch, the error, and the way out. nvcc only.
#pragma once

#include <cuda_runtime.h>
#include <cxxabi.h>
#include <pthread.h>

#include <cstdio>
#include <cstdlib>
#include <exception>
#include <source_location>

namespace gg {

/// Holds its text itself: every kernel file includes this, and <string> is long to compile.
class CudaError : public std::exception {
 public:
  /// what: name: text
  CudaError(const char* what, const char* name, const char* text) {
    std::snprintf(text_, sizeof(text_), "%s: %s: %s", what, name, text);
  }

  const char* what() const noexcept override { return text_; }

 private:
  char text_[2048];
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

[[noreturn]] inline void throw_cuda(cudaError_t error, const char* what) {
  char text[1024];
  std::snprintf(text, sizeof(text), "%s%s", cudaGetErrorString(error), error_hint(error));
  throw CudaError(what, cudaGetErrorName(error), text);
}

inline void check_launch(cudaError_t error, const LaunchSite& site) {
  if (error == cudaSuccess) error = cudaPeekAtLastError();
  if (error == cudaSuccess) return;
  cudaGetLastError();  // clears it, so that the next launch does not report it again
  const char* mangled = nullptr;
  if (cudaFuncGetName(&mangled, site.kernel) != cudaSuccess || !mangled) {
    cudaGetLastError();  // the failed look-up is not the user's error
    mangled = "kernel";
  }
  int status = 0;
  char* const readable = abi::__cxa_demangle(mangled, nullptr, nullptr, &status);
  char text[1024];
  std::snprintf(text, sizeof(text),
                "launch of %.500s with grid (%u, %u, %u), block (%u, %u, %u), %zu bytes of dynamic "
                "shared memory at %s:%u",
                readable ? readable : mangled, site.grid.x, site.grid.y, site.grid.z, site.block.x,
                site.block.y, site.block.z, site.shared_bytes, site.where.file_name(),
                static_cast<unsigned>(site.where.line()));
  std::free(readable);
  throw_cuda(error, text);
}

/// Held while a launch tells its kernel how much dynamic shared memory to accept (48 KiB, static
/// memory included, without) and starts it: another thread may have another size for that kernel.
/// No std::mutex: <mutex> is long to compile.
class SharedLimit {
 public:
  SharedLimit() { pthread_mutex_lock(&mutex_); }
  ~SharedLimit() { pthread_mutex_unlock(&mutex_); }
  SharedLimit(const SharedLimit&) = delete;
  SharedLimit& operator=(const SharedLimit&) = delete;

  void set(const LaunchSite& site) {
    check_launch(cudaFuncSetAttribute(site.kernel, cudaFuncAttributeMaxDynamicSharedMemorySize,
                                      static_cast<int>(site.shared_bytes)),
                 site);
  }

 private:
  static inline pthread_mutex_t mutex_ = PTHREAD_MUTEX_INITIALIZER;
};

}  // namespace detail

inline void check_cuda(cudaError_t error, const char* what) {
  if (error == cudaSuccess) return;
  cudaGetLastError();
  detail::throw_cuda(error, what);
}

}  // namespace gg
