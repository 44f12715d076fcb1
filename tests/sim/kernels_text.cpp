// Embedding, bags, rotary positions and sampling on small shapes, against plain loops.

#include <numeric>

#include "core/sample_checks.h"
#include "host_array.h"

using namespace gg;

namespace {

/// Indices in [0, limit), every third of them 1.
Host<int64_t> tokens(const Shape& shape, int64_t limit, int64_t seed = 0) {
  return Host<int64_t>(shape, [=](int64_t i) {
    if (i % 3 == 0) return static_cast<double>(std::min<int64_t>(1, limit - 1));
    return std::floor((noise(i + seed) + 2) / 4 * static_cast<double>(limit));
  });
}

template <class T>
void check_rows(int64_t rows, int64_t width, int64_t count) {
  const Host<T> weight({rows, width}, noise), y({count, width});
  const Host<int64_t> index = tokens({count}, rows), flag({4});
  embedding(nullptr, weight, index, y, flag);
  CHECK_EQ(flag.data[0], 0);
  for (int64_t i = 0; i < y.size; i++) {
    CHECK_EQ(y[i], weight[index.data[i / width] * width + i % width]);
  }
}

struct GradCase {
  int64_t rows, width, count;
  int64_t padding;
  bool by_count, given;  ///< row and scale are
};

template <class T>
void check_gradient(const GradCase& c) {
  const Host<int64_t> index = tokens({c.count}, c.rows);
  const Host<int64_t> row({c.count}, [=](int64_t i) { return (i * 7) % c.count; });
  const Host<Acc<T>> scale({c.count}, noise);
  const Host<T> dy({c.count, c.width}, [](int64_t i) { return noise(i + 5); });
  const Host<T> dweight({c.rows, c.width}, [](int64_t) { return 7; });
  const auto space = workspace(embedding_grad_workspace(index, dweight));
  embedding_grad(nullptr, dy, index, c.given ? row.array() : Array{},
                 c.given ? scale.array() : Array{}, dweight, c.padding, c.by_count, space);
  for (int64_t v = 0; v < c.rows; v++) {
    for (int64_t d = 0; d < c.width; d++) {
      double sum = 0, size = 0, terms = 0;
      for (int64_t j = 0; j < c.count; j++) {
        if (index.data[j] != v || v == c.padding) continue;
        const int64_t from = c.given ? row.data[j] : j;
        const double term = (c.given ? scale[j] : 1) * dy[from * c.width + d];
        sum += term, size += std::fabs(term), terms++;
      }
      if (c.by_count && terms > 0) sum /= terms;
      check_near<T>("dweight", v * c.width + d, dweight[v * c.width + d], sum, size);
    }
  }
}

template <class T>
void check_bounds(int64_t rows, int64_t width, int64_t count, double ord) {
  const Host<T> weight({rows, width}, noise), was({rows, width}, noise);
  const Host<int64_t> index = tokens({count}, rows), flag({4});
  const auto space = workspace(embedding_renorm_workspace(weight, index));
  std::fill(space.data.get(), space.data.get() + space.size, uint8_t{0xff});
  embedding_renorm(nullptr, weight, index, 2.0, ord, space, flag);
  for (int64_t v = 0; v < rows; v++) {
    double sum = 0;
    for (int64_t d = 0; d < width; d++) sum += std::pow(std::fabs(was[v * width + d]), ord);
    const double norm = std::pow(sum, 1 / ord);
    const bool named = std::count(index.data.get(), index.data.get() + count, v) > 0;
    const double factor = named && norm > 2 ? 2 / (norm + 1e-7) : 1;
    for (int64_t i = v * width; i < (v + 1) * width; i++) {
      check_near<T>("weight", i, weight[i], was[i] * factor);
    }
  }
}

/// Bags of `length` positions, the second of them empty.
template <class T>
void check_bags(int64_t bags, int64_t length, int64_t rows, int64_t width, Reduce mode) {
  const int64_t count = bags * length, padding = 2;
  const Host<T> weight({rows, width}, noise), y({bags + 1, width});
  const Host<int64_t> index = tokens({count}, rows), bag({count}), flag({4});
  const Host<int64_t> numbers({bags + 1}), winner({bags + 1, width});
  const Host<int64_t> offsets({bags + 2}, [=](int64_t i) { return (i > 1 ? i - 1 : i) * length; });
  const Array winners = mode == Reduce::max ? winner.array() : Array{};
  embedding_bag(nullptr, weight, index, offsets, Array{}, mode, padding, y, bag, numbers, winners,
                flag);
  for (int64_t b = 0; b <= bags; b++) {
    int64_t number = 0;
    for (int64_t j = offsets.data[b]; j < offsets.data[b + 1]; j++) {
      const bool in_bag = index.data[j] != padding;
      CHECK_EQ(bag.data[j], in_bag ? b : -1);
      number += in_bag;
    }
    CHECK_EQ(numbers.data[b], number);
    for (int64_t d = 0; d < width; d++) {
      double sum = 0, most = 0;
      int64_t first = -1;
      for (int64_t j = offsets.data[b]; j < offsets.data[b + 1]; j++) {
        const int64_t v = index.data[j];
        if (v == padding) continue;
        const double x = weight[v * width + d];
        sum += x;
        if (first < 0 || x > most) most = x, first = v;
      }
      if (mode == Reduce::mean && number > 0) sum /= static_cast<double>(number);
      const double wanted = mode == Reduce::max ? most : sum;
      check_near<T>("y", b * width + d, y[b * width + d], wanted, static_cast<double>(length));
      if (mode == Reduce::max) CHECK_EQ(winner.data[b * width + d], first);
    }
  }
}

template <class T>
void check_rotation(int64_t rows, int64_t width, int64_t half, bool interleaved, bool inverse) {
  const Host<T> x({3, rows, width}, noise), y(x.shape);
  const Host<Acc<T>> c({rows, half}, [](int64_t i) { return std::cos(3 * noise(i)); });
  const Host<Acc<T>> s({rows, half}, [](int64_t i) { return std::sin(3 * noise(i)); });
  rotary(nullptr, x, c, s, interleaved, inverse, y);
  for (int64_t row = 0; row < 3 * rows; row++) {
    for (int64_t i = 0; i < half; i++) {
      const int64_t a = row * width + (interleaved ? 2 * i : i), b = a + (interleaved ? 1 : half);
      const double cosine = c[row % rows * half + i];
      const double sine = (inverse ? -1 : 1) * s[row % rows * half + i];
      check_near<T>("y", a, y[a], x[a] * cosine - x[b] * sine, 2);
      check_near<T>("y", b, y[b], x[b] * cosine + x[a] * sine, 2);
    }
    for (int64_t i = 2 * half; i < width; i++) {
      CHECK_EQ(y[row * width + i], x[row * width + i]);
    }
  }
}

/// The draw by sorting.
int64_t drawn(const std::vector<double>& x, const SampleOptions& o, double u) {
  const int64_t n = static_cast<int64_t>(x.size());
  std::vector<int64_t> order(x.size());
  std::iota(order.begin(), order.end(), int64_t{0});
  std::stable_sort(order.begin(), order.end(), [&](int64_t a, int64_t b) { return x[a] > x[b]; });
  if (o.temperature == 0) return order[0];
  const double top = x[order[0]];
  const auto p = [&](int64_t i) { return std::exp((x[i] - top) / o.temperature); };
  order.resize(o.top_k > 0 ? std::min(n, o.top_k) : n);
  double all = 0, before = 0;
  for (int64_t i : order) all += p(i);
  size_t stay = 0;
  while (stay < order.size() && before < o.top_p * all) before += p(order[stay++]);
  order.resize(stay);
  std::sort(order.begin(), order.end());
  double sum = 0;
  for (int64_t i : order) {
    sum += p(i);
    if (sum > u * before) return i;
  }
  return order.back();
}

template <class T>
void check_draws(int64_t rows, int64_t classes, const SampleOptions& o) {
  // Few different logits: ties matter.
  const Host<T> logits({rows, classes}, [](int64_t i) { return std::floor(4 * noise(i)) / 2; });
  const Host<int64_t> state({2}, [](int64_t i) { return 3 + i; }), y({rows});
  sample(nullptr, logits, o.temperature, o.top_k, o.top_p, state, 1, y, Array{});
  for (int64_t b = 0; b < rows; b++) {
    std::vector<double> x;
    for (int64_t i = 0; i < classes; i++) x.push_back(logits[b * classes + i]);
    CHECK_EQ(y.data[b], drawn(x, o, sample_uniform(philox_stream(state.data.get(), 1), b)));
  }
}

}  // namespace

