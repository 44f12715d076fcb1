// The recurrent layer and its gradient on small shapes: float64 against central differences of
// itself and a plain loop, the other dtypes against float64.

#include "host_array.h"

using namespace gg;

namespace {

struct Kind {
  Cell cell;
  int64_t steps, batch, hidden, outputs;  ///< outputs != hidden: with a projection
  bool ends, reverse;                     ///< ends: samples have lengths

  int64_t gates() const { return cell == Cell::lstm ? 4 : cell == Cell::gru ? 3 : 1; }
  int64_t saved() const { return cell == Cell::lstm ? 5 : cell == Cell::gru ? 4 : 0; }
};

/// Multiples of 1 / 8, which every dtype holds.
double coarse(int64_t i) {
  return std::round(noise(i) * 8) / 8;
}

template <class T>
struct Layer {
  Kind n;
  Host<T> gates, w, bias, projection, h0, c0, dy, dhn, dcn;
  Host<T> y, hn, cn, dgates, dinner, doutput, dh0, dc0;
  Host<Acc<T>> saved;
  Host<int64_t> lengths;

  explicit Layer(const Kind& s)
      : n(s),
        gates({s.steps, s.batch, s.gates() * s.hidden}, coarse),
        w({s.gates() * s.hidden, s.outputs}, [](int64_t i) { return coarse(i + 5) / 4; }),
        bias({s.gates() * s.hidden}, [](int64_t i) { return coarse(i + 6); }),
        projection({s.outputs, s.hidden}, [](int64_t i) { return coarse(i + 7) / 2; }),
        h0({s.batch, s.outputs}, [](int64_t i) { return coarse(i + 8); }),
        c0({s.batch, s.hidden}, [](int64_t i) { return coarse(i + 9); }),
        dy({s.steps, s.batch, s.outputs}, [](int64_t i) { return coarse(i + 10); }),
        dhn(h0.shape, [](int64_t i) { return coarse(i + 11); }),
        dcn(c0.shape, [](int64_t i) { return coarse(i + 12); }),
        y(dy.shape),
        hn(h0.shape),
        cn(c0.shape),
        dgates(gates.shape),
        dinner(gates.shape),
        doutput(dy.shape),
        dh0(h0.shape),
        dc0(c0.shape),
        saved({s.steps, s.batch, s.saved() * s.hidden}),
        lengths({s.batch}) {
    for (int64_t b = 0; b < s.batch; b++) lengths.data[b] = (s.steps + b) % (s.steps + 1);
  }

  Array if_lstm(const Array& a) const { return n.cell == Cell::lstm ? a : Array{}; }
  Array if_gru(const Array& a) const { return n.cell == Cell::gru ? a : Array{}; }
  Array if_projected(const Array& a) const { return n.outputs != n.hidden ? a : Array{}; }
  Array if_saved(const Array& a) const { return n.saved() ? a : Array{}; }
  Array if_ends(const Array& a) const { return n.ends ? a : Array{}; }

  void forward() const {
    const Array p = if_projected(projection), kept = if_saved(saved);
    recurrent(nullptr, n.cell, gates, w, bias, p, h0, if_lstm(c0), if_ends(lengths), n.reverse,
              MatmulPrecision::high, y, hn, if_lstm(cn), kept,
              workspace(recurrent_workspace(n.cell, gates, w, p, kept)));
  }
  void backward() const {
    const Array p = if_projected(projection);
    recurrent_grad(nullptr, n.cell, dy, dhn, if_lstm(dcn), w, p, h0, if_lstm(c0), if_ends(lengths),
                   n.reverse, MatmulPrecision::high, y, if_saved(saved), dgates, if_gru(dinner),
                   if_projected(doutput), dh0, if_lstm(dc0),
                   workspace(recurrent_grad_workspace(n.cell, dgates, w, p)));
  }

  /// What the gradients are those of.
  double loss() const {
    forward();
    double sum = 0;
    for (int64_t i = 0; i < y.size; i++) sum += y[i] * dy[i];
    for (int64_t i = 0; i < hn.size; i++) sum += hn[i] * dhn[i];
    for (int64_t i = 0; i < cn.size && n.cell == Cell::lstm; i++) sum += cn[i] * dcn[i];
    return sum;
  }

