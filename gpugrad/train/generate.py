"""`gpugrad generate`: text from a language model."""

from __future__ import annotations

from collections.abc import Callable

import gpugrad as gg
from gpugrad.errors import ArgumentError, DataError
from gpugrad.models.generation import Generative
from gpugrad.tensor import Tensor
from gpugrad.text import Tokenizer
from gpugrad.train.text import load_model_folder

_UNFINISHED = "\ufffd"  # what a decoder gives for bytes that begin a character


def generate(
    folder: str,
    prompt: str = "\n",
    *,
    tokens: int = 500,
    temperature: float = 1.0,
    top_k: int = 0,
    top_p: float = 1.0,
    seed: int = 0,
    device: str = "auto",
    write: Callable[[str], None] | None = None,
) -> str:
    """The prompt and what a language model's folder says after it.

    Args:
        tokens: how many more, at most; an end-of-text token ends earlier.
        temperature: 0 takes the most probable token; higher ones draw more freely.
        top_k, top_p: draw from the k most probable tokens (0: all), of these from the fewest that
            together reach probability p.
        write: called with each piece of text as soon as it is known, the prompt first.

    Equal seeds give equal text. Raises DataError for a folder without a language model and for a
    prompt that has no tokens, ArgumentError for options outside their range.
    """
    _check(tokens, temperature, top_k, top_p)
    model, tokenizer, place = load_model_folder(folder, device)
    if not isinstance(model, Generative):
        raise DataError(
            f"{folder}: a {type(model).__name__} makes no text.\n"
            "  Name the folder of a language model: `gpugrad train lm` makes one."
        )
    ids = _prompt_ids(prompt, tokenizer)
    gg.manual_seed(seed)
    pieces = _Pieces(prompt, ids, tokenizer, write or (lambda text: None))
    found = model.generate(
        gg.tensor([ids], dtype=gg.int64, device=place),
        max_new_tokens=tokens,
        do_sample=temperature > 0,
        temperature=temperature or 1.0,
        top_k=min(top_k, len(tokenizer)),
        top_p=top_p,
        eos_token_id=tokenizer.eos_token_id,
        streamer=pieces if write else None,
        sliding=True,
    )
    pieces.end(found[0].tolist())
    return pieces.text


def _check(tokens: int, temperature: float, top_k: int, top_p: float) -> None:
    if tokens < 1 or temperature < 0 or top_k < 0 or not 0 < top_p <= 1:
        raise ArgumentError(
            f"generate: tokens = {tokens}, temperature = {temperature:g}, top_k = {top_k}, top_p = "
            f"{top_p:g}.\n  tokens must be 1 or more, temperature and top_k 0 or more, top_p above "
            "0 and at most 1."
        )


def _prompt_ids(prompt: str, tokenizer: Tokenizer) -> list[int]:
    """Of an empty prompt the token that begins texts, where there is one."""
    ids: list[int] = tokenizer(prompt, add_special_tokens=False)["input_ids"] if prompt else []
    if not ids and tokenizer.bos_token_id is not None:
        return [tokenizer.bos_token_id]
    if not ids:
        what = "is empty" if not prompt else f"has no token that the model knows: {prompt[:40]!r}"
        raise DataError(
            f"generate: the prompt {what}.\n  Give some text to go on from: --prompt TEXT."
        )
    return ids


class _Pieces:
    """Text so far, told piece by piece as whole characters come out of tokens."""

    def __init__(
        self, prompt: str, ids: list[int], tokenizer: Tokenizer, write: Callable[[str], None]
    ) -> None:
        self.ids, self.first, self.tokenizer, self.write = list(ids), len(ids), tokenizer, write
        self.text = prompt
        self.prompt, self.start = prompt, self._decoded()
        write(prompt)

    def __call__(self, tokens: Tensor) -> None:
        self.ids.append(int(tokens[0].item()))
        self._tell(self.prompt + self._decoded()[len(self.start) :])

    def end(self, ids: list[int]) -> None:
        """The whole of it, also what no whole character came of."""
        self.ids = ids
        self._tell(self.prompt + self._decoded()[len(self.start) :], last=True)

    def _decoded(self) -> str:
        text: str = self.tokenizer.decode(self.ids, skip_special_tokens=True)
        return text

    def _tell(self, text: str, last: bool = False) -> None:
        if last or not text.endswith(_UNFINISHED):
            self.write(text[len(self.text) :])
            self.text = text


def printed(text: str) -> None:
    """Print a piece at once."""
    print(text, end="", flush=True)
