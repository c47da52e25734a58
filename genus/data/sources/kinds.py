"""Which files are read, by the end of their names, and as what. Code is told by its language."""

from pathlib import PurePath

__all__ = ["BLOOM_CODE", "CODE", "KINDS", "PACKED", "kind_of", "language_of"]

KINDS = {
    ".txt": "text",
    ".md": "text",
    ".markdown": "text",
    ".jsonl": "jsonl",
    ".json": "json",
    ".parquet": "parquet",
    ".html": "html",
    ".htm": "html",
    ".xhtml": "html",
    ".warc": "warc",
    ".wet": "warc",
}
"""Kinds of files by suffix, beside the code of CODE."""

PACKED = {".gz": "gzip", ".zst": "zstd"}
"""Compressions by the suffix that follows the kind's; not of Parquet, which compresses inside."""

BLOOM_CODE = {
    "c": (".c", ".h"),
    "c#": (".cs",),
    "c++": (".cc", ".cpp", ".cxx", ".hh", ".hpp", ".hxx"),
    "go": (".go",),
    "java": (".java",),
    "javascript": (".cjs", ".js", ".jsx", ".mjs"),
    "lua": (".lua",),
    "php": (".php",),
    "python": (".py", ".pyi"),
    "ruby": (".rb",),
    "rust": (".rs",),
    "scala": (".scala",),
    "typescript": (".ts", ".tsx"),
}
"""The 13 programming languages of BLOOM's corpus (2211.05100, section 3.1, table 2) and their suffixes."""

CODE = BLOOM_CODE | {
    "assembly": (".asm", ".s"),
    "clojure": (".clj", ".cljs"),
    "cmake": (".cmake",),
    "css": (".css", ".scss"),
    "dart": (".dart",),
    "elixir": (".ex", ".exs"),
    "erlang": (".erl", ".hrl"),
    "fortran": (".f", ".f90", ".for"),
    "haskell": (".hs",),
    "julia": (".jl",),
    "kotlin": (".kt", ".kts"),
    "latex": (".cls", ".sty", ".tex"),
    "lisp": (".el", ".lisp", ".scm"),
    "nim": (".nim",),
    "ocaml": (".ml", ".mli"),
    "perl": (".pl", ".pm"),
    "r": (".r",),
    "shell": (".bash", ".sh"),
    "sql": (".sql",),
    "swift": (".swift",),
    "zig": (".zig",),
}
"""All programming languages that are known, and their suffixes in small letters."""

_LANGUAGES = {suffix: language for language, suffixes in CODE.items() for suffix in suffixes}


def kind_of(name: str) -> str:
    """The kind of the file, "code" among them, or "" where it is none that is read."""
    suffix = _inner(name)
    kind = KINDS.get(suffix) or ("code" if suffix in _LANGUAGES else "")
    return "" if kind == "parquet" and PurePath(name).suffix.lower() in PACKED else kind


def language_of(name: str) -> str:
    """The programming language of a file of code, such as "c++"."""
    return _LANGUAGES[_inner(name)]


def _inner(name: str) -> str:
    path = PurePath(name)
    return PurePath(path.stem if path.suffix.lower() in PACKED else path.name).suffix.lower()
