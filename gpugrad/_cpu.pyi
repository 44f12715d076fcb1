"""Raw operations; csrc/ops.h documents each. Written by csrc/packaging/stubs.py."""

from gpugrad._cuda import ArrayLike
from gpugrad._cuda import adadelta_step as adadelta_step
from gpugrad._cuda import adagrad_step as adagrad_step
from gpugrad._cuda import adam_step as adam_step
from gpugrad._cuda import adamax_step as adamax_step
from gpugrad._cuda import attention as attention
from gpugrad._cuda import attention_grad as attention_grad
from gpugrad._cuda import attention_grad_workspace as attention_grad_workspace
from gpugrad._cuda import attention_workspace as attention_workspace
from gpugrad._cuda import avg_pool as avg_pool
from gpugrad._cuda import avg_pool_grad as avg_pool_grad
from gpugrad._cuda import batch_norm_apply as batch_norm_apply
from gpugrad._cuda import batch_norm_grad as batch_norm_grad
from gpugrad._cuda import batch_norm_grad_workspace as batch_norm_grad_workspace
from gpugrad._cuda import batch_norm_stats as batch_norm_stats
from gpugrad._cuda import batch_norm_stats_workspace as batch_norm_stats_workspace
from gpugrad._cuda import bernoulli as bernoulli
from gpugrad._cuda import binary as binary
from gpugrad._cuda import built_for as built_for
from gpugrad._cuda import conv_dgrad as conv_dgrad
from gpugrad._cuda import conv_dgrad_workspace as conv_dgrad_workspace
from gpugrad._cuda import conv_fprop as conv_fprop
from gpugrad._cuda import conv_fprop_workspace as conv_fprop_workspace
from gpugrad._cuda import conv_wgrad as conv_wgrad
from gpugrad._cuda import conv_wgrad_workspace as conv_wgrad_workspace
from gpugrad._cuda import copy as copy
from gpugrad._cuda import crop as crop
from gpugrad._cuda import cross_entropy as cross_entropy
from gpugrad._cuda import cross_entropy_grad as cross_entropy_grad
from gpugrad._cuda import dropout as dropout
from gpugrad._cuda import embedding as embedding
from gpugrad._cuda import embedding_bag as embedding_bag
from gpugrad._cuda import embedding_grad as embedding_grad
from gpugrad._cuda import embedding_grad_workspace as embedding_grad_workspace
from gpugrad._cuda import embedding_renorm as embedding_renorm
from gpugrad._cuda import embedding_renorm_workspace as embedding_renorm_workspace
from gpugrad._cuda import fold as fold
from gpugrad._cuda import gather as gather
from gpugrad._cuda import global_norm as global_norm
from gpugrad._cuda import global_norm_workspace as global_norm_workspace
from gpugrad._cuda import group_norm as group_norm
from gpugrad._cuda import group_norm_grad as group_norm_grad
from gpugrad._cuda import group_norm_grad_workspace as group_norm_grad_workspace
from gpugrad._cuda import layer_norm as layer_norm
from gpugrad._cuda import layer_norm_grad as layer_norm_grad
from gpugrad._cuda import layer_norm_grad_workspace as layer_norm_grad_workspace
from gpugrad._cuda import lion_step as lion_step
from gpugrad._cuda import max_pool as max_pool
from gpugrad._cuda import max_pool_grad as max_pool_grad
from gpugrad._cuda import nadam_step as nadam_step
from gpugrad._cuda import normal as normal
from gpugrad._cuda import permutation as permutation
from gpugrad._cuda import radam_step as radam_step
from gpugrad._cuda import recurrent as recurrent
from gpugrad._cuda import recurrent_grad as recurrent_grad
from gpugrad._cuda import recurrent_grad_workspace as recurrent_grad_workspace
from gpugrad._cuda import recurrent_workspace as recurrent_workspace
from gpugrad._cuda import reduce as reduce
from gpugrad._cuda import reduce_workspace as reduce_workspace
from gpugrad._cuda import resample as resample
from gpugrad._cuda import rmsprop_step as rmsprop_step
from gpugrad._cuda import rotary as rotary
from gpugrad._cuda import sample as sample
from gpugrad._cuda import sample_workspace as sample_workspace
from gpugrad._cuda import scale as scale
from gpugrad._cuda import scan as scan
from gpugrad._cuda import scatter as scatter
from gpugrad._cuda import scatter_workspace as scatter_workspace
from gpugrad._cuda import set_bfloat16 as set_bfloat16
from gpugrad._cuda import sgd_step as sgd_step
from gpugrad._cuda import softmax as softmax
from gpugrad._cuda import softmax_grad as softmax_grad
from gpugrad._cuda import sort as sort
from gpugrad._cuda import sort_workspace as sort_workspace
from gpugrad._cuda import unary as unary
from gpugrad._cuda import unfold as unfold
from gpugrad._cuda import uniform as uniform
from gpugrad._cuda import unscale as unscale
from gpugrad._cuda import update_scale as update_scale
from gpugrad._cuda import where as where

def int_product(stream: int, a: ArrayLike | None, b: ArrayLike | None, y: ArrayLike | None) -> None: ...
def keep_memory(limit: int) -> None: ...
def kept_memory() -> int: ...
def memory_counts() -> list[int]: ...
def own_numpy_memory() -> None: ...
def reset_memory_peaks() -> None: ...
def sum_of(stream: int, f: str, x: ArrayLike | None, centre: ArrayLike | None, y: ArrayLike | None, workspace: ArrayLike | None) -> None: ...
def sum_of_workspace(x: ArrayLike | None, y: ArrayLike | None) -> int: ...
def usable_cpus(cgroup: str = '/sys/fs/cgroup', groups: str = '/proc/self/cgroup') -> int: ...