CASE(embedding_rows) {
  const int64_t shapes[][3] = {{5, 16, 9}, {7, 5, 40}, {300, 33, 70}, {2, 1, 3}};
  for (const auto& s : shapes) {
    check_rows<float>(s[0], s[1], s[2]);
    check_rows<bf16>(s[0], s[1], s[2]);
    check_rows<bool>(s[0], s[1], s[2]);
  }
}

CASE(embedding_of_an_illegal_index) {
  const Host<float> weight({4, 6}, noise), y({3, 6});
  const Host<int64_t> index({3}, [](int64_t i) { return i == 1 ? 9 : 2; }), flag({4});
  embedding(nullptr, weight, index, y, flag);
  const int64_t wanted[] = {static_cast<int64_t>(FlagCode::embedding), 9, 4, 0};
  for (int i = 0; i < 4; i++) CHECK_EQ(flag.data[i], wanted[i]);
  for (int64_t i = 6; i < 12; i++) CHECK_EQ(y[i], weight[i - 6]);
}

CASE(embedding_gradient) {
  const GradCase all[] = {{5, 8, 20, -1, false, false},
                          {6, 33, 200, 1, true, true},
                          {2, 4, 300, -1, true, false},
                          {900, 7, 150, 4, false, true},
                          {1, 270, 70, -1, false, true}};
  for (const GradCase& c : all) {
    check_gradient<float>(c);
    check_gradient<f16>(c);
  }
}

