// y[..., i] = x[..., 0] o x[..., 1] o ... o x[..., i], o being +, *, max, min or log(exp + exp).
//
// Any strides. float16, bfloat16 and float32 are joined in float32 (products in double) and rounded
// once, float64 in float64, integers and bool in int64 (wrapping). y is int64 for sums and products
// of integers and bool, else of x's dtype, and overwritten. NaN wins.
//
// A warp (short rows) or a block scans a row, tile by tile: four neighbours in a thread, threads by
// shuffles, warps through shared memory, tiles by a carry. A long row, if there are few, is cut
// into parts: one kernel totals each part, one turns the totals into prefixes, one scans. These
// stay in y itself, in the first elements of each part, which the scan reads before it overwrites
// them: no workspace. What is joined is chosen at run time, for a handful of joins at a time.
//
// Parts are multiplied before it is known what comes before them. Those of 16 and 32 bits have
// double's range; beyond it, a part of finite numbers is kOverflown: 0 makes it 0, anything else
// leaves it, and it is stored as an infinity. An infinite element stays one, and after a 0 gives
// NaN. Limits: a part below 5e-324 is 0 whatever it meets; float64's parts beyond 1e308 are
// infinite, and NaN after a 0. (One after the other, such prefixes may come out otherwise.)
//
// Deterministic: the cut depends on the shape alone, and everything meets in index order.
//
// Bytes: x once (twice if cut), y once. Bound: bandwidth; log(exp + exp): arithmetic. Reached: not
// measured.
#include "kernels/reduce_policies.cuh"
#include "ops/arrays.h"

namespace gg {
namespace {

constexpr int kItems = 4;  // neighbours in a thread
constexpr int64_t kShortRow = 512, kPart = 8192, kMostParts = 1024, kEnoughRows = 512;

struct ScanPlan {
  Scan op;
  Layout<2> rows;  ///< x, y
  int64_t row_count, length;
  int64_t parts, part;  ///< a row's parts; elements of each but the last, which is longer
  int64_t x_stride, y_stride;
  int threads;   ///< of a row: a warp or a block
  bool vectors;  ///< four neighbours are one vector in x and y
  DType x_dtype, y_dtype;
  const void* x;
  void* y;
};

/// log(exp a + exp b). A call, because it is long and there are many places to join.
template <class T>
[[gnu::noinline]] __device__ T log_add_exp(T a, T b) {
  if (a == b) return a + T(0.69314718055994530942);  // infinities too
  const T high = larger(a, b), low = smaller(a, b);
  return high + std::log1p(std::exp(low - high));
}

/// What a product of finite float32 is beyond double's range; itself it is no such product.
constexpr double kOverflown = 0x1.fffffffffffffp1023;

/// a b, where infinity is an element's alone.
GG_DEVICE double saved_product(double a, double b) {
  const double y = a * b, size = std::fabs(y);
  const bool finite = std::fabs(a) <= kOverflown && std::fabs(b) <= kOverflown;
  const bool stays = std::fabs(a) == kOverflown || std::fabs(b) == kOverflown;
  return finite && (size > kOverflown || (stays && size > 0)) ? std::copysign(kOverflown, y) : y;
}

/// Calls f(join) with what joins two values, the lower index on the left.
template <class T, class F>
GG_DEVICE void with_join(const ScanPlan& s, F f) {
  switch (s.op) {
    case Scan::sum:
      return f([](T a, T b) { return BinaryMath<T>::add(a, b); });
    case Scan::prod:
      if constexpr (std::is_same_v<T, double>) {
        const bool saved = s.x_dtype != DType::f64;
        return f([saved](T a, T b) { return saved ? saved_product(a, b) : a * b; });
      }
      return f([](T a, T b) { return BinaryMath<T>::mul(a, b); });
    case Scan::max:
      return f([](T a, T b) { return larger(a, b); });
    case Scan::min:
      return f([](T a, T b) { return smaller(a, b); });
    default:
      if constexpr (std::is_floating_point_v<T>) f([](T a, T b) { return log_add_exp(a, b); });
      return;
  }
}

template <class T>
GG_DEVICE T join_two(const ScanPlan& s, T a, T b) {
  T joined = a;
  with_join<T>(s, [&](auto join) { joined = join(a, b); });
  return joined;
}

/// What joins with anything to that.
template <class T>
GG_DEVICE T identity(const ScanPlan& s) {
  if (s.op == Scan::sum) return T(0);
  if (s.op == Scan::prod) return T(1);
  if constexpr (std::is_floating_point_v<T>) {
    return s.op == Scan::min ? mirror(kLowest<T>) : kLowest<T>;
  } else {  // of x's dtype, because it is kept in y
    T value = 0;
    with_storage<T>(s.x_dtype, [&](auto stored) {
      constexpr auto lowest = kLowest<decltype(stored)>;
      value = s.op == Scan::min ? mirror(lowest) : lowest;
    });
    return value;
  }
}

/// A row's part: the element it begins at in x and y, and its length.
struct Part {
  int64_t x, y, length;

