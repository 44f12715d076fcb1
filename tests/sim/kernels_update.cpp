// Random numbers and optimizers on small shapes: properties of the draws, steps against plain
// loops.

#include "host_array.h"

using namespace gg;

// ---- random numbers ----------------------------------------------------------------------------

static Host<int64_t> random_state() {
  return Host<int64_t>({2}, [](int64_t i) { return i == 0 ? 1234 : 5; });
}

template <class T>
static void check_uniform(double low, double high) {
  const Host<int64_t> state = random_state();
  const Host<T> y({4099}), again({4099});
  uniform(nullptr, state, 3, low, high, y);
  uniform(nullptr, state, 3, low, high, again);
  double mean = 0;
  for (int64_t i = 0; i < y.size; i++) {
    CHECK(y[i] >= low && y[i] < high);
    CHECK_EQ(y[i], again[i]);
    mean += y[i] / static_cast<double>(y.size);
  }
  CHECK(std::fabs(mean - (low + high) / 2) < 0.03 * (high - low) + 0.5 * std::is_integral_v<T>);
}

CASE(uniform_numbers) {
  check_uniform<float>(-1, 3);
  check_uniform<double>(0, 1);
  check_uniform<f16>(0, 1);
  check_uniform<bf16>(0, 2);
  check_uniform<int64_t>(-5, 100);
}

template <class T>
static void check_normal() {
  const Host<T> y({5001});
  normal(nullptr, random_state(), 7, 2, 3, y);
  double sum = 0, squares = 0;
  for (int64_t i = 0; i < y.size; i++) sum += y[i], squares += (y[i] - 2) * (y[i] - 2);
  CHECK(std::fabs(sum / 5001 - 2) < 0.2);
  CHECK(std::fabs(squares / 5001 - 9) < 0.9);
}

CASE(normal_numbers) {
  check_normal<float>();
  check_normal<double>();
  check_normal<bf16>();
}

CASE(bernoulli_and_dropout) {
  const Host<int64_t> state = random_state();
  const Host<float> y({6007}), x({6007}, [](int64_t) { return 2; }), z({6007});
  bernoulli(nullptr, state, 1, number(0.3), y);
  dropout(nullptr, state, 2, 0.25, x, z);
  double ones = 0, kept = 0;
  for (int64_t i = 0; i < y.size; i++) {
    CHECK(y[i] == 0 || y[i] == 1);
    CHECK(z[i] == 0 || std::fabs(z[i] - 2 / 0.75) < 1e-6);
    ones += y[i];
    kept += z[i] != 0;
  }
  CHECK(std::fabs(ones / 6007 - 0.3) < 0.03);
  CHECK(std::fabs(kept / 6007 - 0.75) < 0.03);
}

CASE(permutations) {
  for (int64_t n : {0, 1, 2, 5, 64, 1000}) {
    const Host<int64_t> y({n});
    permutation(nullptr, random_state(), 9, y);
    std::vector<bool> seen(n);
    for (int64_t i = 0; i < n; i++) {
      CHECK(y.data[i] >= 0 && y.data[i] < n && !seen[y.data[i]]);
      seen[y.data[i]] = true;
    }
  }
}

// ---- optimizers --------------------------------------------------------------------------------

/// A list of arrays of different sizes, and the same numbers in double beside it.
template <class T>
struct List {
  std::vector<Host<T>> hosts;
  std::vector<std::vector<double>> values;

  List(int64_t from, double scale) {
    for (int64_t n : {1, 1030, 0, 77}) {
      hosts.push_back(Host<T>({n}, [=](int64_t i) { return scale * noise(i + from); }));
      std::vector<double> v(n);
      for (int64_t i = 0; i < n; i++) v[i] = hosts.back()[i];
      values.push_back(v);
    }
  }
  Arrays arrays() const { return Arrays(hosts.begin(), hosts.end()); }

  template <class F>
  void each(F f) {
    for (size_t a = 0; a < values.size(); a++) {
      for (size_t i = 0; i < values[a].size(); i++) f(a, i);
    }
  }
  void check(const char* name) {
    each([&](size_t a, size_t i) {
      check_near<T>(name, static_cast<int64_t>(i), hosts[a][static_cast<int64_t>(i)], values[a][i]);
    });
  }
};

/// {learning rate, steps done, a product}; how many of them.
struct Hyper {
  explicit Hyper(int64_t numbers = 2)
      : hyper({numbers}, [](int64_t i) { return i == 0   ? 0.1
                                                : i == 1 ? 0.0
                                                         : 1.0; }) {}

