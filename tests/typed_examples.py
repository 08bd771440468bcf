"""Whether a type checker accepts the examples of README, of the pages of docs/ and of docstrings.

    python tests/typed_examples.py

Each page and each module becomes a file, which basedpyright, pyright as a package of Python, reads
by pyright's own rules. What is said of calls and attributes of this package ends it.
"""

import ast
import doctest
import json
import pathlib
import re
import subprocess
import sys
import tempfile
import textwrap
from collections.abc import Iterator

ROOT = pathlib.Path(__file__).resolve().parent.parent
HEAD = """import keras
import keras_reg
import keras_reg as kr
import numpy as np
from keras import layers, ops
"""
# A rate, a strength or a learning rate may be a function of the step.
FUNCTIONS = """
kr.layers.ScheduledDropout(lambda step: 0.1)
kr.schedules.by_depth(lambda step: 0.1, index=0, depth=4)
kr.optimizers.Proximal("adam", {"a/kernel": kr.regularizers.L1(lambda step: 1e-3)})
kr.schedules.plot(lambda step: 0.1, kr.schedules.Linear(0.0, 0.5, steps=100))
"""
# Calls that docstrings allow and no page shows.
CALLS = """
def build() -> keras.Sequential:
    return keras.Sequential([keras.Input((3,)), layers.Dense(2)])

one, x, y = build(), np.ones((8, 3)), np.ones((8, 2))
several = {"one": build(), "other": build()}
kr.sparsity(layers.Dense(2), gradients={"kernel": x})
kr.sparsity(one, gradients=[x, None]).to_json("table.json")
kr.compare(several, x, y, metrics=("mae", lambda y, found: 0.0), training=(x, y), formats="onnx")
kr.evaluation.check_export(one, "onnx", x, path="one.onnx").difference
rules = {kr.channels(one): kr.regularizers.GroupLasso(0.1), "a/bias": kr.regularizers.L1(0.1)}
kr.optimizers.Proximal(keras.optimizers.Adam(), rules, metric="diagonal", model=one)
kr.optimizers.Proximal("adam", kr.regularizers.TopK(lambda step: 0.5), latent=True)
kr.optimizers.Proximal("adam", kr.regularizers.NM(2, 4), every=2, latent=True)
kr.regularize(one, {"a/kernel": kr.regularizers.L2(1)}, strict=True)
kr.callbacks.TargetSparsity(1, until=1, scope="a.*", of="channels")
kr.callbacks.Refit(at=0.5, learning_rate=kr.schedules.Cosine(1e-2, 1e-4, steps=10))
kr.callbacks.SparsityReport(path="report.jsonl", frequency="batch", per_weight=True)
small = kr.compact(one, multiple_of=8, low_rank=True, exact_norms=True, verify=x)
print(kr.compacting.removable(small, verify=None).resized)
found = kr.selection.path(build, x, y, kr.regularizers.L1(), epochs=2, strengths=[1, 0.1], folds=3)
kr.selection.paths({"one": (build, kr.regularizers.L1())}, x, y, epochs=2)
print(found.at(zeros=0.9))
kr.selection.stability(build, x, y, kr.regularizers.GroupLasso(), epochs=2, folder="runs")
kr.selection.PathClassifier(build, kr.regularizers.L1(), scoring="accuracy").fit(x, y)
kr.structure.register(layers.Dense, uses=lambda layer, shapes: 1, regularizers={"a": "b"})
with kr.layers.mc_dropout(one, seed=3):
    one(x)
"""
RULES = {
    "reportArgumentType",
    "reportAttributeAccessIssue",
    "reportCallIssue",
    "reportIndexIssue",
    "reportOptionalSubscript",
}
# What others' types refuse though the functions take it: none is about a call of this package.
OF_OTHERS = (
    # Keras takes its types from the defaults: `verbose="auto"`, `learning_rate=0.001`.
    r'"Literal\[\d\]" cannot be assigned to parameter "verbose" of type "str"',
    r'cannot be assigned to parameter "learning_rate" of type "float"',
    # Of the results of keras.ops and convert_to_numpy it knows no more than all that they may be.
    r"OpenVINOKerasTensor|memoryview\[int\]|for class \"(complex|str|bytes|int)\"",
    # scikit-learn and NumPy return one thing or another by the value of an argument.
    r"tuple\[(NDArray|Series)|\"Pipeline\*\"|overloads for \"(mean|std)\"|Overload\[",
)


def pages() -> Iterator[tuple[str, str]]:
    for page in (ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))):
        text = page.read_text(encoding="utf8")
        yield page.stem, "\n".join(re.findall(r"^```python\n(.*?)^```", text, re.DOTALL | re.M))


def docstrings() -> Iterator[tuple[str, str]]:
    """The examples of each module, which see what stands in it as doctests do."""
    parser = doctest.DocTestParser()
    for path in sorted((ROOT / "keras_reg").rglob("*.py")):
        module = ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
        tree, functions = ast.parse(path.read_text(encoding="utf8")), []
        for node in ast.walk(tree):
            if not isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef):
                continue
            examples = parser.get_examples(ast.get_docstring(node) or "")
            body = "".join(one.source for one in examples)
            if body:
                name = f"example_{getattr(node, 'lineno', 0)}"
                functions.append(f"def {name}():\n{textwrap.indent(body, '    ')}")
        if functions:
            yield module, "\n".join([HEAD, f"from {module} import *", *functions])


def check(folder: pathlib.Path) -> list[str]:
    """What the checker says of this package in the files of a folder."""
    (folder / "pyrightconfig.json").write_text(
        json.dumps({"typeCheckingMode": "standard", "extraPaths": [str(ROOT)]})
    )
    command = [sys.executable, "-m", "basedpyright", "--outputjson", "--pythonpath", sys.executable]
    result = subprocess.run([*command, str(folder)], capture_output=True, text=True, check=False)
    said = json.loads(result.stdout)
    assert said["summary"]["filesAnalyzed"] > 50, said["summary"]
    return [
        f"{pathlib.Path(one['file']).stem}: {line(one)}\n    {one['message']}"
        for one in said["generalDiagnostics"]
        if one.get("rule") in RULES and not is_of_others(one)
    ]


def is_of_others(diagnostic: dict) -> bool:
    # A dict that is given with ** has one type for all of its values.
    return bool(re.search("|".join(OF_OTHERS), diagnostic["message"])) or "**" in line(diagnostic)


def line(diagnostic: dict) -> str:
    number = diagnostic["range"]["start"]["line"]
    return pathlib.Path(diagnostic["file"]).read_text(encoding="utf8").splitlines()[number].strip()


def main() -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        for stem, text in (*pages(), *docstrings(), ("calls", HEAD + FUNCTIONS + CALLS)):
            (folder / f"{stem.replace('.', '_')}.py").write_text(text, encoding="utf8")
        found = check(folder)
    print(*found, f"{len(found)} refused", sep="\n")
    sys.exit(bool(found))


if __name__ == "__main__":
    main()
