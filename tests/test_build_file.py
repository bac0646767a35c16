"""BUILD and the tree agree: one target a room, its files covered, its deps the rooms it imports."""

import ast
import tomllib

from tests.test_imports import MAY, ROOT, imports_of, room_of_target, tree

TOP = {"configs", "datasets", "tools"}


def targets():
    """{name: keyword arguments} of the py_library rules; Starlark calls are Python calls."""
    out = {}
    for node in ast.parse((ROOT / "BUILD").read_text(encoding="utf-8")).body:
        call = node.value if isinstance(node, ast.Expr) else None
        if isinstance(call, ast.Call) and call.func.id == "py_library":
            values = {}
            for keyword in call.keywords:
                value = keyword.value
                if isinstance(value, ast.Call):  # glob([...])
                    value = value.args[0]
                values[keyword.arg] = ast.literal_eval(value)
            assert values["name"] not in out, f"BUILD: two targets '{values['name']}'"
            out[values["name"]] = values
    return out


def room(path):
    parts = path.parts
    if parts[0] != "surgzoo":
        return parts[0]
    return parts[1] if len(parts) > 2 else "surgzoo"


def test_one_target_a_room_and_right_deps():
    edges = {}
    for path, text in tree():
        mine = edges.setdefault(room(path), set())
        for found in imports_of(path, text):
            target = room_of_target(found.target)
            if target not in (None, room(path)):
                mine.add(target)
    listed = targets()
    assert set(listed) == set(edges), "BUILD lists other rooms than the tree has"
    for name, deps in edges.items():
        said = {dep.removeprefix(":") for dep in listed[name].get("deps", [])}
        wanted = (deps & (set(MAY) - {name})) | ({"surgzoo"} if name != "surgzoo" else set())
        assert said == wanted, f"BUILD: deps of '{name}' should be {sorted(wanted)}"


def test_every_source_file_is_in_exactly_its_room():
    listed = targets()
    for path, _ in tree():
        globs = listed[room(path)]["srcs"]
        assert any(_matches(path, glob) for glob in globs), f"BUILD: {path} is in no target"


def _matches(path, glob):
    """Globs of the forms a/*.py and a/**/*.py."""
    folder, _, name = glob.rpartition("/")
    if folder.endswith("**"):
        return str(path).startswith(folder[:-2]) and path.match(name)
    return str(path.parent) == folder and path.match(name)


def test_the_wheel_holds_every_package():
    with open(ROOT / "pyproject.toml", "rb") as file:
        listed = tomllib.load(file)["tool"]["setuptools"]["packages"]
    folders = {path.parent for path, _ in tree()}
    wanted = {
        ".".join(f.parts if f.parts[0] == "surgzoo" else ("surgzoo", *f.parts)) for f in folders
    }
    assert set(listed) == wanted
