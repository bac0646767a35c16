"""The implementations behind `attend` against each other; cuDNN's arguments without a GPU."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from qwen_small import picture, random_params, small_config, stack_rows

from surgzoo.core import parallel
from surgzoo.core.contract import Message
from surgzoo.models.layers import attention, cudnn
from surgzoo.models.layers.attention import Segments, Shared, attend

# Rows of 12 tokens: packed, one conversation and padding, full, and padding alone.
IDS = np.array(
    [
        [1, 1, 1, 2, 2, 2, 2, 3, 3, 0, 0, 0],
        [1, 1, 1, 1, 1, 1, 1, 0, 0, 0, 0, 0],
        [7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7],
        [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0],
    ],
    np.int32,
)
HOPPER = cudnn.Device("gpu", (9, 0), True)


def normal(*shape, seed=0, dtype=np.float32):
    return jnp.asarray(np.random.default_rng([seed, *shape]).normal(size=shape), dtype)


def mask_of(ids, causal=True):
    same = (ids[:, :, None] == ids[:, None, :]) & (ids > 0)[:, None, :]
    return same & np.tri(ids.shape[1], dtype=bool) if causal else same


def arrays(heads, kv_heads, dtype=np.float32, width=8):
    rows, length = IDS.shape
    q = normal(rows, length, heads, width, dtype=dtype)
    k, v = (normal(rows, kv_heads, length, width, seed=s, dtype=dtype) for s in (1, 2))
    return q, k, v


def with_gradients(fn, *inputs):
    """The output where a query sees anything, and the gradients of a weighted sum of it."""
    weights = normal(*inputs[0].shape, seed=9) * (IDS > 0)[: len(inputs[0]), :, None, None]

    def total(*inputs):
        out = fn(*inputs)
        return jnp.sum(out.astype(jnp.float32) * weights), out

    grads, out = jax.jit(jax.grad(total, tuple(range(len(inputs))), has_aux=True))(*inputs)
    return [np.where((IDS > 0)[..., None, None], out, 0), *grads]


def close(got, expected, tolerance):
    for a, b in zip(got, expected, strict=True):
        a, b = (np.asarray(x, np.float32) for x in (a, b))
        np.testing.assert_allclose(a, b, atol=tolerance * max(np.abs(b).max(), 1.0))


@pytest.mark.parametrize(("dtype", "tolerance"), [("float32", 1e-5), ("bfloat16", 0.03)])
@pytest.mark.parametrize("causal", [True, False])
@pytest.mark.parametrize(("heads", "kv_heads"), [(4, 4), (6, 2), (4, 1)])
def test_xla_equals_grouped(heads, kv_heads, causal, dtype, tolerance):
    inputs, mask = arrays(heads, kv_heads, dtype), mask_of(IDS, causal)
    xla, grouped = (
        with_gradients(lambda *x, name=name: attend(*x, mask, implementation=name), *inputs)
        for name in ("xla", "grouped")
    )
    close(xla, grouped, tolerance)


@pytest.mark.parametrize(("heads", "kv_heads"), [(6, 2), (4, 4)])
def test_xla_equals_grouped_with_shared_keys(heads, kv_heads):
    """Four rows read two rows of shared keys, of which one row sees nothing."""
    shared = tuple(normal(2, kv_heads, 5, 8, seed=seed) for seed in (4, 5))
    seen = np.random.default_rng(0).random((4, 12, 5)) < 0.6
    seen[1] = False

    def run(name):
        def fn(q, k, v, a, b):
            return attend(
                q, k, v, mask_of(IDS), Shared(a.swapaxes(2, 3), b, seen), implementation=name
            )

        return with_gradients(fn, *arrays(heads, kv_heads), *shared)

    close(run("xla"), run("grouped"), 1e-5)


def test_runs_say_what_the_segments_say():
    most = 5
    lengths, offsets, too_many = cudnn.runs(jnp.asarray(IDS), most)
    assert lengths.shape == (4, most) and offsets.shape == (4, most + 1)
    assert lengths.dtype == offsets.dtype == jnp.int32 and not too_many.any()
    np.testing.assert_array_equal(lengths[0], [3, 4, 2, 3, -1])
    np.testing.assert_array_equal(offsets[0], [0, 3, 7, 9, -1, -1])
    for ids, starts, sizes in zip(IDS, offsets, lengths, strict=True):
        told = np.full((12, 12), False)
        for start, size in zip(starts, sizes, strict=False):
            if size >= 0:
                told[start : start + size, start : start + size] = True
        np.testing.assert_array_equal(told, ids[:, None] == ids[None, :])


def test_more_runs_than_said_are_noticed():
    _, _, too_many = cudnn.runs(jnp.asarray(IDS), 3)
    assert too_many.tolist() == [True, False, False, False]
    lengths, offsets, _ = cudnn.runs(jnp.asarray(IDS[:, :2]), 4)  # and more than there are tokens
    assert lengths.tolist()[0] == [2, -1, -1, -1] and offsets.tolist()[0] == [0, -1, -1, -1, -1]


@pytest.fixture
def pretended(monkeypatch):
    """cuDNN's function as its documentation describes it, in plain arithmetic. Tokens that belong
    to no segment get NaN."""
    from jax._src.cudnn import fused_attention_stablehlo as fused

    calls = []

    def run(q, k, v, *, q_seqlen, kv_seqlen, scale, mask_type, q_offsets=None, kv_offsets=None):
        assert q.shape[2] == k.shape[2] or q_offsets is None  # addresses count query heads
        calls.append(mask_type)
        rows, length = q.shape[:2]
        starts = jnp.zeros((rows, 1), int) if q_offsets is None else q_offsets[:, :-1]
        sizes = q_seqlen[:, None] if q_offsets is None else q_seqlen
        at = jnp.arange(length)
        member = (at >= starts[..., None]) & (at < (starts + sizes)[..., None])  # [B, M, S]
        member &= (sizes >= 0)[..., None]
        seen = jnp.einsum("bms,bmt->bst", member.astype(int), member.astype(int)) > 0
        if "CAUSAL" in mask_type.name:
            seen &= at[:, None] >= at
        group = q.shape[2] // k.shape[2]
        k, v = jnp.repeat(k, group, axis=2), jnp.repeat(v, group, axis=2)
        scores = jnp.einsum("bsnd,btnd->bnst", q * scale, k)
        weights = jax.nn.softmax(jnp.where(seen[:, None], scores, -1e30), axis=-1)
        out = jnp.einsum("bnst,btnd->bsnd", weights, v)
        return jnp.where(seen.any(axis=-1)[..., None, None], out, jnp.nan)

    monkeypatch.setattr(fused, "dot_product_attention", run)
    monkeypatch.setattr(cudnn, "this_device", lambda: HOPPER)
    monkeypatch.setattr(cudnn, "_DTYPES", ("float32",))
    monkeypatch.setattr(attention, "_CUDNN_FROM", 8)
    return calls


@pytest.mark.parametrize("causal", [True, False])
@pytest.mark.parametrize("most", [2, 4, 20])
@pytest.mark.parametrize(("heads", "kv_heads"), [(4, 4), (6, 2)])
def test_cudnn_is_told_the_same_as_the_mask(pretended, heads, kv_heads, most, causal):
    ids = IDS if most > 2 else np.where(IDS < 2, IDS, 1)
    ids[2] = 7
    inputs, mask = arrays(heads, kv_heads), mask_of(ids, causal)
    segments = Segments(jnp.asarray(ids), causal, most)

    def run(name):
        fn = lambda *x: attend(*x, mask, implementation=name, segments=segments)  # noqa: E731
        return with_gradients(fn, *inputs)

    got = run("cudnn")
    close(got, run("grouped"), 1e-5)
    close(got, run("auto"), 1e-5)
    assert len(pretended) == 2 and {"CAUSAL" in kind.name for kind in pretended} == {causal}


@pytest.mark.parametrize("most", [2, 3])
def test_a_row_with_too_many_segments_is_loud(pretended, most):
    segments = Segments(jnp.asarray(IDS), True, most)
    out = attend(*arrays(4, 2), mask_of(IDS), implementation="cudnn", segments=segments)
    assert np.isnan(out).all(axis=(1, 2, 3)).tolist() == [True, False, False, False]
    assert np.isfinite(out[1:]).all()


@pytest.mark.parametrize("most", [2, 4])
def test_cudnn_lowers_for_a_gpu(monkeypatch, most):
    """Forward and backward reach cuDNN's custom calls with the segments that were said."""
    from jax._src.cudnn import fused_attention_stablehlo as fused

    monkeypatch.setattr(fused, "check_cudnn_version", lambda: 91000)
    monkeypatch.setattr(fused, "check_compute_capability", lambda capability: True)
    monkeypatch.setattr(cudnn, "this_device", lambda: HOPPER)
    segments = Segments(jnp.asarray(IDS), True, most)

    def total(q, k, v):
        out = attend(q, k, v, mask_of(IDS), implementation="cudnn", segments=segments)
        return out.astype(jnp.float32).sum()

    inputs = arrays(4, 2, "bfloat16", width=64)
    traced = jax.jit(jax.grad(total, (0, 1, 2))).trace(*inputs)
    text = traced.lower(lowering_platforms=("cuda",)).as_text()
    assert "__cudnn$fmhaSoftmaxBackward" in text and "PADDING_CAUSAL" in text
    assert f"max_seg_per_batch\\22: {1 if most == 2 else most}" in text


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"device": cudnn.Device("cpu", (0, 0), False)}, "the device is a cpu"),
        ({"device": cudnn.Device("gpu", (9, 0), False)}, "without cuDNN"),
        ({"device": cudnn.Device("gpu", (8, 0), True)}, "capability 9.0; the device has 8.0"),
        ({"segments": None}, r"rows whose questions share a prefix \(data.group\)"),
        ({"dtype": jnp.float32}, "bfloat16 or float16, not in float32"),
        ({"head_dim": 100}, "multiple of 8 up to 256; it is 100"),
        ({"head_dim": 264}, "multiple of 8 up to 256; it is 264"),
    ],
)
def test_why_not_cudnn(changes, reason):
    fine = {
        "dtype": jnp.bfloat16,
        "head_dim": 128,
        "segments": Segments(jnp.asarray(IDS), True, 8),
        "device": HOPPER,
    }
    assert cudnn.why_not(**fine) is None
    settings = fine | changes
    said = cudnn.why_not(**settings)
    with pytest.raises(AssertionError if said is None else ValueError, match=reason):
        q = jnp.zeros((1, 1024, 4, settings["head_dim"]), settings["dtype"])
        attention.choose("cudnn", q, settings["segments"], settings["device"])
    q = jnp.zeros((1, 1024, 4, settings["head_dim"]), settings["dtype"])
    assert attention.choose("auto", q, settings["segments"], settings["device"]) == "grouped"


