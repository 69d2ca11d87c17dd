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


def lambda_returns(reward: Tensor, next_value: Tensor, discount: Tensor, trace: Tensor) -> Tensor:
    """G_t = r_t + discount_t·V(s_{t+1}) + trace_t·(G_{t+1} − V(s_{t+1})),  G_{T} = V(s_T).

    All [T, B].  discount = γ·¬terminated;  trace = γλ·¬terminated·¬truncated.  Sutton & Barto 2018, eq. 12.18.
    With V = max_a Q this is the target of PQN, Gallici et al. 2024, arXiv:2407.04811, which lets credit pass
    exploring actions (Peng & Williams 1994); where trace_t is 0 if a_{t+1} was not greedy, it is Watkins's Q(λ).
    """
    base = (reward + discount * next_value - trace * next_value).unbind(0)
    traces, rows, carry = trace.unbind(0), [], next_value[-1]
    for step, keep in zip(reversed(base), reversed(traces), strict=True):
        carry = torch.addcmul(step, keep, carry)
        rows.append(carry)
    return torch.stack(rows[::-1])


def n_step_returns(reward: Tensor, next_value: Tensor, discount: Tensor, trace: Tensor, n: int) -> Tensor:
    """G⁽ⁿ⁾_t = r_t + trace_t·G⁽ⁿ⁻¹⁾_{t+1} + (discount_t − trace_t)·V(s_{t+1}),  G⁽⁰⁾_t = V(s_t).

    All [T, B].  discount = γ·¬terminated;  trace = γ·¬terminated·¬truncated.  A row nearer than n steps to its
    episode's or the block's end takes the value there.  Sutton & Barto 2018, eq. 7.1.
    """
    returns = reward + discount * next_value
    for _ in range(n - 1):
        ahead = torch.cat([returns[1:], next_value[-1:]])
        returns = reward + trace * ahead + (discount - trace) * next_value
    return returns
