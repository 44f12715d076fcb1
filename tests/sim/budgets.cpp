// Runs kernels on arrays as large as it takes to see how they use memory, and prints the counts.
// test_budgets.py has what each may use.

#include <cstdlib>

#include "host_array.h"
#include "kernels/gemm_hopper.cuh"
#include "sim/counters/counters.h"

using namespace gg;

namespace {

/// Before any case runs: shared memory is as large as Hopper's.
const bool is_hopper = (sim::set_architecture(90), true);

/// An array at a multiple of 256 bytes, as cudaMalloc's.
template <class T>
Host<T> device_array(const Shape& shape, double scale = 1) {
  Host<T> a(shape);
  const size_t bytes = (a.size * sizeof(T) + 255) / 256 * 256;
  a.data = std::shared_ptr<T[]>(static_cast<T*>(aligned_alloc(256, bytes)), free);
  for (int64_t i = 0; i < a.size; i++) a.data[i] = convert<T>(scale * noise(i));
  return a;
}

int64_t bytes_of(const Arrays& arrays) {
  int64_t bytes = 0;
  for (const Array& a : arrays) bytes += a.size() * dtype_size(a.dtype);
  return bytes;
}

/// Counts what `run` does; what it reads and writes at the least is what budgets are held against.
template <class F>
void count(const Arrays& read, const Arrays& written, F run) {
  sim::reset_counters();
  run();
  printf("NOTE read %ld\nNOTE written %ld\n", bytes_of(read), bytes_of(written));
  sim::print_counters();
}

// ---- softmax -----------------------------------------------------------------------------------

template <class T>
void count_softmax(const Shape& shape, int axis) {
  const Host<T> x = device_array<T>(shape), y = device_array<T>(shape);
  count({x}, {y}, [&] { softmax(nullptr, x, y, axis, false); });
}

template <class T>
void count_softmax_grad(const Shape& shape, int axis) {
  const Host<T> dy = device_array<T>(shape), y = device_array<T>(shape),
                dx = device_array<T>(shape);
  count({dy, y}, {dx}, [&] { softmax_grad(nullptr, dy, y, dx, axis, false); });
}

// clang-format off
CASE(softmax_64x10) { count_softmax<float>({64, 10}, 1); }
CASE(softmax_64x1024) { count_softmax<float>({64, 1024}, 1); }
CASE(softmax_64x1001) { count_softmax<float>({64, 1001}, 1); }
CASE(softmax_16x8192) { count_softmax<float>({16, 8192}, 1); }
CASE(softmax_4x50000) { count_softmax<float>({4, 50000}, 1); }
CASE(softmax_4x50000_f16) { count_softmax<f16>({4, 50000}, 1); }
CASE(softmax_2x80000) { count_softmax<float>({2, 80000}, 1); }
CASE(softmax_64x1024_bf16) { count_softmax<bf16>({64, 1024}, 1); }
CASE(softmax_columns_200) { count_softmax<float>({4, 200, 64}, 1); }
CASE(softmax_columns_1000) { count_softmax<float>({2, 1000, 64}, 1); }
CASE(softmax_grad_64x1024) { count_softmax_grad<float>({64, 1024}, 1); }
CASE(softmax_grad_4x25000) { count_softmax_grad<float>({4, 25000}, 1); }
CASE(softmax_grad_64x1024_f16) { count_softmax_grad<f16>({64, 1024}, 1); }
// clang-format on

// ---- cross-entropy -----------------------------------------------------------------------------

/// Logits [n, classes] of class indices; with weights where labels are smoothed.
template <class T>
struct Problem {
  Host<T> x, dx;
  Host<int64_t> target, flag;
  Host<float> loss, lse, target_weight, weight;

