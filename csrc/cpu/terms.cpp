#include "cpu/terms.h"

#include "cpu/exp.h"
#include "cpu/wide.h"

namespace gg {
namespace {

/// Plain loops, so that they are compiled twice (wide.h).
template <Unary f, class T>
[[gnu::always_inline]] inline T term(T x) {
  if constexpr (f == Unary::square) return x * x;
  return fast_exp(x);
}

template <Unary f, class T>
[[gnu::always_inline]] inline void terms(const T* x, const T* centre, int64_t across, T* y,
                                         int64_t n) {
  if (across == 0) {
    const T c = *centre;
#pragma GCC ivdep
    for (int64_t i = 0; i < n; i++) y[i] = term<f>(x[i] - c);
  } else {
#pragma GCC ivdep
    for (int64_t i = 0; i < n; i++) y[i] = term<f>(x[i] - centre[i]);
  }
}

template <Unary f, class T>
void terms_narrow(const T* x, const T* centre, int64_t across, T* y, int64_t n) {
  terms<f>(x, centre, across, y, n);
}

template <Unary f, class T>
GG_WIDE void terms_wide(const T* x, const T* centre, int64_t across, T* y, int64_t n) {
  terms<f>(x, centre, across, y, n);
}

}  // namespace

template <class T>
TermsOf<T> terms_of(Unary f) {
  static const bool wide = machine_is_wide();
  if (f == Unary::square) return terms_narrow<Unary::square, T>;
  if (f != Unary::exp) return nullptr;
  return wide ? terms_wide<Unary::exp, T> : terms_narrow<Unary::exp, T>;
}

template TermsOf<float> terms_of<float>(Unary f);
template TermsOf<double> terms_of<double>(Unary f);

}  // namespace gg
