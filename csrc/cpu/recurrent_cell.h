// The gates of recurrent cells, a row of hidden units at a time, on vectors as wide as the machine
// has them (wide.h). ops/text.h has the formulas.
#pragma once

#include <cstdint>

#include "core/functors.h"

namespace gg {

/// Gates of one row that are being formed. Parts of `a` are `pitch` apart; `pitch` is a multiple of
/// kCellLanes, and functions run over whole vectors.
template <class A>
struct CellRow {
  A* a;  ///< in: the sums (gru: r, z, gates' n, u's n); out: what is saved, in its order
  A* h;  ///< out: h before a projection; in (gru): h of the step before
  A* c;  ///< in, out: the cell state (lstm)
  int64_t pitch;
};

constexpr int64_t kCellLanes = 16;

/// h (and c) of one row, from the sums of its gates.
template <class A>
using CellStep = void (*)(const CellRow<A>& row);

template <class A>
CellStep<A> cell_step(Cell cell);

/// Gradients of one row of n units.
template <class A>
struct CellGradRow {
  const A* saved;  ///< [parts][n]
  const A* y;      ///< h of this step (rnn)
  const A* h;      ///< h of the step before (gru)
  const A* c;      ///< c of the step before (lstm)
  A* dh;           ///< in: the whole gradient of h; out (gru): the part that goes past w
  A* dc;           ///< in, out (lstm)
  A* dgates;       ///< [gates][n]
  A* dinner;       ///< [gates][n] (gru)
  A* squashed;     ///< room for n units in whole vectors (lstm)
  int64_t n;
};

template <class A>
using CellGradStep = void (*)(const CellGradRow<A>& row);

template <class A>
CellGradStep<A> cell_grad_step(Cell cell);

}  // namespace gg
