// Optimizer steps over whole lists of parameters: one launch for up to 256 of them.
//
// A block updates one chunk of one parameter (tensor_list.cuh), a thread two groups of neighbours
// at a time: four elements (two of float64), so that the float32 state moves as vectors of 16 bytes
// and halves as vectors of 8, where every buffer of the parameter is aligned to 16 bytes. Gradients
// are read past L1, state is written to be evicted first. Learning rate and step count are read
// from the device; bias corrections are formed in float64 once in a block. The last block to finish
// (by ticket) adds 1 to the step count, so a step needs no host and fits a CUDA graph. Parameters
// and state are read and written; elements are independent, so results do not depend on the
// schedule.
//
// Bytes for float32: SGD 12 an element, with momentum 20; Adam 28, AMSGrad 36. Bound: bandwidth.
// Reached: not measured.
#include "core/optim.h"

#include "core/optim_lists.h"
#include "kernels/tensor_list.cuh"
#include "ops/updates.h"

namespace gg {
namespace {

template <int N>
struct StepTable {
  ListMap<N> map;
  void* params[N];
  const void* grads[N];
  void* states[kStates][N];
};

/// What is the same for every element of a step, and who counts it.
struct StepClock {
  double* hyper;  ///< {learning rate, steps done}
  int* ticket;
  bool advance;  ///< in the last launch of a list
};

/// Where a parameter and what belongs to it lie; states that are not in use are null.
template <class T, class A>
struct StepBuffers {
  T* param;
  const T* grad;
  A* state[kStates];

  __device__ bool aligned() const { return aligned16(param, grad, state[0], state[1], state[2]); }
};

/// What a thread holds at a time: V neighbours of each buffer, from element i.
template <class T, class A, int V>
struct StepGroup {
  int64_t i, end;
  bool whole;
  Vec<T, V> param, grad;
  Vec<A, V> state[kStates];

  __device__ void load(const StepBuffers<T, A>& from, int mask) {
    param = load_part<V>(from.param, i, end, whole);
    grad = load_part_once<V>(from.grad, i, end, whole);
#pragma unroll
    for (int k = 0; k < kStates; k++) {
      state[k] = {};
      if (mask >> k & 1) state[k] = load_part<V>(from.state[k], i, end, whole);
    }
  }

  template <class Rule>
  __device__ void take_step(const Rule& rule, int mask) {
#pragma unroll
    for (int v = 0; v < V; v++) {
      A x = convert<A>(param[v]);
      update(rule, mask, convert<A>(grad[v]), x, state[0][v], state[1][v], state[2][v]);
      param[v] = convert<T>(x);
    }
  }

