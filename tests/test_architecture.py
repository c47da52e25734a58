"""The gates of the design: layers, sizes and names. Each checks the source as it stands, so none can be forgotten."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from genus.models.families import FAMILIES

PACKAGE = Path(__file__).resolve().parents[1] / "genus"
SOURCES = sorted(PACKAGE.rglob("*.py"))
# A package imports only from those before it, and from itself.
LAYERS = ("core", "tokenizers", "data", "models", "tasks", "parallel", "train", "plan", "engine", "align", "evaluate",
          "retrieve", "serve", "cli")  # fmt: skip
VAGUE = {"utils", "util", "helpers", "helper", "base", "common", "misc", "manager", "handler"}


def module_name(path: Path) -> str:
    return ".".join(path.relative_to(PACKAGE.parent).with_suffix("").parts).removesuffix(".__init__")


MODULES = {module_name(path): ast.parse(path.read_text("utf-8")) for path in SOURCES}


def imports(tree: ast.AST) -> Iterator[str]:
    """Modules of Genus that a tree imports anywhere, in functions too; those only for types do not run."""
    typing_only = {
        id(inner)
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and getattr(node.test, "id", "") == "TYPE_CHECKING"
        for inner in ast.walk(node)
    }
    for node in ast.walk(tree):
        if id(node) in typing_only:
            continue
        if isinstance(node, ast.ImportFrom) and node.module and node.module.startswith("genus"):
            yield node.module
        elif isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name.startswith("genus"))


def functions(tree: ast.AST) -> Iterator[ast.FunctionDef]:
    yield from (node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef))


@pytest.mark.parametrize("module", MODULES)
def test_imports_only_downwards(module):
    if module == "genus":
        return
    layer = LAYERS.index(module.split(".")[1])
    for imported in imports(MODULES[module]):
        assert LAYERS.index(imported.split(".")[1]) <= layer, f"{module} imports {imported}, which lies above it"


def test_no_import_cycle():
    graph = {module: set(imports(tree)) & MODULES.keys() for module, tree in MODULES.items()}
    done: set[str] = set()

    def visit(module: str, path: tuple[str, ...]) -> None:
        assert module not in path, " -> ".join((*path, module))
        if module not in done:
            for imported in graph[module]:
                visit(imported, (*path, module))
            done.add(module)

    for module in graph:
        visit(module, ())


@pytest.mark.parametrize("path", SOURCES, ids=module_name)
def test_sizes(path):
    text = path.read_text("utf-8")
    assert len(text.splitlines()) <= 400, f"{path.name} is longer than 400 lines"
    for function in functions(ast.parse(text)):
        lines = (function.end_lineno or 0) - function.lineno + 1
        assert lines <= 60, f"{function.name} has {lines} lines"


@pytest.mark.parametrize("module", MODULES)
def test_arguments(module):
    """At most 6. Commands are exempt: there each argument is a flag that a user reads about in --help."""
    if module.startswith("genus.cli."):
        return
    for function in functions(MODULES[module]):
        arguments = function.args
        names = [argument.arg for argument in (*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs)]
        count = len([name for name in names if name not in ("self", "cls")])
        assert count <= 6, f"{function.name} takes {count} arguments"


def test_no_vague_module_names():
    assert not [module for module in MODULES if VAGUE & set(module.split("."))]


@pytest.mark.parametrize("module", MODULES)
def test_all_is_sorted_and_documented(module):
    tree = MODULES[module]
    assert ast.get_docstring(tree), f"{module} does not say what it is for"
    for node in tree.body:
        if isinstance(node, ast.Assign) and getattr(node.targets[0], "id", "") == "__all__":
            names = ast.literal_eval(node.value)
            assert list(names) == sorted(names, key=lambda name: (not name.isupper(), not name[0].isupper(), name))
            defined = {n.name: n for n in tree.body if isinstance(n, ast.FunctionDef | ast.ClassDef)}
            undocumented = [name for name in names if name in defined and not ast.get_docstring(defined[name])]
            assert not undocumented, f"{module}: no docstring for {undocumented}"


def test_no_family_name_outside_families():
    """In models/ families are data; code that asks for one by name has lost the idea."""
    for path in sorted((PACKAGE / "models").rglob("*.py")):
        if "families" in path.parts:
            continue
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            words = [node.value] if isinstance(node, ast.Constant) and isinstance(node.value, str) else []
            words = [] if is_docstring(node, path) else words
            words += [node.id] if isinstance(node, ast.Name) else []
            for word in words:
                assert word.lower() not in FAMILIES, f"{path.name} names the family {word}"


def is_docstring(node: ast.AST, path: Path) -> bool:
    return isinstance(node, ast.Constant) and "\n" in str(node.value)


@pytest.mark.parametrize("module", MODULES)
def test_no_pickle_and_no_eval(module):
    for node in ast.walk(MODULES[module]):
        if isinstance(node, ast.Call):
            called = ast.unparse(node.func)
            assert called not in ("eval", "exec", "torch.load", "pickle.load", "pickle.loads"), f"{module} calls {called}"
            for keyword in node.keywords:
                trusted = keyword.arg == "trust_remote_code" and ast.unparse(keyword.value) != "False"
                assert not trusted, f"{module} runs code of others"


@pytest.mark.parametrize("statement", ["import genus", "import genus.cli.main"])
def test_torch_is_imported_only_for_a_model(statement):
    heavy = "{'torch', 'pyarrow', 'tokenizers', 'matplotlib', 'transformers'}"
    check = f"import sys; {statement}; found = {heavy} & set(sys.modules); assert not found, found"
    subprocess.run([sys.executable, "-c", check], check=True)
