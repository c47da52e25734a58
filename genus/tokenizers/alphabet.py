"""GPT-2's alphabet: how byte-level vocabularies spell bytes as characters (Radford et al. 2019, released code)."""

__all__ = ["BYTE_OF", "CHARACTER_OF"]


def _alphabet() -> dict[int, str]:
    """A printable stand-in for each byte: itself where it prints as one character, else the next from U+0100."""
    printable = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    rest = [byte for byte in range(256) if byte not in printable]
    return {byte: chr(byte) for byte in printable} | {byte: chr(256 + i) for i, byte in enumerate(rest)}


CHARACTER_OF = _alphabet()
BYTE_OF = {character: byte for byte, character in CHARACTER_OF.items()}
