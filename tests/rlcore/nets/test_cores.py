"""Recurrent cores: one interface, no leak from one episode into the next."""

import pytest
import torch
from torch import Tensor, nn

from rlcore.nets.cores import Core, Transformer, core_for

KINDS = ("gru", "lstm", "transformer")
FEATURES, SIZE = 3, 8


def core(kind: str) -> Core:
    """Seven steps of window in the transformer, so that the tests' blocks are longer than it."""
    made = core_for(kind, FEATURES, SIZE) if kind != "transformer" else Transformer(FEATURES, SIZE, window=7)
    for name, param in made.named_parameters():
        if "nearness" in name:
            nn.init.normal_(param)  # it starts at zero, which would hide a wrong distance
    return made


def fresh(made: Core, num_envs: int) -> Tensor:
    return torch.zeros(num_envs, made.memory_size)


def no_start(steps: int, num_envs: int) -> Tensor:
    return torch.zeros(steps, num_envs, dtype=torch.bool)


def in_blocks(made: Core, x: Tensor, memory: Tensor, start: Tensor, lengths: list[int]) -> tuple[Tensor, Tensor]:
    outs = []
    for rows, starts in zip(x.split(lengths), start.split(lengths), strict=True):
        out, memory = made(rows, memory, starts)
        outs.append(out)
    return torch.cat(outs), memory


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("share", [0.0, 0.1, 0.6])
def test_step_by_step_blocks_and_one_unroll_agree_with_starts_anywhere(kind: str, share: float):
    made, x, start = core(kind), torch.randn(24, 5, FEATURES), torch.rand(24, 5) < share
    whole, memory = made(x, fresh(made, 5), start)
    assert whole.shape == (24, 5, made.out_dim)
    assert memory.shape == (5, made.memory_size)
    for lengths in ([1] * 24, [3, 10, 1, 10]):
        apart, after = in_blocks(made, x, fresh(made, 5), start, lengths)
        torch.testing.assert_close(apart, whole, atol=1e-5, rtol=0)
        torch.testing.assert_close(after, memory, atol=1e-5, rtol=0)


@pytest.mark.parametrize("kind", KINDS)
def test_a_start_gives_what_a_fresh_environment_gives(kind: str):
    made, x, start = core(kind), torch.randn(9, 2, FEATURES), no_start(9, 2)
    start[4, 1] = True
    out, memory = made(x, torch.randn(2, made.memory_size).abs(), start)
    alone, after = made(x[4:, 1:], fresh(made, 1), no_start(5, 1))
    torch.testing.assert_close(out[4:, 1:], alone)
    torch.testing.assert_close(memory[1:], after)


@pytest.mark.parametrize("kind", KINDS)
def test_the_past_of_an_episode_matters_and_its_future_does_not(kind: str):
    made, x = core(kind), torch.randn(6, 1, FEATURES)
    out, _ = made(x, fresh(made, 1), no_start(6, 1))
    for changed in range(6):
        other = x.clone()
        other[changed] += 1
        moved = (made(other, fresh(made, 1), no_start(6, 1))[0] - out).abs().amax((1, 2)) > 1e-6
        assert moved.tolist() == [t >= changed for t in range(6)]


@pytest.mark.parametrize("kind", KINDS)
def test_no_gradient_flows_across_a_start(kind: str):
    made, x, memory, start = core(kind), torch.randn(8, 2, FEATURES), fresh(core(kind), 2), no_start(8, 2)
    x.requires_grad_()
    memory.requires_grad_()
    start[5, 0] = True
    made(x, memory, start)[0][7].square().sum().backward()
    assert x.grad is not None
    assert memory.grad is not None
    reached = x.grad.abs().amax(-1) > 0
    assert reached[:, 0].tolist() == [False] * 5 + [True] * 3
    assert reached[:, 1].tolist() == [True] * 8
    assert memory.grad[0].abs().max() == 0


@pytest.mark.parametrize("kind", KINDS)
def test_gradient_reaches_the_memory_a_block_began_with(kind: str):
    made = core(kind)
    x = torch.randn(10, 1, FEATURES)
    memory = made(x[:5], fresh(made, 1), no_start(5, 1))[1].detach().requires_grad_()
    made(x[5:], memory, no_start(5, 1))[0].square().sum().backward()
    assert memory.grad is not None
    assert memory.grad.abs().max() > 0


