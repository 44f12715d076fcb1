// Element-wise functions of one and two arrays.
//
//   unary: y = f(x; p0, p1)      binary: y = f(a, b), a and b broadcast, one may be a number
//
// Any shapes and strides; y is overwritten and may be x, a or b itself. float16 and bfloat16 are
// computed in float32 and rounded once; integers wrap. Each element is independent, so results do
// not depend on the schedule.
//
// One kernel per type that is computed in: the functor, and which of float16, bfloat16 and float32
// is stored, are choices all threads make alike, once for 8 elements. See lanes.cuh for how
// elements are visited.
//
// Bytes: each input and output once. Bound: bandwidth. Reached: not measured.
#include "core/math.h"
#include "kernels/lanes.cuh"
#include "ops/arrays.h"

namespace gg {
namespace {

/// An array, or, where data is null, a number.
template <class T>
struct Source {
  const void* data;
  T number;
};

/// Calls f with a value of the type that is stored where T is computed in.
template <class T, class F>
GG_DEVICE void with_operand(DType dtype, F f) {
  if constexpr (std::is_same_v<T, int64_t>) {
    f(int64_t{});
  } else if constexpr (std::is_same_v<T, int32_t>) {
    if (dtype == DType::i32) return f(int32_t{});
    if (dtype == DType::i16) return f(int16_t{});
    if (dtype == DType::i8) return f(int8_t{});
    f(uint8_t{});  // and bool
  } else {
    with_storage<T>(dtype, f);
  }
}

/// Copies of a long functor's code in a kernel; two overlap their latencies.
template <class T>
constexpr int kStep = std::is_same_v<T, float> ? 2 : 1;

template <class T, int N, int K>
GG_DEVICE void load_operand(const Walk<K>& walk, int k, const Tile<N>& tile, DType dtype,
                            const void* data, T (&values)[N]) {
  int64_t at[N];
  locate_elements(walk, k, tile, at);
  with_operand<T>(
      dtype, [&](auto stored) { load_elements<decltype(stored)>(walk, tile, at, data, values); });
}

template <class T, int N, int K>
GG_DEVICE void store_result(const Walk<K>& walk, const Tile<N>& tile, DType dtype, bool predicate,
                            void* y, const T (&values)[N]) {
  if (tile.vectors) {
    int64_t at[2];
    locate_vectors(walk, 0, tile, at);
    with_operand<T>(dtype, [&](auto stored) {
      using M = decltype(stored);
      if (predicate) {
        store_vectors<width_of(sizeof(M)), bool>(at, y, values);
      } else {
        store_vectors<width_of(sizeof(M)), M>(at, y, values);
      }
    });
  } else {
    int64_t at[N];
    locate_elements(walk, 0, tile, at);
    if (predicate) return store_elements<bool>(walk, tile, at, y, values);
    with_operand<T>(
        dtype, [&](auto stored) { store_elements<decltype(stored)>(walk, tile, at, y, values); });
  }
}

template <class T>
__global__ void __launch_bounds__(kBlock)
    unary_kernel(Unary op, Walk<2> walk, DType dtype, const void* x, void* y, bool predicate, T p0,
                 T p1) {
  constexpr int N = kLanes<T>;
  const int64_t first = static_cast<int64_t>(blockIdx.x) * kBlock * N;
  const int64_t stride = static_cast<int64_t>(gridDim.x) * kBlock * N;
  for (int64_t base = first; base < walk.layout.size; base += stride) {
    const Tile<N> tile(walk, base);
    T values[N];
    if (tile.vectors) {
      int64_t at[2];
      locate_vectors(walk, 1, tile, at);
      with_operand<T>(dtype, [&](auto stored) {
        using M = decltype(stored);
        Raw<M, width_of(sizeof(M)), N> raw;
        load_vectors(walk, 1, at, x, raw);
        convert_raw(raw, values);
      });
    } else {
      load_operand(walk, 1, tile, dtype, x, values);
    }
    map_unary<kStep<T>>(op, values, p0, p1);
    store_result(walk, tile, dtype, predicate, y, values);
  }
}

template <class T, int N>
GG_DEVICE void load_both(const Walk<3>& walk, const Tile<N>& tile, DType dtype, const Source<T>& a,
                         const Source<T>& b, T (&left)[N], T (&right)[N]) {
  int64_t at_a[2] = {}, at_b[2] = {};
  if (a.data) locate_vectors(walk, 1, tile, at_a);
  if (b.data) locate_vectors(walk, 2, tile, at_b);
  with_operand<T>(dtype, [&](auto stored) {
    using M = decltype(stored);
    Raw<M, width_of(sizeof(M)), N> raw_a = {}, raw_b = {};
    if (a.data) load_vectors(walk, 1, at_a, a.data, raw_a);
    if (b.data) load_vectors(walk, 2, at_b, b.data, raw_b);
    convert_raw(raw_a, left);
    convert_raw(raw_b, right);
  });
}

template <class T, int N>
GG_DEVICE void fill_if_number(const Source<T>& source, T (&values)[N]) {
#pragma unroll
  for (int i = 0; i < N; i++) values[i] = source.data ? values[i] : source.number;
}

template <class T>
__global__ void __launch_bounds__(kBlock)
    binary_kernel(Binary op, Walk<3> walk, DType dtype, Source<T> a, Source<T> b, void* y,
                  bool predicate) {
  constexpr int N = kLanes<T>;
  const int64_t first = static_cast<int64_t>(blockIdx.x) * kBlock * N;
  const int64_t stride = static_cast<int64_t>(gridDim.x) * kBlock * N;
  for (int64_t base = first; base < walk.layout.size; base += stride) {
    const Tile<N> tile(walk, base);
    T left[N] = {}, right[N] = {};
    if (tile.vectors) {
      load_both(walk, tile, dtype, a, b, left, right);
    } else {
      if (a.data) load_operand(walk, 1, tile, dtype, a.data, left);
      if (b.data) load_operand(walk, 2, tile, dtype, b.data, right);
    }
    fill_if_number(a, left);
    fill_if_number(b, right);
    map_binary<kStep<T>>(op, left, right);
    store_result(walk, tile, dtype, predicate, y, left);
  }
}

/// f(Tag<T>{}) with T the type that dtype is computed in. Integers below int64 are computed in
/// int32 and wrap when stored; bool too, by functors that keep 0 and 1.
template <class F>
void dispatch_compute(DType dtype, F&& f) {
  if (dtype == DType::f64) return f(Tag<double>{});
  if (dtype == DType::i64) return f(Tag<int64_t>{});
  if (is_floating(dtype)) return f(Tag<float>{});
  f(Tag<int32_t>{});
}

bool in_domain(Domain domain, DType dtype) {
  if (is_float8(dtype)) return false;
  if (domain == Domain::any) return true;
  if (domain == Domain::floating) return is_floating(dtype);
  if (domain == Domain::number) return dtype != DType::boolean;
  return !is_floating(dtype);
}

/// Is the functor legal for the dtype, and has y the dtype of its result?
void check_functor(const Functor& functor, DType dtype, const Array& y) {
  GG_CHECK(in_domain(functor.domain, dtype), functor.name, "not defined for ", dtype);
  const DType expected = functor.result == Result::boolean ? DType::boolean : dtype;
  check_dtype(functor.name, "y", y, expected);
}

/// A number in the compute type T of dtype: integers take dtype's range first, wrapping; floating
/// types are not rounded to a half.
template <class T>
T number_in(const Scalar& number, DType dtype) {
  T value{};
  if constexpr (std::is_floating_point_v<T>) return number_as<T>(number);
  dispatch_all(dtype, [&](auto tag) {
    value = convert<T>(number_as<typename decltype(tag)::type>(number));
  });
  return value;
}

template <class T>
Source<T> source_of(const Operand& operand, DType dtype) {
  if (!operand.is_scalar()) return {operand.array.data, T(0)};
  return {nullptr, number_in<T>(operand.scalar, dtype)};
}

Binary on_bool(Binary op) {
  if (op == Binary::add) return Binary::bitwise_or;
  if (op == Binary::mul) return Binary::bitwise_and;
  return op;
}

}  // namespace

void unary(Stream stream, Unary op, const Array& x, const Array& y, double p0, double p1) {
  const Functor& functor = kUnary[static_cast<int>(op)];
  check_present(functor.name, "x", x);
  check_functor(functor, x.dtype, y);
  check_same_shape(functor.name, "x", x, "y", y);
  if (op == Unary::bitwise_not && x.dtype == DType::boolean) op = Unary::logical_not;
  const Array* const arrays[2] = {&y, &x};
  const Walk<2> walk = make_walk(arrays, width_of(dtype_size(x.dtype)));
  dispatch_compute(x.dtype, [&](auto tag) {
    using T = typename decltype(tag)::type;
    const unsigned grid = grid_for(walk.layout.size, kBlock * kLanes<T>);
    launch(unary_kernel<T>, grid, kBlock, 0, stream, op, walk, x.dtype, x.data, y.data,
           y.dtype == DType::boolean, number_in<T>(Scalar{p0}, x.dtype),
           number_in<T>(Scalar{p1}, x.dtype));
  });
}

void binary(Stream stream, Binary op, const Operand& a, const Operand& b, const Array& y) {
  const Functor& functor = kBinary[static_cast<int>(op)];
  GG_CHECK(!a.is_scalar() || !b.is_scalar(), functor.name, "a and b are both numbers");
  const DType dtype = a.is_scalar() ? b.array.dtype : a.array.dtype;
  GG_CHECK(a.is_scalar() || b.is_scalar() || a.array.dtype == b.array.dtype, functor.name,
           "a and b must have one dtype, got ", a, " and ", b);
  check_functor(functor, dtype, y);
  if (!a.is_scalar()) check_broadcasts(functor.name, "a", a.array, y);
  if (!b.is_scalar()) check_broadcasts(functor.name, "b", b.array, y);
  if (dtype == DType::boolean) op = on_bool(op);
  const Array* const arrays[3] = {&y, &a.array, &b.array};
  const Walk<3> walk = make_walk(arrays, width_of(dtype_size(dtype)));
  dispatch_compute(dtype, [&](auto tag) {
    using T = typename decltype(tag)::type;
    const unsigned grid = grid_for(walk.layout.size, kBlock * kLanes<T>);
    launch(binary_kernel<T>, grid, kBlock, 0, stream, op, walk, dtype, source_of<T>(a, dtype),
           source_of<T>(b, dtype), y.data, y.dtype == DType::boolean);
  });
}

}  // namespace gg
