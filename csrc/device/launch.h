// Starting kernels.
//
//   launch(softmax_rows<float>, grid, block, shared_bytes, stream, x, y, n);
//
// Arguments are converted to the kernel's parameter types. A grid with a zero in it starts nothing.
// Errors throw CudaError (nvcc) or sim::Error (simulator), and name the kernel, the launch's file
// and line, and the way out.
#pragma once

#include <source_location>
#include <type_traits>

#include "device/platform.h"

#if GG_SIMULATOR
#include <tuple>
#else
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

enum class LaunchKind { plain, cooperative, dependent, cluster };

/// How blocks are started: LaunchKind::cluster with the blocks of a cluster.
struct LaunchMode {
  LaunchKind kind;
  dim3 cluster;

  LaunchMode(LaunchKind k, dim3 blocks = dim3(1)) : kind(k), cluster(blocks) {}
};

#if GG_SIMULATOR

namespace detail {

template <class... P>
void run_in_simulator(LaunchMode mode, void (*kernel)(P...), const Grid& grid, dim3 block,
                      size_t shared_bytes, const std::type_identity_t<P>&... args) {
  struct Call {
    void (*kernel)(P...);
    std::tuple<P...> args;
  } call{kernel, {args...}};
  const sim::Launch launch{.grid = grid.size,
                           .block = block,
                           .shared_bytes = shared_bytes,
                           .cooperative = mode.kind == LaunchKind::cooperative,
                           .where = grid.where,
                           .kernel = reinterpret_cast<const void*>(kernel),
                           .dependent = mode.kind == LaunchKind::dependent,
                           .cluster = mode.cluster};
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
  detail::run_in_simulator<P...>(LaunchKind::plain, kernel, grid, block, shared_bytes,
                                 static_cast<P>(args)...);
}

/// A launch whose blocks all run at once, so that they may wait for one another (device/grid.h).
template <class... P, class... A>
void launch_cooperative(void (*kernel)(P...), const Grid& grid, dim3 block, size_t shared_bytes,
                        Stream, A&&... args) {
  if (grid.empty()) return;
  detail::run_in_simulator<P...>(LaunchKind::cooperative, kernel, grid, block, shared_bytes,
                                 static_cast<P>(args)...);
}

/// A launch that may begin before the kernel ahead of it in the stream has ended (programmatic
/// dependent launch where the kernel was compiled for sm_90 and up; else a plain one). Each thread
/// calls grid_dependency_wait (device/pdl.h) before it touches what that kernel reads or writes.
template <class... P, class... A>
void launch_dependent(void (*kernel)(P...), const Grid& grid, dim3 block, size_t shared_bytes,
                      Stream, A&&... args) {
  if (grid.empty()) return;
  detail::run_in_simulator<P...>(LaunchKind::dependent, kernel, grid, block, shared_bytes,
                                 static_cast<P>(args)...);
}

/// A launch in clusters of neighbouring blocks (device/cluster.h), at most 8; the grid is a
/// multiple of the cluster in each dimension. sm_90 and up.
template <class... P, class... A>
void launch_cluster(void (*kernel)(P...), const Grid& grid, dim3 block, dim3 cluster,
                    size_t shared_bytes, Stream, A&&... args) {
  if (grid.empty()) return;
  detail::run_in_simulator<P...>({LaunchKind::cluster, cluster}, kernel, grid, block, shared_bytes,
                                 static_cast<P>(args)...);
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

/// Shared memory that one block may have, static and dynamic together.
inline int max_shared_bytes() {
  return static_cast<int>(sim::max_shared());
}

/// 10 * major + minor of the current device's compute capability: 75, 80, 86, 89, 90, 100, 120.
/// The simulator says what sim::set_architecture did.
inline int architecture() {
  return sim::architecture();
}

#else

namespace detail {

template <class... P>
void run_on_cuda(LaunchMode mode, void (*kernel)(P...), const Grid& grid, dim3 block,
                 size_t shared_bytes, Stream stream, const std::type_identity_t<P>&... args) {
  const LaunchSite site{reinterpret_cast<const void*>(kernel), grid.size, block, shared_bytes,
                        grid.where};
  SharedLimit limit;
  if (shared_bytes > 0) limit.set(site);
  cudaLaunchAttribute attribute{};
  if (mode.kind == LaunchKind::cluster) {
    attribute.id = cudaLaunchAttributeClusterDimension;
    attribute.val.clusterDim = {mode.cluster.x, mode.cluster.y, mode.cluster.z};
  } else if (mode.kind == LaunchKind::dependent) {
    attribute.id = cudaLaunchAttributeProgrammaticStreamSerialization;
    attribute.val.programmaticStreamSerializationAllowed = 1;
  } else {
    attribute.id = cudaLaunchAttributeCooperative;
    attribute.val.cooperative = 1;
  }
  cudaLaunchConfig_t config{};
  config.gridDim = grid.size;
  config.blockDim = block;
  config.dynamicSmemBytes = shared_bytes;
  config.stream = static_cast<cudaStream_t>(stream);
  config.attrs = &attribute;
  config.numAttrs = mode.kind == LaunchKind::plain ? 0 : 1;
  check_launch(cudaLaunchKernelEx(&config, kernel, args...), site);
}

}  // namespace detail

template <class... P, class... A>
void launch(void (*kernel)(P...), const Grid& grid, dim3 block, size_t shared_bytes, Stream stream,
            A&&... args) {
  if (grid.empty()) return;
  detail::run_on_cuda<P...>(LaunchKind::plain, kernel, grid, block, shared_bytes, stream,
                            static_cast<P>(args)...);
}

template <class... P, class... A>
void launch_cooperative(void (*kernel)(P...), const Grid& grid, dim3 block, size_t shared_bytes,
                        Stream stream, A&&... args) {
  if (grid.empty()) return;
  detail::run_on_cuda<P...>(LaunchKind::cooperative, kernel, grid, block, shared_bytes, stream,
                            static_cast<P>(args)...);
}

template <class... P, class... A>
void launch_cluster(void (*kernel)(P...), const Grid& grid, dim3 block, dim3 cluster,
                    size_t shared_bytes, Stream stream, A&&... args) {
  if (grid.empty()) return;
  detail::run_on_cuda<P...>({LaunchKind::cluster, cluster}, kernel, grid, block, shared_bytes,
                            stream, static_cast<P>(args)...);
}

inline int device_attribute(cudaDeviceAttr attribute) {
  int device = 0, value = 0;
  check_cuda(cudaGetDevice(&device), "cudaGetDevice");
  check_cuda(cudaDeviceGetAttribute(&value, attribute, device), "cudaDeviceGetAttribute");
  return value;
}

inline int multiprocessors() {
  return device_attribute(cudaDevAttrMultiProcessorCount);
}

inline int max_shared_bytes() {
  return device_attribute(cudaDevAttrMaxSharedMemoryPerBlockOptin);
}

inline int architecture() {
  return 10 * device_attribute(cudaDevAttrComputeCapabilityMajor) +
         device_attribute(cudaDevAttrComputeCapabilityMinor);
}

template <class... P, class... A>
void launch_dependent(void (*kernel)(P...), const Grid& grid, dim3 block, size_t shared_bytes,
                      Stream stream, A&&... args) {
  if (grid.empty()) return;
  cudaFuncAttributes compiled;
  check_cuda(cudaFuncGetAttributes(&compiled, kernel), "cudaFuncGetAttributes");
  const bool waits = compiled.ptxVersion >= 90;  // for older code grid_dependency_wait is nothing
  const LaunchKind kind = waits ? LaunchKind::dependent : LaunchKind::plain;
  detail::run_on_cuda<P...>(kind, kernel, grid, block, shared_bytes, stream,
                            static_cast<P>(args)...);
}

inline void memset_async(void* data, int value, size_t bytes, Stream stream) {
  if (!bytes) return;
  check_cuda(cudaMemsetAsync(data, value, bytes, static_cast<cudaStream_t>(stream)),
             "cudaMemsetAsync");
}

#endif

}  // namespace gg
