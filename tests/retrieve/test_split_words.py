"""How text is split into words to be found by."""

import pytest

from genus.retrieve.words import query_words, words


@pytest.mark.parametrize(
    ("text", "split"),
    [
        ("Hello, World's 3.5-inch", ["hello", "world", "s", "3", "5", "inch"]),
        ("Café NAÏVE Ångström STRASSE ß", ["cafe", "naive", "angstrom", "strasse", "ss"]),
        ("x_y\0z\u200bw", ["x", "y", "z", "w"]),
        ("東京タワー is 高い", ["東", "京", "タ", "ワ", "ー", "is", "高", "い"]),
        ("हिन्दी में", ["हिन्दी", "में"]),
        ("ﬁne ½ Ⅷ", ["fine", "1", "2", "viii"]),
        ("Πάπας Й", ["παπασ", "и"]),
        ("' OR 1=1 -- \" ;", ["or", "1", "1"]),
        ("\ud800 lone", ["lone"]),
        ("", []),
    ],
)
def test_split(text, split):
    assert words(text) == split


def test_a_query_is_cut_and_says_each_word_once():
    assert query_words("To be or not to be") == ["to", "be", "or", "not"]
    assert len(query_words(" ".join(f"w{n}" for n in range(10_000)))) == 256
    assert query_words("a" * 30_000) == ["a" * 20_000]
    assert query_words("x " * 10_000 + "late") == ["x"]
