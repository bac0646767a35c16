"""Contrastive losses against torch and plain loops."""

import itertools

import jax
import numpy as np
import pytest
import torch
import torch.nn.functional as F

from surgzoo.train import contrastive

RNG = np.random.default_rng(0)
A, B = (RNG.standard_normal((5, 8)).astype(np.float32) for _ in range(2))
TA, TB = torch.from_numpy(A), torch.from_numpy(B)


def torch_entropy(a, b, temperature=0.1):
    """Cross entropy from the rows of a to those of b."""
    logits = F.normalize(a, dim=1) @ F.normalize(b, dim=1).T / temperature
    return F.cross_entropy(logits, torch.arange(len(a)))


def torch_info_nce(a, b):
    return (torch_entropy(a, b) + torch_entropy(b, a)) / 2


def torch_nt_xent(a, b):
    return 0.75 * torch_entropy(a, b) + 0.25 * torch_entropy(b, a)


def loop_simclr(a, b, temperature=0.1):
    """Equation 1 of the paper, row by row."""
    rows = [x / x.norm() for x in (*a, *b)]
    total = 0
    for i, row in enumerate(rows):
        other = rows[(i + len(a)) % len(rows)]
        among = [torch.exp(row @ x / temperature) for j, x in enumerate(rows) if j != i]
        total += torch.log(sum(among)) - row @ other / temperature
    return total / len(rows)


def loop_mil_nce(a, b):
    """b is B K E. Positives count in both parts of the denominator, as in the authors' code."""
    total = 0
    for i in range(len(a)):
        right = sum(torch.exp(a[i] @ t) for t in b[i])
        rest = sum(torch.exp(a[i] @ t) for row in b for t in row)
        rest = rest + sum(torch.exp(x @ t) for x in a for t in b[i])
        total += torch.log(rest) - torch.log(right)
    return total / len(a)


def loop_dtw(cost, gamma):
    """Cell by cell."""
    table = {(-1, -1): torch.zeros(())}
    far = torch.tensor(1e6)
    for i, j in itertools.product(range(cost.shape[0]), range(cost.shape[1])):
        near = [table.get(at, far) for at in ((i, j - 1), (i - 1, j), (i - 1, j - 1))]
        near = torch.stack(near)
        table[i, j] = cost[i, j] + (torch.softmax(-near / gamma, 0) * near).sum()
    return table[cost.shape[0] - 1, cost.shape[1] - 1]


@pytest.mark.parametrize(
    "ours,theirs",
    [
        (contrastive.info_nce, torch_info_nce),
        (contrastive.nt_xent, torch_nt_xent),
        (contrastive.simclr, loop_simclr),
    ],
)
def test_pairs(ours, theirs):
    """Values and gradients of both sides."""
    one, other = TA.clone().requires_grad_(), TB.clone().requires_grad_()
    wanted = theirs(one, other)
    wanted.backward()
    value, grads = jax.value_and_grad(ours, argnums=(0, 1))(A, B)
    np.testing.assert_allclose(value, wanted.item(), rtol=1e-5)
    np.testing.assert_allclose(grads[0], one.grad, atol=1e-5)
    np.testing.assert_allclose(grads[1], other.grad, atol=1e-5)


@pytest.mark.parametrize("candidates", [1, 3])
def test_mil_nce(candidates):
    b = RNG.standard_normal((5, candidates, 8)).astype(np.float32)
    one, other = TA.clone().requires_grad_(), torch.from_numpy(b).requires_grad_()
    wanted = loop_mil_nce(one, other)
    wanted.backward()
    value, grads = jax.value_and_grad(contrastive.mil_nce, argnums=(0, 1))(A, b)
    np.testing.assert_allclose(value, wanted.item(), rtol=1e-5)
    np.testing.assert_allclose(grads[0], one.grad, atol=1e-5)
    np.testing.assert_allclose(grads[1], other.grad, atol=1e-5)


def test_sigmoid():
    logits = RNG.standard_normal((4, 4)).astype(np.float32) * 3
    sign = 2 * np.eye(4) - 1
    wanted = -F.logsigmoid(torch.from_numpy(sign * logits)).sum(1).mean()
    np.testing.assert_allclose(contrastive.pair_sigmoid(logits), wanted, rtol=1e-5)


@pytest.mark.parametrize("height,width", [(1, 1), (1, 4), (5, 1), (4, 6), (7, 3)])
def test_smooth_dtw(height, width):
    cost = RNG.random((2, height, width)).astype(np.float32)
    other = torch.from_numpy(cost).requires_grad_()
    wanted = [loop_dtw(c, 0.1) for c in other]
    sum(wanted).backward()
    value, grad = jax.value_and_grad(lambda c: contrastive.smooth_dtw(c, 0.1).sum())(cost)
    np.testing.assert_allclose(value, sum(wanted).item(), rtol=1e-5)
    np.testing.assert_allclose(grad, other.grad, atol=1e-5)


def test_dtw_contrast_knows_the_order():
    texts = RNG.standard_normal((2, 3, 8)).astype(np.float32)
    frames = np.repeat(texts, 4, axis=1)
    assert contrastive.dtw_contrast(frames, texts) == 0
    wrong = contrastive.dtw_contrast(frames[:, ::-1], texts)

    def path(f, t):
        f, t = (F.normalize(torch.tensor(x.copy()), dim=1) for x in (f, t))
        return loop_dtw(1 - f @ t.T, 0.1).item()

    wanted = [
        max(0.01 * (path(f[::-1], t) - path(f[::-1], t[::-1])), 0)
        for f, t in zip(frames, texts, strict=True)
    ]
    assert min(wanted) > 0
    np.testing.assert_allclose(wrong, np.mean(wanted), rtol=1e-4)
    apart = contrastive.dtw_contrast(frames, texts, margin=1.0)
    # Of two long sums the difference: float32 keeps fewer digits of it.
    np.testing.assert_allclose(apart, 1 - np.mean(wanted), rtol=1e-3)


def test_levels():
    """The sums of the published code, from the oracles."""
    views = [RNG.standard_normal((5, 8)).astype(np.float32) for _ in range(3)]
    text, one, two, three = TB, *(torch.from_numpy(v) for v in views)
    wanted = loop_simclr(two, three)
    for view in (one, two, three):
        parts = torch_info_nce(view, text), torch_nt_xent(view, text)
        wanted += (sum(parts) + loop_mil_nce(view, text[:, None])) / 3
    np.testing.assert_allclose(contrastive.clip_level(views, B), wanted / 4, rtol=1e-5)

    children = RNG.standard_normal((5, 3, 8)).astype(np.float32)
    frames = RNG.standard_normal((5, 6, 8)).astype(np.float32)
    inner, video = torch.from_numpy(children).mean(1), torch.from_numpy(frames).mean(1)
    wanted = torch_info_nce(video, text) + torch_nt_xent(video, text)
    wanted += torch_info_nce(video, inner) + torch_info_nce(text, inner)
    ours = contrastive.keystep_level(frames.mean(1), B, children)
    np.testing.assert_allclose(ours, wanted / 4, rtol=1e-5)
    wanted += 0.1 * np.asarray(contrastive.dtw_contrast(frames, children)).item()
    ours = contrastive.video_level(frames, B, children)
    np.testing.assert_allclose(ours, wanted / 5, rtol=1e-5)
