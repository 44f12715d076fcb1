"""Raw operations; csrc/ops.h documents each. Written by csrc/packaging/stubs.py."""

from gpugrad._cuda import adam_step as adam_step
from gpugrad._cuda import bernoulli as bernoulli
from gpugrad._cuda import binary as binary
from gpugrad._cuda import built_for as built_for
from gpugrad._cuda import cross_entropy as cross_entropy
from gpugrad._cuda import cross_entropy_grad as cross_entropy_grad
from gpugrad._cuda import dropout as dropout
from gpugrad._cuda import global_norm as global_norm
from gpugrad._cuda import global_norm_workspace as global_norm_workspace
from gpugrad._cuda import normal as normal
from gpugrad._cuda import permutation as permutation
from gpugrad._cuda import rmsprop_step as rmsprop_step
from gpugrad._cuda import scale as scale
from gpugrad._cuda import scatter as scatter
from gpugrad._cuda import scatter_workspace as scatter_workspace
from gpugrad._cuda import set_bfloat16 as set_bfloat16
from gpugrad._cuda import sgd_step as sgd_step
from gpugrad._cuda import softmax as softmax
from gpugrad._cuda import softmax_grad as softmax_grad
from gpugrad._cuda import unary as unary
from gpugrad._cuda import uniform as uniform
