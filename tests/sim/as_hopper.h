// Cases that run kernels of sm_90a where others run those of another architecture.
#pragma once

#include "check.h"

namespace gg {

/// An H100 for as long as this lives.
struct Hopper {
  int before = sim::architecture();
  Hopper() { sim::set_architecture(90); }
  ~Hopper() { sim::set_architecture(before); }
};

/// f in each of the ways in which TMA and wgmma may complete, in the order of the command line.
template <class F>
void in_every_async_mode(F f) {
  const Hopper hopper;
  for (const char* mode : {"eager", "lazy", "random"}) {
    sim::set_schedule(nullptr, mode, 7, 1);
    f();
  }
}

}  // namespace gg