  /// d[i] is the slope of the loss along x[i].
  void check_slope(const char* what, const Host<T>& x, const Host<T>& d, int64_t i) const {
    const T was = x.data[i];
    const double step = 1e-4;
    x.data[i] = convert<T>(convert<double>(was) + step);
    const double above = loss();
    x.data[i] = convert<T>(convert<double>(was) - step);
    const double below = loss();
    x.data[i] = was;
    const double slope = (above - below) / (2 * step);
    if (std::fabs(slope - d[i]) <= 1e-6 * (std::fabs(slope) + 1)) return;
    throw check::Failure(std::string(what) + "[" + std::to_string(i) + "] is " +
                         std::to_string(d[i]) + ", expected " + std::to_string(slope));
  }
};

/// y of the first step, by hand.
void check_first_step(const Layer<double>& a) {
  const Kind& n = a.n;
  const int64_t t = n.reverse ? n.steps - 1 : 0;
  const auto squash = [](double x) { return 1 / (1 + std::exp(-x)); };
  for (int64_t i = 0; i < n.batch * n.hidden; i++) {
    const int64_t b = i / n.hidden, unit = i % n.hidden;
    if (n.ends && t >= a.lengths.data[b]) continue;
    double u[4] = {}, x[4] = {};
    for (int64_t g = 0; g < n.gates(); g++) {
      const int64_t row = g * n.hidden + unit;
      u[g] = a.bias[row];
      for (int64_t k = 0; k < n.outputs; k++) {
        u[g] += a.w[row * n.outputs + k] * a.h0[b * n.outputs + k];
      }
      x[g] = a.gates[(t * n.batch + b) * n.gates() * n.hidden + row];
    }
    double h = std::tanh(x[0] + u[0]);
    if (n.cell == Cell::rnn_relu) h = std::max(x[0] + u[0], 0.0);
    if (n.cell == Cell::lstm) {
      const double c = squash(x[1] + u[1]) * a.c0[i] + squash(x[0] + u[0]) * std::tanh(x[2] + u[2]);
      h = squash(x[3] + u[3]) * std::tanh(c);
    } else if (n.cell == Cell::gru) {
      const double z = squash(x[1] + u[1]);
      h = (1 - z) * std::tanh(x[2] + squash(x[0] + u[0]) * u[2]) + z * a.h0[i];
    }
    check_near<double>("y", i, a.y[t * n.batch * n.hidden + i], h);
  }
}

void check_double(const Kind& n) {
  const Layer<double> a(n);
  a.forward();
  if (n.outputs == n.hidden) check_first_step(a);
  a.backward();
  for (int64_t i = 0; i < a.gates.size; i += a.gates.size / 9 + 1) {
    a.check_slope("dgates", a.gates, a.dgates, i);
  }
  for (int64_t i = 0; i < a.h0.size; i += a.h0.size / 3 + 1) {
    a.check_slope("dh0", a.h0, a.dh0, i);
    if (n.cell == Cell::lstm) a.check_slope("dc0", a.c0, a.dc0, i);
  }
}

template <class T>
void check_against_double(const Kind& n) {
  const Layer<T> a(n);
  const Layer<double> wide(n);
  a.forward();
  wide.forward();
  a.backward();
  wide.backward();
  const double scale = 8 * static_cast<double>(n.steps);
  for (int64_t i = 0; i < a.y.size; i++) check_near<T>("y", i, a.y[i], wide.y[i], scale);
  for (int64_t i = 0; i < a.dgates.size; i++) {
    check_near<T>("dgates", i, a.dgates[i], wide.dgates[i], scale);
  }
  for (int64_t i = 0; i < a.dh0.size; i++) check_near<T>("dh0", i, a.dh0[i], wide.dh0[i], scale);
}

constexpr Kind kKinds[] = {
    {Cell::rnn_tanh, 3, 3, 9, 9, true, false}, {Cell::rnn_relu, 2, 2, 5, 5, false, true},
    {Cell::lstm, 3, 3, 6, 6, true, true},      {Cell::lstm, 2, 4, 9, 5, true, false},
    {Cell::gru, 3, 4, 7, 7, true, true},       {Cell::gru, 2, 2, 10, 10, false, false},
};

}  // namespace

CASE(recurrent_slopes) {
  for (const Kind& n : kKinds) check_double(n);
}

CASE(recurrent_dtypes) {
  for (const int architecture : {75, 80, 90}) {
    sim::set_architecture(architecture);
    for (Kind n : kKinds) {
      check_against_double<float>(n);
      check_against_double<bf16>(n);
      n.batch = n.steps == 2 ? 1 : 34;  // more samples than a block has
      check_against_double<f16>(n);
    }
  }
  sim::set_architecture(80);
}

CASE(recurrent_whole_rows) {  // read where they lie
  const Kind n{Cell::lstm, 2, 3, 64, 64, false, false};
  for (const int architecture : {80, 90}) {
    sim::set_architecture(architecture);
    check_against_double<float>(n);
    check_against_double<bf16>(n);
  }
  sim::set_architecture(80);
}

CASE(recurrent_clusters) {  // two blocks in a cluster, two clusters
  sim::set_architecture(90);
  check_against_double<float>({Cell::lstm, 3, 18, 40, 40, true, true});
  check_against_double<f16>({Cell::gru, 4, 17, 36, 36, false, false});
  sim::set_architecture(80);
}