  __device__ void store(const StepBuffers<T, A>& to, int mask) const {
#pragma unroll
    for (int k = 0; k < kStates; k++) {
      if (mask >> k & 1) store_part_last(to.state[k], i, end, whole, state[k]);
    }
    store_part(to.param, i, end, whole, param);
  }
};

constexpr int kGroups = 2;  // whose loads are in flight together

template <class Rule, class T, class A>
GG_DEVICE void update_chunk(const Rule& rule, int mask, ListChunk chunk,
                            const StepBuffers<T, A>& buffers) {
  constexpr int V = max_vec<A>(), step = kListThreads * V;
  const bool aligned = buffers.aligned();
  for (int64_t first = chunk.begin + threadIdx.x * V; first < chunk.end; first += kGroups * step) {
    StepGroup<T, A, V> groups[kGroups];
#pragma unroll
    for (int j = 0; j < kGroups; j++) {
      groups[j].i = first + j * step;
      groups[j].end = chunk.end;
      groups[j].whole = aligned && groups[j].i + V <= chunk.end;
      groups[j].load(buffers, mask);
    }
#pragma unroll
    for (int j = 0; j < kGroups; j++) {
      groups[j].take_step(rule, mask);
      groups[j].store(buffers, mask);
    }
  }
}

/// Every block has read the clock before it takes a ticket; the last one moves it.
GG_DEVICE void advance_clock(const StepClock& clock) {
  if (!clock.advance || threadIdx.x != 0) return;
  __threadfence();
  if (atomicAdd(clock.ticket, 1) != static_cast<int>(gridDim.x) - 1) return;
  __threadfence();
  clock.hyper[1] += 1;
  atomicExch(clock.ticket, 0);
}

template <class T, class Options, int N>
__global__ void __launch_bounds__(kListThreads, 2)
    optimizer_step(const StepTable<N> table, const Options options, int mask, int64_t chunk,
                   const StepClock clock) {
  using A = Acc<T>;
  using Rule = decltype(make_rule<A>(options, 0.0, 0));
  GG_SHARED(shared_rule, Rule);
  if (threadIdx.x == 0) {
    const int64_t t = static_cast<int64_t>(clock.hyper[1]) + 1;
    shared_rule = make_rule<A>(options, clock.hyper[0], t);
  }
  __syncthreads();
  const Rule rule = shared_rule;
  const ListChunk mine = chunk_of_block(table.map, chunk);
  const StepBuffers<T, A> buffers{
      static_cast<T*>(table.params[mine.array]),
      static_cast<const T*>(table.grads[mine.array]),
      {static_cast<A*>(table.states[0][mine.array]), static_cast<A*>(table.states[1][mine.array]),
       static_cast<A*>(table.states[2][mine.array])}};
  update_chunk(rule, mask, mine, buffers);
  advance_clock(clock);
}

/// Elements of a block: enough blocks to fill the device eight times, else as long as that.
int64_t step_chunk(const Arrays& params) {
  constexpr int64_t kLeast = kListThreads * 4 * kGroups;
  int64_t total = 0;
  for (const Array& p : params) total += p.size();
  const int64_t share = total / (int64_t{8} * multiprocessors());
  return std::max(kLeast, (share + kLeast - 1) / kLeast * kLeast);
}

template <class T, class Options>
void launch_step(Stream stream, const StepLists& lists, const Options& options) {
  const size_t n = lists.params.size();
  const int64_t chunk = step_chunk(lists.params);
  for_slices(n, [&](auto capacity, size_t from, size_t to) {
    constexpr int N = decltype(capacity)::value;
    StepTable<N> table{};
    for (size_t i = from; i < to; i++) {
      const int at = table.map.count;
      table.params[at] = lists.params[i].data;
      table.grads[at] = lists.grads[i].data;
      for (int k = 0; k < kStates; k++) table.states[k][at] = lists.state<Acc<T>>(k, i);
      table.map.add(lists.params[i].size(), chunk);
    }
    const StepClock clock{lists.hyper.as<double>(), lists.ticket.as<int>(), to == n};
    const unsigned blocks = std::max(1u, table.map.blocks());  // a step of nothing still counts
    launch(optimizer_step<T, Options, N>, blocks, kListThreads, 0, stream, table, options,
           lists.mask(), chunk, clock);
  });
}

template <class Options>
void step(Stream stream, const StepLists& lists, std::initializer_list<int> masks,
          const Options& options) {
  check_lists(lists);
  check_mask(lists, masks);
  dispatch_floating(lists.dtype(), [&](auto tag) {
    launch_step<typename decltype(tag)::type>(stream, lists, options);
  });
}

}  // namespace

void sgd_step(Stream stream, const Arrays& params, const Arrays& grads, const Arrays& momenta,
              const Array& hyper, const Array& ticket, double momentum, double dampening,
              double weight_decay, bool nesterov, bool maximize) {
  step(stream, {"sgd_step", params, grads, {&momenta}, {"momenta"}, hyper, ticket}, {0, 1},
       SgdOptions{momentum, dampening, weight_decay, nesterov, maximize});
}

void adam_step(Stream stream, const Arrays& params, const Arrays& grads, const Arrays& m,
               const Arrays& v, const Arrays& vmax, const Array& hyper, const Array& ticket,
               double beta1, double beta2, double eps, double weight_decay, bool decoupled,
               bool maximize) {
  step(stream, {"adam_step", params, grads, {&m, &v, &vmax}, {"m", "v", "vmax"}, hyper, ticket},
       {3, 7}, AdamOptions{beta1, beta2, eps, weight_decay, decoupled, maximize});
}

void rmsprop_step(Stream stream, const Arrays& params, const Arrays& grads, const Arrays& v,
                  const Arrays& avg, const Arrays& buf, const Array& hyper, const Array& ticket,
                  double alpha, double eps, double weight_decay, double momentum, bool maximize) {
  step(stream,
       {"rmsprop_step", params, grads, {&v, &avg, &buf}, {"v", "avg", "buf"}, hyper, ticket},
       {1, 3, 5, 7}, RmspropOptions{alpha, eps, weight_decay, momentum, maximize});
}

}  // namespace gg