  Problem(int64_t n, int64_t classes)
      : x(device_array<T>({n, classes, 1})),
        dx(device_array<T>({n, classes, 1})),
        target(device_array<int64_t>({n, 1}, 0)),
        flag(device_array<int64_t>({4}, 0)),
        loss(device_array<float>({n, 1})),
        lse(device_array<float>({n, 1})),
        target_weight(device_array<float>({n, 1})),
        weight(device_array<float>({classes})) {}
};

template <class T>
void count_cross_entropy(int64_t n, int64_t classes, double smoothing) {
  const Problem<T> p(n, classes);
  const Array weight = smoothing != 0 ? p.weight.array() : Array{};
  count({p.x}, {p.loss, p.lse, p.target_weight}, [&] {
    cross_entropy(nullptr, p.x, p.target, weight, p.loss, p.lse, p.target_weight, -100, smoothing,
                  p.flag);
  });
}

template <class T>
void count_cross_entropy_grad(int64_t n, int64_t classes) {
  const Problem<T> p(n, classes);
  count({p.x}, {p.dx},
        [&] { cross_entropy_grad(nullptr, p.loss, p.x, p.target, {}, p.lse, p.dx, -100, 0); });
}

// clang-format off
CASE(cross_entropy_256x10) { count_cross_entropy<float>(256, 10, 0); }
CASE(cross_entropy_64x1024) { count_cross_entropy<float>(64, 1024, 0); }
CASE(cross_entropy_4x50000) { count_cross_entropy<float>(4, 50000, 0); }
CASE(cross_entropy_4x50000_bf16) { count_cross_entropy<bf16>(4, 50000, 0); }
CASE(cross_entropy_smoothed) { count_cross_entropy<float>(4, 50000, 0.1); }
CASE(cross_entropy_grad_256x10) { count_cross_entropy_grad<float>(256, 10); }
CASE(cross_entropy_grad_4x50000) { count_cross_entropy_grad<float>(4, 50000); }
CASE(cross_entropy_grad_4x50000_f16) { count_cross_entropy_grad<f16>(4, 50000); }
// clang-format on

// ---- reductions --------------------------------------------------------------------------------

template <class T, class Y = T>
void count_reduce(Reduce op, const Shape& shape, const Shape& kept) {
  const Host<T> x = device_array<T>(shape);
  const Host<Y> y = device_array<Y>(kept);
  const Host<uint8_t> space = device_array<uint8_t>({reduce_workspace(op, x, y)}, 0);
  count({x}, {y}, [&] { reduce(nullptr, op, x, y, space); });
}

// clang-format off
CASE(sum_rows) { count_reduce<float>(Reduce::sum, {64, 4096}, {64, 1}); }
CASE(sum_rows_f16) { count_reduce<f16>(Reduce::sum, {64, 4096}, {64, 1}); }
CASE(sum_short_rows) { count_reduce<float>(Reduce::sum, {1000, 64}, {1000, 1}); }
CASE(sum_all) { count_reduce<float>(Reduce::sum, {512, 1024}, {1, 1}); }
CASE(sum_columns) { count_reduce<float>(Reduce::sum, {512, 256}, {1, 256}); }
CASE(sum_columns_f64) { count_reduce<double>(Reduce::sum, {512, 256}, {1, 256}); }
CASE(sum_columns_bf16) { count_reduce<bf16>(Reduce::sum, {512, 256}, {1, 256}); }
CASE(argmax_rows) { count_reduce<float, int64_t>(Reduce::argmax, {64, 4096}, {64, 1}); }
CASE(argmax_columns) { count_reduce<float, int64_t>(Reduce::argmax, {512, 256}, {1, 256}); }
// clang-format on

// ---- optimizers --------------------------------------------------------------------------------

/// Parameters of a small model, and as many gradients and state buffers.
template <class T>
struct Model {
  std::vector<Host<T>> params, grads;
  std::vector<Host<Acc<T>>> m, v;
  Host<double> hyper = device_array<double>({2}, 0);
  Host<int32_t> ticket = device_array<int32_t>({1}, 0);

