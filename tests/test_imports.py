"""The rules of the package: who imports whom, how long a file is, what has a docstring."""

import ast
import importlib
import pathlib
import pkgutil

import pytest

import keras_reg

pytestmark = pytest.mark.once

ROOT = pathlib.Path(keras_reg.__file__).parent
FILES = sorted(ROOT.rglob("*.py"))
NATIVE = {"tensorflow", "jax", "torch"}

# A subpackage, and those it may import besides itself.
MAY_IMPORT = {
    "ops": set(),
    "keras_private": set(),
    "figures": set(),
    "schedules": {"figures"},
    "structure": set(),
    "regularizers": {"ops", "schedules", "structure"},
    "optimizers": {"regularizers", "ops", "schedules", "structure"},
    "layers": {"ops", "schedules", "structure"},
    "report": {"ops", "figures", "schedules", "structure", "regularizers", "optimizers"},
    "compacting": {"layers", "ops", "optimizers", "structure"},
    "evaluation": {"report"},
    "selection": {
        "ops",
        "figures",
        "schedules",
        "structure",
        "regularizers",
        "optimizers",
        "evaluation",
        "report",
    },
    "callbacks": {"ops", "figures", "report", "optimizers", "layers", "schedules", "structure"},
    "attach": {"optimizers", "regularizers", "structure"},
}

modules = [
    importlib.import_module(module.name)
    for module in pkgutil.walk_packages(keras_reg.__path__, "keras_reg.")
]
PUBLIC = [
    (module, name) for module in [keras_reg, *modules] for name in getattr(module, "__all__", [])
]


def imported(source):
    """Every dotted name that a file imports, inside functions too."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "Expected absolute imports"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def subpackage_of(path):
    """`ops` for keras_reg/ops/prox.py, `schedules` for keras_reg/schedules.py."""
    return path.relative_to(ROOT).parts[0].removesuffix(".py")


def test_imports_are_found_wherever_they_are():
    source = "import a.b\ndef f():\n    from c import d as e\n    import tensorflow as tf"
    assert list(imported(source)) == ["a.b", "c.d", "tensorflow"]


def test_few_files_name_a_backend():
    """Operations and updates, and what opens exported files, whatever the backend of Keras is."""
    for path in FILES:
        found = {name.split(".")[0] for name in imported(path.read_text())} & NATIVE
        allowed = {ROOT / n for n in ("ops/backend.py", "ops/updates.py", "evaluation/runtimes.py")}
        assert not found or path in allowed, f"{path} imports {found}"


def test_what_depends_on_the_backend_is_asked_of_one_file():
    asking = {"ops", "schedules", "structure", "regularizers", "optimizers", "layers", "report"}
    for path in FILES:
        is_asked = path in (ROOT / "ops/backend.py", ROOT / "ops/updates.py")
        if subpackage_of(path) in asking and not is_asked:
            nodes = ast.walk(ast.parse(path.read_text()))
            calls = [ast.unparse(node) for node in nodes if isinstance(node, ast.Call)]
            assert "keras.backend.backend()" not in calls, path


def test_nobody_imports_the_inside_of_keras():
    for path in FILES:
        source = path.read_text()
        assert not [name for name in imported(source) if f"{name}.".startswith("keras.src.")], path
        reached = [node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Attribute)]
        assert "keras.src" not in {ast.unparse(node) for node in reached}, path


def test_imports_run_one_way():
    for path in FILES:
        subpackage = subpackage_of(path)
        if subpackage == "__init__":
            continue
        assert subpackage in MAY_IMPORT, f"Expected the rules here to name {subpackage!r}"
        own = [name for name in imported(path.read_text()) if name.split(".")[0] == "keras_reg"]
        subpackages = {f"{name}.".split(".")[1] for name in own}
        allowed = MAY_IMPORT[subpackage] | {subpackage, "keras_private"}
        assert subpackages <= allowed, f"{path} imports {subpackages - allowed}"


def imported_at_once(path):
    """What a file imports outside of functions and of `if TYPE_CHECKING`."""
    body = ast.parse(path.read_text()).body
    top = [node for node in body if isinstance(node, (ast.Import, ast.ImportFrom))]
    return set(imported(ast.unparse(ast.Module(top, []))))


def imported_with(path, found):
    """Adds to `found` the files of the package that are imported with one of them."""
    if path in found:
        return
    found.add(path)
    for name in imported_at_once(path):
        parts = name.split(".")[1:] if name.split(".")[0] == "keras_reg" else []
        for end in range(len(parts) + 1):
            inner = ROOT.joinpath(*parts[:end])
            for one in (inner / "__init__.py", inner.with_suffix(".py")):
                if parts and one.exists():
                    imported_with(one, found)


def test_what_a_loaded_model_does_not_need_is_imported_when_it_is_asked_for():
    at_once: set = set()
    imported_with(ROOT / "__init__.py", at_once)
    late = {"callbacks", "evaluation", "report", "selection"}
    assert not {subpackage_of(path) for path in at_once} & late
    assert ROOT / "compacting/smaller.py" not in at_once
    for path in FILES:
        if "register_keras_serializable" in path.read_text():
            assert path in at_once, f"`load_model` needs {path}"


def test_what_is_imported_late_is_there():
    for name in ("callbacks", "compacting", "evaluation", "report", "selection"):
        assert getattr(keras_reg, name).__name__ == f"keras_reg.{name}"
    assert keras_reg.compact is keras_reg.compacting.compact
    assert keras_reg.compare is keras_reg.evaluation.compare
    assert keras_reg.sparsity is keras_reg.report.sparsity
    for package in (keras_reg, keras_reg.compacting):
        assert set(package.__all__) <= set(dir(package))
        with pytest.raises(AttributeError, match="no attribute 'nothing'"):
            package.nothing  # noqa: B018
    needs_sklearn = ROOT / "selection/estimators.py"  # Itself imported late.
    heavy = {"joblib", "matplotlib", "scipy", "sklearn"}
    for path in set(FILES) - {needs_sklearn}:
        assert not {name.split(".")[0] for name in imported_at_once(path)} & heavy, path


def test_subpackages_have_no_cycle():
    for subpackage, allowed in MAY_IMPORT.items():
        assert not [other for other in allowed if subpackage in MAY_IMPORT[other]]


def test_files_are_short():
    lengths = {str(path): len(path.read_text().splitlines()) for path in FILES}
    assert {path: length for path, length in lengths.items() if length > 400} == {}


def test_public_names_exist_and_say_what_they_are():
    assert len(PUBLIC) > 20
    for module, name in PUBLIC:
        # Not inspect.getdoc, which would take a parent's.
        assert (getattr(module, name).__doc__ or "").strip(), f"{module.__name__}.{name}"


def test_every_module_says_what_it_is():
    assert [path for path in FILES if not ast.get_docstring(ast.parse(path.read_text()))] == []
