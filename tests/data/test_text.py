import gzip

import numpy as np
import pytest

from silverprint.data.text import read_text
from silverprint.errors import ConfigError, DataError


def write(tmp_path, data, name="book.txt"):
    path = tmp_path / name
    path.write_bytes(data)
    return path


def test_of_a_gutenberg_book_only_the_book_is_read(tmp_path):
    head = b"Title: x\r\n*** START OF THE PROJECT GUTENBERG EBOOK X ***\r\n\r\n"
    tail = b"*** END OF THIS PROJECT GUTENBERG EBOOK X ***\r\nlicence\r\n"
    for data in (head + b"a book\r\n\r\n" + tail, b"a book\r\n\r\n" + tail, head + b"a book"):
        text = read_text(write(tmp_path, data))
        assert text.content == "a book\n"
        assert text.left_out > 20
    assert read_text(write(tmp_path, b"no *** END OF THIS PROJECT GUTENBERG EBOOK")).left_out == 0
    assert "licence" in read_text(write(tmp_path, tail)).content


def test_of_several_books_in_one_file_each_is_read(tmp_path) -> None:
    book = "Title {0}\n*** START OF THE PROJECT GUTENBERG EBOOK {0} ***\n\nIt is {0}.\n\n*** END OF THE PROJECT GUTENBERG EBOOK {0} ***\nlicence\n"  # fmt: skip # noqa: E501
    text = read_text(write(tmp_path, (book.format("A") + book.format("B")).encode()))
    assert text.content == "It is A.\n\nIt is B.\n"
    assert text.left_out == len(book.format("A") * 2) - len(text.content)


def test_the_end_judges(tmp_path) -> None:
    text = read_text(write(tmp_path, b"abcdefghij"), 0.2)
    assert (text.name, text.training, text.validation) == ("book.txt", "abcdefgh", "ij")
    assert text.characters == "abcdefghij"
    assert text.places("cab").tolist() == [2, 0, 1]


@pytest.mark.parametrize("data", [b"one\r\ntwo\r", b"one\rtwo\n", b"\xef\xbb\xbfone\ntwo\n"])
def test_line_ends_and_byte_order_mark_do_not_matter(tmp_path, data) -> None:
    assert read_text(write(tmp_path, data)).content == "one\ntwo\n"


def test_every_code_point_is_a_character_and_nothing_is_normalised(tmp_path) -> None:
    content = "e\u0301é😀𝔄\x00\u2028\t漢"
    text = read_text(write(tmp_path, content.encode()))
    assert text.content == content
    assert text.characters == "".join(sorted(set(content)))
    assert "".join(text.characters[place] for place in text.places(content)) == content
    assert text.places(content).dtype == np.int64


def test_gzip(tmp_path) -> None:
    assert read_text(write(tmp_path, gzip.compress(b"ab" * 9), "b.txt.gz")).content == "ab" * 9


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "book.txt is empty; name a file that holds a text."),
        (b"\xef\xbb\xbf", "book.txt is empty"),
        (b"\n\r\n\r", r"holds one character only, '\n', 3 times: there is nothing to tell apart"),
        (b"na\xefve", "book.txt is not UTF-8: byte 2 is 0xef; convert it first"),
        (b"\xed\xa0\x80", "is not UTF-8: byte 0 is 0xed"),
        (b"\xff\xd8\xff\xe0\x00\x10JFIF", "is no plain text: it is not UTF-8 and holds bytes of 0"),
        (b"\xff\xfea\x00", "byte 0 is 0xff; convert it first, for example with iconv -f UTF-16"),
    ],
)
def test_what_is_no_text_is_refused(tmp_path, data, words) -> None:
    with pytest.raises(DataError) as caught:
        read_text(write(tmp_path, data))
    assert words in str(caught.value)


def test_no_file_and_no_share(tmp_path) -> None:
    with pytest.raises(DataError, match=r"none\.txt: cannot be read"):
        read_text(tmp_path / "none.txt")
    with pytest.raises(DataError, match="cannot be read"):
        read_text(tmp_path)
    with pytest.raises(ConfigError, match=r"held_out must lie within 0\.\.1, both excluded"):
        read_text(tmp_path / "none.txt", 1.0)
