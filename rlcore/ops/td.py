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


def double_q_value(q_choosing: Tensor, q_judging: Tensor) -> Tensor:
    """Q_judging(s, argmax_a Q_choosing(s, a)).  van Hasselt et al. 2015, arXiv:1509.06461, eq. 4.  [N, A] ×2 → [N]"""
    return q_judging.gather(-1, q_choosing.argmax(-1, keepdim=True)).squeeze(-1)


def huber(error: Tensor) -> Tensor:
    """½x² for |x| ≤ 1, |x| − ½ beyond.  [N] → [N]"""
    return functional.huber_loss(error, torch.zeros_like(error), reduction="none")
