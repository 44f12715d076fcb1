"""Sequences of several lengths as one batch: padded, or packed for the recurrent layers.

Packed, the first steps of all samples come first, then the second steps of those that have one, and
so on: samples stand in falling order of length, and nothing is stored for what is not there.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np

from ... import ops
from ...creation import tensor
from ...dtype import int64
from ...errors import ArgumentError, DTypeError, ShapeError
from ...ops.operands import check_tensor
from ...ops.packing import Pack, Pad, steps
from ...tensor import Tensor


class _Packed(NamedTuple):
    data: Tensor
    batch_sizes: Tensor
    sorted_indices: Tensor | None
    unsorted_indices: Tensor | None


class PackedSequence(_Packed):
    """Rows of several sequences, step by step; made by `pack_padded_sequence`, `pack_sequence`.

    data [rows, ...]; batch_sizes: int64 on the CPU, how many samples have each step, falling;
    sorted_indices: which sample of the batch stands at each place, unsorted_indices: its inverse
    (both None: the batch was in order).
    """

    __slots__ = ()

    def __new__(
        cls,
        data: Any,
        batch_sizes: Tensor | None = None,
        sorted_indices: Tensor | None = None,
        unsorted_indices: Tensor | None = None,
    ) -> PackedSequence:
        if batch_sizes is None:
            data, batch_sizes = data
        assert batch_sizes is not None
        if batch_sizes.device.type != "cpu":
            raise ArgumentError(
                f"PackedSequence: batch_sizes belong on the cpu; they are on {batch_sizes.device}."
            )
        if unsorted_indices is None:
            unsorted_indices = invert_permutation(sorted_indices)
        return super().__new__(cls, data, batch_sizes, sorted_indices, unsorted_indices)

    def to(self, *args: Any, **kwargs: Any) -> PackedSequence:
        """With `data` converted as by ``Tensor.to``; the indices go to its device."""
        data = self.data.to(*args, **kwargs)
        if data is self.data:
            return self
        indices = [i if i is None else i.to(data.device) for i in self[2:]]
        return PackedSequence(data, self.batch_sizes, *indices)

    def cpu(self) -> PackedSequence:
        """`to("cpu")`."""
        return self.to("cpu")

    def cuda(self, device: Any = None) -> PackedSequence:
        """`to("cuda")`, or the GPU of that number."""
        return self.to(f"cuda:{device}" if isinstance(device, int) else device or "cuda")

    def half(self) -> PackedSequence:
        """`to(float16)`."""
        return self.to(np.float16)

    def float(self) -> PackedSequence:
        """`to(float32)`."""
        return self.to(np.float32)

    def double(self) -> PackedSequence:
        """`to(float64)`."""
        return self.to(np.float64)

    @property
    def is_cuda(self) -> bool:
        """True where the data is on a GPU."""
        return self.data.is_cuda


def invert_permutation(permutation: Tensor | None) -> Tensor | None:
    """The permutation that undoes another; None for None."""
    if permutation is None:
        return None
    order = np.argsort(permutation.cpu().numpy())
    return tensor(order.astype(np.int64), device=permutation.device)


def _lengths(name: str, lengths: Any, batch: int, longest: int) -> np.ndarray[Any, Any]:
    """The lengths as int64 on the host. Raises where they do not fit [batch] and 1 to `longest`."""
    if isinstance(lengths, Tensor):
        lengths = lengths.detach().cpu().numpy()
    values = np.asarray(lengths)
    if values.dtype.kind not in "iu" and values.size:
        raise DTypeError(f"{name}: lengths must be integers, got {values.dtype.name}.")
    if values.shape != (batch,):
        raise ShapeError(
            f"{name}: lengths must be one for each of {batch} samples; got shape {values.shape}."
        )
    illegal = values[(values < 1) | (values > longest)]
    if illegal.size:
        raise ArgumentError(
            f"{name}: every length must be from 1 to the {longest} steps of the input; got "
            f"{illegal[0]}."
        )
    return values.astype(np.int64)


def pack_padded_sequence(
    input: Tensor,
    lengths: Tensor | Sequence[int],
    batch_first: bool = False,
    enforce_sorted: bool = True,
) -> PackedSequence:
    """Packs input [T, B, ...] ([B, T, ...] with batch_first), of which sample b has lengths[b]
    steps. Differentiable.

    enforce_sorted: the lengths must be in falling order; with False samples are sorted by them.
    Raises ShapeError, ArgumentError for a length below 1 or above T, or out of order.
    """
    name = "pack_padded_sequence"
    if check_tensor(name, input).ndim < 2:
        raise ShapeError(f"{name}: input needs 2 axes or more, batch and steps; got {input.shape}.")
    first, second = input.shape[:2]
    batch, longest = (first, second) if batch_first else (second, first)
    counts = _lengths(name, lengths, batch, longest)
    order = None
    if not enforce_sorted:
        order = np.argsort(-counts, kind="stable")
        counts = counts[order]
    elif (np.diff(counts) > 0).any():
        raise ArgumentError(
            f"{name}: lengths must be in falling order, got {counts.tolist()}.\n"
            "  Sort the batch by them, or pass enforce_sorted=False."
        )
    sizes = (counts > np.arange(counts.max(initial=0))[:, None]).sum(1)
    where = steps(sizes, input.backend)
    sorted_indices = None if order is None else tensor(order, device=input.device)
    places = _places(where, sorted_indices, batch_first)
    data = Pack.apply(input, *places)
    return PackedSequence(data, tensor(sizes.astype(np.int64), device="cpu"), sorted_indices)


def _places(where: Any, sorted_indices: Tensor | None, batch_first: bool) -> tuple[Tensor, Tensor]:
    """Where each packed row stands in the padded batch."""
    sample = where.sample if sorted_indices is None else sorted_indices[where.sample]
    return (sample, where.step) if batch_first else (where.step, sample)


def pad_packed_sequence(
    sequence: PackedSequence,
    batch_first: bool = False,
    padding_value: float = 0.0,
    total_length: int | None = None,
) -> tuple[Tensor, Tensor]:
    """(padded [T, B, ...] or [B, T, ...], lengths [B] on the CPU), samples in their first order.

    T is the greatest length, or total_length, which must not be less (ArgumentError). What is
    beyond a sample's length is padding_value. Differentiable.
    """
    data, batch_sizes, sorted_indices, unsorted_indices = sequence
    where = steps(batch_sizes.numpy(), data.backend)
    longest, batch = where.shape
    if total_length is not None:
        if total_length < longest:
            raise ArgumentError(
                f"pad_packed_sequence: total_length={total_length} is less than the longest "
                f"sequence, {longest}."
            )
        longest = total_length
    shape = (batch, longest) if batch_first else (longest, batch)
    places = _places(where, sorted_indices, batch_first)
    padded = Pad.apply(data, *places, shape=shape, value=padding_value)
    lengths = where.lengths if unsorted_indices is None else where.lengths[unsorted_indices]
    return padded, lengths.cpu()


def pad_sequence(
    sequences: Tensor | Iterable[Tensor],
    batch_first: bool = False,
    padding_value: float = 0.0,
    padding_side: str = "right",
) -> Tensor:
    """Tensors [L, ...] of several lengths as one, [T, B, ...] or [B, T, ...]; T is the greatest L.

    The rest is padding_value, behind each sequence or, padding_side "left", before it.
    Raises ShapeError where trailing axes differ. Differentiable.
    """
    name = "pad_sequence"
    found = [check_tensor(name, x) for x in sequences]
    if padding_side not in ("right", "left"):
        raise ArgumentError(f"{name}: padding_side must be right or left, not {padding_side!r}.")
    if not found:
        raise ArgumentError(f"{name}: needs at least one sequence.")
    for number, x in enumerate(found):
        if x.ndim < 1 or x.shape[1:] != found[0].shape[1:]:
            raise ShapeError(
                f"{name}: all sequences must be [length, {', '.join(map(str, found[0].shape[1:]))}]"
                f"; sequence {number} is {tuple(x.shape)}."
            )
    lengths = np.array([len(x) for x in found])
    longest, backend = int(lengths.max()), found[0].backend
    sample = np.repeat(np.arange(len(found)), lengths)
    step = np.concatenate([np.arange(n) for n in lengths])
    if padding_side == "left":
        step += (longest - lengths)[sample]
    i, j = (Tensor(backend.from_numpy(a.astype(int64)), backend) for a in (sample, step))
    data = ops.cat(found)
    if batch_first:
        return Pad.apply(data, i, j, shape=(len(found), longest), value=padding_value)
    return Pad.apply(data, j, i, shape=(longest, len(found)), value=padding_value)


def unpad_sequence(
    padded_sequences: Tensor, lengths: Tensor | Sequence[int], batch_first: bool = False
) -> list[Tensor]:
    """The sequences of a padded batch [T, B, ...] or [B, T, ...], each of its length."""
    x = padded_sequences if batch_first else padded_sequences.transpose(0, 1)
    values = lengths.tolist() if isinstance(lengths, Tensor) else list(lengths)
    if len(values) != x.shape[0]:
        raise ShapeError(
            f"unpad_sequence: {len(values)} lengths for {x.shape[0]} sequences of "
            f"{tuple(padded_sequences.shape)}."
        )
    return [row[: int(n)] for row, n in zip(x, values, strict=True)]


def pack_sequence(sequences: Sequence[Tensor], enforce_sorted: bool = True) -> PackedSequence:
    """Packs a list of tensors [L, ...], in falling order of L unless enforce_sorted is False."""
    lengths = [len(x) for x in sequences]
    return pack_padded_sequence(pad_sequence(sequences), lengths, enforce_sorted=enforce_sorted)


def unpack_sequence(packed_sequences: PackedSequence) -> list[Tensor]:
    """The sequences of a packed batch, in their first order: the inverse of `pack_sequence`."""
    padded, lengths = pad_packed_sequence(packed_sequences, batch_first=True)
    return unpad_sequence(padded, lengths, batch_first=True)


__all__ = [
    "PackedSequence",
    "invert_permutation",
    "pack_padded_sequence",
    "pack_sequence",
    "pad_packed_sequence",
    "pad_sequence",
    "unpack_sequence",
    "unpad_sequence",
]
