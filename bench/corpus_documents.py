"""Real documents for corpus.py, made from what a Debian machine has, as JSON lines: {"id": "man/ls.1", "text": "..."}.

    python bench/corpus_documents.py /tmp/documents

The same machine gives the same files, and no document is made up or copied to reach a number; what is found twice, such as
one description of two releases, is written twice under two names. Sources, in this order:

    debian   descriptions of packages, by `apt-get -o Acquire::Languages=en update`, or of the installed ones alone
    doc      copyright notes, README files and other text in /usr/share/doc
    man      manual pages in all their languages, without their troff commands
    python   functions and classes of the standard library of this Python
    c        installed C and C++ headers
    packages functions and classes of the packages beside Genus: more than all the others, so only when asked for
"""

import ast
import gzip
import json
import re
import sys
import sysconfig
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from subprocess import run

__all__ = ["FILES", "SOURCES", "USUAL", "write_documents"]

FILES = 16
LONGEST = 200_000  # characters: a longer text is a table or generated code
_TROFF = [
    (re.compile(pattern, re.MULTILINE), text)
    for pattern, text in (
        (r"^[.']\s*(?:\\\".*|(?:PP|P|LP|TP|IP|Pp|It|br|sp)\b.*|$)", "\n"),  # comments, and what begins a paragraph
        (r"^[.']\s*(?:SH|SS|Sh|Ss)\s+\"?(.*?)\"?$", r"\n\n\1\n\n"),  # headings
        (r"^[.']\s*(?:TH|Dd|Dt|Os|de|ds|if|ie|el|nr|ft|ad|nh|hy|in|ti|RS|RE|nf|fi|EX|EE|UR|UE)\b.*$", ""),
        (r"^[.']\s*[A-Za-z]{1,3}\s", ""),  # other commands, of whose arguments the text is
        (r"\\f(?:\[\w*\]|\(\w\w|\w)|\\s[-+]?\d|\\[&|^/,:)c]", ""),  # fonts, sizes, spaces
        (r"\\-", "-"),
        (r"\\[(*](?:\w\w|[^\s])|\\\[\w+\]|\\\".*", ""),  # other signs
        (r"\\([e ])", lambda found: {"e": "\\", " ": " "}[found[1]]),
    )
]
Found = Iterator[tuple[str, str]]
"""Names and texts."""


def debian() -> Found:
    """Descriptions as their format reads: "." alone is an empty line, and lines of one paragraph belong together."""
    lists = sorted(Path("/var/lib/apt/lists").glob("*_Translation-en*"))
    for path in lists or [Path("/var/lib/dpkg/status")]:
        told = run(["/usr/lib/apt/apt-helper", "cat-file", str(path)], capture_output=True, check=True).stdout
        for stanza in told.decode("utf-8", "replace").split("\n\n"):
            name = re.search(r"^Package: (.+)$", stanza, re.MULTILINE)
            text = re.search(r"^Description(?:-en)?: (.*(?:\n .*)*)", stanza, re.MULTILINE)
            if name and text:
                where = path.name.split("_dists_")[-1].partition("_")[0]
                yield f"debian/{where}/{name[1]}", _described(text[1])


def _described(text: str) -> str:
    title, _, rest = text.partition("\n")
    paragraphs = [re.sub(r"\n (?=\S)", " ", part).strip("\n") for part in re.split(r"^ \.$", rest, flags=re.MULTILINE)]
    return "\n\n".join([title, *(part.removeprefix(" ") for part in paragraphs)])


def doc() -> Found:
    """Text files, as they are."""
    for path in _files(Path("/usr/share/doc"), "copyright", "README*", "*.txt", "*.md", "*.rst"):
        if (text := _read(path)) is not None:
            yield f"doc/{path.relative_to('/usr/share/doc')}", text


def man() -> Found:
    """Pages without commands, comments and escapes; lines that troff fills are joined."""
    root = Path("/usr/share/man")
    for path in _files(root, "man*/*"):
        text = _read(path)
        if text is not None and not text.startswith(".so "):
            yield f"man/{path.relative_to(root)}", _plain(text)


def _plain(page: str) -> str:
    for pattern, text in _TROFF:
        page = pattern.sub(text, page)
    return "\n\n".join(" ".join(part.split()) for part in re.split(r"\n\s*\n", page) if part.strip())


def python() -> Found:
    """The functions and classes at the top of modules, as they stand."""
    yield from _functions(Path(sysconfig.get_path("stdlib")), "python")


def packages() -> Found:
    """As of `python`."""
    yield from _functions(Path(sysconfig.get_path("purelib")), "packages")


def _functions(root: Path, source: str) -> Found:
    for path in _files(root, "*.py"):
        inside = path.relative_to(root)
        text = None if "site-packages" in inside.parts else _read(path)
        if text is None:
            continue
        lines = text.splitlines(keepends=True)
        for node in _tree(text):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
                first = min([node.lineno, *(each.lineno for each in node.decorator_list)])
                yield f"{source}/{inside}:{first}", "".join(lines[first - 1 : node.end_lineno])


def _tree(text: str) -> list[ast.stmt]:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of old escapes
            return ast.parse(text).body
    except (SyntaxError, ValueError, RecursionError):
        return []  # tests of parsers have such files


def c() -> Found:
    """Whole headers."""
    for path in _files(Path("/usr/include"), "*.h", "*.hpp"):
        if (text := _read(path)) is not None:
            yield f"c{path}", text


SOURCES: dict[str, Callable[[], Found]] = {each.__name__: each for each in (debian, doc, man, python, c, packages)}
USUAL = tuple(SOURCES)[:-1]


def write_documents(folder: Path, sources: Sequence[str] = USUAL) -> dict[str, dict[str, int]]:
    """Write the documents to FILES files in turn, so that each has some of all; documents and bytes of each source."""
    counts = {name: {"documents": 0, "bytes": 0} for name in sources}
    folder.mkdir(parents=True, exist_ok=True)
    seen: set[str] = set()
    with ExitStack() as open_files:
        files = [open_files.enter_context((folder / f"{n:02d}.jsonl").open("w", encoding="utf-8")) for n in range(FILES)]
        for source, count in counts.items():
            for name, text in SOURCES[source]():
                if name not in seen and text.strip() and len(text) <= LONGEST:
                    files[len(seen) % FILES].write(json.dumps({"id": name, "text": text}, ensure_ascii=False) + "\n")
                    seen.add(name)
                    count["documents"] += 1
                    count["bytes"] += len(text.encode())
    return counts


def _files(root: Path, *patterns: str) -> list[Path]:
    """Files themselves, not links to them."""
    found = {path for pattern in patterns for path in root.rglob(pattern)}
    return sorted(path for path in found if path.is_file() and not path.is_symlink())


def _read(path: Path) -> str | None:
    try:
        data = path.read_bytes()
        return (gzip.decompress(data) if path.suffix == ".gz" else data).decode("utf-8")
    except (OSError, UnicodeDecodeError):
        return None


if __name__ == "__main__":
    print(json.dumps(write_documents(Path(sys.argv[1])), indent=1))
