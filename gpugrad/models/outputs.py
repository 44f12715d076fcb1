"""What models return beside a tensor: named results that are also a tuple."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import gpugrad as gg
from gpugrad.errors import ArgumentError
from gpugrad.tensor import Tensor


class Logits(Tensor):
    """The logits of a call without labels: a tensor like any other.

    Programs written for transformers find it at `.logits`, too.
    """

    __slots__ = ()

    loss = None

    @property
    def logits(self) -> Tensor:
        """The tensor itself."""
        return self

    def __getitem__(self, key: Any) -> Any:
        return self if isinstance(key, str) and key == "logits" else super().__getitem__(key)


def as_logits(tensor: Tensor) -> Logits:
    """`tensor`, a fresh result, as Logits; the same object."""
    tensor.__class__ = Logits
    return tensor  # type: ignore[return-value]


class ModelOutput:
    """Named results, read as attributes, by name, by position or unpacked; None are left out.

        output = model(input_ids, labels=labels)
        output.loss, output["loss"], output[0]
        loss, logits = output

    A result given as a function is computed when it is first read: a training step that reads the
    loss alone never forms the logits of a large vocabulary.
    """

    def __init__(self, **results: Any) -> None:
        self._results = {name: value for name, value in results.items() if value is not None}

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        if name in self._results:
            return self[name]
        if name in type(self).__annotations__:
            return None
        raise AttributeError(f"{type(self).__name__} has {', '.join(self._results)}; no {name!r}")

    def __getitem__(self, key: str | int | slice) -> Any:
        if not isinstance(key, str):
            return self.to_tuple()[key] if isinstance(key, slice) else self[self.keys()[key]]
        value = self._results[key]
        if callable(value) and not isinstance(value, Tensor):
            value = self._results[key] = value()
        return value

    def keys(self) -> tuple[str, ...]:
        """The names of the results there are."""
        return tuple(self._results)

    def values(self) -> tuple[Any, ...]:
        """The results there are."""
        return self.to_tuple()

    def items(self) -> tuple[tuple[str, Any], ...]:
        """Names and results."""
        return tuple(zip(self.keys(), self.to_tuple(), strict=True))

    def get(self, name: str, default: Any = None) -> Any:
        """The result of that name, or `default`."""
        return self[name] if name in self._results else default

    def __contains__(self, name: object) -> bool:
        return name in self._results

    def to_tuple(self) -> tuple[Any, ...]:
        """The results there are."""
        return tuple([self[name] for name in self._results])

    def __iter__(self) -> Iterator[Any]:
        return iter(self.to_tuple())

    def __len__(self) -> int:
        return len(self._results)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({', '.join(self._results)})"


def later(compute: Callable[[], Tensor], *parameters: Tensor) -> Callable[[], Tensor]:
    """`compute` for a ModelOutput: it runs in the grad mode of now.

    Raises ArgumentError where the parameters it reads have changed by then.
    """
    recording = gg.is_grad_enabled()
    versions = [each._version for each in parameters]

    def read() -> Tensor:
        if [each._version for each in parameters] != versions:
            raise ArgumentError(
                "logits: they are computed when first read, and the parameters have changed since."
                "\n  Read them before optimizer.step()."
            )
        with gg.set_grad_enabled(recording):
            return compute()

    return read


class BaseModelOutput(ModelOutput):
    """last_hidden_state (n, t, hidden); of BERT pooler_output (n, hidden). hidden_states, where
    asked for: of the embeddings and each layer. past_key_values, where a cache is used."""

    last_hidden_state: Tensor
    pooler_output: Tensor | None
    past_key_values: Any
    hidden_states: tuple[Tensor, ...] | None


class ClassifierOutput(ModelOutput):
    """loss of the labels, and logits."""

    loss: Tensor | None
    logits: Tensor


class LanguageModelOutput(ModelOutput):
    """loss of the labels, logits (n, t, vocabulary), and what the next call goes on from: of a
    transformer past_key_values, of a recurrent model its state."""

    loss: Tensor | None
    logits: Tensor
    past_key_values: Any
    state: Any


class PreTrainingOutput(ModelOutput):
    """BERT's two tasks: the sum of the losses given, each of them, and both logits."""

    loss: Tensor | None
    mlm_loss: Tensor | None
    nsp_loss: Tensor | None
    prediction_logits: Tensor
    seq_relationship_logits: Tensor


class QuestionAnsweringOutput(ModelOutput):
    """loss of the positions, and a logit for each token to be the answer's first or last."""

    loss: Tensor | None
    start_logits: Tensor
    end_logits: Tensor
