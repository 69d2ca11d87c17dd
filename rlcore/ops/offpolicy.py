"""Learning about one policy from what another did."""

import torch
from torch import Tensor


def importance_ratio(log_prob: Tensor, behaviour_log_prob: Tensor) -> Tensor:
    """ρ = π(a|s) / μ(a|s), held within e^±20 so that it stays finite.  [...], [...] → [...]"""
    return (log_prob - behaviour_log_prob).clamp(-20, 20).exp()


def effective_rows(ratio: Tensor, weight: Tensor) -> Tensor:
    """(Σ ρ)² / (Σ ρ² · N) among the rows that count: 1 on-policy, towards 0 as few rows decide all.  Kong 1992.

    [N], [N] → scalar
    """
    ratio = ratio * weight
    return ratio.sum().square() / (ratio.square().sum() * weight.sum()).clamp_min(1e-8)


def vtrace(ratio: Tensor, reward: Tensor, value: Tensor, next_value: Tensor, discount: Tensor, trace: Tensor,
           rho_clip: float = 1.0, c_clip: float = 1.0) -> tuple[Tensor, Tensor]:
    """Value targets v_t and policy-gradient advantages of π from steps of μ.

    v_t = V(s_t) + δ_t + trace_t·c_t·(v_{t+1} − V(s_{t+1})),  δ_t = ρ_t·(r_t + discount_t·V(s_{t+1}) − V(s_t)),
    Â_t = ρ_t·(r_t + discount_t·V(s_{t+1}) + trace_t·(v_{t+1} − V(s_{t+1})) − V(s_t)),
    ρ_t = min(ρ̄, π/μ),  c_t = min(c̄, π/μ).

    All [T, B].  discount = γ·¬terminated;  trace = γλ·¬terminated·¬truncated.
    Espeholt et al. 2018, arXiv:1802.01561, remark 1 and eq. 4; λ as in remark 2.
    """
    rho = ratio.clamp_max(rho_clip)
    error = reward + discount * next_value - value
    delta, pull = (rho * error).unbind(0), (trace * ratio.clamp_max(c_clip)).unbind(0)
    rows, carry = [], torch.zeros_like(reward[0])
    for step, keep in zip(reversed(delta), reversed(pull), strict=True):
        carry = torch.addcmul(step, keep, carry)
        rows.append(carry)
    gain = torch.stack(rows[::-1])  # v_t − V(s_t)
    ahead = torch.cat([gain[1:], torch.zeros_like(gain[:1])])
    return value + gain, rho * (error + trace * ahead)


def retrace(ratio: Tensor, reward: Tensor, q: Tensor, next_value: Tensor, discount: Tensor, trace: Tensor) -> Tensor:
    """Action-value targets y_t = r_t + discount_t·V(s_{t+1}) + trace_t·min(1, ρ_{t+1})·(y_{t+1} − Q(s_{t+1}, a_{t+1})).

    All [T, B]; q is Q(s_t, a_t), ρ = π/μ, V(s) = E_{a∼π} Q(s, a).  discount = γ·¬terminated;
    trace = γλ·¬terminated·¬truncated.  Munos et al. 2016, arXiv:1606.02647, eq. 3–4.
    """
    base = (reward + discount * next_value).unbind(0)
    rows = [base[-1]]
    for t in range(len(base) - 2, -1, -1):
        rows.append(base[t] + trace[t] * ratio[t + 1].clamp_max(1) * (rows[-1] - q[t + 1]))
    return torch.stack(rows[::-1])
