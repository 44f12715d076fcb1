// The norm of a list of arrays, and their scaling: gradient clipping, and the loss scale of
// float16.
//
// global_norm: a block joins the terms of one chunk of 8192 elements (float32 sums of 32 terms a
// thread, then a fixed tree), writes the result in float64 to the workspace, and one more block
// joins those in index order. The chunks depend on the sizes alone, so the same list gives the same
// bits on every GPU. norm is overwritten; scale and unscale read and write their arrays. Threads
// of unscale that meet an infinity or NaN all store the same 1.
//
// Bytes: global_norm reads each element once; scale and unscale read and write it. Bound:
// bandwidth; update_scale: one thread.  Reached: not measured.
#include "core/optim.h"
#include "core/optim_lists.h"
#include "kernels/tensor_list.cuh"
#include "ops/norms.h"

namespace gg {
namespace {

constexpr int64_t kChunk = 8192;

template <int N>
struct ArrayTable {
  ListMap<N> map;
  void* data[N];
};

template <int N>
ArrayTable<N> table_of(const Arrays& xs, size_t from, size_t to) {
  ArrayTable<N> table{};
  for (size_t i = from; i < to; i++) {
    table.data[table.map.count] = xs[i].data;
    table.map.add(xs[i].size(), kChunk);
  }
  return table;
}

template <class A>
struct Join {
  NormRule<A> rule;

  template <class B>
  GG_HD B operator()(B a, B b) const {
    return rule.join(a, b);
  }
};

template <class T, int N>
__global__ void __launch_bounds__(kListThreads)
    norm_partials(const ArrayTable<N> table, const NormRule<Acc<T>> rule, double* partial) {
  using A = Acc<T>;
  constexpr int V = max_vec<T>();
  const ListChunk chunk = chunk_of_block(table.map, kChunk);
  const T* x = static_cast<const T*>(table.data[chunk.array]);
  const bool aligned = aligned16(x);
  A sum = rule.identity();
  for (int64_t i = chunk.begin + threadIdx.x * V; i < chunk.end; i += kListThreads * V) {
    const Vec<T, V> values = load_part_once<V>(x, i, chunk.end, aligned && i + V <= chunk.end);
#pragma unroll
    for (int k = 0; k < V; k++) {
      if (i + k < chunk.end) sum = rule.join(sum, rule.term(convert<A>(values[k])));
    }
  }
  sum = block_reduce(sum, Join<A>{rule}, rule.identity());
  if (threadIdx.x == 0) partial[blockIdx.x] = static_cast<double>(sum);
}

template <class A>
__global__ void __launch_bounds__(kListThreads)
    norm_finish(const double* partial, int64_t count, const NormRule<A> rule, A* norm) {
  const double identity = count > 0 ? static_cast<double>(rule.identity()) : 0;
  double sum = identity;
  // Each thread takes neighbours, so that the whole is joined in index order.
  const int64_t share = (count + kListThreads - 1) / kListThreads;
  const int64_t begin = threadIdx.x * share;
  for (int64_t i = begin; i < begin + share && i < count; i++) sum = rule.join(sum, partial[i]);
  sum = block_reduce(sum, Join<A>{rule}, identity);
  if (threadIdx.x == 0) *norm = static_cast<A>(rule.root(sum));
}

/// What arrays are multiplied by: *factor, or 1 / *scale, and then infinities are reported.
template <class A>
struct Factor {
  const A* factor;
  const float* scale;
  int* found;

  __device__ A value() const {
    return factor ? *factor : static_cast<A>(1 / static_cast<double>(*scale));
  }
};

template <class T, int N>
__global__ void __launch_bounds__(kListThreads)
    scale_arrays(const ArrayTable<N> table, const Factor<Acc<T>> factor) {
  using A = Acc<T>;
  constexpr int V = max_vec<T>();
  const ListChunk chunk = chunk_of_block(table.map, kChunk);
  T* const x = static_cast<T*>(table.data[chunk.array]);
  const bool aligned = aligned16(x);
  const A by = factor.value();
  bool finite = true;
  for (int64_t i = chunk.begin + threadIdx.x * V; i < chunk.end; i += kListThreads * V) {
    const bool whole = aligned && i + V <= chunk.end;
    Vec<T, V> values = load_part<V>(x, i, chunk.end, whole);
#pragma unroll
    for (int k = 0; k < V; k++) {
      const A value = convert<A>(values[k]);
      finite = finite && std::isfinite(value);
      values[k] = convert<T>(value * by);
    }
    store_part(x, i, chunk.end, whole, values);
  }
  if (!finite && factor.found) atomicExch(factor.found, 1);
}

template <class T>
void scale_all(Stream stream, const Arrays& xs, const Factor<Acc<T>>& factor) {
  for_slices(xs.size(), [&](auto capacity, size_t from, size_t to) {
    constexpr int N = decltype(capacity)::value;
    const ArrayTable<N> table = table_of<N>(xs, from, to);
    launch(scale_arrays<T, N>, table.map.blocks(), kListThreads, 0, stream, table, factor);
  });
}

__global__ void move_scale(float* scale, int* good, const int* found, double growth, double backoff,
                           int64_t interval) {
  next_scale(*scale, *good, *found != 0, growth, backoff, interval);
}

}  // namespace

void global_norm(Stream stream, const Arrays& xs, double ord, const Array& norm,
                 const Array& workspace) {
  const DType dtype = check_norm(xs, ord, norm);
  check_workspace("global_norm", workspace, global_norm_workspace(xs));
  dispatch_floating(dtype, [&](auto tag) {
    using T = typename decltype(tag)::type;
    using A = Acc<T>;
    const NormRule<A> rule = make_norm<A>(ord);
    int64_t done = 0;
    for_slices(xs.size(), [&](auto capacity, size_t from, size_t to) {
      constexpr int N = decltype(capacity)::value;
      const ArrayTable<N> table = table_of<N>(xs, from, to);
      launch(norm_partials<T, N>, table.map.blocks(), kListThreads, 0, stream, table, rule,
             workspace.as<double>() + done);
      done += table.map.blocks();
    });
    launch(norm_finish<A>, 1, kListThreads, 0, stream, workspace.as<double>(), done, rule,
           norm.as<A>());
  });
}

int64_t global_norm_workspace(const Arrays& xs) {
  int64_t chunks = 0;
  for (const Array& x : xs) chunks += (x.size() + kChunk - 1) / kChunk;
  return chunks * static_cast<int64_t>(sizeof(double));
}

void scale(Stream stream, const Arrays& xs, const Array& factor) {
  dispatch_floating(check_scale(xs, factor), [&](auto tag) {
    using T = typename decltype(tag)::type;
    scale_all<T>(stream, xs, {factor.as<Acc<T>>(), nullptr, nullptr});
  });
}

void unscale(Stream stream, const Arrays& xs, const Array& scale, const Array& found) {
  dispatch_floating(check_unscale(xs, scale, found), [&](auto tag) {
    using T = typename decltype(tag)::type;
    scale_all<T>(stream, xs, {nullptr, scale.as<float>(), found.as<int>()});
  });
}

void update_scale(Stream stream, const Array& scale, const Array& good, const Array& found,
                  double growth, double backoff, int64_t interval) {
  check_update_scale(scale, good, found, interval);
  launch(move_scale, 1, 1, 0, stream, scale.as<float>(), good.as<int>(), found.as<int>(), growth,
         backoff, interval);
}

}  // namespace gg