CASE(embedding_norms) {
  check_bounds<float>(9, 40, 30, 2);
  check_bounds<bf16>(70, 5, 90, 1);
  check_bounds<float>(33, 100, 20, 3);
}

CASE(embedding_bags) {
  const int64_t shapes[][4] = {
      {3, 4, 6, 8}, {2, 90, 11, 5}, {40, 1, 5, 33}, {1, 300, 7, 140}, {2, 3, 5, 0}};
  for (const auto& s : shapes) {
    for (Reduce mode : {Reduce::sum, Reduce::mean, Reduce::max}) {
      check_bags<float>(s[0], s[1], s[2], s[3], mode);
      check_bags<f16>(s[0], s[1], s[2], s[3], mode);
    }
  }
}

CASE(rotary_positions) {
  for (bool interleaved : {false, true}) {
    check_rotation<float>(5, 64, 32, interleaved, false);
    check_rotation<f16>(3, 40, 8, interleaved, true);
    check_rotation<float>(7, 11, 3, interleaved, true);
  }
}

CASE(draws_from_logits) {
  const SampleOptions all[] = {{1, 0, 1},      {0.5, 3, 1}, {2, 0, 0.7},
                               {1.5, 40, 0.6}, {0, 0, 1},   {1, 1000, 0.3}};
  for (const SampleOptions& o : all) {
    check_draws<float>(3, 70, o);
    check_draws<bf16>(2, 700, o);
  }
  check_draws<double>(2, 90, {1, 9, 0.8});
}