def test_ampere_takes_rows_of_one_conversation():
    one = Segments(jnp.asarray(IDS), True, 2)
    assert cudnn.why_not(jnp.bfloat16, 128, one, cudnn.Device("gpu", (8, 0), True)) is None


def test_auto_takes_cudnn_for_long_rows_alone():
    segments = Segments(jnp.asarray(IDS), True, 8)
    for length, expected in ((511, "grouped"), (512, "cudnn")):
        q = jnp.zeros((1, length, 4, 128), jnp.bfloat16)
        assert attention.choose("auto", q, segments, HOPPER) == expected
        assert attention.choose("cudnn", q, segments, HOPPER) == "cudnn"


def test_an_unknown_implementation_is_refused():
    with pytest.raises(ValueError, match="unknown attention 'flash': use one of auto, grouped"):
        attend(*arrays(4, 2), mask_of(IDS), implementation="flash")
    with pytest.raises(ValueError, match="attention is auto, grouped, xla or cudnn, not 'flash'"):
        small_config(attention="flash")


@pytest.fixture(scope="module")
def batch():
    processor = small_config().processor()
    talk = [Message("user", "Which?", 1), Message("assistant", "the hook")]
    rows = [
        processor.encode(talk, [picture(56, 84, seed=i)], bucket=processor.buckets[1])
        for i in range(2)
    ]
    return stack_rows(rows)


