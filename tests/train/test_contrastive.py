"""Contrastive losses against torch and plain loops."""

import itertools

import jax
import numpy as np
import pytest
import torch
import torch.nn.functional as F

from surgzoo.train import contrastive
from surgzoo.train.objectives import OBJECTIVES

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
        """Row by row: how unlikely a frame is among all of them, by inner product."""
        scores = np.exp(f.astype(np.float64) @ t.T / 0.1)
        return loop_dtw(torch.tensor(-np.log(scores / scores.sum(axis=0))), 0.1).item()

    wanted = [
        max(0.01 * (path(f[::-1], t) - path(f[::-1], t[::-1])), 0)
        for f, t in zip(frames, texts, strict=True)
    ]
    assert min(wanted) > 0
    np.testing.assert_allclose(wrong, np.mean(wanted), rtol=1e-4)
    apart = contrastive.dtw_contrast(frames, texts, margin=50.0)
    # Of two long sums the difference: float32 keeps fewer digits of it.
    np.testing.assert_allclose(apart, 50 - np.mean(wanted), rtol=1e-3)


SAME = np.eye(5, dtype=bool)
SAME[0, 3] = SAME[3, 0] = SAME[1, 2] = SAME[2, 1] = True


def kept(number):
    """The rows that are no other row of the same text."""
    return [n for n in range(5) if n == number or not SAME[number, n]]


def loop_entropy(a, b, temperature=0.1):
    """Cross entropy of each row among those that differ from it in words."""
    a, b = F.normalize(a, dim=1), F.normalize(b, dim=1)
    rows = [
        F.cross_entropy((a[n] @ b[kept(n)].T / temperature)[None], torch.tensor([kept(n).index(n)]))
        for n in range(5)
    ]
    return sum(rows) / 5


def test_equal_texts_are_no_counterexamples():
    """Against loops that leave those rows out, and nothing else."""
    forth, back = loop_entropy(TA, TB).item(), loop_entropy(TB, TA).item()
    ours = contrastive.info_nce(A, B, same=SAME)
    np.testing.assert_allclose(ours, (forth + back) / 2, rtol=1e-5)
    ours = contrastive.nt_xent(A, B, same=SAME)
    np.testing.assert_allclose(ours, 0.75 * forth + 0.25 * back, rtol=1e-5)

    scores = A @ B.T
    parts = [
        np.log(sum(np.exp(scores[n, m]) + np.exp(scores[m, n]) for m in kept(n))) - scores[n, n]
        for n in range(5)
    ]
    ours = contrastive.mil_nce(A, B[:, None], SAME)
    np.testing.assert_allclose(ours, np.mean(parts), rtol=1e-5)

    logits = 3 * RNG.standard_normal((5, 5)).astype(np.float32)
    told = [
        -F.logsigmoid(torch.tensor(logits[n, m] if n == m else -logits[n, m])).item()
        for n in range(5)
        for m in kept(n)
    ]
    np.testing.assert_allclose(contrastive.pair_sigmoid(logits, SAME), sum(told) / 5, rtol=1e-5)
    for loss in (contrastive.info_nce, contrastive.nt_xent):
        np.testing.assert_array_equal(loss(A, B, same=np.eye(5, dtype=bool)), loss(A, B))
    moved = jax.grad(lambda a: contrastive.info_nce(a, B, same=SAME))(A)
    assert np.isfinite(moved).all()


def test_which_texts_are_equal():
    tokens = RNG.integers(50_000, size=(40, 77)).astype(np.int32)
    tokens[7], tokens[9] = tokens[3], tokens[3]
    tokens[9, 40:] = 0  # behind the end
    tokens[12] = tokens[11][::-1]
    mask = np.ones(tokens.shape, bool)
    mask[3, 40:] = mask[7, 40:] = mask[9, 40:] = False
    mask[20, 70:] = False
    tokens[21], mask[21] = tokens[20], True
    rows = list(zip(tokens, mask, strict=True))
    wanted = [
        [np.array_equal(np.where(m, t, -1), np.where(n, u, -1)) for u, n in rows] for t, m in rows
    ]
    np.testing.assert_array_equal(contrastive.equal_texts(tokens, mask), wanted)
    assert np.sum(wanted) == 40 + 6


