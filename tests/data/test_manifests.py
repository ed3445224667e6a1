import csv
import gzip
import json
import tempfile
import unicodedata
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from silverprint.data.read import read
from silverprint.errors import DataError


def manifest(folder: Path, text: str | bytes, name: str = "labels.csv") -> Path:
    """Write a manifest, and a.jpg beside it, so that not all pictures are missing."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "a.jpg").touch()
    path = folder / name
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return path


def test_csv(tmp_path: Path) -> None:
    path = manifest(tmp_path, "path,label\na.jpg, dog \nsub/b.jpg,10\nc.jpg,9\n")
    dataset = read(path)
    assert dataset.classes == ("9", "10", "dog")
    assert list(dataset.names) == ["a.jpg", "sub/b.jpg", "c.jpg"]
    assert list(dataset.sources) == [tmp_path / name for name in dataset.names]
    assert dataset.labels.tolist() == [2, 1, 0]
    assert dataset.name == "labels.csv"
    assert len(dataset.rows("train")) == 3
    assert dataset.notices == ()


@pytest.mark.parametrize(
    "text",
    [
        "\ufeffpath,label\r\na.jpg,x\r\n\r\nb.jpg,y\r\n",
        "path\tlabel\na.jpg\tx\nb.jpg\ty",
        "path;label\na.jpg;x\nb.jpg;y\n",
        'Label,"File",note\n"x",a.jpg,"1, 2"\ny, "b.jpg",\n',
        'class,image\nx,a.jpg\n"y",b.jpg\n',
    ],
    ids=["bom and crlf", "tabs", "semicolons", "quotes", "other names"],
)
def test_ways_to_write_a_table(tmp_path: Path, text: str) -> None:
    dataset = read(manifest(tmp_path, text))
    assert dataset.classes == ("x", "y")
    assert list(dataset.names) == ["a.jpg", "b.jpg"]
    assert dataset.task == "single-label"


def test_columns_not_used_are_named(tmp_path: Path) -> None:
    dataset = read(manifest(tmp_path, "path,label,width,height\na.jpg,x,1,2\nb.jpg,y,1,2\n"))
    assert dataset.notices == ("labels.csv: columns not used: width, height.",)


def test_compressed(tmp_path: Path) -> None:
    data = gzip.compress(b"path,label\na.jpg,x\nb.jpg,y\n")
    assert read(manifest(tmp_path, data, "labels.csv.gz")).classes == ("x", "y")


def test_split_column(tmp_path: Path) -> None:
    rows = "a.jpg,x,train\nb.jpg,y,train\nc.jpg,x,Test\nd.jpg,y,test\ne.jpg,x,val\nf.jpg,y,dev\n"
    dataset = read(manifest(tmp_path, "path,label,split\n" + rows + "g.jpg,x,\n"))
    assert dataset.splits.tolist() == [0, 0, 2, 2, 1, 1, 0]
    with pytest.raises(DataError, match=r"line 2: a split is train, validation or test, not 'Tes'"):
        read(manifest(tmp_path, "path,label,split\na.jpg,x,Tes\n"))
    with pytest.raises(DataError, match="test has no picture of 'y'"):
        read(manifest(tmp_path, "path,label,split\na.jpg,x,train\nb.jpg,y,train\nc.jpg,x,test\n"))


def test_columns_can_be_named(tmp_path: Path) -> None:
    path = manifest(tmp_path, "id,species,label\na.jpg,x,1\nb.jpg,y,2\n")
    assert read(path, image_column="id", label_column="species").classes == ("x", "y")
    with pytest.raises(DataError, match=r"no column 'specis' .*'id', 'species'.*mean 'species'"):
        read(path, image_column="id", label_column="specis")


def test_groups_are_a_column_that_is_named(tmp_path: Path) -> None:
    text = "path,label,film\na.jpg,1,x\nb.jpg,2,y\nc.jpg,1,x\n"
    path = manifest(tmp_path, text)
    assert read(path).groups is None
    dataset = read(path, group_column="film", class_names=["one", "two"])
    assert dataset.groups is not None
    assert dataset.groups.tolist() == [0, 1, 0]
    assert dataset.notices == ()
    several = read(manifest(tmp_path, text.replace("1,x", "1|2,x")), group_column="film")
    assert several.task == "multi-label"
    assert several.groups is not None
    with pytest.raises(DataError, match=r"no column 'flim' among .* Did you mean 'film'"):
        read(path, group_column="flim")
    with pytest.raises(DataError, match=r"^b\.jpg: its group is missing \(''\)"):
        read(manifest(tmp_path, text.replace("2,y", "2,")), group_column="film")


def test_groups_of_what_is_no_table(tmp_path: Path) -> None:
    for name in ("x/a.jpg", "y/b.jpg"):
        (tmp_path / name).parent.mkdir()
        (tmp_path / name).touch()
    with pytest.raises(DataError, match=r"group_column is a column of a CSV.*Dataset\.with_groups"):
        read(tmp_path, group_column="film")


def test_missing_columns_name_those_found(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"no column for the image.*'a.jpg', 'cat'.*--image-column"):
        read(manifest(tmp_path, "a.jpg,cat\nb.jpg,dog\n"))
    with pytest.raises(DataError, match=r"no column for the label, such as 'label'.*'path', 'x'"):
        read(manifest(tmp_path, "path,x\na.jpg,1\n"))


def test_rows_of_separators_alone_are_no_rows(tmp_path: Path) -> None:
    text = "path;label\r\na.jpg;x\r\n;\r\nb.jpg;y\r\n ;\r\n;\r\n"
    assert list(read(manifest(tmp_path, text)).names) == ["a.jpg", "b.jpg"]
    with pytest.raises(DataError, match=r"line 4: 'path' names no picture"):
        read(manifest(tmp_path, text.replace("b.jpg;y", ";y")))


def test_labels_of_one_name_are_one_class(tmp_path: Path) -> None:
    two = unicodedata.normalize("NFD", "Hüte"), unicodedata.normalize("NFC", "Hüte")
    dataset = read(manifest(tmp_path, f"path,label\na.jpg,{two[0]}\nb.jpg,{two[1]} \nc.jpg,x\n"))
    assert dataset.classes == (two[1], "x")
    several = read(manifest(tmp_path, f"path,label\na.jpg,{two[0]}|x\nb.jpg,{two[1]}\n"))
    assert several.classes == (two[1], "x")


@pytest.mark.parametrize("mark", ["|", ";"])
def test_several_labels_in_a_cell(tmp_path: Path, mark: str) -> None:
    text = f"path,labels\na.jpg,sea{mark} sky\nb.jpg,sky\nc.jpg,\nd.jpg,sea{mark}sea{mark}\n"
    dataset = read(manifest(tmp_path, text))
    assert dataset.task == "multi-label"
    assert dataset.classes == ("sea", "sky")
    assert dataset.labels.tolist() == [[1, 1], [0, 1], [0, 0], [1, 0]]
    assert dataset.labels.dtype.name == "uint8"
    assert dataset.notices == (f"Multi-label: labels are separated by {mark!r}.",)


def test_separator_can_be_said(tmp_path: Path) -> None:
    both = manifest(tmp_path, "path,label\na.jpg,x;y\nb.jpg,x|y\n")
    with pytest.raises(DataError, match=r"both '\|' and ';'.*label_separator"):
        read(both)
    assert read(both, label_separator="").classes == ("x;y", "x|y")
    assert read(both, label_separator=";").classes == ("x", "x|y", "y")
    slashes = manifest(tmp_path, "path,label\na.jpg,x/y\nb.jpg,\n")
    assert read(slashes, label_separator="/").labels.tolist() == [[1, 1], [0, 0]]


def test_multi_label_splits_may_lack_a_class(tmp_path: Path) -> None:
    text = "path,label,split\na.jpg,x|y,train\nb.jpg,x,test\n"
    assert "test has no picture with y." in read(manifest(tmp_path, text)).notices


def test_empty_labels(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"line 3: the label is empty.*label_separator"):
        read(manifest(tmp_path, "path,label\na.jpg,x\nb.jpg, \n"))
    with pytest.raises(DataError, match="no picture has any label"):
        read(manifest(tmp_path, '{"path": "a.jpg", "label": []}\n', "labels.jsonl"))


def test_json_lines(tmp_path: Path) -> None:
    lines = '{"path": "a.jpg", "label": 10}\n\n{"label": 9.50, "path": "b.jpg", "split": "train"}\n'
    dataset = read(manifest(tmp_path, lines, "labels.jsonl"))
    assert dataset.classes == ("9.50", "10")
    assert dataset.labels.tolist() == [1, 0]


def test_json_escapes(tmp_path: Path) -> None:
    lines = '{"path": "a.jpg", "label": "\\ud83d\\ude00"}\n{"path": "b.jpg", "label": "\\u00e9"}'
    assert read(manifest(tmp_path, lines, "labels.jsonl")).classes == ("é", "😀")


def test_json_lists_are_multi_label(tmp_path: Path) -> None:
    lines = [
        {"path": "a.jpg", "label": ["x", 2]},
        {"path": "b.jpg", "label": []},
        {"path": "c.jpg", "label": None},
        {"path": "d.jpg", "label": "x"},
    ]
    text = "\n".join(map(json.dumps, lines))
    dataset = read(manifest(tmp_path, text, "labels.jsonl"))
    assert dataset.classes == ("2", "x")
    assert dataset.labels.tolist() == [[1, 1], [0, 0], [0, 0], [0, 1]]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "line 1: not readable as JSON"),
        ('\n["a.jpg", "x"]', "line 2: each line is one JSON object"),
        ('{"path": "a.jpg"}', "no column for the label.*'path'"),
        ('{"path": ["a.jpg"], "label": 1}', "'path' names no picture"),
        ("[" * 100_000, "line 1: not readable as JSON"),
        ('{"path": "a.jpg", "label": "\\ud800"}', "line 1: a value holds .* half a character"),
        ('{"path": "a.jpg", "label": ["x", "\\udfff"]}', "line 1: a value holds"),
        ('{"path": "a\\u0000.jpg", "label": "x"}', "line 1: a value holds a zero character"),
    ],
)
def test_broken_json_lines(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(DataError, match=message):
        read(manifest(tmp_path, text, "labels.jsonl"))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (b"path,label\na.jpg,caf\xe9\n", "line 2: a manifest is UTF-8, but byte 0xe9"),
        ("path,label\na.jpg,x\n".encode("utf-16"), "line 1: a manifest is UTF-8, but byte 0xff"),
        (b"path,label\na.jpg,\0\n", "holds zero bytes"),
        (b"", "the file is empty"),
        (b"path,label\n", "no row below the header"),
        (b"path,label\na.jpg,x,y\n", "line 2: 3 cells where the header has 2 columns.*quotes"),
        (b"path,label\na.jpg\n", "line 2: 1 cells"),
        (b'path,label\na.jpg,"x\n', "line 2: not readable as CSV"),
        (b"path,label\n ,x\n", "line 2: 'path' names no picture"),
        (b"path,label\na.jpg,x\nb.jpg,x\n", "at least two classes"),
    ],
)
def test_broken_tables(tmp_path: Path, text: bytes, message: str) -> None:
    with pytest.raises(DataError, match=message):
        read(manifest(tmp_path, text))


def test_repeated_rows(tmp_path: Path) -> None:
    dataset = read(manifest(tmp_path, "path,label\na.jpg,x\nb.jpg,y\n./a.jpg,x\n"))
    assert list(dataset.names) == ["a.jpg", "b.jpg"]
    assert "1 row left out, repeating an earlier one exactly." in dataset.notices
    with pytest.raises(DataError, match=r"line 3: a\.jpg is labelled 'y' here but 'x' in line 2"):
        read(manifest(tmp_path, "path,label\na.jpg,x\na.jpg,y\n"))
    with pytest.raises(DataError, match=r"line 3: a\.jpg is in test here but in train in line 2"):
        read(manifest(tmp_path, "path,label,split\na.jpg,x,train\na.jpg,x,test\n"))


def test_missing_pictures(tmp_path: Path) -> None:
    dataset = read(manifest(tmp_path, "path,label\na.jpg,x\ngone.jpg,y\n"))
    assert len(dataset) == 2
    with pytest.raises(
        DataError, match=r"none of the 2 pictures exists, looked for below .*1\.jpg"
    ):
        read(manifest(tmp_path, "path,label\n1.jpg,x\n2.jpg,y\n"))


def test_paths_may_be_absolute_or_from_windows(tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub/b.jpg").touch()
    text = f"path,label\n{tmp_path / 'a.jpg'},x\nsub\\b.jpg,y\n"
    dataset = read(manifest(tmp_path, text))
    assert list(dataset.sources) == [tmp_path / "a.jpg", tmp_path / "sub/b.jpg"]


def test_paths_that_cannot_be(tmp_path: Path) -> None:
    long = "x" * 300
    text = f"path,label\n{long}.jpg,x\nsub\\{long}.jpg,y\na.jpg,y\n"
    assert len(read(manifest(tmp_path, text))) == 3
    with pytest.raises(DataError, match="none of the 1 pictures exists"):
        read(manifest(tmp_path, f"path,label\n{long},x\n"))


@pytest.mark.parametrize(
    "text", ["path,label,path\na.jpg,x,b.jpg\n", "label, label ,path\nx,y,a.jpg"]
)
def test_columns_with_one_name(tmp_path: Path, text: str) -> None:
    with pytest.raises(DataError, match=r"line 1: two columns are both called '(path|label)'"):
        read(manifest(tmp_path, text))


def test_columns_without_a_name_are_no_fault(tmp_path: Path) -> None:
    assert len(read(manifest(tmp_path, "path,label,,\na.jpg,x,,\nb.jpg,y,,\n"))) == 2


def test_manifests_in_a_folder(tmp_path: Path) -> None:
    manifest(tmp_path, "path,label\na.jpg,x\nb.jpg,y\n", "train.csv")
    manifest(tmp_path, "path,label\nc.jpg,x\nd.jpg,y\n", "test.csv")
    manifest(tmp_path, "path,author\na.jpg,me\n", "credits.csv")
    (tmp_path / "images").mkdir()
    dataset = read(tmp_path)
    assert dataset.name == tmp_path.name
    assert dataset.splits.tolist() == [0, 0, 2, 2]
    manifest(tmp_path, "path,label\na.jpg,x\nd.jpg,y\n", "test.csv")
    with pytest.raises(DataError, match=r"line 2: a\.jpg is in test here but in train in line 2"):
        read(tmp_path)


def test_class_folders_win_over_a_table_saved_among_them(tmp_path: Path) -> None:
    for name in ("cat/1.jpg", "dog/1.jpg"):
        manifest((tmp_path / name).parent, "", "1.jpg")
    manifest(tmp_path, "path,label\na.jpg,x\nb.jpg,y\n", "predictions.csv")
    dataset = read(tmp_path)
    assert dataset.classes == ("cat", "dog")
    assert any("predictions.csv" in notice for notice in dataset.notices)


labels = st.text(
    st.characters(codec="utf-8", exclude_characters="|;\0", exclude_categories=["Zs", "Cc"]),
    min_size=1,
)
names = st.text(st.characters(codec="utf-8", exclude_characters="\0\\/\r\n."), min_size=1).filter(
    lambda name: name == name.strip()
)


@settings(max_examples=60, deadline=None)
@example({"0": "0", "1": "\uf900"})  # stored in two ways, of which NFC takes the other
@given(st.dictionaries(names, labels, min_size=2, max_size=12))
def test_csv_round_trip(rows: dict[str, str]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = manifest(Path(folder), "")
        rows = {"a.jpg": "first", **rows}
        with path.open("w", encoding="utf-8", newline="") as file:
            csv.writer(file).writerows([("path", "label"), *rows.items()])
        dataset = read(path)
    assert list(dataset.names) == list(rows)
    found = [dataset.classes[label] for label in dataset.labels]
    assert found == [unicodedata.normalize("NFC", label).strip() for label in rows.values()]


@settings(max_examples=150, deadline=None)
@given(
    st.one_of(
        st.binary(max_size=200),
        st.text('path,label|;"\n\r\t{}[]:a.jpg x', max_size=200).map(str.encode),
    ),
    st.sampled_from([b"", b"path,label\n", b'{"path": "a.jpg", "label": "x"}\n']),
    st.sampled_from(["labels.csv", "labels.jsonl", "labels.csv.gz", "labels.tsv"]),
)
def test_any_bytes_raise_only_data_errors(data: bytes, start: bytes, name: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        try:
            read(manifest(Path(folder), start + data, name))
        except DataError as error:
            assert len(str(error)) < 3000  # noqa: PT017 - nothing need be raised


def test_addresses_stay_what_they_are(tmp_path: Path) -> None:
    dataset = read(manifest(tmp_path, "path,label\nhttps://host/a b.jpg,x\nmemory://c/d.jpg,y\n"))
    assert list(dataset.sources) == ["https://host/a b.jpg", "memory://c/d.jpg"]
    assert list(dataset.names) == list(dataset.sources)


def test_an_address_of_no_known_kind(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="nowhere:// is no kind of address known here"):
        read(manifest(tmp_path, "path,label\nnowhere://c/d.jpg,x\na.jpg,y\n"))


def test_parquet(tmp_path: Path) -> None:
    pa = pytest.importorskip("pyarrow")
    parquet = pytest.importorskip("pyarrow.parquet")
    path = manifest(tmp_path, "", "labels.parquet")
    columns = {"path": ["a.jpg", "s/b.jpg", "c.jpg"], "label": [9, 10, 9], "split": ["test"] * 3}
    parquet.write_table(pa.table({**columns, "size": [1, 2, 3]}), path)
    dataset = read(path)
    assert dataset.classes == ("9", "10")
    assert list(dataset.sources) == [tmp_path / name for name in columns["path"]]
    assert len(dataset.rows("test")) == 3
    assert dataset.notices == ("labels.parquet: columns not used: size.",)
    parquet.write_table(pa.table({"path": ["a.jpg", "b.jpg"], "label": [["x", "y"], []]}), path)
    assert read(tmp_path).labels.tolist() == [[1, 1], [0, 0]]


def test_parquet_that_is_none(tmp_path: Path) -> None:
    pytest.importorskip("pyarrow")
    path = manifest(tmp_path, "path,label\n", "labels.parquet")
    with pytest.raises(DataError, match=r"labels.parquet: not readable as Parquet \("):
        read(path)


def test_parquet_that_names_no_picture(tmp_path: Path) -> None:
    pa = pytest.importorskip("pyarrow")
    path = manifest(tmp_path, "", "labels.parquet")
    pytest.importorskip("pyarrow.parquet").write_table(
        pa.table({"path": ["a.jpg", None], "label": ["x", "y"]}), path
    )
    with pytest.raises(DataError, match="line 2: 'path' names no picture"):
        read(path)
