"""How byte-level vocabularies spell bytes as characters (Radford et al. 2019, released code), and how large any may be."""

__all__ = ["BYTE_OF", "CHARACTER_OF", "MOST_IDS"]

MOST_IDS = 2**24  # beyond any model; a damaged file with one id of 10 digits would take all memory


def _alphabet() -> dict[int, str]:
    """A printable stand-in for each byte: itself where it prints as one character, else the next from U+0100."""
    printable = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    rest = [byte for byte in range(256) if byte not in printable]
    return {byte: chr(byte) for byte in printable} | {byte: chr(256 + i) for i, byte in enumerate(rest)}


CHARACTER_OF = _alphabet()
BYTE_OF = {character: byte for byte, character in CHARACTER_OF.items()}
