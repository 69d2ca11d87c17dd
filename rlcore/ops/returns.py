"""Advantages and returns along a trajectory."""

import torch
from torch import Tensor


def gae(reward: Tensor, value: Tensor, next_value: Tensor, discount: Tensor, trace: Tensor) -> Tensor:
    """Generalised advantage.  Â_t = δ_t + trace_t·Â_{t+1},  δ_t = r_t + discount_t·V(s_{t+1}) − V(s_t).

    All [T, B].  discount = γ·¬terminated;  trace = γλ·¬terminated·¬truncated.
    Schulman et al. 2016, arXiv:1506.02438, eq. 16.
    """
    delta = (reward + discount * next_value - value).unbind(0)
    traces, rows, carry = trace.unbind(0), [], torch.zeros_like(reward[0])
    for step, keep in zip(reversed(delta), reversed(traces), strict=True):
        carry = torch.addcmul(step, keep, carry)
        rows.append(carry)
    return torch.stack(rows[::-1])


def discounted(reward: Tensor, keep: Tensor, start: Tensor) -> Tensor:
    """Running discounted sums, forward in time.  G_t = keep_t·G_{t−1} + r_t,  G_{−1} = start.

    reward, keep [T, B], start [B] → [T, B].  keep_t is γ inside an episode and 0 on its first row.
    """
    rows = []
    for gain, kept in zip(reward.unbind(0), keep.unbind(0), strict=True):
        start = torch.addcmul(gain, kept, start)
        rows.append(start)
    return torch.stack(rows)
