"""Random parameters and inputs of any model, made without a compiler; all verbs; their parity."""

import jax
import numpy as np

from surgzoo.models.verbs import verbs

ATOL = 1e-4


def random_params(config, seed=0):
    """Nothing at zero or one, and of sizes that keep what flows through near one."""
    rng = np.random.default_rng(seed)
    model = config.build()

    def draw(path, leaf, axes):
        name = path[-1].key
        noise = rng.standard_normal(leaf.shape).astype(np.float32)
        dims = leaf.shape[axes[:1] == ("layers",) :]
        if name.startswith("scale") or name in ("var", "log_scale"):
            return 1 + np.float32(0.1) * np.clip(noise, -3, 3)
        if name in ("bias", "mean") or len(dims) < 2:
            return np.float32(0.2) * noise
        if "vocab" in axes:
            return np.float32(0.5) * noise
        conv = len(dims) == 4 and dims[0] == dims[1]
        return noise * np.float32((dims[0] * dims[1] * dims[2] if conv else dims[0]) ** -0.5)

    return jax.tree_util.tree_map_with_path(draw, model.abstract(), model.logical_axes())


def random_batch(config, rows, seed=0):
    """A batch like `config.row()`: normal numbers, whole ones from 0 to 3, everything masked in."""
    rng = np.random.default_rng(seed)

    def draw(shape, dtype):
        if dtype == "bool":
            return np.ones((rows, *shape), bool)
        if dtype == "int32":
            return rng.integers(0, 4, (rows, *shape)).astype(np.int32)
        return rng.standard_normal((rows, *shape)).astype(np.float32)

    return {name: draw(*spec) for name, spec in config.row().items()}


def all_verbs(model):
    """One function of (params, batch), so that verbs share what is compiled."""
    asked = verbs(model)

    def plain(x):  # names of a NamedTuple are keys
        return x._asdict() if hasattr(x, "_asdict") else x

    return lambda params, batch: {name: plain(verb(params, batch)) for name, verb in asked.items()}


def assert_parity(outputs, expected):
    """That the verbs' outputs are those of an oracle; NaN there is nothing to compare with."""
    assert set(outputs) <= set(expected), "the oracle does not answer every verb of the model"
    for verb, found in outputs.items():
        ours, theirs = (jax.tree.leaves_with_path(x) for x in (found, expected[verb]))
        assert [path for path, _ in ours] == [path for path, _ in theirs]
        spread = np.nanstd(np.concatenate([wanted.ravel() for _, wanted in theirs]))
        assert spread > 100 * ATOL, f"{verb}: {spread} is nothing to tell inputs apart by"
        for (path, value), (_, wanted) in zip(ours, theirs, strict=True):
            where = f"{verb}{jax.tree_util.keystr(path)}"
            assert value.shape == wanted.shape, where
            said = ~np.isnan(wanted)
            np.testing.assert_allclose(value[said], wanted[said], atol=ATOL, rtol=0, err_msg=where)
