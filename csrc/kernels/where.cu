// y = c ? a : b, element by element.
//
// c is bool; c, a and b broadcast to y, in any strides; a or b may be a number. Only bytes move:
// one kernel for each size of element. Both a and b are read everywhere, so that loads stay
// vectors.
//
// Bytes: each input and output once. Bound: bandwidth. Reached: not measured.
#include "kernels/lanes.cuh"
#include "ops/arrays.h"

namespace gg {
namespace {

/// An array, or, where data is null, the bits of a number.
template <class M>
struct Choice {
  const void* data;
  M number;
};

template <class M, int N>
GG_DEVICE void load_choice(const Walk<4>& walk, int k, const Tile<N>& tile, const Choice<M>& from,
                           M (&values)[N]) {
#pragma unroll
  for (int i = 0; i < N; i++) values[i] = from.number;
  if (!from.data) return;
  if (tile.vectors) {
    Raw<M, width_of(sizeof(M)), N> raw;
    int64_t at[2];
    locate_vectors(walk, k, tile, at);
    load_vectors(walk, k, at, from.data, raw);
    convert_raw(raw, values);
  } else {
    int64_t at[N];
    locate_elements(walk, k, tile, at);
    load_elements<M>(walk, tile, at, from.data, values);
  }
}

template <class M, int N>
GG_DEVICE void load_condition(const Walk<4>& walk, const Tile<N>& tile, const void* c,
                              uint8_t (&chosen)[N]) {
  if (tile.vectors) {
    Raw<uint8_t, width_of(sizeof(M)), N> raw;
    int64_t at[2];
    locate_vectors(walk, 1, tile, at);
    load_vectors(walk, 1, at, c, raw);
    convert_raw(raw, chosen);
  } else {
    int64_t at[N];
    locate_elements(walk, 1, tile, at);
    load_elements<uint8_t>(walk, tile, at, c, chosen);
  }
}

template <class M>
__global__ void __launch_bounds__(kBlock)
    where_kernel(Walk<4> walk, const void* c, Choice<M> a, Choice<M> b, void* y) {
  constexpr int N = kLanes<M>;
  const int64_t first = static_cast<int64_t>(blockIdx.x) * kBlock * N;
  const int64_t stride = static_cast<int64_t>(gridDim.x) * kBlock * N;
  for (int64_t base = first; base < walk.layout.size; base += stride) {
    const Tile<N> tile(walk, base);
    uint8_t chosen[N];
    M left[N], right[N];
    load_condition<M>(walk, tile, c, chosen);
    load_choice(walk, 2, tile, a, left);
    load_choice(walk, 3, tile, b, right);
#pragma unroll
    for (int i = 0; i < N; i++) left[i] = chosen[i] ? left[i] : right[i];
    if (tile.vectors) {
      int64_t at[2];
      locate_vectors(walk, 0, tile, at);
      store_vectors<width_of(sizeof(M)), M>(at, y, left);
    } else {
      int64_t at[N];
      locate_elements(walk, 0, tile, at);
      store_elements<M>(walk, tile, at, y, left);
    }
  }
}

template <class M>
Choice<M> choice_of(const Operand& operand, DType dtype) {
  if (!operand.is_scalar()) return {operand.array.data, M(0)};
  return {nullptr, static_cast<M>(number_bits(operand.scalar, dtype))};
}

void check_choice(const char* name, const Operand& operand, const Array& y) {
  if (operand.is_scalar()) return;
  check_same_dtype("where", name, operand.array, "y", y);
  check_broadcasts("where", name, operand.array, y);
}

}  // namespace

void where(Stream stream, const Array& c, const Operand& a, const Operand& b, const Array& y) {
  check_present("where", "y", y);
  check_dtype("where", "c", c, DType::boolean);
  check_broadcasts("where", "c", c, y);
  check_choice("a", a, y);
  check_choice("b", b, y);
  const Array* const arrays[4] = {&y, &c, &a.array, &b.array};
  const Walk<4> walk = make_walk(arrays, width_of(dtype_size(y.dtype)));
  dispatch_width(y.dtype, [&](auto tag) {
    using M = typename decltype(tag)::type;
    const unsigned grid = grid_for(walk.layout.size, kBlock * kLanes<M>);
    launch(where_kernel<M>, grid, kBlock, 0, stream, walk, c.data, choice_of<M>(a, y.dtype),
           choice_of<M>(b, y.dtype), y.data);
  });
}

}  // namespace gg
