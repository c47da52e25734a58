"""The build hook of the browser pages: what it does when pages are new, old or unwanted, or cannot be built."""

import importlib.util
import subprocess
from pathlib import Path

import pytest

pytest.importorskip("hatchling", reason="the hook is hatchling's; pip install hatchling")
ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture
def hook():
    spec = importlib.util.spec_from_file_location("hatch_build", ROOT / "hatch_build.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def root(tmp_path):
    (tmp_path / "ui" / "src").mkdir(parents=True)
    (tmp_path / "ui" / "package.json").write_text("{}")
    (tmp_path / "ui" / "src" / "main.tsx").write_text("first")
    (tmp_path / "genus" / "serve").mkdir(parents=True)
    return tmp_path


@pytest.fixture
def compiled(hook, monkeypatch):
    """Stands in for npm and Vite; gives what they were asked to write."""
    made = []

    def compile_pages(ui, out):
        made.append((ui / "src" / "main.tsx").read_text())
        out.mkdir()
        (out / "index.html").write_text(made[-1])

    monkeypatch.setattr(hook, "compile_pages", compile_pages)
    return made


def test_builds_once_and_again_after_a_change(hook, root, compiled):
    index = root / "genus" / "serve" / "pages" / "index.html"
    assert [hook.build(root), hook.build(root)] == ["", ""]
    assert compiled == ["first"]
    (root / "ui" / "src" / "main.tsx").write_text("second")
    assert hook.build(root) == ""
    assert index.read_text() == "second"
    (root / "ui" / "src" / "main.tsx").rename(root / "ui" / "src" / "other.tsx")
    assert hook.fingerprint(root / "ui") != (index.parent / hook.STAMP).read_text()


def test_what_is_not_a_source_does_not_count(hook, root):
    before = hook.fingerprint(root / "ui")
    (root / "ui" / "node_modules").mkdir()
    (root / "ui" / "node_modules" / "x.js").write_text("x")
    assert hook.fingerprint(root / "ui") == before


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (subprocess.CalledProcessError(1, ("node", "npm-cli.js", "ci")), "npm could not fetch what they need"),
        (subprocess.CalledProcessError(1, ("node", "vite.js", "build")), "Vite failed"),
        (subprocess.TimeoutExpired("npm", 600), "10 minutes"),
        (FileNotFoundError("Node is not installed"), "Node is not installed"),
    ],
)
@pytest.mark.usefixtures("compiled")
def test_a_failure_is_one_line_and_leaves_nothing_half_built(hook, root, monkeypatch, error, said):
    assert hook.build(root) == ""
    (root / "ui" / "src" / "main.tsx").write_text("newer")

    def fail(ui, out):
        out.mkdir()
        (out / "index.html").write_text("half")
        raise error

    monkeypatch.setattr(hook, "compile_pages", fail)
    line = hook.build(root)
    assert said in line
    assert "\n" not in line
    assert list((root / "genus" / "serve").iterdir()) == []


def test_unwanted_pages_are_left_out(hook, root, compiled, monkeypatch):
    monkeypatch.setenv("GENUS_PAGES", "0")
    assert hook.build(root) == ""
    assert compiled == []


def test_tools_of_a_developer_are_left_in_place(hook, root):
    ui = root / "ui"
    (ui / "node_modules").mkdir()
    (ui / "package-lock.json").write_text(
        '{"packages": {"": {}, "a": {"version": "1"}, "b": {"version": "1", "dev": true}}}'
    )
    found = ui / "node_modules" / ".package-lock.json"
    assert not hook.installed(ui)
    found.write_text('{"packages": {"a": {"version": "2"}}}')
    assert not hook.installed(ui)
    found.write_text('{"packages": {"a": {"version": "1"}, "c": {"version": "1"}}}')
    assert hook.installed(ui)


def test_the_lock_file_names_no_registry():
    assert '"resolved"' not in (ROOT / "ui" / "package-lock.json").read_text("utf-8")
