"""Temporal-difference targets and losses."""

import torch
from torch import Tensor
from torch.nn import functional


def td_target(reward: Tensor, discount: Tensor, next_value: Tensor) -> Tensor:
    """r + discount·V(s').  All [N];  discount = γ·¬terminated.  Sutton & Barto 2018, eq. 6.2."""
    return reward + discount * next_value


def greedy_value(q: Tensor) -> Tensor:
    """max_a Q(s, a).  Watkins 1989.  [N, A] → [N]"""
    return q.amax(-1)


def of_action(values: Tensor, action: Tensor) -> Tensor:
    """What belongs to the actions taken.  [N, A], [N] → [N], or of atoms or quantiles [N, A, K], [N] → [N, K]"""
    if values.dim() == 2:
        return values.gather(1, action[:, None]).squeeze(1)
    return values.gather(1, action[:, None, None].expand(-1, 1, values.shape[2])).squeeze(1)


def double_q_value(q_choosing: Tensor, q_judging: Tensor) -> Tensor:
    """Q_judging(s, argmax_a Q_choosing(s, a)).  van Hasselt et al. 2015, arXiv:1509.06461, eq. 4.

    [N, A] ×2 → [N]; a judge of atoms or quantiles [N, A, K] → [N, K].
    """
    return of_action(q_judging, q_choosing.argmax(-1))


def huber(error: Tensor) -> Tensor:
    """½x² for |x| ≤ 1, |x| − ½ beyond.  [N] → [N]"""
    return functional.huber_loss(error, torch.zeros_like(error), reduction="none")


def categorical_projection(moved: Tensor, probability: Tensor, atoms: Tensor) -> Tensor:
    """The distribution over evenly spaced atoms z that shares each moved atom's mass among its two neighbours.

    m_i = Σ_j clamp(1 − |clamp(ẑ_j, z_1, z_K) − z_i| / Δz, 0, 1) · p_j,  with ẑ_j = r + discount·z_j.
    moved, probability [N, K], atoms [K] → [N, K].  Bellemare et al. 2017, arXiv:1707.06887, eq. 7, algorithm 1.
    """
    last = atoms.shape[-1] - 1
    place = ((moved - atoms[0]) * (last / (atoms[-1] - atoms[0]))).clamp(0, last)
    left = place.floor().clamp_max(last - 1)  # so that the right neighbour exists, also on the last atom
    share, index = place - left, left.long()
    mass = torch.zeros_like(probability).scatter_add(-1, index, probability * (1 - share))
    return mass.scatter_add(-1, index + 1, probability * share)


def categorical_mean(logits: Tensor, atoms: Tensor) -> Tensor:
    """Σ_i softmax(logits)_i·z_i.  Bellemare et al. 2017, §4.  [..., K], [K] → [...]"""
    return (logits.softmax(-1) * atoms).sum(-1)


def categorical_divergence(target: Tensor, logits: Tensor) -> Tensor:
    """KL(m ‖ softmax(logits)), what C51 descends and Rainbow ranks by.  Hessel et al. 2018, "The Integrated Agent".

    [N, K] ×2 → [N]
    """
    return (torch.xlogy(target, target) - target * logits.log_softmax(-1)).sum(-1)


def quantile_midpoints(num: int) -> Tensor:
    """τ̂_i = (2i − 1) / 2Q: where Q quantiles lie that fit a distribution best.  Dabney et al. 2018, lemma 2.  → [Q]"""
    return (torch.arange(num) + 0.5) / num


def quantile_huber(quantile: Tensor, target: Tensor, fraction: Tensor) -> Tensor:
    """Σ_i mean_j |τ_i − 1{u_ij < 0}| · huber(u_ij),  u_ij = y_j − θ_i.

    quantile [N, Q], target [N, Q'], fraction τ [Q] or [N, Q] → [N].
    Dabney et al. 2018, arXiv:1710.10044, eq. 10; with sampled τ, arXiv:1806.06923, eq. 3. Threshold κ = 1.
    """
    error = target.unsqueeze(-2) - quantile.unsqueeze(-1)
    tilt = (fraction.unsqueeze(-1) - (error < 0).to(error.dtype)).abs()
    return (tilt * huber(error)).mean(-1).sum(-1)


def truncated_quantiles(quantiles: Tensor, dropped: int) -> Tensor:
    """The pooled quantiles of all critics in order, without the `dropped` largest.

    [K, N, Q] → [N, K·Q − dropped].  Kuznetsov et al. 2020, arXiv:2005.04269, §3.2.
    """
    pooled = quantiles.movedim(0, -2).flatten(-2).sort(-1).values
    return pooled[..., :pooled.shape[-1] - dropped]


def value_rescale(value: Tensor, eps: float = 1e-3) -> Tensor:
    """h(x) = sign(x)·(√(|x| + 1) − 1) + εx.  Pohlen et al. 2018, arXiv:1805.11593, prop. A.2.  [...] → [...]"""
    return value.sign() * ((value.abs() + 1).sqrt() - 1) + eps * value


def value_unscale(value: Tensor, eps: float = 1e-3) -> Tensor:
    """h⁻¹(x) = sign(x)·(((√(1 + 4ε(|x| + 1 + ε)) − 1) / 2ε)² − 1).  Pohlen et al. 2018, prop. A.2.  [...] → [...]"""
    shifted = value.abs() + 1 + eps
    # (√(1 + y) − 1) / 2ε with y = 4ε·shifted, in the form that does not subtract two nearly equal numbers
    root = 2 * shifted / ((1 + 4 * eps * shifted).sqrt() + 1)
    return value.sign() * (root.square() - 1)


def n_step_return(reward: Tensor, discount: Tensor, trace: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """R = Σ_k (Π_{j<k} trace_j)·r_k, to which the value behind row `last` is to be added times `ahead`.

    reward, discount, trace [n, N] of n consecutive rows → R, ahead, last (int64), all [N].
    discount = γ·¬terminated;  trace = γ·¬terminated·¬truncated: where it is 0 the episode's rows end.
    ahead = (Π_{j<last} trace_j)·discount_last.  Sutton & Barto 2018, eq. 7.1.
    """
    reach = torch.cat([torch.ones_like(trace[:1]), trace[:-1].cumprod(0)])  # what each row counts for
    last = (reach != 0).sum(0) - 1
    ahead = (reach * discount).gather(0, last[None]).squeeze(0)
    return (reach * reward).sum(0), ahead, last