  Host<double> hyper;
  Host<int32_t> ticket{{1}};

  void check_step(int steps) const {
    CHECK_EQ(hyper[1], steps);
    CHECK_EQ(ticket[0], 0);
  }
};

CASE(sgd_steps) {
  List<float> p(0, 1), g(100, 1), m(0, 0);
  const Hyper h;
  for (int t = 1; t <= 3; t++) {
    sgd_step(nullptr, p.arrays(), g.arrays(), m.arrays(), h.hyper, h.ticket, 0.9, 0.1, 0.01, true,
             false);
    p.each([&](size_t a, size_t i) {
      const double grad = g.values[a][i] + 0.01 * p.values[a][i];
      double& buffer = m.values[a][i];
      buffer = t == 1 ? grad : 0.9 * buffer + 0.9 * grad;
      p.values[a][i] -= 0.1 * (grad + 0.9 * buffer);
    });
    p.check("p");
    m.check("momentum");
    h.check_step(t);
  }
}

template <class T>
static void check_adam() {
  List<T> p(0, 1), g(100, 1);
  List<Acc<T>> m(0, 0), v(0, 0), vmax(0, 0);
  const Hyper h;
  for (int t = 1; t <= 3; t++) {
    adam_step(nullptr, p.arrays(), g.arrays(), m.arrays(), v.arrays(), vmax.arrays(), h.hyper,
              h.ticket, 0.9, 0.99, 1e-4, 0.02, true, false);
    p.each([&](size_t a, size_t i) {
      const double grad = g.values[a][i];
      double &mi = m.values[a][i], &vi = v.values[a][i], &top = vmax.values[a][i];
      mi = 0.9 * mi + 0.1 * grad;
      vi = 0.99 * vi + 0.01 * grad * grad;
      top = std::max(top, vi);
      const double vhat = top / (1 - std::pow(0.99, t)), mhat = mi / (1 - std::pow(0.9, t));
      p.values[a][i] *= 1 - 0.1 * 0.02;
      p.values[a][i] -= 0.1 * mhat / (std::sqrt(vhat) + 1e-4);
    });
    m.check("m");
    v.check("v");
    h.check_step(t);
  }
  p.check("p");
}

CASE(adam_steps) {
  check_adam<float>();
  check_adam<double>();
}

CASE(rmsprop_steps) {
  List<float> p(0, 1), g(100, 1), v(0, 0), average(0, 0), buffer(0, 0);
  const Hyper h;
  for (int t = 1; t <= 2; t++) {
    rmsprop_step(nullptr, p.arrays(), g.arrays(), v.arrays(), average.arrays(), buffer.arrays(),
                 h.hyper, h.ticket, 0.9, 0.1, 0, 0.5, false);
    p.each([&](size_t a, size_t i) {
      const double grad = g.values[a][i];
      double &vi = v.values[a][i], &avg = average.values[a][i], &b = buffer.values[a][i];
      vi = 0.9 * vi + 0.1 * grad * grad;
      avg = 0.9 * avg + 0.1 * grad;
      b = 0.5 * b + grad / (std::sqrt(vi - avg * avg) + 0.1);
      p.values[a][i] -= 0.1 * b;
    });
    h.check_step(t);
  }
  p.check("p");
}

/// Three steps with two state buffers beside formula(t, g, p, a, b), where g has its weight decay.
template <class T, class Step, class Formula>
static void check_adaptive(double decay, Step step, Formula formula, int64_t numbers = 2) {
  List<T> p(0, 1), g(100, 1);
  List<Acc<T>> a(0, 0), b(0, 0);
  const Hyper h(numbers);
  for (int t = 1; t <= 3; t++) {
    step(p.arrays(), g.arrays(), a.arrays(), b.arrays(), h);
    p.each([&](size_t k, size_t i) {
      double& x = p.values[k][i];
      formula(t, g.values[k][i] + decay * x, x, a.values[k][i], b.values[k][i]);
    });
    a.check("first state");
    b.check("second state");
    h.check_step(t);
  }
  p.check("p");
}

