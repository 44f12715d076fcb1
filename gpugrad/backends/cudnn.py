"""What PyTorch programs set: `torch.backends.cudnn.benchmark = True` and its kin.

There is no cuDNN here. The names can be read and set, as in `gpugrad.backends.cudnn.deterministic =
True`, and change nothing: kernels are chosen by shape and are deterministic.
"""

enabled = True
benchmark = False
deterministic = True
allow_tf32 = False  # see gpugrad.set_matmul_precision


def is_available() -> bool:
    """False: convolutions, norms and recurrent layers run on gpugrad's own kernels."""
    return False


def version() -> None:
    """None: there is no cuDNN."""