class Linear:
    """The verbs of a dual encoder, of one product each."""

    def raw_image(self, params, images):
        return images.reshape(len(images), -1) @ params["image"]

    def raw_text(self, params, tokens, mask):
        return (tokens * mask) @ params["text"] / 50

    def embed_image(self, params, images):
        return contrastive._unit(self.raw_image(params, images))

    def embed_text(self, params, tokens, mask):
        return contrastive._unit(self.raw_text(params, tokens, mask))

    def similarity(self, params, images, texts):
        return 7.0 * images @ texts.T


PARAMS = {
    "image": RNG.standard_normal((12, 8)).astype(np.float32),
    "text": RNG.standard_normal((6, 8)).astype(np.float32),
}


def pair_batch(level="frame"):
    """Random arrays; the first two rows have one text."""
    tokens, mask = RNG.integers(50, size=(4, 6)).astype(np.int32), np.ones((4, 6), bool)
    tokens[1], mask[2:, 4:] = tokens[0], False
    batch = {"tokens": tokens, "mask": mask}
    if level == "frame":
        pixels = RNG.standard_normal((3, 4, 2, 2, 3)).astype(np.float32)
        return batch | {"images": pixels[0], "views": np.stack(pixels[1:], axis=1)}
    inner = {f"child_{name}": np.stack([x[::-1], x], axis=1) for name, x in batch.items()}
    return batch | inner | {"frames": RNG.standard_normal((4, 3, 2, 2, 3)).astype(np.float32)}


@pytest.mark.parametrize("name", ["contrastive", "sigmoid", "clip", "step", "video"])
def test_objectives_are_their_losses_on_the_embeddings(name):
    model, pairs = Linear(), name in ("contrastive", "sigmoid")
    batch = pair_batch("frame" if pairs or name == "clip" else name)
    same = np.eye(4, dtype=bool)
    same[0, 1] = same[1, 0] = True
    # The levels of SurgVLP take embeddings of any length.
    text = model.raw_text(PARAMS, batch["tokens"], batch["mask"])
    if pairs:
        text = contrastive._unit(text)
        image = model.embed_image(PARAMS, batch["images"])
        logits = model.similarity(PARAMS, image, text)
        wanted = {
            "contrastive": contrastive.info_nce(image, text, 1 / 7, same),
            "sigmoid": contrastive.pair_sigmoid(logits, same),
        }[name]
        nearest = np.asarray(logits).argmax(axis=1)
        right = np.mean([same[n, at] for n, at in enumerate(nearest)])
    elif name == "clip":
        views = [batch["images"], *np.moveaxis(batch["views"], 1, 0)]
        seen = [model.raw_image(PARAMS, view) for view in views]
        wanted, right = contrastive.clip_level(seen, text, same), None
    else:
        moments = np.moveaxis(batch["frames"], 1, 0)
        frames = np.stack([model.raw_image(PARAMS, x) for x in moments], axis=1)
        children = np.stack([text[::-1], text], axis=1)
        if name == "step":
            wanted = contrastive.keystep_level(frames.mean(axis=1), text, children, same)
        else:
            wanted = contrastive.video_level(frames, text, children, same)
        right = None
    objective = OBJECTIVES[name if pairs else f"surgvlp_{name}"]
    loss, metrics = objective(model, PARAMS, batch, None)
    np.testing.assert_allclose(loss, wanted, rtol=1e-5)
    assert metrics["weight"] == 4
    assert right is None or metrics["accuracy"] == pytest.approx(right)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("surgvlp_clip", "data.pairs.views=2"),
        ("surgvlp_step", "data.pairs.level=step"),
        ("surgvlp_video", "data.pairs.level=video"),
    ],
)
def test_objectives_say_which_rows_they_need(name, message):
    with pytest.raises(ValueError, match=message):
        OBJECTIVES[name](None, None, {"images": A, "tokens": A, "mask": A}, None)


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
    wanted += 0.1 * 0.5 * np.asarray(contrastive.dtw_contrast(frames, children)).item()
    ours = contrastive.video_level(frames, B, children)
    np.testing.assert_allclose(ours, wanted / 5, rtol=1e-5)
