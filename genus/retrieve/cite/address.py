"""Web addresses: where one that stands in text ends, and which are the same. No address is ever fetched."""

import re
from urllib.parse import parse_qsl, unquote, urlencode, urlsplit

__all__ = ["address", "ended"]

_TRACKING = re.compile(
    r"utm_\w+|_ga|_gl|dclid|fbclid|gbraid|gclid|gclsrc|igshid|mc_[ce]id|mkt_tok|msclkid|twclid|wbraid|yclid|_hs\w+",
    re.IGNORECASE,
)
_ARCHIVE = re.compile(r"https?://(?:web\.)?archive\.org/web/[0-9*]{1,14}[a-z_]{0,3}/(?=https?:|[\w-]+\.)", re.IGNORECASE)
_SCHEME = re.compile(r"https?://", re.IGNORECASE)


def ended(url: str) -> str:
    """An address that stands in text, without the marks after it: "(see a.org/Mercury_(planet))." ends with one bracket."""
    end, closing = len(url), url.count(")") - url.count("(")
    while end and (url[end - 1] in ".,;:" or (url[end - 1] == ")" and closing > 0)):
        closing -= url[end - 1] == ")"
        end -= 1
    return url[:end]


def address(url: str) -> str:
    """A web address as it is compared: no scheme, www., port of the scheme, closing slash, fragment or tracking parameters.

    A copy in the Internet Archive is the page it is a copy of. "" for what is no web address.
    """
    url = _ARCHIVE.sub("", url.strip(), count=1)
    try:
        parts = urlsplit(url if _SCHEME.match(url) else f"http://{url}")
        host, port = (parts.hostname or "").removeprefix("www."), parts.port
    except ValueError:
        return ""
    if "." not in host or not host.strip("."):
        return ""
    host += f":{port}" if port not in (None, 80, 443) else ""
    fields = [pair for pair in parse_qsl(parts.query, keep_blank_values=True) if not _TRACKING.fullmatch(pair[0])]
    return f"{host}{unquote(parts.path).rstrip('/')}{'?' + urlencode(fields) if fields else ''}"