def test_the_model_takes_the_implementation_that_it_is_told(batch):
    params = random_params(small_config())
    plain = small_config(attention="grouped").build().forward(params, batch)
    without = {key: value for key, value in batch.items() if key != "prefix"}
    there = batch["segments"] > 0
    for name, rows in (("xla", batch), ("xla", without), ("auto", without)):
        logits = small_config(attention=name).build().forward(params, rows)
        np.testing.assert_allclose(logits[there], plain[there], atol=1e-4)
    forced = small_config(attention="cudnn").build()
    if jax.default_backend() == "cpu":
        with pytest.raises(ValueError, match="'cudnn' cannot run here: it needs an NVIDIA GPU"):
            forced.forward(params, without)


@pytest.mark.skipif(
    cudnn.why_not(jnp.bfloat16, 64, Segments(IDS, True, 8), cudnn.this_device()) is not None,
    reason="cuDNN's kernel runs on an NVIDIA GPU of capability 9.0 alone, with jax[cuda]",
)
@pytest.mark.parametrize("most", [2, 8])
@pytest.mark.parametrize("causal", [True, False])
def test_cudnn_equals_grouped_on_a_gpu(causal, most):
    ids = np.repeat(IDS if most > 2 else np.where(IDS == 7, 7, np.minimum(IDS, 1)), 64, axis=1)
    q = normal(4, 768, 8, 64, dtype="bfloat16")
    k, v = (normal(4, 2, 768, 64, seed=seed, dtype="bfloat16") for seed in (1, 2))
    weights = normal(*q.shape, seed=9) * (ids > 0)[..., None, None]

    def run(name):
        def total(q, k, v):
            out = attend(
                q, k, v, jnp.asarray(mask_of(ids, causal)), implementation=name,
                segments=Segments(jnp.asarray(ids), causal, most),
            )  # fmt: skip
            return jnp.sum(out.astype(jnp.float32) * weights), out

        grads, out = jax.jit(jax.grad(total, (0, 1, 2), has_aux=True))(q, k, v)
        return [np.where((ids > 0)[..., None, None], out, 0), *grads]

    close(run("cudnn"), run("grouped"), 0.03)


