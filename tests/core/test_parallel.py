import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import PartitionSpec as P

from surgzoo.core import parallel


def struct(*shape):
    return jax.ShapeDtypeStruct(shape, jnp.float32)


def test_mesh_fills_the_free_axis():
    mesh = parallel.make_mesh(data=-1, fsdp=2, tensor=2)
    assert dict(mesh.shape) == {"data": 2, "fsdp": 2, "tensor": 2, "seq": 1}


@pytest.mark.parametrize("sizes", [{"data": 3}, {"data": -1, "fsdp": 16}])
def test_mesh_that_does_not_fit_is_refused(sizes):
    with pytest.raises(ValueError, match="there are 8"):
        parallel.make_mesh(**sizes)
    with pytest.raises(ValueError, match="only one"):
        parallel.make_mesh(data=-1, fsdp=-1)


def test_rules_divisibility_and_size_rule():
    mesh = parallel.make_mesh(data=2, fsdp=2, tensor=2)
    abstract = {
        "up": struct(64, 128),
        "odd": struct(63, 128),
        "bias": struct(128),
        "big": struct(3, 2048, 1024),
    }
    axes = {
        "up": ("embed", "mlp"),
        "odd": ("embed", "mlp"),
        "bias": (None,),
        "big": (None, None, None),
    }
    specs = parallel.param_specs(abstract, axes, mesh)
    assert specs["up"] == P("fsdp", "tensor")
    assert specs["odd"] == P(None, "tensor")  # 63 is not divisible: stays whole
    assert specs["bias"] == P()
    assert specs["big"] == P(None, "fsdp", None)  # unnamed but large


def test_unknown_logical_axis_is_named():
    mesh = parallel.make_mesh()
    with pytest.raises(ValueError, match="logical axis 'emebd'"):
        parallel.param_specs({"w": struct(8, 8)}, {"w": ("emebd", None)}, mesh)


def test_placed_shapes_keep_dtype_and_get_their_place():
    mesh = parallel.make_mesh(data=1, fsdp=-1)
    places = parallel.shardings({"a": {"w": P("fsdp")}, "b": P()}, mesh)
    shapes = {"a": {"w": struct(8, 4)}, "b": jax.ShapeDtypeStruct((), jnp.int32)}
    placed = parallel.placed(shapes, places)
    assert jax.tree.map(lambda leaf: leaf.sharding, placed) == places
    assert (placed["a"]["w"].shape, placed["b"].dtype) == ((8, 4), jnp.int32)


def test_replication_is_noticed():
    mesh = parallel.make_mesh(data=1, fsdp=8)
    abstract = {"a": struct(100, 101), "b": struct(512, 8)}
    specs = {"a": P(), "b": P("fsdp", None)}
    with pytest.raises(ValueError, match=r"replicated on every device.*\['a'\]"):
        parallel.check_sharded(abstract, specs, mesh)
    assert parallel.check_sharded(abstract, specs, mesh, limit=0.9) == pytest.approx(10100 / 14196)


def test_batch_rows_land_on_data_and_fsdp():
    mesh = parallel.make_mesh(data=4, fsdp=2)
    rows = np.arange(32).reshape(16, 2)
    placed = parallel.shard_batch({"x": rows}, mesh)["x"]
    assert placed.sharding.spec == parallel.BATCH
    assert {shard.data.shape for shard in placed.addressable_shards} == {(2, 2)}
    np.testing.assert_array_equal(placed, rows)


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ({"fsdp": 4}, "needs a multiple of 4 devices, there are 1"),
        ({"data": 2, "fsdp": 1}, "needs 2 devices, there are 1"),
    ],
)
def test_a_mesh_that_does_not_fit_says_how_many_devices_it_needs(asked, message):
    with pytest.raises(ValueError, match=message):
        parallel.mesh_sizes(1, **asked)
