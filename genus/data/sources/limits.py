"""How much of a source is taken at once, so that memory and time stay bounded whatever the input is."""

__all__ = ["Limits"]


class Limits:
    """In bytes, but for EXPANSION."""

    PIECE = 16 * 2**20
    """Of a text file in one document: tokenising needs about 20 times a document's size, larger files are cut at lines."""
    RECORD = 64 * 2**20
    """Of one line, one JSON value, one HTML page, one archived response; a longer one is dropped."""
    BATCH = 8 * 2**20
    """Of Parquet columns decoded at once."""
    EXPANSION = 200
    """What a compressed file may expand to, times its size: text shrinks 3 to 20 times, a bomb of gzip 1,000 times."""
    SLACK = 256 * 2**20
    """What any compressed file may expand to, however small: a short file of one repeated line is no bomb."""
    FETCHED = 64 * 2**30
    """Of a file or data set fetched over a network."""
