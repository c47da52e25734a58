"""Citations of Markdown: links, reference links, notes [^1], and addresses that stand in the text."""

import re

from genus.retrieve.cite.address import address, ended
from genus.retrieve.cite.claims import Block, Reference, Written, first_of, reference_of
from genus.retrieve.cite.draft import Draft

__all__ = ["read_markdown"]

_DEFINITION = re.compile(r" {0,3}\[\^([^\]\s]{1,100})\]:[ \t]*(.*)")
_STARTS = re.compile(r" {0,3}(?:[#>|*+-]|\d+[.)]|\[[^\]]+\]:)")  # another block: no line of the paragraph before it
_FENCE = re.compile(r" {0,3}(`{3,}|~{3,})")
_FRONT = re.compile(r"---\n\w[\w -]*:")  # else it is a rule, and what follows is text
_TITLE = re.compile(r"^title:[ \t]*(.+)", re.IGNORECASE | re.MULTILINE)
_POINT = re.compile(r"\[\^(?P<note>[^\]\s]{1,100})\]|<?(?P<url>https?://[^\s<>\"'{}\[\]]+)>?", re.IGNORECASE)
_NUMBER = re.compile(r"[\s\[\](\^]*\d{1,3}[\s\])]*")  # of a note, not words of the sentence; four digits are a year
_LINK = re.compile(r"https?://\S", re.IGNORECASE)


def read_markdown(text: str) -> Written:
    """The document's paragraphs, items and cells. Titles: of the front matter, else the first heading's."""
    from markdown_it import MarkdownIt

    parser = MarkdownIt("commonmark").enable("table")
    title, text = _front_matter(text)
    body, notes = _notes(text)
    names: dict = {}  # of links, which are written in the body, for the notes too
    tokens = parser.parse(body, names)
    problems: dict[str, None] = {}
    sources = {
        name: first_of(_sources(parser.parseInline(note, names)[0].children or []), f"note [^{name}]", problems)
        for name, note in notes.items()
    }
    blocks, heading = [], False
    for token in tokens:
        if token.type == "heading_open":
            heading = True
        elif token.type == "inline":
            block = _block(token.children or [], sources, problems)
            title = title or (" ".join(block.text.split()) if heading else "")
            blocks += [] if heading else [block]
            heading = False
    return Written(title, blocks, list(problems))


def _front_matter(text: str) -> tuple[str, str]:
    """The title of a front matter, and the text after it."""
    if not _FRONT.match(text) or (end := text.find("\n---", 4)) < 0:
        return "", text
    found = _TITLE.search(text, 4, end)
    return (found[1].strip(" \"'") if found else ""), text[end + 4 :]


def _notes(text: str) -> tuple[str, dict[str, str]]:
    """The text without its notes, and the notes. They go first: to CommonMark, [^1]: https://... is a link's definition."""
    lines: list[str] = []
    notes: dict[str, list[str]] = {}
    open_note, fence = "", ""
    for line in text.split("\n"):
        mark = _FENCE.match(line)
        if mark and (not fence or mark[1].startswith(fence)):
            fence = "" if fence else mark[1]
        definition = None if fence or mark else _DEFINITION.match(line)
        if definition:
            open_note = definition[1]
            notes.setdefault(open_note, []).append(definition[2])
        elif open_note and (not line.strip() or line.startswith(("  ", "\t"))):
            notes[open_note].append(line.strip())
        elif open_note and not fence and not mark and notes[open_note][-1] and not _STARTS.match(line):
            notes[open_note].append(line.strip())  # a line of the note's paragraph, though it is not indented
        else:
            open_note = ""
            lines.append(line)
            continue
        lines.append("")
    return "\n".join(lines), {name: "\n".join(parts) for name, parts in notes.items()}


def _sources(children: list) -> tuple[Reference, ...]:
    """What a note names."""
    text, links, url, words = "", [], "", ""
    for token in children:
        if token.type == "link_open":
            url, words = str(token.attrGet("href") or ""), ""
        elif token.type == "link_close":
            links += [(url, words)] if _LINK.match(url) else []
        elif token.type in ("text", "code_inline", "softbreak"):
            text += token.content or " "
            words += token.content or " "
    return reference_of(text, links)


def _block(children: list, sources: dict[str, tuple[Reference, ...]], problems: dict[str, None]) -> Block:
    """The plain text of a paragraph, and its marks."""
    draft = Draft()
    url = title = ""
    start = 0
    for token in children:
        if token.type == "link_open":
            url, title, start = str(token.attrGet("href") or ""), str(token.attrGet("title") or ""), len(draft.pieces)
        elif token.type == "link_close":
            words = draft.words(start)
            references = (Reference(url, (title,) if title else (), words),) if _LINK.match(url) else ()
            if _NUMBER.fullmatch(words) or (_LINK.match(words) and address(words) == address(url)):
                draft.note(start, references)
            elif references:
                draft.link(start, references)
            url = ""
        elif token.type in ("softbreak", "hardbreak"):
            draft.pieces.append(" ")
        elif token.type == "code_inline" or (token.type == "text" and url):
            draft.pieces.append(token.content)
        elif token.type == "text":
            _points(token.content, draft, sources, problems)
    return draft.block()


def _points(text: str, draft: Draft, sources: dict[str, tuple[Reference, ...]], problems: dict[str, None]) -> None:
    """Add text to the draft, with its notes and addresses as points."""
    last = 0
    for match in _POINT.finditer(text):
        draft.pieces.append(text[last : match.start()])
        last = match.end()
        references: tuple[Reference, ...] = ()
        if match["note"] is None:
            url = ended(match["url"])
            last -= len(match["url"]) - len(url) if not match[0].endswith(">") else 0
            references = (Reference(url, (), url),)
        elif match["note"] in sources:
            references = sources[match["note"]]
        else:
            problems[f"note [^{match['note']}] is cited but not written"] = None
        draft.note(len(draft.pieces), references)
    draft.pieces.append(text[last:])
