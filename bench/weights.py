"""What each weight format costs and saves: perplexity and KL divergence against fp32 on a text, and bytes of the
matrices."""

import argparse
import json
import sys
from pathlib import Path

from genus.core.errors import GenusError
from genus.engine.model import Model, load
from genus.engine.packed import BYTES
from genus.engine.quality import Quality

EXAMPLES = """examples:
  python bench/weights.py models/smollm2 wikitext2/valid.txt
  python bench/weights.py runs/demo/model speeches.txt --tokens 5000 --window 256 --json    the last line is one JSON object

The text is read in windows, each from its first token on. A format is left out where --formats does not name it.
"""


def main() -> int:
    """Measure, print the table, and give the exit code."""
    parser = argparse.ArgumentParser(
        description=__doc__, epilog=EXAMPLES, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("model", help="model folder, with a tokenizer")
    parser.add_argument("text", type=Path, help="text file")
    parser.add_argument("--tokens", type=int, default=10_000, help="of the text, from its beginning (default 10,000)")
    parser.add_argument("--window", type=int, default=1024, help="tokens read in one piece (default 1,024, or the context)")
    parser.add_argument("--formats", nargs="+", choices=list(BYTES)[1:], default=list(BYTES)[1:], metavar="FORMAT")
    parser.add_argument("--json", action="store_true", help="print one JSON object as the last line")
    options = parser.parse_args()
    try:
        exact = load(options.model)
        ids = exact.prompt_ids(options.text.read_text("utf-8"))[: options.tokens]
        found = {
            form: Model(exact.network, exact.family, weights=form).quality(ids, options.window) for form in options.formats
        }
    except (GenusError, OSError, UnicodeDecodeError) as error:
        print(f"nothing was measured: {error}", file=sys.stderr)
        return 1
    _print(found)
    if options.json:
        print(json.dumps({form: each._asdict() for form, each in found.items()}))
    return 0


def _print(found: dict[str, Quality]) -> None:
    any_of_them = next(iter(found.values()))
    print(f"{'weights':8}{'bytes':>8}{'perplexity':>12}{'change':>9}{'KL, nats':>10}   over {any_of_them.tokens:,} tokens")
    print(f"{'fp32':8}{'100%':>8}{any_of_them.exact:12.3f}")
    for form, each in found.items():
        print(f"{form:8}{BYTES[form] / 4:8.0%}{each.rounded:12.3f}{each.change:+9.2%}{each.divergence:10.5f}")  # type: ignore[index]


if __name__ == "__main__":
    sys.exit(main())