@pytest.mark.parametrize("masked", [True, False])
@pytest.mark.parametrize("at_once", [1, 5, 6, 11])
def test_some_queries_at_a_time_equal_all(monkeypatch, masked, at_once):
    """12 queries in parts that divide them or do not."""
    q, k, v = arrays(4, 2)
    mask = jnp.asarray(mask_of(IDS)) if masked else None
    whole = with_gradients(lambda *x: attend(*x, mask), q, k, v)
    monkeypatch.setattr(attention, "MOST_SCORES", at_once * 4 * 4 * 12)
    assert "while" in jax.jit(lambda *x: attend(*x, mask)).lower(q, k, v).as_text()
    close(with_gradients(lambda *x: attend(*x, mask), q, k, v), whole, 1e-5)


def scans(q, k, v, **sizes):
    """Parts in which the queries go on a mesh of these sizes, 0 for all at once."""
    mesh = parallel.make_mesh(**sizes, devices=jax.devices()[: math.prod(sizes.values())])
    with jax.sharding.use_abstract_mesh(mesh.abstract_mesh):
        found = jax.make_jaxpr(lambda *x: attend(*x, None, implementation="grouped"))(q, k, v)
    return sum(e.params["length"] for e in found.eqns if e.primitive.name == "scan")


def test_more_devices_do_not_make_more_parts(monkeypatch):
    """Under jit B and N are those of all devices; what is bounded is what one of them holds."""
    monkeypatch.setattr(attention, "MOST_SCORES", 2 * 4 * 12 * 6)  # 2 rows, 4 heads, 6 queries
    assert scans(normal(2, 12, 4, 8), *[normal(2, 2, 12, 8)] * 2, data=1) == 2
    q, k, v = normal(8, 12, 4, 8), normal(8, 2, 12, 8), normal(8, 2, 12, 8)
    assert scans(q, k, v, data=1) == 12
    assert scans(q, k, v, data=2, fsdp=2) == 2
    assert scans(q, k, v, data=2, fsdp=2, tensor=2) == 0
    assert scans(q, k, v, data=2, tensor=4) == 4  # 2 key-value heads stay whole
    assert scans(q[:7], k[:7], v[:7], data=2) == 12  # and so do 7 rows
    want = attend(q, k, v, None)
    mesh = parallel.make_mesh(data=2, fsdp=2, tensor=2)

    @jax.jit
    def run(*x):
        with jax.sharding.use_abstract_mesh(mesh.abstract_mesh):
            return attend(*x, None)

    close([run(*parallel.shard_batch({"q": q, "k": k, "v": v}, mesh).values())], [want], 1e-5)


def test_some_queries_at_a_time_hold_less(monkeypatch):
    q, k, v = (
        jax.ShapeDtypeStruct(s, jnp.float32) for s in ((1, 512, 4, 8), *[(1, 4, 512, 8)] * 2)
    )

    def space():
        gradient = jax.jit(jax.grad(lambda q, k, v: attend(q, k, v, None).sum(), (0, 1, 2)))
        return gradient.lower(q, k, v).compile().memory_analysis().temp_size_in_bytes

    whole = space()
    monkeypatch.setattr(attention, "MOST_SCORES", 32 * 4 * 512)
    assert space() < 0.3 * whole