  Model() {
    for (int64_t n : {256 * 128, 256, 1 << 17}) {
      params.push_back(device_array<T>({n}));
      grads.push_back(device_array<T>({n}));
      m.push_back(device_array<Acc<T>>({n}, 0));
      v.push_back(device_array<Acc<T>>({n}, 0));
    }
  }
  template <class H>
  static Arrays list(const std::vector<H>& hosts) {
    return Arrays(hosts.begin(), hosts.end());
  }
};

Arrays together(std::initializer_list<Arrays> lists) {
  Arrays all;
  for (const Arrays& list : lists) all.insert(all.end(), list.begin(), list.end());
  return all;
}

template <class T>
void count_sgd() {
  const Model<T> model;
  const Arrays p = model.list(model.params), g = model.list(model.grads), m = model.list(model.m);
  count(together({p, g, m}), together({p, m}),
        [&] { sgd_step(nullptr, p, g, m, model.hyper, model.ticket, 0.9, 0, 0, false, false); });
}

template <class T>
void count_adam() {
  const Model<T> model;
  const Arrays p = model.list(model.params), g = model.list(model.grads), m = model.list(model.m),
               v = model.list(model.v);
  count(together({p, g, m, v}), together({p, m, v}), [&] {
    adam_step(nullptr, p, g, m, v, {}, model.hyper, model.ticket, 0.9, 0.999, 1e-8, 0, true, false);
  });
}

template <class T>
void count_nadam() {
  const Model<T> model;
  const Arrays p = model.list(model.params), g = model.list(model.grads), m = model.list(model.m),
               v = model.list(model.v);
  const Host<double> hyper = device_array<double>({3}, 0);
  count(together({p, g, m, v}), together({p, m, v}), [&] {
    nadam_step(nullptr, p, g, m, v, hyper, model.ticket, 0.9, 0.999, 1e-8, 0, 0.004, true, false);
  });
}

template <class T>
void count_lion() {
  const Model<T> model;
  const Arrays p = model.list(model.params), g = model.list(model.grads), m = model.list(model.m);
  count(together({p, g, m}), together({p, m}),
        [&] { lion_step(nullptr, p, g, m, model.hyper, model.ticket, 0.9, 0.99, 0.1, false); });
}

template <class T>
void count_clipping() {
  const Model<T> model;
  const Arrays g = model.list(model.grads);
  const Host<Acc<T>> norm = device_array<Acc<T>>({1}), factor = device_array<Acc<T>>({1});
  const Host<uint8_t> space = device_array<uint8_t>({global_norm_workspace(g)}, 0);
  count(g, g, [&] {
    global_norm(nullptr, g, 2, norm, space);
    scale(nullptr, g, factor);
  });
}

// clang-format off
CASE(sgd) { count_sgd<float>(); }
CASE(sgd_bf16) { count_sgd<bf16>(); }
CASE(adam) { count_adam<float>(); }
CASE(adam_f16) { count_adam<f16>(); }
CASE(nadam) { count_nadam<float>(); }
CASE(lion_bf16) { count_lion<bf16>(); }
CASE(clipping) { count_clipping<float>(); }
CASE(clipping_f16) { count_clipping<f16>(); }
// clang-format on

// ---- random numbers, element-wise functions, copies --------------------------------------------

template <class T>
void count_dropout() {
  const Host<T> x = device_array<T>({1 << 16}), y = device_array<T>({1 << 16});
  const Host<int64_t> state = device_array<int64_t>({2}, 0);
  count({x}, {y}, [&] { dropout(nullptr, state, 1, 0.5, x, y); });
}

template <class T>
void count_unary() {
  const Host<T> x = device_array<T>({1 << 16}), y = device_array<T>({1 << 16});
  count({x}, {y}, [&] { unary(nullptr, Unary::relu, x, y, 0, 0); });
}

template <class T>
void count_add() {
  const Host<T> a = device_array<T>({64, 1024}), b = device_array<T>({64, 1024}),
                y = device_array<T>({64, 1024});
  count({a, b}, {y}, [&] { binary(nullptr, Binary::add, operand(a), operand(b), y); });
}

template <class T>
void count_transpose() {
  const Host<T> x = device_array<T>({256, 512}), y = device_array<T>({512, 256});
  count({x}, {y}, [&] { copy(nullptr, transposed(x, 0, 1), y); });
}

// clang-format off
CASE(dropout_f32) { count_dropout<float>(); }
CASE(dropout_f16) { count_dropout<f16>(); }
CASE(relu_f32) { count_unary<float>(); }
CASE(relu_bf16) { count_unary<bf16>(); }
CASE(add_f32) { count_add<float>(); }
CASE(add_f16) { count_add<f16>(); }
CASE(transpose_f32) { count_transpose<float>(); }
CASE(transpose_f16) { count_transpose<f16>(); }
// clang-format on

// ---- matrix products ---------------------------------------------------------------------------

/// Four tiles; a and b are read twice, the residual once. stored: no residual, y leaves by TMA.
template <class Y>
void count_gemm_hopper(bool stored = false) {
  const Host<f16> a = device_array<f16>({256, 128}), b = device_array<f16>({128, 512});
  const Host<Y> residual = device_array<Y>({256, 512}), y = device_array<Y>({256, 512});
  GemmEpilogue epilogue;
  if (!stored) epilogue.residual = residual;
  GemmProblem g = gemm_problem(a, b, y, epilogue);
  set_access(g, DType::f16);
  GemmPlan plan{};
  plan.math = GemmMath::f16, plan.m = 128, plan.n = 256, plan.cluster = 1;
  Arrays inputs{a, b};
  if (!stored) inputs.push_back(residual);
  count(inputs, {y}, [&] { launch_gemm_hopper(nullptr, g, plan, DType::f16); });
}

// clang-format off
CASE(gemm_hopper_f16) { count_gemm_hopper<f16>(); }
CASE(gemm_hopper_f32) { count_gemm_hopper<float>(); }
CASE(gemm_hopper_stored_f16) { count_gemm_hopper<f16>(true); }
CASE(gemm_hopper_stored_f32) { count_gemm_hopper<float>(true); }
// clang-format on

}  // namespace
