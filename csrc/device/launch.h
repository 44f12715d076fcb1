// Starting kernels.
//
//   launch(softmax_rows<float>, grid, block, shared_bytes, stream, x, y, n);
//
// Arguments are converted to the kernel's parameter types. A grid with a zero in it starts nothing.
// Errors throw CudaError (nvcc) or sim::Error (simulator), both std::runtime_error, and name the
// kernel, the launch's file and line, and the way out.
#pragma once

#include <source_location>
#include <stdexcept>
#include <string>
#include <tuple>

#include "device/platform.h"

#if !GG_SIMULATOR
#include "device/cuda_error.h"
#endif

namespace gg {

/// A grid's size, with file and line of the launch it was written in.
struct Grid {
  dim3 size;
  std::source_location where;

  Grid(dim3 grid, std::source_location at = std::source_location::current())
      : size(grid), where(at) {}
  Grid(unsigned x, unsigned y = 1, unsigned z = 1,
       std::source_location at = std::source_location::current())
      : size(x, y, z), where(at) {}

  bool empty() const { return size.x == 0 || size.y == 0 || size.z == 0; }
};

#if GG_SIMULATOR

namespace detail {

template <class... P>
void run_in_simulator(bool cooperative, void (*kernel)(P...), const Grid& grid, dim3 block,
                      size_t shared_bytes, const std::type_identity_t<P>&... args) {
  struct Call {
    void (*kernel)(P...);
    std::tuple<P...> args;
  } call{kernel, {args...}};
  const sim::Launch launch{grid.size, block, shared_bytes, cooperative, grid.where};
  sim::launch(
      launch,
      [](const void* p) {
        const Call& c = *static_cast<const Call*>(p);
        std::apply(c.kernel, c.args);
      },
      &call);
}

}  // namespace detail

template <class... P, class... A>
void launch(void (*kernel)(P...), const Grid& grid, dim3 block, size_t shared_bytes, Stream,
            A&&... args) {
  if (grid.empty()) return;
  detail::run_in_simulator<P...>(false, kernel, grid, block, shared_bytes, static_cast<P>(args)...);
}

/// A launch whose blocks all run at once, so that they may wait for one another (device/grid.h).
template <class... P, class... A>
void launch_cooperative(void (*kernel)(P...), const Grid& grid, dim3 block, size_t shared_bytes,
                        Stream, A&&... args) {
  if (grid.empty()) return;
  detail::run_in_simulator<P...>(true, kernel, grid, block, shared_bytes, static_cast<P>(args)...);
}

/// Sets bytes of device memory, in stream order.
inline void memset_async(void* data, int value, size_t bytes, Stream) {
  if (bytes) memset(data, value, bytes);
}

/// Streaming multiprocessors of the current device. The simulator says 4, so that kernels which
/// size their grid by it are exercised with several blocks and several rounds.
inline int multiprocessors() {
  return 4;
}

#else

namespace detail {

template <class... P>
void run_on_cuda(bool cooperative, void (*kernel)(P...), const Grid& grid, dim3 block,
                 size_t shared_bytes, Stream stream, const std::type_identity_t<P>&... args) {
  const LaunchSite site{reinterpret_cast<const void*>(kernel), grid.size, block, shared_bytes,
                        grid.where};
  if (shared_bytes > kDefaultShared) raise_shared_limit(site);
  cudaLaunchAttribute attribute{};
  attribute.id = cudaLaunchAttributeCooperative;
  attribute.val.cooperative = 1;
  cudaLaunchConfig_t config{};
  config.gridDim = grid.size;
  config.blockDim = block;
  config.dynamicSmemBytes = shared_bytes;
  config.stream = static_cast<cudaStream_t>(stream);
  config.attrs = &attribute;
  config.numAttrs = cooperative ? 1 : 0;
  check_launch(cudaLaunchKernelEx(&config, kernel, args...), site);
}

}  // namespace detail

template <class... P, class... A>
void launch(void (*kernel)(P...), const Grid& grid, dim3 block, size_t shared_bytes, Stream stream,
            A&&... args) {
  if (grid.empty()) return;
  detail::run_on_cuda<P...>(false, kernel, grid, block, shared_bytes, stream,
                            static_cast<P>(args)...);
}

template <class... P, class... A>
void launch_cooperative(void (*kernel)(P...), const Grid& grid, dim3 block, size_t shared_bytes,
                        Stream stream, A&&... args) {
  if (grid.empty()) return;
  detail::run_on_cuda<P...>(true, kernel, grid, block, shared_bytes, stream,
                            static_cast<P>(args)...);
}

inline void memset_async(void* data, int value, size_t bytes, Stream stream) {
  if (!bytes) return;
  check_cuda(cudaMemsetAsync(data, value, bytes, static_cast<cudaStream_t>(stream)),
             "cudaMemsetAsync");
}

inline int multiprocessors() {
  int device = 0, count = 0;
  check_cuda(cudaGetDevice(&device), "cudaGetDevice");
  check_cuda(cudaDeviceGetAttribute(&count, cudaDevAttrMultiProcessorCount, device),
             "cudaDeviceGetAttribute");
  return count;
}

#endif

}  // namespace gg
