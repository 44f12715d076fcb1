// SGD, Adam and RMSprop steps: optim_step.cuh.
//
// Bytes for float32: SGD 12 an element, with momentum 20; Adam 28, AMSGrad 36; RMSprop 20 to 36.
// Bound: bandwidth.  Reached: not measured.
#include "kernels/optim_step.cuh"

namespace gg {

void sgd_step(Stream stream, const Arrays& params, const Arrays& grads, const Arrays& momenta,
              const Array& hyper, const Array& ticket, double momentum, double dampening,
              double weight_decay, bool nesterov, bool maximize) {
  optimizer_launch<kShortList>(
      stream, {"sgd_step", params, grads, {&momenta}, {"momenta"}, hyper, ticket}, {0, 1},
      SgdOptions{momentum, dampening, weight_decay, nesterov, maximize});
}

void adam_step(Stream stream, const Arrays& params, const Arrays& grads, const Arrays& m,
               const Arrays& v, const Arrays& vmax, const Array& hyper, const Array& ticket,
               double beta1, double beta2, double eps, double weight_decay, bool decoupled,
               bool maximize) {
  optimizer_launch<kShortList>(
      stream, {"adam_step", params, grads, {&m, &v, &vmax}, {"m", "v", "vmax"}, hyper, ticket},
      {3, 7}, AdamOptions{beta1, beta2, eps, weight_decay, decoupled, maximize});
}

void rmsprop_step(Stream stream, const Arrays& params, const Arrays& grads, const Arrays& v,
                  const Arrays& avg, const Arrays& buf, const Array& hyper, const Array& ticket,
                  double alpha, double eps, double weight_decay, double momentum, bool maximize) {
  optimizer_launch<kLongList>(
      stream, {"rmsprop_step", params, grads, {&v, &avg, &buf}, {"v", "avg", "buf"}, hyper, ticket},
      {1, 3, 5, 7}, RmspropOptions{alpha, eps, weight_decay, momentum, maximize});
}

}  // namespace gg