CASE(adagrad_and_lion_steps) {
  check_adaptive<float>(
      0.1,
      [](Arrays p, Arrays g, Arrays a, Arrays, const Hyper& h) {
        adagrad_step(nullptr, p, g, a, h.hyper, h.ticket, 0.5, 0.1, 0.1, false);
      },
      [](int t, double g, double& p, double& sum, double&) {
        sum += g * g;
        p -= 0.1 / (1 + (t - 1) * 0.5) * g / (std::sqrt(sum) + 0.1);
      });
  check_adaptive<double>(
      0,
      [](Arrays p, Arrays g, Arrays a, Arrays, const Hyper& h) {
        lion_step(nullptr, p, g, a, h.hyper, h.ticket, 0.9, 0.99, 0.1, false);
      },
      [](int, double g, double& p, double& m, double&) {
        const double d = 0.9 * m + 0.1 * g;
        p -= 0.1 * 0.1 * p;
        p -= 0.1 * (d > 0 ? 1 : d < 0 ? -1 : 0);
        m = 0.99 * m + 0.01 * g;
      });
}

CASE(adadelta_and_adamax_steps) {
  check_adaptive<float>(
      0.1,
      [](Arrays p, Arrays g, Arrays a, Arrays b, const Hyper& h) {
        adadelta_step(nullptr, p, g, a, b, h.hyper, h.ticket, 0.9, 0.1, 0.1, false);
      },
      [](int, double g, double& p, double& v, double& u) {
        v = 0.9 * v + 0.1 * g * g;
        const double d = std::sqrt(u + 0.1) / std::sqrt(v + 0.1) * g;
        u = 0.9 * u + 0.1 * d * d;
        p -= 0.1 * d;
      });
  check_adaptive<double>(
      0.1,
      [](Arrays p, Arrays g, Arrays a, Arrays b, const Hyper& h) {
        adamax_step(nullptr, p, g, a, b, h.hyper, h.ticket, 0.9, 0.99, 0.1, 0.1, false);
      },
      [](int t, double g, double& p, double& m, double& u) {
        m = 0.9 * m + 0.1 * g;
        u = std::max(0.99 * u, std::fabs(g) + 0.1);
        p -= 0.1 / (1 - std::pow(0.9, t)) * m / u;
      });
}

CASE(nadam_and_radam_steps) {
  double product = 1;
  const auto mu = [](int t) { return 0.9 * (1 - 0.5 * std::pow(0.96, t * 0.3)); };
  int last = 0;
  check_adaptive<float>(
      0.1,
      [](Arrays p, Arrays g, Arrays a, Arrays b, const Hyper& h) {
        nadam_step(nullptr, p, g, a, b, h.hyper, h.ticket, 0.9, 0.99, 0.1, 0.1, 0.3, false, false);
      },
      [&](int t, double g, double& p, double& m, double& v) {
        if (t != last) product *= mu(last = t);
        m = 0.9 * m + 0.1 * g;
        v = 0.99 * v + 0.01 * g * g;
        const double root = std::sqrt(v / (1 - std::pow(0.99, t))) + 0.1;
        p -= 0.1 * ((1 - mu(t)) / (1 - product) * g + mu(t + 1) / (1 - product * mu(t + 1)) * m) /
             root;
      },
      3);
  check_adaptive<double>(
      0.1,
      [](Arrays p, Arrays g, Arrays a, Arrays b, const Hyper& h) {
        radam_step(nullptr, p, g, a, b, h.hyper, h.ticket, 0.9, 0.99, 0.1, 0.1, false, false);
      },
      [](int t, double g, double& p, double& m, double& v) {
        m = 0.9 * m + 0.1 * g;
        v = 0.99 * v + 0.01 * g * g;
        p -= 0.1 * m / (1 - std::pow(0.9, t));
      });
}

CASE(norm_and_scale) {
  for (double order : {1.0, 2.0, 3.0, static_cast<double>(INFINITY)}) {
    List<float> x(0, 1);
    double sum = 0, top = 0;
    x.each([&](size_t a, size_t i) {
      const double v = std::fabs(x.values[a][i]);
      sum += std::isinf(order) ? 0 : std::pow(v, order);
      top = std::max(top, v);
    });
    const Host<float> norm({1}), factor({1}, [](int64_t) { return 0.5; });
    global_norm(nullptr, x.arrays(), order, norm, workspace(global_norm_workspace(x.arrays())));
    check_near<float>("norm", 0, norm[0], std::isinf(order) ? top : std::pow(sum, 1 / order));
    scale(nullptr, x.arrays(), factor);
    x.each([&](size_t a, size_t i) { x.values[a][i] *= 0.5; });
    x.check("scaled");
  }
}
