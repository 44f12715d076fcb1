// Images visited element by element, in the order of memory, with coefficients that belong to
// channels (of each sample).
#pragma once

#include <numeric>

#include "kernels/batch_norm.cuh"

namespace gg {

template <int K>
struct ImageWalk {
  Layout<K> tensors;
  Layout<1> channel;  ///< where an element's coefficients are
  bool vectors;
  bool whole;  ///< V neighbours have one coefficient, or V neighbouring ones
  unsigned grid;
};

/// arrays[0] gives the shape [N, C, ...]; others may be none. Coefficients [N, C] or [C].
template <int K>
ImageWalk<K> make_image_walk(const Array* const (&arrays)[K], bool by_sample) {
  const Array& x = *arrays[0];
  Layout<K + 1> all;
  for (int axis = 0; axis < x.ndim; axis++) {
    int64_t strides[K + 1];
    for (int k = 0; k < K; k++) strides[k] = *arrays[k] ? arrays[k]->stride[axis] : 0;
    strides[K] = axis == 1 ? 1 : axis == 0 && by_sample ? x.shape[1] : 0;
    if (x.shape[axis] != 1) all.push(x.shape[axis], strides);
  }
  all.sort();
  ImageWalk<K> walk{};
  for (int axis = 0; axis < all.ndim; axis++) {
    int64_t strides[K];
    for (int k = 0; k < K; k++) strides[k] = all.stride[k][axis];
    walk.tensors.push(all.length[axis], strides);
    walk.channel.push(all.length[axis], {all.stride[K][axis]});
  }
  walk.tensors.finish();
  walk.channel.finish();
  const int width = 16 / dtype_size(x.dtype);
  walk.vectors = walk.tensors.size > 0 && all_in_vectors(walk.tensors, arrays, width);
  const int64_t inner = walk.channel.length[walk.channel.ndim - 1];
  walk.whole = walk.vectors && inner % width == 0;
  const int64_t tile = kRowThreads * width;
  const int64_t blocks = (walk.tensors.size + tile - 1) / tile;
  int64_t grid = std::min<int64_t>(blocks, int64_t{8} * multiprocessors());
  // Whole rows of channels at a step: a thread's coefficients stay what they are.
  const int64_t period = x.shape[1] / std::gcd(x.shape[1], tile);
  if (walk.channel.inner(0) == 1 && period < grid) grid -= grid % period;
  walk.grid = static_cast<unsigned>(grid);
  return walk;
}

/// A thread's V elements: neighbours, or a block's width apart.
template <int V>
struct Piece {
  int64_t i;
  int step, count;

  template <int K>
  __device__ Piece(const ImageWalk<K>& walk, int64_t tile) {
    i = tile + (walk.vectors ? static_cast<int>(threadIdx.x) * V : static_cast<int>(threadIdx.x));
    step = walk.vectors ? 1 : kRowThreads;
    count = count_below(i, step, V, walk.tensors.size);
  }
};

/// Four coefficients for each of a piece's elements, loaded where they differ from the last ones.
template <class T, int V>
struct Coefficients {
  Acc<T> value[4][V];
  int64_t last = -1;

  template <int K>
  __device__ void load(const ImageWalk<K>& walk, const Weights (&from)[4], const Piece<V>& piece) {
    const bool whole = walk.whole && piece.count == V;
    int64_t at[V];
    locate(walk.channel, 0, piece.i, piece.step, whole ? 1 : piece.count, walk.tensors.size, at);
#pragma unroll
    for (int v = 0; v < V; v++) at[v] = v < piece.count ? at[v] : 0;
    if (whole && at[0] == last) return;
    last = whole ? at[0] : -1;
    const bool run = whole && walk.channel.inner(0) == 1;
#pragma unroll
    for (int k = 0; k < 4; k++) load_weights<T>(from[k], at, run, !whole, value[k]);
  }
};

}  // namespace gg
