// The kernel of an optimizer step over a whole list of parameters: one launch for up to 256 of
// them, for any Options and Rule of core/optim*.h.
//
// A block updates one chunk of one parameter (tensor_list.cuh), a thread two groups of neighbours
// at a time: four elements (two of float64), so that the float32 state moves as vectors of 16 bytes
// and halves as vectors of 8, where every buffer of the parameter is aligned to 16 bytes. Gradients
// are read past L1, state is written to be evicted first. `hyper` is read from the device; what it
// leads to is formed in float64 once in a block. The last block to finish (by ticket) moves it on,
// so a step needs no host and fits a CUDA graph; nor does a skipped one, in which every block
// returns at once. Parameters (or their master weights, and then parameters are only written) and
// state are read and written; elements are independent, so results do not depend on the schedule.
//
// Bound: bandwidth.  Reached: not measured.
#pragma once

#include <algorithm>

#include "core/optim_adaptive.h"
#include "core/optim_lists.h"
#include "kernels/tensor_list.cuh"
#include "ops/updates.h"

namespace gg {

/// S: the most state buffers this optimizer has.
template <int N, int S>
struct StepTable {
  ListMap<N> map;
  void* params[N];
  void* masters[N];
  const void* grads[N];
  void* states[S][N];
};

/// What is the same for every element of a step, and who counts it.
struct StepClock {
  double* hyper;
  int* ticket;
  const int* skip;  ///< or null
  bool advance;     ///< in the last launch of a list
};

/// Where a parameter and what belongs to it lie; master and states that are not in use are null.
template <class T, class A, int S>
struct StepBuffers {
  T* param;
  A* master;
  const T* grad;
  A* state[S];

  __device__ bool aligned() const {
    bool all = aligned16(param, master, grad);
#pragma unroll
    for (int k = 0; k < S; k++) all = all && aligned16(state[k]);
    return all;
  }
};

/// What a thread holds at a time: V neighbours of each buffer, from element i.
template <class T, class A, int V, int S>
struct StepGroup {
  int64_t i, end;
  bool whole;
  Vec<T, V> grad;
  Vec<A, V> param, state[S];

  __device__ void load(const StepBuffers<T, A, S>& from, int mask) {
    if (is_half<T> && !from.master) {
      const Vec<T, V> rounded = load_part<V>(from.param, i, end, whole);
#pragma unroll
      for (int v = 0; v < V; v++) param[v] = convert<A>(rounded[v]);
    } else {
      param = load_part<V>(weights(from), i, end, whole);
    }
    grad = load_part_once<V>(from.grad, i, end, whole);
#pragma unroll
    for (int k = 0; k < S; k++) {
      state[k] = {};
      if (mask >> k & 1) state[k] = load_part<V>(from.state[k], i, end, whole);
    }
  }

  template <class Rule>
  __device__ void take_step(const Rule& rule, int mask) {
#pragma unroll
    for (int v = 0; v < V; v++) {
      A s[kStates] = {};
      for (int k = 0; k < S; k++) s[k] = state[k][v];
      update(rule, mask, convert<A>(grad[v]), param[v], s[0], s[1], s[2]);
      for (int k = 0; k < S; k++) state[k][v] = s[k];
    }
  }

  __device__ void store(const StepBuffers<T, A, S>& to, int mask) const {
#pragma unroll
    for (int k = 0; k < S; k++) {
      if (mask >> k & 1) store_part_last(to.state[k], i, end, whole, state[k]);
    }
    if (!is_half<T> || to.master) store_part(weights(to), i, end, whole, param);
    if constexpr (is_half<T>) {
      Vec<T, V> rounded;
#pragma unroll
      for (int v = 0; v < V; v++) rounded[v] = convert<T>(param[v]);
      store_part(to.param, i, end, whole, rounded);
    }
  }

