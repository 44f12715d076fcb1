// recurrent_cell.h: each loop for the module's instructions and for AVX-512.
#include "cpu/recurrent_cell.h"

#include <algorithm>

#include "cpu/exp_forms.h"
#include "cpu/wide.h"

namespace gg {
namespace {

#define GG_LOOP [[gnu::always_inline]] inline

template <class A>
GG_LOOP void sigmoids(A* a, int64_t n) {
  for (int64_t j = 0; j < n; j++) a[j] = fast_sigmoid(a[j]);
}
template <class A>
GG_LOOP void tanhs(A* a, int64_t n) {
  for (int64_t j = 0; j < n; j++) a[j] = fast_tanh(a[j]);
}

// No row of these shares memory with another: what GCC ivdep says.

struct RnnTanh {
  template <class A>
  GG_LOOP static void step(const CellRow<A>& row) {
    std::copy_n(row.a, row.pitch, row.h);
    tanhs(row.h, row.pitch);
  }
  template <class A>
  GG_LOOP static void grad(const CellGradRow<A>& row) {
    const A *const y = row.y, *const dh = row.dh;
    A* const da = row.dgates;
#pragma GCC ivdep
    for (int64_t j = 0; j < row.n; j++) da[j] = dh[j] * (1 - y[j] * y[j]);
  }
};

struct RnnRelu {
  template <class A>
  GG_LOOP static void step(const CellRow<A>& row) {
    const A* const a = row.a;
    A* const h = row.h;
#pragma GCC ivdep
    for (int64_t j = 0; j < row.pitch; j++) h[j] = a[j] <= 0 ? A(0) : a[j];  // NaN stays
  }
  template <class A>
  GG_LOOP static void grad(const CellGradRow<A>& row) {
    const A *const y = row.y, *const dh = row.dh;
    A* const da = row.dgates;
#pragma GCC ivdep
    for (int64_t j = 0; j < row.n; j++) da[j] = dh[j] * (y[j] > 0 ? A(1) : A(0));
  }
};

struct Lstm {
  template <class A>
  GG_LOOP static void step(const CellRow<A>& row) {
    const int64_t n = row.pitch;
    A *const i = row.a, *const f = i + n, *const g = f + n, *const o = g + n, *const kept = o + n;
    A *const c = row.c, *const h = row.h;
    sigmoids(i, 2 * n);
    tanhs(g, n);
    sigmoids(o, n);
#pragma GCC ivdep
    for (int64_t j = 0; j < n; j++) {
      const A now = f[j] * c[j] + i[j] * g[j];
      c[j] = now;
      kept[j] = now;
      h[j] = o[j] * fast_tanh(now);
    }
  }
  template <class A>
  GG_LOOP static void grad(const CellGradRow<A>& row) {
    const int64_t n = row.n;
    const A *const is = row.saved, *const fs = is + n, *const gs = fs + n, *const os = gs + n;
    const A *const before = row.c, *const dhs = row.dh, *const squashed = row.squashed;
    A *const dcs = row.dc, *const di = row.dgates, *const df = di + n, *const dg = df + n;
    A* const d_o = dg + n;
    std::copy_n(os + n, n, row.squashed);
    tanhs(row.squashed, (n + kCellLanes - 1) / kCellLanes * kCellLanes);
#pragma GCC ivdep
    for (int64_t j = 0; j < n; j++) {
      const A i = is[j], f = fs[j], g = gs[j], o = os[j], s = squashed[j], dh = dhs[j];
      const A dc = dcs[j] + dh * o * (1 - s * s);
      di[j] = dc * g * i * (1 - i);
      df[j] = dc * before[j] * f * (1 - f);
      dg[j] = dc * i * (1 - g * g);
      d_o[j] = dh * s * o * (1 - o);
      dcs[j] = dc * f;
    }
  }
};

struct Gru {
  template <class A>
  GG_LOOP static void step(const CellRow<A>& row) {
    const int64_t n = row.pitch;
    A *const r = row.a, *const z = r + n, *const ns = z + n, *const u = ns + n, *const h = row.h;
    sigmoids(r, 2 * n);
#pragma GCC ivdep
    for (int64_t j = 0; j < n; j++) {
      const A now = fast_tanh(ns[j] + r[j] * u[j]);
      ns[j] = now;
      h[j] = (1 - z[j]) * now + z[j] * h[j];
    }
  }
  template <class A>
  GG_LOOP static void grad(const CellGradRow<A>& row) {
    const int64_t count = row.n;
    const A *const rs = row.saved, *const zs = rs + count, *const ns = zs + count;
    const A *const us = ns + count, *const before = row.h;
    A *const dhs = row.dh, *const da = row.dgates, *const du = row.dinner;
#pragma GCC ivdep
    for (int64_t j = 0; j < count; j++) {
      const A r = rs[j], z = zs[j], n = ns[j], dh = dhs[j];
      const A dn = dh * (1 - z) * (1 - n * n);
      const A dz = dh * (before[j] - n) * z * (1 - z), dr = dn * us[j] * r * (1 - r);
      da[j] = dr, da[count + j] = dz, da[2 * count + j] = dn;
      du[j] = dr, du[count + j] = dz, du[2 * count + j] = dn * r;
      dhs[j] = dh * z;
    }
  }
};

#undef GG_LOOP

template <class C, class A>
void step(const CellRow<A>& row) {
  C::step(row);
}
template <class C, class A>
GG_WIDE void wide_step(const CellRow<A>& row) {
  C::step(row);
}
template <class C, class A>
void grad(const CellGradRow<A>& row) {
  C::grad(row);
}
template <class C, class A>
GG_WIDE void wide_grad(const CellGradRow<A>& row) {
  C::grad(row);
}

/// use(the class of the cell)
template <class F>
auto with_cell(Cell cell, F use) {
  if (cell == Cell::lstm) return use(Lstm{});
  if (cell == Cell::gru) return use(Gru{});
  return cell == Cell::rnn_tanh ? use(RnnTanh{}) : use(RnnRelu{});
}

}  // namespace

template <class A>
CellStep<A> cell_step(Cell cell) {
  return with_cell(cell, []<class C>(C) -> CellStep<A> {
    return machine_is_wide() ? wide_step<C, A> : step<C, A>;
  });
}

template <class A>
CellGradStep<A> cell_grad_step(Cell cell) {
  return with_cell(cell, []<class C>(C) -> CellGradStep<A> {
    return machine_is_wide() ? wide_grad<C, A> : grad<C, A>;
  });
}

template CellStep<float> cell_step<float>(Cell);
template CellStep<double> cell_step<double>(Cell);
template CellGradStep<float> cell_grad_step<float>(Cell);
template CellGradStep<double> cell_grad_step<double>(Cell);

}  // namespace gg
