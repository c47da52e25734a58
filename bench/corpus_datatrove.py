"""datatrove's side of corpus.py, for its own Python: python bench/corpus_datatrove.py DOCUMENTS OUT --workers 2

The pipeline of its examples/minhash_deduplication.py behind three of its filters. What is left of the filters is written
once between, as in that example; nothing is written of what is dropped.
"""

import argparse
from pathlib import Path

from datatrove.executor import LocalPipelineExecutor
from datatrove.pipeline.dedup import MinhashDedupBuckets, MinhashDedupCluster, MinhashDedupFilter, MinhashDedupSignature
from datatrove.pipeline.dedup.minhash import MinhashConfig
from datatrove.pipeline.filters import FineWebQualityFilter, GopherQualityFilter, GopherRepetitionFilter
from datatrove.pipeline.readers import JsonlReader, ParquetReader
from datatrove.pipeline.writers import ParquetWriter
from datatrove.utils.hashing import HashConfig
from datatrove.utils.text import TextNormConfig
from datatrove.utils.word_tokenizers import WordTokenizer
from loguru import logger

_AS_IT_IS = TextNormConfig(
    lowercase=False,
    norm_whitespace=False,
    remove_punctuation=False,
    norm_unicode_diacritics=False,
    norm_numbers=False,
    norm_weekdays=False,
    norm_monthnames=False,
)


class WhiteSpace(WordTokenizer):
    """Words as white space delimits them."""

    def __init__(self) -> None: ...

    def __hash__(self) -> int:
        return 0  # all are one, also in another process: its words of a text are kept for the next filter by this

    def __eq__(self, other: object) -> bool:
        return isinstance(other, WhiteSpace)

    def word_tokenize(self, text: str) -> list[str]:
        return text.split()

    def sent_tokenize(self, text: str) -> list[str]:
        return [text]

    def span_tokenize(self, text: str) -> list[tuple[int, int]]:
        return [(0, len(text))]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("documents", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--buckets", type=int, default=14)
    parser.add_argument("--rows", type=int, default=8)
    options = parser.parse_args()
    logger.remove()
    deduplicate(options)


def deduplicate(options: argparse.Namespace) -> None:
    """Filter, find near copies, and write what is left to OUT/kept; what passed the filters stays in OUT/filtered."""
    out, words, tasks = options.out, WhiteSpace(), options.workers
    config = MinhashConfig(
        n_grams=5,
        num_buckets=options.buckets,
        hashes_per_bucket=options.rows,
        norm_config=_AS_IT_IS,
        hash_config=HashConfig(precision=64),
    )
    stages = [
        (
            [
                JsonlReader(str(options.documents)),
                GopherQualityFilter(language=words),
                GopherRepetitionFilter(language=words),
                FineWebQualityFilter(language=words),
                ParquetWriter(str(out / "filtered")),
                MinhashDedupSignature(str(out / "signatures"), config, language=words),
            ],
            tasks,
        ),
        ([MinhashDedupBuckets(str(out / "signatures"), str(out / "buckets"), config=config)], options.buckets),
        ([MinhashDedupCluster(str(out / "buckets"), str(out / "remove"), config=config)], 1),
        (
            [
                ParquetReader(str(out / "filtered")),
                MinhashDedupFilter(str(out / "remove")),
                ParquetWriter(str(out / "kept")),
            ],
            tasks,
        ),
    ]
    for number, (pipeline, count) in enumerate(stages):
        logs = str(out / "logs" / str(number))
        LocalPipelineExecutor(pipeline, tasks=count, workers=min(count, options.workers), logging_dir=logs).run()


if __name__ == "__main__":
    main()
