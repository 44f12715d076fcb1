"""What PyTorch's optimizers have saved, of all its versions and with tensors for numbers."""

from __future__ import annotations

import pytest
import torch
from parameters import parameter

from gpugrad import optim
from gpugrad.errors import DataError


def test_states_of_older_pytorch_lack_switches() -> None:
    """An absent switch is off, whatever this optimizer has; an absent number is a mistake."""
    p, q = parameter([1.0]), torch.nn.Parameter(torch.ones(1))
    other = torch.optim.NAdam([q], decoupled_weight_decay=False)
    q.grad = torch.ones(1)
    other.step()
    state = other.state_dict()
    for name in ("decoupled_weight_decay", "maximize"):
        del state["param_groups"][0][name]
    mine = optim.NAdam([p], decoupled_weight_decay=True)
    mine.load_state_dict(state)
    assert mine.param_groups[0]["decoupled_weight_decay"] is False
    assert mine.param_groups[0]["maximize"] is False and mine.state[p]["step"] == 1
    search = torch.optim.LBFGS([q]).state_dict()
    del search["param_groups"][0]["line_search_fn"]
    optim.LBFGS([p]).load_state_dict(search)
    for make, given, name in [
        (optim.NAdam, state, "momentum_decay"),
        (optim.LBFGS, search, "max_eval"),
    ]:
        del given["param_groups"][0][name]
        with pytest.raises(DataError, match=f"group 0 of the state lacks {name}; "):
            make([p]).load_state_dict(given)


@pytest.mark.parametrize("name", ["Adam", "Adafactor", "LBFGS"])
def test_states_with_a_tensor_for_the_rate(name: str) -> None:
    """PyTorch saves lr as it was given."""
    p, q = parameter([1.0]), torch.nn.Parameter(torch.ones(1))
    state = getattr(torch.optim, name)([q], lr=torch.tensor(0.25)).state_dict()
    mine = getattr(optim, name)([p])
    mine.load_state_dict(state)
    assert mine.param_groups[0]["lr"] == 0.25 and type(mine.param_groups[0]["lr"]) is float
