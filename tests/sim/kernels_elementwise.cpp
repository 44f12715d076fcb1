// The element-wise, copying and indexing kernels on small shapes, against plain loops.

#include "host_array.h"

using namespace gg;

const std::vector<Shape> kShapes = {{0}, {1}, {7}, {1027}, {5, 9}, {2, 3, 4, 5}};

template <class T>
static void check_unary(Unary op, double (*f)(double), const char* name) {
  for (const Shape& shape : kShapes) {
    const Host<T> x(shape, [](int64_t i) { return std::fabs(noise(i)) / 3 + 0.1; });
    const Host<T> y(shape);
    unary(nullptr, op, x, y, 0, 0);
    for (int64_t i = 0; i < x.size; i++) check_near<T>(name, i, y[i], f(x[i]));
  }
}

template <class T>
static void check_unaries() {
#define GG_CHECK_UNARY(name) \
  check_unary<T>(Unary::name, [](double x) { return std::name(x); }, #name)
  GG_CHECK_UNARY(sqrt);
  GG_CHECK_UNARY(exp);
  GG_CHECK_UNARY(log);
  GG_CHECK_UNARY(sin);
  GG_CHECK_UNARY(tanh);
  GG_CHECK_UNARY(erf);
  GG_CHECK_UNARY(floor);
#undef GG_CHECK_UNARY
  check_unary<T>(Unary::square, [](double x) { return x * x; }, "square");
  check_unary<T>(Unary::sigmoid, [](double x) { return 1 / (1 + std::exp(-x)); }, "sigmoid");
}

CASE(unary_functions) {
  check_unaries<f16>();
  check_unaries<bf16>();
  check_unaries<float>();
  check_unaries<double>();
}

CASE(every_unary_function_runs) {
  const Host<float> x({33}, noise), y({33});
  const Host<bool> p({33});
  const int count = static_cast<int>(sizeof kUnary / sizeof kUnary[0]);
  for (int i = 0; i < count; i++) {
    if (kUnary[i].domain == Domain::integer) continue;
    const bool predicate = kUnary[i].result == Result::boolean;
    unary(nullptr, static_cast<Unary>(i), x, predicate ? p.array() : y.array(), 0.5, 20);
  }
}

CASE(every_binary_function_runs) {
  const int count = static_cast<int>(sizeof kBinary / sizeof kBinary[0]);
  const Host<float> a({33}, noise), b({33}, [](int64_t i) { return noise(i + 50); }), y({33});
  const Host<int32_t> c({33}, [](int64_t i) { return i - 16; }), d({33}, noise), z({33});
  const Host<bool> p({33});
  for (int i = 0; i < count; i++) {
    const bool predicate = kBinary[i].result == Result::boolean;
    const Binary op = static_cast<Binary>(i);
    if (kBinary[i].domain != Domain::integer) {
      binary(nullptr, op, operand(a), operand(b), predicate ? p.array() : y.array());
    }
    if (kBinary[i].domain != Domain::floating) {
      binary(nullptr, op, operand(c), operand(d), predicate ? p.array() : z.array());
    }
  }
}

template <class T>
static void check_add() {
  const Host<T> a({6, 1, 7}, noise), b({5, 1}, [](int64_t i) { return noise(i + 9); });
  const Host<T> y({6, 5, 7}), z({6, 5, 7});
  binary(nullptr, Binary::add, operand(a), operand(b), y);
  binary(nullptr, Binary::mul, operand(y), number(3), z);
  for (int64_t i = 0; i < y.size; i++) {
    const double sum = a[i / 35 * 7 + i % 7] + b[i / 7 % 5];
    check_near<T>("add", i, y[i], sum);
    check_near<T>("mul", i, z[i], y[i] * 3);
  }
}

CASE(binary_functions_broadcast) {
  check_add<f16>();
  check_add<float>();
  check_add<double>();
  check_add<int64_t>();
}

CASE(where_chooses) {
  const Host<bool> c({4, 1, 6}, [](int64_t i) { return i % 3 == 0; });
  const Host<float> a({4, 5, 6}, noise), y({4, 5, 6});
  where(nullptr, c, operand(a), number(7), y);
  for (int64_t i = 0; i < y.size; i++) {
    CHECK_EQ(y[i], c[i / 30 * 6 + i % 6] != 0 ? a[i] : 7);
  }
}

template <class From, class To>
static void check_cast() {
  for (const Shape& shape : kShapes) {
    const Host<From> x(shape, [](int64_t i) { return std::fabs(noise(i)) * 20; });
    const Host<To> y(shape);
    copy(nullptr, x, y);
    for (int64_t i = 0; i < x.size; i++) CHECK_EQ(y[i], convert<double>(convert<To>(x.data[i])));
  }
}

CASE(copies_cast) {
  check_cast<float, bf16>();
  check_cast<f16, double>();
  check_cast<double, int32_t>();
  check_cast<int64_t, bool>();
  check_cast<uint8_t, uint8_t>();
}

CASE(copies_of_views) {
  const Host<float> x({37, 45}, noise), y({45, 37}), row({1, 45}, noise), z({37, 45});
  copy(nullptr, transposed(x, 0, 1), y);
  for (int64_t i = 0; i < y.size; i++) CHECK_EQ(y[i], x[i % 37 * 45 + i / 37]);
  copy(nullptr, backwards(x, 1), z);
  for (int64_t i = 0; i < z.size; i++) CHECK_EQ(z[i], x[i / 45 * 45 + 44 - i % 45]);
  copy(nullptr, repeated(row, 0, 37), z);
  for (int64_t i = 0; i < z.size; i++) CHECK_EQ(z[i], row[i % 45]);
  fill(nullptr, transposed(z, 0, 1), {2.5, 0, false});
  for (int64_t i = 0; i < z.size; i++) CHECK_EQ(z[i], 2.5);
}

// ---- gather, nonzero ---------------------------------------------------------------------------

CASE(gather_rows_and_elements) {
  const Host<float> x({9, 4, 5}, noise), rows({7, 4, 5}), elements({7, 5});
  const Host<int64_t> i({7}, [](int64_t k) { return k * 5 % 9 - 4; });
  const Host<int64_t> j({7}, [](int64_t k) { return k % 4; });
  const Host<int64_t> flag({4});
  gather(nullptr, x, {i}, rows, flag);
  gather(nullptr, x, {i, j}, elements, flag);
  for (int64_t k = 0; k < 7; k++) {
    const int64_t row = i.data[k] < 0 ? i.data[k] + 9 : i.data[k];
    for (int64_t r = 0; r < 20; r++) CHECK_EQ(rows[k * 20 + r], x[row * 20 + r]);
    for (int64_t r = 0; r < 5; r++) CHECK_EQ(elements[k * 5 + r], x[row * 20 + k % 4 * 5 + r]);
  }
  CHECK_EQ(flag[0], 0);
}

CASE(index_errors_are_flagged) {
  const Host<float> x({9, 3}, noise), y({5, 3});
  const Host<int64_t> i({5}, [](int64_t k) { return k == 3 ? 9 : k; });
  const Host<int64_t> flag({4});
  gather(nullptr, x, {i}, y, flag);
  CHECK_EQ(flag[0], static_cast<int64_t>(FlagCode::gather));
  CHECK_EQ(flag[1], 9);
  CHECK_EQ(flag[2], 9);
}

CASE(nonzero_in_order) {
  for (int64_t n : {1, 40, 3000}) {
    const Host<bool> mask({n, 3}, [](int64_t i) { return noise(i) > 1; });
    std::vector<int64_t> wanted;
    for (int64_t i = 0; i < mask.size; i++) {
      if (mask.data[i]) wanted.insert(wanted.end(), {i / 3, i % 3});
    }
    const Host<int64_t> y({static_cast<int64_t>(wanted.size()) / 2, 2});
    nonzero(nullptr, mask, y, workspace(nonzero_workspace(mask)));
    CHECK(std::equal(wanted.begin(), wanted.end(), y.data.get()));
  }
}
