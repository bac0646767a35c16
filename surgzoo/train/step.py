"""One optimizer step: loss, gradient over the trainable parameters, update."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import optax
from jax.sharding import Mesh, NamedSharding
from jax.sharding import PartitionSpec as P

from surgzoo.core import parallel
from surgzoo.train.experiment import Experiment
from surgzoo.train.objectives import OBJECTIVES, Objective
from surgzoo.train.state import Tree, merge, trainable


def step_of(
    experiment: Experiment,
    model: Any,
    tx: optax.GradientTransformation,
    abstract: Tree,
    mesh: Mesh,
) -> Callable[[Tree, dict[str, jax.Array]], tuple[Tree, dict[str, jax.Array]]]:
    """The step of a run of this experiment: what is measured beforehand is what is then taken."""
    return make_train_step(
        model,
        OBJECTIVES[experiment.objective],
        tx,
        abstract,
        mesh,
        pattern=experiment.model.trainable,
        accumulate=experiment.optim.accumulate,
        ema=experiment.optim.ema,
        seed=experiment.seed,
    )


def make_train_step(
    model: Any,
    objective: Objective,
    tx: optax.GradientTransformation,
    abstract: Tree,
    mesh: Mesh,
    *,
    pattern: str = ".*",
    accumulate: int = 1,
    ema: float | None = None,
    seed: int = 0,
) -> Callable[[Tree, dict[str, jax.Array]], tuple[Tree, dict[str, jax.Array]]]:
    """Compiled `step(state, batch) -> (state, metrics)`; the state is donated.

    Randomness is a function of (seed, step), so a resumed run draws what the uninterrupted one
    drew.
    """

    def loss_fn(learned, params, batch, rng):
        with jax.sharding.use_abstract_mesh(mesh.abstract_mesh):
            return objective(model, merge(params, learned), batch, rng)

    grad_fn = jax.value_and_grad(loss_fn, has_aux=True)

    def accumulated(learned, params, batch, rng):
        """Gradients of microbatches, each weighted by what it counts: equals one large batch."""

        def body(carry, inputs):
            number, micro = inputs
            (loss, metrics), grads = grad_fn(
                learned, params, micro, jax.random.fold_in(rng, number)
            )
            weight = metrics["weight"]
            scaled = jax.tree.map(lambda x: x * weight, (grads, loss, metrics))
            return jax.tree.map(jnp.add, carry, (*scaled, weight)), None

        micro = jax.tree.map(lambda x: _interleave(x, accumulate), batch)
        first = jax.tree.map(lambda x: x[0], micro)
        shapes = jax.eval_shape(grad_fn, learned, params, first, rng)
        (loss, metrics), grads = jax.tree.map(lambda x: jnp.zeros(x.shape, x.dtype), shapes)
        carry = (grads, loss, metrics, jnp.zeros(()))
        (grads, loss, metrics, weight), _ = jax.lax.scan(
            body, carry, (jnp.arange(accumulate), micro)
        )
        total = jnp.maximum(weight, 1e-6)
        grads, loss, metrics = jax.tree.map(lambda x: x / total, (grads, loss, metrics))
        return (loss, metrics | {"weight": weight}), grads

    def step(state, batch):
        rng = jax.random.fold_in(jax.random.key(seed), state["step"])
        learned = trainable(state["params"], pattern)
        run = grad_fn if accumulate == 1 else accumulated
        (loss, metrics), grads = run(learned, state["params"], batch, rng)
        updates, opt = tx.update(grads, state["opt"], learned)
        learned = optax.apply_updates(learned, updates)
        new = {
            "params": merge(state["params"], learned),
            "opt": opt,
            "step": state["step"] + 1,
        }
        if ema is not None:
            new["ema"] = optax.incremental_update(learned, state["ema"], 1.0 - ema)
        metrics = {"loss": loss, "grad_norm": optax.tree.norm(grads), **metrics}
        return new, metrics

    state_shardings = jax.tree.map(lambda leaf: leaf.sharding, abstract)
    return jax.jit(
        step,
        in_shardings=(state_shardings, NamedSharding(mesh, parallel.BATCH)),
        out_shardings=(state_shardings, NamedSharding(mesh, P())),
        donate_argnums=0,
    )


def _interleave(x: jax.Array, parts: int) -> jax.Array:
    """(B, ...) to (parts, B / parts, ...), every part holding rows of every device."""
    return x.reshape(x.shape[0] // parts, parts, *x.shape[1:]).swapaxes(0, 1)
