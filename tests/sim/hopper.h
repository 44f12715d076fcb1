// What the Hopper cases share.
//
// Those that ask what hardware does, not what the simulator reports, run on a GPU too (on_gpu.py):
// their kernels are started by run() and run_cluster(), and their arrays are Aligned.
#pragma once

#include <cstdio>
#include <string>
#include <vector>

#include "check.h"
#include "device/hopper.h"

namespace gg {

#if GG_SIMULATOR
/// Before any case runs: the simulated GPU is a Hopper.
inline const bool is_hopper = (sim::set_architecture(90), true);
#endif

/// Repeatable whole numbers from -3 to 3, exact in every type.
GG_HD int small_number(int64_t i) {
  const uint64_t x = (static_cast<uint64_t>(i) + 77) * 0x9e3779b97f4a7c15u;
  return static_cast<int>((x >> 40) % 7) - 3;
}

template <class T>
GG_HD T from_small(int v) {
  if constexpr (std::is_same_v<T, tf32>) {
    return tf32{static_cast<float>(v)};
  } else if constexpr (std::is_integral_v<T>) {
    return static_cast<T>(std::is_signed_v<T> ? v : v + 3);
  } else {
    return from_float<T>(static_cast<float>(v));
  }
}

/// "file:line" of the line that ends with this comment, as errors write it.
inline std::string check_line(const char* path, const char* comment) {
  const std::string name = std::string(path).substr(std::string(path).rfind('/') + 1);
  const std::string end = std::string("// ") + comment + "\n";
  FILE* file = fopen(path, "r");
  if (file == nullptr) return "no file " + name;
  std::string found = "no line " + end;
  char text[256];
  for (int line = 1; fgets(text, sizeof text, file); line++) {
    const std::string s = text;
    if (s.size() < end.size() || s.compare(s.size() - end.size(), end.size(), end) != 0) continue;
    found = name + ":" + std::to_string(line);
  }
  fclose(file);
  return found;
}

/// An array of the host and its place on the GPU, which are one in the simulator.
struct Mirror {
  size_t bytes;
  void* host = nullptr;
  void* device = nullptr;

  explicit Mirror(size_t n) : bytes(n) {
    if (posix_memalign(&host, 128, bytes) != 0) throw std::bad_alloc();
    memset(host, 0, bytes);
    device = host;
#if !GG_SIMULATOR
    check_cuda(cudaMalloc(&device, bytes), "cudaMalloc");
    all().push_back(this);
#endif
  }
  Mirror(const Mirror&) = delete;
  Mirror& operator=(const Mirror&) = delete;
  ~Mirror() {
    free(host);
#if !GG_SIMULATOR
    cudaFree(device);
    std::erase(all(), this);
#endif
  }

  static std::vector<Mirror*>& all() {
    static std::vector<Mirror*> list;
    return list;
  }
};

/// Memory whose first byte is aligned to 128, as cudaMalloc's is, and whose last is the edge.
/// x.data is what kernels get, x[i] the host's.
template <class T>
struct Aligned : private Mirror {
  size_t size;
  T* data;

  explicit Aligned(size_t n)
      : Mirror(n * sizeof(T)), size(n), data(static_cast<T*>(this->device)) {}
  T& operator[](size_t i) { return static_cast<T*>(this->host)[i]; }
};

namespace detail {
/// start() on a GPU with all arrays that there are, which come back with the results.
template <class F>
void with_arrays(F start) {
#if GG_SIMULATOR
  start();
#else
  for (const Mirror* m : Mirror::all()) {
    check_cuda(cudaMemcpy(m->device, m->host, m->bytes, cudaMemcpyDefault), "cudaMemcpy");
  }
  start();
  check_cuda(cudaDeviceSynchronize(), "the kernel");
  for (const Mirror* m : Mirror::all()) {
    check_cuda(cudaMemcpy(m->host, m->device, m->bytes, cudaMemcpyDefault), "cudaMemcpy");
  }
#endif
}
}  // namespace detail

/// Launches a kernel and waits for it.
template <class... P, class... A>
void run(void (*kernel)(P...), const Grid& grid, dim3 block, size_t shared_bytes, A&&... args) {
  detail::with_arrays([&] { launch(kernel, grid, block, shared_bytes, nullptr, args...); });
}

/// The same in clusters.
template <class... P, class... A>
void run_cluster(void (*kernel)(P...), const Grid& grid, dim3 block, dim3 cluster,
                 size_t shared_bytes, A&&... args) {
  detail::with_arrays(
      [&] { launch_cluster(kernel, grid, block, cluster, shared_bytes, nullptr, args...); });
}

/// A row-major matrix as a tensor map of boxes.
template <class T>
TensorMap matrix_map(TensorType type, const T* data, int64_t rows, int64_t columns, int box_rows,
                     int box_columns, Swizzle swizzle) {
  const int64_t dims[2] = {columns, rows}, strides[1] = {columns * int64_t{sizeof(T)}};
  const int box[2] = {box_columns, box_rows};
  return tensor_map_tiled(type, 2, data, dims, strides, box, swizzle);
}

/// Where byte i of a packed box lies: units of 16 bytes in a row of `span` change places by the
/// number of the 128-byte line they are in (for 128: unit ^ row % 8).
inline int swizzled_place(int i, int span) {
  if (span == 0) return i;
  const int units = span / 16, line = i / 128 % 8, unit = i / 16 % units;
  return i / span * span + (unit ^ line % units) * 16 + i % 16;
}

/// An mbarrier for one arrival (and bytes), set up by thread 0; all threads call it.
GG_DEVICE void set_up(Mbarrier* barrier, int count = 1 GG_WHERE) {
  if (threadIdx.x == 0) {
    mbarrier_init(barrier, count GG_PASS_WHERE);
    fence_mbarrier_init();
  }
  __syncthreads(GG_PASS_WHERE_ONLY);
}

}  // namespace gg