@pytest.mark.parametrize("kind", KINDS)
def test_every_weight_takes_part(kind: str):
    made = core(kind)
    made(torch.randn(5, 2, FEATURES), fresh(made, 2), no_start(5, 2))[0].square().sum().backward()
    still = [name for name, param in made.named_parameters() if param.grad is None or param.grad.abs().max() == 0]
    # a transformer's input has norm-invariant directions, but none of its tensors is idle
    assert still == []


def test_one_transformer_layer_forgets_what_is_older_than_its_window():
    made, x = Transformer(FEATURES, SIZE, window=3, num_layers=1), torch.randn(6, 1, FEATURES)
    out, _ = made(x, fresh(made, 1), no_start(6, 1))
    x[1] += 1
    moved = (made(x, fresh(made, 1), no_start(6, 1))[0] - out).abs().amax((1, 2)) > 1e-6
    assert moved.tolist() == [False, True, True, True, False, False]


def test_a_transformers_memory_counts_the_inputs_it_remembers():
    made, start = Transformer(FEATURES, SIZE, window=4, num_layers=2), no_start(6, 3)
    assert made.memory_size == 1 + 2 * 3 * SIZE
    start[5, 1] = start[4, 2] = True
    _, memory = made(torch.randn(6, 3, FEATURES), fresh(made, 3), start)
    assert memory[:, 0].tolist() == [3.0, 1.0, 2.0]  # window − 1 at most; one and two steps since the starts
    assert (memory[:, 1:].reshape(3, 2, 3, SIZE).abs().amax(-1) > 0).sum(-1).tolist() == [[3, 3], [1, 1], [2, 2]]


def test_a_window_of_one_remembers_nothing():
    made, x = Transformer(FEATURES, SIZE, window=1), torch.randn(4, 2, FEATURES)
    assert made.memory_size == 1
    out, _ = made(x, fresh(made, 2), no_start(4, 2))
    torch.testing.assert_close(out[2:3], made(x[2:3], fresh(made, 2), no_start(1, 2))[0])


def test_order_within_the_window_matters():
    made, x = Transformer(FEATURES, SIZE, window=7, num_layers=1), torch.randn(4, 1, FEATURES)
    nn.init.normal_(made.get_parameter("blocks.0.nearness"))  # one layer tells places apart by nothing else
    swapped = x[[1, 0, 2, 3]]
    last, other = (made(rows, fresh(made, 1), no_start(4, 1))[0][3] for rows in (x, swapped))
    assert (last - other).abs().max() > 1e-4


@pytest.mark.parametrize(("kind", "gates"), [("gru", 3), ("lstm", 4)])
def test_each_gates_recurrent_matrix_starts_orthogonal(kind: str, gates: int):
    weight = core(kind).get_parameter("net.weight_hh_l0")
    for gate in weight.detach().chunk(gates):
        torch.testing.assert_close(gate @ gate.T, torch.eye(SIZE), atol=1e-5, rtol=0)


def test_an_lstm_starts_with_an_open_forget_gate_and_no_other_bias():
    made = core("lstm")
    total = made.get_parameter("net.bias_ih_l0") + made.get_parameter("net.bias_hh_l0")
    assert total.detach().reshape(4, SIZE).tolist() == [[0.0] * SIZE, [1.0] * SIZE, [0.0] * SIZE, [0.0] * SIZE]


@pytest.mark.parametrize("kind", ["gru", "lstm"])
def test_a_block_without_a_start_takes_one_call(kind: str):
    made, calls = core(kind), []
    made.net.register_forward_hook(lambda *_: calls.append(1))
    start = no_start(20, 4)
    made(torch.randn(20, 4, FEATURES), fresh(made, 4), start)
    assert len(calls) == 1
    start[7, 0] = start[7, 3] = start[12, 1] = True
    made(torch.randn(20, 4, FEATURES), fresh(made, 4), start)
    assert len(calls) == 1 + 3


@pytest.mark.parametrize("kind", KINDS)
def test_a_core_learns_to_recall_what_it_saw_at_the_start(kind: str):
    made = core(kind)
    read = nn.Linear(made.out_dim, 1)
    optimizer = torch.optim.Adam([*made.parameters(), *read.parameters()], lr=1e-2)
    start = no_start(5, 32)
    for _ in range(150):
        x = torch.randn(5, 32, FEATURES)
        said = torch.randint(2, (32,)).float()
        x[0, :, 0] = 4 * said - 2
        out, _ = made(x, fresh(made, 32), start)
        loss = nn.functional.binary_cross_entropy_with_logits(read(out[-1]).squeeze(-1), said)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert loss.item() < 0.15  # chance is log 2 = 0.69
