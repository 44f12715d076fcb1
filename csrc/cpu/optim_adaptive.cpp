// Adagrad, Adadelta, Adamax, NAdam, RAdam and Lion steps: cpu/optim_step.h.
#include "core/optim_adaptive.h"

#include "cpu/optim_step.h"

namespace gg {
namespace {

template <Adaptive Kind>
void step(const StepLists& lists, const AdaptiveOptions& options) {
  step<mask_of(Kind)>(lists, FixedOptions<Kind>{options});
}

}  // namespace

void adagrad_step(Stream, const Arrays& params, const Arrays& grads, const Arrays& sum,
                  const Array& hyper, const Array& ticket, double lr_decay, double eps,
                  double weight_decay, bool maximize) {
  step<Adaptive::adagrad>({"adagrad_step", params, grads, {&sum}, {"sum"}, hyper, ticket},
                          {Adaptive::adagrad, 0, 0, eps, weight_decay, lr_decay, false, maximize});
}

void adadelta_step(Stream, const Arrays& params, const Arrays& grads, const Arrays& v,
                   const Arrays& u, const Array& hyper, const Array& ticket, double rho, double eps,
                   double weight_decay, bool maximize) {
  step<Adaptive::adadelta>({"adadelta_step", params, grads, {&v, &u}, {"v", "u"}, hyper, ticket},
                           {Adaptive::adadelta, 0, rho, eps, weight_decay, 0, false, maximize});
}

void adamax_step(Stream, const Arrays& params, const Arrays& grads, const Arrays& m,
                 const Arrays& u, const Array& hyper, const Array& ticket, double beta1,
                 double beta2, double eps, double weight_decay, bool maximize) {
  step<Adaptive::adamax>({"adamax_step", params, grads, {&m, &u}, {"m", "u"}, hyper, ticket},
                         {Adaptive::adamax, beta1, beta2, eps, weight_decay, 0, false, maximize});
}

void nadam_step(Stream, const Arrays& params, const Arrays& grads, const Arrays& m, const Arrays& v,
                const Array& hyper, const Array& ticket, double beta1, double beta2, double eps,
                double weight_decay, double momentum_decay, bool decoupled, bool maximize) {
  step<Adaptive::nadam>(
      {"nadam_step", params, grads, {&m, &v}, {"m", "v"}, hyper, ticket, 3},
      {Adaptive::nadam, beta1, beta2, eps, weight_decay, momentum_decay, decoupled, maximize});
}

void radam_step(Stream, const Arrays& params, const Arrays& grads, const Arrays& m, const Arrays& v,
                const Array& hyper, const Array& ticket, double beta1, double beta2, double eps,
                double weight_decay, bool decoupled, bool maximize) {
  step<Adaptive::radam>({"radam_step", params, grads, {&m, &v}, {"m", "v"}, hyper, ticket},
                        {Adaptive::radam, beta1, beta2, eps, weight_decay, 0, decoupled, maximize});
}

void lion_step(Stream, const Arrays& params, const Arrays& grads, const Arrays& m,
               const Array& hyper, const Array& ticket, double beta1, double beta2,
               double weight_decay, bool maximize) {
  step<Adaptive::lion>({"lion_step", params, grads, {&m}, {"m"}, hyper, ticket},
                       {Adaptive::lion, beta1, beta2, 0, weight_decay, 0, true, maximize});
}

}  // namespace gg
