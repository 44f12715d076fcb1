// Adagrad, Adadelta, Adamax, NAdam, RAdam and Lion steps: optim_step.cuh.
//
// One kernel for the six, told apart at run time (core/optim_adaptive.h), and one capacity of the
// table: four instantiations in all.
//
// Bytes for float32: Adagrad and Lion 20 an element, the others 28. Bound: bandwidth.
// Reached: not measured.
#include "kernels/optim_step.cuh"

namespace gg {
namespace {

void step(Stream stream, const StepLists& lists, const AdaptiveOptions& options) {
  optimizer_launch<kLongList>(stream, lists, {mask_of(options.kind)}, options);
}

}  // namespace

void adagrad_step(Stream stream, const Arrays& params, const Arrays& grads, const Arrays& sum,
                  const Array& hyper, const Array& ticket, double lr_decay, double eps,
                  double weight_decay, bool maximize) {
  step(stream, {"adagrad_step", params, grads, {&sum}, {"sum"}, hyper, ticket},
       {Adaptive::adagrad, 0, 0, eps, weight_decay, lr_decay, false, maximize});
}

void adadelta_step(Stream stream, const Arrays& params, const Arrays& grads, const Arrays& v,
                   const Arrays& u, const Array& hyper, const Array& ticket, double rho, double eps,
                   double weight_decay, bool maximize) {
  step(stream, {"adadelta_step", params, grads, {&v, &u}, {"v", "u"}, hyper, ticket},
       {Adaptive::adadelta, 0, rho, eps, weight_decay, 0, false, maximize});
}

void adamax_step(Stream stream, const Arrays& params, const Arrays& grads, const Arrays& m,
                 const Arrays& u, const Array& hyper, const Array& ticket, double beta1,
                 double beta2, double eps, double weight_decay, bool maximize) {
  step(stream, {"adamax_step", params, grads, {&m, &u}, {"m", "u"}, hyper, ticket},
       {Adaptive::adamax, beta1, beta2, eps, weight_decay, 0, false, maximize});
}

void nadam_step(Stream stream, const Arrays& params, const Arrays& grads, const Arrays& m,
                const Arrays& v, const Array& hyper, const Array& ticket, double beta1,
                double beta2, double eps, double weight_decay, double momentum_decay,
                bool decoupled, bool maximize) {
  step(stream, {"nadam_step", params, grads, {&m, &v}, {"m", "v"}, hyper, ticket, 3},
       {Adaptive::nadam, beta1, beta2, eps, weight_decay, momentum_decay, decoupled, maximize});
}

void radam_step(Stream stream, const Arrays& params, const Arrays& grads, const Arrays& m,
                const Arrays& v, const Array& hyper, const Array& ticket, double beta1,
                double beta2, double eps, double weight_decay, bool decoupled, bool maximize) {
  step(stream, {"radam_step", params, grads, {&m, &v}, {"m", "v"}, hyper, ticket},
       {Adaptive::radam, beta1, beta2, eps, weight_decay, 0, decoupled, maximize});
}

void lion_step(Stream stream, const Arrays& params, const Arrays& grads, const Arrays& m,
               const Array& hyper, const Array& ticket, double beta1, double beta2,
               double weight_decay, bool maximize) {
  step(stream, {"lion_step", params, grads, {&m}, {"m"}, hyper, ticket},
       {Adaptive::lion, beta1, beta2, 0, weight_decay, 0, true, maximize});
}

}  // namespace gg