  __device__ Part(const ScanPlan& s, int64_t row, int64_t part) {
    const int64_t begin = part * s.part;
    x = s.rows.offset(0, row) + begin * s.x_stride;
    y = s.rows.offset(1, row) + begin * s.y_stride;
    length = part == s.parts - 1 ? s.length - begin : s.part;
  }
};

/// Calls f with a value of x's and y's type: beside with_storage's, float32 and halves in double.
template <class T, class F>
GG_DEVICE void with_stored(DType dtype, F f) {
  if constexpr (std::is_same_v<T, double>) {
    if (dtype != DType::f64) return with_storage<float>(dtype, f);
  }
  with_storage<T>(dtype, f);
}

// A part's slot, which keeps a total or a prefix, is its first element of y; of floats as many as
// hold its bits. (int64 kept in a narrower integer is a maximum or minimum of such, and fits.)

template <class T>
using BitsOf = std::conditional_t<sizeof(T) == 8, uint64_t,
                                  std::conditional_t<sizeof(T) == 4, uint32_t, uint16_t>>;

template <class T>
GG_DEVICE void store_slot(const ScanPlan& s, int64_t at, T value) {
  with_stored<T>(s.y_dtype, [&](auto stored) {
    using M = decltype(stored);
    M* const y = static_cast<M*>(s.y) + at;
    if constexpr (is_float<M> && sizeof(M) < sizeof(T)) {
      const BitsOf<T> bits = __builtin_bit_cast(BitsOf<T>, value);
      for (int i = 0; i < static_cast<int>(sizeof(T) / sizeof(M)); i++) {
        y[i * s.y_stride] =
            __builtin_bit_cast(M, static_cast<BitsOf<M>>(bits >> 8 * sizeof(M) * i));
      }
    } else {
      y[0] = convert<M>(value);
    }
  });
}

template <class T>
GG_DEVICE T load_slot(const ScanPlan& s, int64_t at) {
  T value = 0;
  with_stored<T>(s.y_dtype, [&](auto stored) {
    using M = decltype(stored);
    const M* const y = static_cast<const M*>(s.y) + at;
    if constexpr (is_float<M> && sizeof(M) < sizeof(T)) {
      BitsOf<T> bits = 0;
      for (int i = 0; i < static_cast<int>(sizeof(T) / sizeof(M)); i++) {
        bits |= static_cast<BitsOf<T>>(__builtin_bit_cast(BitsOf<M>, y[i * s.y_stride]))
                << 8 * sizeof(M) * i;
      }
      value = __builtin_bit_cast(T, bits);
    } else {
      value = convert<T>(y[0]);
    }
  });
  return value;
}

/// Elements i .. i + 3 of a part; `none` beyond its end.
template <class T>
GG_DEVICE void load_items(const ScanPlan& s, const Part& part, int64_t i, T none, T (&v)[kItems]) {
  with_stored<T>(s.x_dtype, [&](auto stored) {
    using M = decltype(stored);
    const M* x = static_cast<const M*>(s.x) + part.x + i * s.x_stride;
    if (s.vectors && i + kItems <= part.length) {
      const Vec<M, kItems> raw = load_vec<kItems>(x);
#pragma unroll
      for (int j = 0; j < kItems; j++) v[j] = convert<T>(raw[j]);
    } else {
#pragma unroll
      for (int j = 0; j < kItems; j++) {
        v[j] = i + j < part.length ? convert<T>(x[j * s.x_stride]) : none;
      }
    }
  });
}

template <class T>
GG_DEVICE void store_items(const ScanPlan& s, const Part& part, int64_t i, const T (&v)[kItems]) {
  with_stored<T>(s.y_dtype, [&](auto stored) {
    using M = decltype(stored);
    M* y = static_cast<M*>(s.y) + part.y + i * s.y_stride;
    if (s.vectors && i + kItems <= part.length) {
      Vec<M, kItems> raw;
#pragma unroll
      for (int j = 0; j < kItems; j++) raw[j] = convert<M>(v[j]);
      store_vec(y, raw);
    } else {
#pragma unroll
      for (int j = 0; j < kItems; j++) {
        if (i + j < part.length) y[j * s.y_stride] = convert<M>(v[j]);
      }
    }
  });
}

/// The values of the lanes before this one, joined; `total`: of all lanes.
template <class T>
GG_DEVICE T scan_warp(const ScanPlan& s, T value, T none, T& total) {
  T joined = value;
  with_join<T>(s, [&](auto join) {
#pragma unroll
    for (int offset = 1; offset < kWarp; offset *= 2) {
      const T before = __shfl_up_sync(kFullMask, joined, offset);
      if (lane_id() >= offset) joined = join(before, joined);
    }
  });
  total = __shfl_sync(kFullMask, joined, kWarp - 1);
  const T before = __shfl_up_sync(kFullMask, joined, 1);
  return lane_id() == 0 ? none : before;
}

/// The same over the threads of a row.
template <class T>
GG_DEVICE T scan_threads(const ScanPlan& s, T value, T none, T& total) {
  T before = scan_warp(s, value, none, total);
  if (s.threads == kWarp) return before;
  GG_SHARED(totals, T[kBlock / kWarp]);
  if (lane_id() == 0) totals[warp_id()] = total;
  __syncthreads();
  T joined = none, ahead = none;
  with_join<T>(s, [&](auto join) {
    for (int i = 0; i < kBlock / kWarp; i++) {
      if (i == warp_id()) ahead = joined;
      joined = join(joined, totals[i]);
    }
    before = join(ahead, before);
  });
  __syncthreads();
  total = joined;
  return before;
}

/// y = the scan of each part, behind its slot if rows are cut.
template <class T>
__global__ void __launch_bounds__(kBlock, 3) scan_parts(ScanPlan s) {
  const int rank = threadIdx.x % s.threads, rows = kBlock / s.threads;
  const int64_t items = s.row_count * s.parts, stride = static_cast<int64_t>(gridDim.x) * rows;
  const T none = identity<T>(s);
  for (int64_t first = static_cast<int64_t>(blockIdx.x) * rows; first < items; first += stride) {
    const int64_t item = first + threadIdx.x / s.threads;
    if (item >= items) return;  // a whole warp; blocks that share a row have one item
    const int64_t row = s.parts == 1 ? item : static_cast<int>(item) / static_cast<int>(s.parts);
    const Part part(s, row, item - row * s.parts);
    T carry = none;
    if (s.parts > 1) {
      carry = load_slot<T>(s, part.y);
      __syncthreads();  // all have read the slot
    }
    for (int64_t base = 0; base < part.length; base += s.threads * kItems) {
      const int64_t i = base + rank * kItems;
      T v[kItems], total;
      load_items(s, part, i, none, v);
      with_join<T>(s, [&](auto join) {
#pragma unroll
        for (int j = 1; j < kItems; j++) v[j] = join(v[j - 1], v[j]);
      });
      T before = scan_threads(s, v[kItems - 1], none, total);
      with_join<T>(s, [&](auto join) {
        before = join(carry, before);
#pragma unroll
        for (int j = 0; j < kItems; j++) v[j] = join(before, v[j]);
        carry = join(carry, total);
      });
      store_items(s, part, i, v);
    }
  }
}

/// slot = each part, joined.
template <class T>
__global__ void __launch_bounds__(kBlock, 2) total_parts(ScanPlan s) {
  const int items = static_cast<int>(s.row_count * s.parts);
  const T none = identity<T>(s);
  for (int item = blockIdx.x; item < items; item += gridDim.x) {
    const int row = item / static_cast<int>(s.parts);
    const Part part(s, row, item - row * s.parts);
    T sum = none;
#pragma unroll 1
    for (int64_t i = threadIdx.x * kItems; i < part.length; i += kBlock * kItems) {
      T v[kItems];
      load_items(s, part, i, none, v);
      with_join<T>(s,
                   [&](auto join) { sum = join(sum, join(join(v[0], v[1]), join(v[2], v[3]))); });
    }
    sum = block_reduce(sum, [&](T a, T b) { return join_two(s, a, b); }, none);
    if (threadIdx.x == 0) store_slot(s, part.y, sum);
  }
}

/// slot = the slots before it, joined. A warp takes a row, a lane a run of neighbouring slots.
template <class T>
__global__ void __launch_bounds__(kWarp) prefix_parts(ScanPlan s) {
  const int64_t run = (s.parts + kWarp - 1) / kWarp;
  const int64_t begin = run * threadIdx.x;
  const int64_t end = begin + run < s.parts ? begin + run : s.parts;
  const T none = identity<T>(s);
  for (int64_t row = blockIdx.x; row < s.row_count; row += gridDim.x) {
    T own = none, total;
    for (int64_t i = begin; i < end; i++) {
      own = join_two(s, own, load_slot<T>(s, Part(s, row, i).y));
    }
    T before = scan_warp(s, own, none, total);
    for (int64_t i = begin; i < end; i++) {
      const int64_t at = Part(s, row, i).y;
      const T value = load_slot<T>(s, at);
      store_slot(s, at, before);
      before = join_two(s, before, value);
    }
  }
}

bool aligned(const ScanPlan& s, int k, const Array& a, int64_t stride) {
  const int64_t bytes = std::min(16, kItems * dtype_size(a.dtype));
  if (stride != 1 || reinterpret_cast<uintptr_t>(a.data) % bytes != 0) return false;
  for (int axis = 0; axis < s.rows.ndim; axis++) {
    if (s.rows.length[axis] > 1 && s.rows.stride[k][axis] % kItems != 0) return false;
  }
  return true;
}

ScanPlan plan_scan(Scan op, const Array& x, const Array& y) {
  ScanPlan s{};
  s.op = op;
  const int last = x.ndim - 1;
  for (int axis = 0; axis < last; axis++) {
    s.rows.push(x.shape[axis], {x.stride[axis], y.stride[axis]});
  }
  s.rows.sort();
  s.rows.finish();
  s.row_count = s.rows.size;
  s.length = x.shape[last];
  s.x_stride = x.stride[last];
  s.y_stride = y.stride[last];
  s.vectors = aligned(s, 0, x, s.x_stride) && aligned(s, 1, y, s.y_stride);
  s.threads = s.length <= kShortRow ? kWarp : kBlock;
  s.parts = 1;
  if (s.row_count < kEnoughRows && s.length >= 2 * kPart) {
    const int64_t least = (s.length + kMostParts - 1) / kMostParts;
    s.part = std::max(kPart, (least + kItems - 1) / kItems * kItems);
    s.parts = s.length / s.part;
  }
  s.x_dtype = x.dtype;
  s.y_dtype = y.dtype;
  s.x = x.data;
  s.y = y.data;
  return s;
}

template <class T>
void launch_scan(Stream stream, const ScanPlan& s) {
  const int64_t items = s.row_count * s.parts;
  if (s.parts > 1) {
    launch(total_parts<T>, grid_for(items, 1), kBlock, 0, stream, s);
    launch(prefix_parts<T>, grid_for(s.row_count, 1), kWarp, 0, stream, s);
  }
  launch(scan_parts<T>, grid_for(items, kBlock / s.threads), kBlock, 0, stream, s);
}

void check_scan(Scan op, const Array& x, const Array& y) {
  check_present("scan", "x", x);
  GG_CHECK(x.ndim > 0, "scan", "x has no axis to walk along");
  if (op == Scan::logaddexp) check_floating("scan by logaddexp", "x", x);
  check_same_shape("scan", "x", x, "y", y);
  const bool sums = op == Scan::sum || op == Scan::prod;
  check_dtype("scan", "y", y, sums && !is_floating(x.dtype) ? DType::i64 : x.dtype);
}

}  // namespace

void scan(Stream stream, Scan op, const Array& x, const Array& y) {
  check_not_float8("scan", "x", x);
  check_scan(op, x, y);
  if (x.size() == 0) return;
  const ScanPlan s = plan_scan(op, x, y);
  const DType dtype = accumulation(x.dtype);
  const bool product = op == Scan::prod && dtype == DType::f32;
  if (dtype == DType::f64 || product) return launch_scan<double>(stream, s);
  if (dtype == DType::f32) return launch_scan<float>(stream, s);
  launch_scan<int64_t>(stream, s);
}

}  // namespace gg