 private:
  /// What the step is computed on, where that has the accumulation dtype.
  static __device__ A* weights(const StepBuffers<T, A, S>& of) {
    if constexpr (is_half<T>) {
      return of.master;
    } else {
      return of.param;
    }
  }
};

constexpr int kGroups = 2;  // whose loads are in flight together

template <class Rule, class T, class A, int S>
GG_DEVICE void update_chunk(const Rule& rule, int mask, ListChunk chunk,
                            const StepBuffers<T, A, S>& buffers) {
  constexpr int V = max_vec<A>(), step = kListThreads * V;
  const bool aligned = buffers.aligned();
  for (int64_t first = chunk.begin + threadIdx.x * V; first < chunk.end; first += kGroups * step) {
    StepGroup<T, A, V, S> groups[kGroups];
#pragma unroll
    for (int j = 0; j < kGroups; j++) {
      groups[j].i = first + j * step;
      groups[j].end = chunk.end;
      groups[j].whole = aligned && groups[j].i + V <= chunk.end;
      groups[j].load(buffers, mask);
    }
#pragma unroll
    for (int j = 0; j < kGroups; j++) {
      with_kind(rule, [&](const auto& each) { groups[j].take_step(each, mask); });
      groups[j].store(buffers, mask);
    }
  }
}

/// Every block has read the clock before it takes a ticket; the last one moves it.
template <class Options>
GG_DEVICE void advance_clock(const StepClock& clock, const Options& options) {
  if (!clock.advance || threadIdx.x != 0) return;
  __threadfence();
  if (atomicAdd(clock.ticket, 1) != static_cast<int>(gridDim.x) - 1) return;
  __threadfence();
  advance(options, clock.hyper);
  atomicExch(clock.ticket, 0);
}

template <class T, class Options, int N>
__global__ void __launch_bounds__(kListThreads, 2)
    optimizer_step(const StepTable<N, Options::kBuffers> table, const Options options, int mask,
                   int64_t chunk, const StepClock clock) {
  using A = Acc<T>;
  using Rule = decltype(make_rule<A>(options, clock.hyper));
  constexpr int S = Options::kBuffers;
  if (clock.skip && *clock.skip != 0) return;
  GG_SHARED(shared_rule, Rule);
  if (threadIdx.x == 0) shared_rule = make_rule<A>(options, clock.hyper);
  __syncthreads();
  const Rule rule = shared_rule;
  const ListChunk mine = chunk_of_block(table.map, chunk);
  StepBuffers<T, A, S> buffers{static_cast<T*>(table.params[mine.array]),
                               static_cast<A*>(table.masters[mine.array]),
                               static_cast<const T*>(table.grads[mine.array]),
                               {}};
#pragma unroll
  for (int k = 0; k < S; k++) buffers.state[k] = static_cast<A*>(table.states[k][mine.array]);
  update_chunk(rule, mask, mine, buffers);
  advance_clock(clock, options);
}

/// Elements of a block: enough blocks to fill the device eight times, else as long as that.
inline int64_t step_chunk(const Arrays& grads) {
  constexpr int64_t kLeast = kListThreads * 4 * kGroups;
  int64_t total = 0;
  for (const Array& g : grads) total += g.size();
  const int64_t share = total / (int64_t{8} * multiprocessors());
  return std::max(kLeast, (share + kLeast - 1) / kLeast * kLeast);
}

template <int Short, class T, class Options>
void launch_step(Stream stream, const StepLists& lists, const Options& options) {
  const size_t n = lists.count();
  const int64_t chunk = step_chunk(lists.grads);
  for_slices<Short>(n, [&](auto capacity, size_t from, size_t to) {
    constexpr int N = decltype(capacity)::value;
    StepTable<N, Options::kBuffers> table{};
    for (size_t i = from; i < to; i++) {
      const int at = table.map.count;
      table.params[at] = lists.params[i].data;
      table.masters[at] = lists.master<Acc<T>>(i);
      table.grads[at] = lists.grads[i].data;
      for (int k = 0; k < Options::kBuffers; k++) {
        table.states[k][at] = lists.state<Acc<T>>(k, i);
      }
      table.map.add(lists.params[i].size(), chunk);
    }
    const StepClock clock{lists.hyper.as<double>(), lists.ticket.as<int>(), lists.skip(), to == n};
    const unsigned blocks = std::max(1u, table.map.blocks());  // a step of nothing still counts
    launch(optimizer_step<T, Options, N>, blocks, kListThreads, 0, stream, table, options,
           lists.mask(), chunk, clock);
  });
}

/// masks: the sets of state buffers it can have. Short: the smaller capacity of tensor_list.cuh.
template <int Short, class Options>
void optimizer_launch(Stream stream, const StepLists& lists, std::initializer_list<int> masks,
                      const Options& options) {
  check_lists(lists);
  check_mask(lists, masks);
  dispatch_floating(lists.dtype(), [&](auto tag) {
    launch_step<Short, typename decltype(tag)::type>(stream, lists, options);
  });
}

}  // namespace gg
