"""Tables of own data as people write them: read as meant, or one clear line."""

import codecs
from pathlib import Path

import numpy as np
import pytest

from passerby.data import read_any
from passerby.data.checks import check
from passerby.data.table import CropTable
from passerby.errors import InputError

MEANT = {"identity": [7, -1, 0, 9], "camera": [1, 1, 2, 2]}
HEAD = "path,identity,camera,split\n"
BODY = "a.jpg,7,1,query\nb.jpg,-1,1,gallery\nc.jpg,0,2,gallery\nd.jpg,9,2,gallery\n"

NAMED_MEANT = {"identity": [2, -1, 0, 1], "camera": [1, 1, 2, 2]}

ACCENT_MEANT = {"identity": [1, -1, 0, 2], "camera": [1, 1, 2, 2]}


def spread(text: str, delimiter: str) -> str:
    return text.replace(",", delimiter)


def labels(seven: str = "7", junk: str = "-1", zero: str = "0", nine: str = "9") -> str:
    """The plain table with other labels of its people."""
    return HEAD + (
        f"a.jpg,{seven},1,query\nb.jpg,{junk},1,gallery\n"
        f"c.jpg,{zero},2,gallery\nd.jpg,{nine},2,gallery\n"
    )


def write(path: Path, data: str | bytes) -> None:
    path.write_bytes(data.encode() if isinstance(data, str) else data)


NAMED = labels(seven="王伟", nine="李娜")
ACCENT = labels(seven="José", nine="Zoë")
# name -> the file, what is meant, what the findings must say
READ: dict[str, tuple[str | bytes, dict[str, list[int]], str]] = {
    "plain": ((HEAD + BODY), MEANT, ""),
    "with the mark of UTF-8": ((HEAD + BODY).encode("utf-8-sig"), MEANT, ""),
    "carriage returns": ((HEAD + BODY).replace("\n", "\r\n"), MEANT, ""),
    "old Mac line ends": ((HEAD + BODY).replace("\n", "\r"), MEANT, ""),
    "no line end at the end": ((HEAD + BODY).rstrip(), MEANT, ""),
    "semicolons": (spread(HEAD + BODY, ";"), MEANT, "separated by semicolons"),
    "tabs": (spread(HEAD + BODY, "\t"), MEANT, "separated by tabs"),
    "bars": (spread(HEAD + BODY, "|"), MEANT, "separated by bars"),
    "a line sep=": (("sep=;\n" + spread(HEAD + BODY, ";")), MEANT, "semicolons"),
    "quotes everywhere": (
        "\n".join(
            ",".join(f'"{f}"' for f in line.split(",")) for line in (HEAD + BODY).splitlines()
        ),
        MEANT,
        "",
    ),
    "a comma in a quoted path": (HEAD + BODY.replace("a.jpg", '"a,1.jpg"'), MEANT, ""),
    "GBK": (NAMED.encode("gbk"), NAMED_MEANT, r"read as GBK"),
    "GB 18030": (NAMED.encode("gb18030"), NAMED_MEANT, r"read as GBK"),
    "UTF-8 Chinese": (NAMED, NAMED_MEANT, ""),
    "UTF-16": (NAMED.encode("utf-16"), NAMED_MEANT, "UTF-16"),
    "UTF-16 big-endian with a mark": (
        codecs.BOM_UTF16_BE + NAMED.encode("utf-16-be"),
        NAMED_MEANT,
        "UTF-16",
    ),
    "UTF-16 without a mark": (NAMED.encode("utf-16-le"), NAMED_MEANT, "UTF-16"),
    "UTF-16 with tabs, as a spreadsheet": (
        spread(NAMED, "\t").encode("utf-16"),
        NAMED_MEANT,
        "separated by tabs",
    ),
    "Windows-1252": (ACCENT.encode("cp1252"), ACCENT_MEANT, "Windows-1252"),
    "torchreid's header": (("image,pid,camid,split\n" + BODY), MEANT, "pid is read as"),
    "a header in capitals": (("PATH,Identity,CAMERA,Split\n" + BODY), MEANT, "PATH is read"),
    "other names": (
        ("Image Path,Person_ID,Camera-ID,Subset\n" + BODY),
        MEANT,
        "Person_ID is read as identity",
    ),
    "Chinese header": (("图片,行人,相机,划分\n" + BODY).encode("gbk"), MEANT, "图片 is read"),
    "spaces in the header": ((" path , identity,camera ,split\n" + BODY), MEANT, ""),
    "spaces around values": ((HEAD + BODY.replace(",", " , ")), MEANT, ""),
    "a column of row numbers": (
        ("id," + HEAD + "".join(f"{n},{row}\n" for n, row in enumerate(BODY.split()))),
        MEANT,
        "not used: the columns id",
    ),
    "floats": ((labels(seven="7.0", junk="-1.0")), MEANT, ""),
    "leading zeros": ((labels(seven="0007", zero="0000")), MEANT, ""),
    "text beside -1.0": (
        (labels(seven="ann", nine="bob", junk="-1.0")),
        {"identity": [1, -1, 0, 2]},
        "",
    ),
    "an underscore is no number": (
        (HEAD + BODY.replace(",7,", ",1_000,")),
        {"identity": [1, -1, 0, 2]},
        "",
    ),
    "a label beyond 64 bits": (
        (HEAD + BODY.replace(",7,", ",98765432109876543210,")),
        {"identity": [2, -1, 0, 1]},
        "",
    ),
    "a blank identity": (
        (HEAD + BODY + "e.jpg,,1,gallery\n"),
        {"identity": [7, -1, 0, 9, -1]},
        "1 rows have no identity and are read as junk",
    ),
    "nan beside names": (
        (HEAD + BODY.replace(",7,", ",ann,") + "e.jpg,nan,1,gallery\n"),
        {"identity": [2, -1, 0, 1, -1]},
        "1 rows have no identity",
    ),
    "blank lines": ((HEAD + "\n" + BODY + ",,,\n\n"), MEANT, "3 blank lines"),
    "blank columns at the end": (
        ("path,identity,camera,split,,\n" + BODY.replace("\n", ",,\n")),
        MEANT,
        "",
    ),
    "splits in capitals": (HEAD + BODY.replace("query", "Query"), MEANT, ""),
    "probe": ((HEAD + BODY.replace("query", "probe")), MEANT, ""),
    "Windows paths": ((HEAD + BODY.replace("a.jpg", "in\\a.jpg")), MEANT, "1 Windows paths"),
    "no split": (
        ("path,identity,camera\n" + BODY.replace(",query", "").replace(",gallery", "")),
        MEANT,
        "no column split: all 4 rows are gallery",
    ),
    "accents in two forms": (
        (HEAD + "a.jpg,Jose\u0301,1,query\nb.jpg,Jos\u00e9,2,gallery\n"),
        {"identity": [1, 1]},
        "are read as one",
    ),
    "zeros before a number": (
        (HEAD + "a.jpg,0007,1,query\nb.jpg,7,2,gallery\n"),
        {"identity": [7, 7]},
        "are read as one (0007 / 7)",
    ),
    "zeros before all numbers": (
        (HEAD + "a.jpg,0007,1,query\nb.jpg,0007,2,gallery\n"),
        {"identity": [7, 7]},
        "",
    ),
    "labels that differ in case": (
        (HEAD + "a.jpg,Ann,1,query\nb.jpg,ann,2,gallery\n"),
        {"identity": [1, 2]},
        "differ in case or spaces alone",
    ),
    "decimal commas": (
        (b"path;identity;camera;split;lon;lat\na.jpg;7;1;query;114,5;22,25\n"),
        {"place": [[114.5, 22.25]]},
        "semicolons",
    ),
}  # fmt: skip

# name -> the file's bytes, the line that refuses it
REFUSED: dict[str, tuple[str | bytes, str]] = {
    "nothing": (b"", "has no column 'path'.* columns found are: none"),
    "no header": (BODY, r"has no column .*columns found are: a\.jpg, 7, 1, query"),
    "no camera": (b"path,identity\na.jpg,1\n", "has no column 'camera'.*found are: path, identity"),
    "no header, and a value twice in line 1": (
        b"0.jpg,1,1,train\n1.jpg,1,2,train\n",
        "the columns found are: 0.jpg, 1, train",
    ),
    "a column twice": (b"path,path,identity,camera\na,b,1,1\n", "the column 'path' twice"),
    "a spreadsheet": (b"PK\x03\x04 and so on", "is a spreadsheet or an archive, not text"),
    "a picture": (b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\0\x08", "is not text in UTF-8"),
    "too few fields": ((HEAD + "a.jpg,1,1\n"), "line 2 has 3 fields, the header 4"),
    "too many fields": ((HEAD + "\na,1.jpg,1,1,query\n"), "line 3 has 5 fields"),
    "an open quote": ((HEAD + 'a.jpg,"ann,1,query\n' + BODY), "line 2 cannot be read"),
    "no identity at all": ((HEAD + "a.jpg,,1,query\n"), "line 2 has no identity"),
    "a fraction": ((HEAD + BODY + "e.jpg,7.5,1,query\n"), "line 6 has the identity 7.5"),
    "below -1": ((HEAD + BODY + "e.jpg,-2,1,query\n"), "line 6 has the identity -2"),
    "infinite": ((HEAD + BODY + "e.jpg,inf,1,query\n"), "line 6 has the identity inf"),
    "shortened by a spreadsheet": (
        (HEAD + "a.jpg,1.23E+12,1,query\n"),
        r"line 2 has the identity 1\.23E\+12, a number that a spreadsheet has shortened",
    ),
    "no camera in a row": ((HEAD + "a.jpg,1,,query\n"), "line 2 has no camera"),
    "half a camera": ((HEAD + "a.jpg,1,1.5,query\n"), "line 2 has the camera 1.5"),
    "no path": ((HEAD + ",1,1,query\n"), "line 2 has no path"),
    "an address": ((HEAD + "http://x/a.jpg,1,1,query\n"), "line 2 has the address"),
    "a drive": ((HEAD + "C:\\x\\a.jpg,1,1,query\n"), "of a Windows machine"),
    "test is no split": ((HEAD + "a.jpg,1,1,test\n"), "line 2 has the split 'test'"),
    "validation": ((HEAD + "a.jpg,1,1,val\n"), "line 2 has the split 'val'"),
    "blank split": ((HEAD + "a.jpg,1,1,\n"), "line 2 has the split ''"),
    "seconds": (
        b"path,identity,camera,time\na.jpg,1,1,1767312000\n",
        "line 2: time 1767312000 seems to be in seconds",
    ),
    "nanoseconds": (
        b"path,identity,camera,time\na.jpg,1,1,1767312000000000000\n",
        "seems to be in micro- or nanoseconds",
    ),
    "time without zone": (b"path,identity,camera,time\na,1,1,2026-01-02T08:00\n", "no time zone"),
    "blank time": (b"path,identity,camera,time\na,1,1,\n", "line 2: time is missing"),
    "half a box": (b"path,identity,camera,x0,y0,x1,y1\na,1,1,0,0,nan,4\n", "line 2: x1 is 'nan'"),
}


def said(table: CropTable) -> str:
    return " | ".join(f"{finding.level}: {finding.text}" for finding in table.findings)


@pytest.mark.parametrize("name", READ)
def test_a_table_is_read_as_meant(name: str, tmp_path: Path) -> None:
    data, meant, words = READ[name]
    write(tmp_path / "own.csv", data)
    table = read_any(tmp_path / "own.csv")
    for column, values in meant.items():
        assert getattr(table, column).tolist() == values
    assert words in said(table)
    assert bool(words) == bool(table.findings)  # what is not as written is said, nothing else


@pytest.mark.parametrize("name", REFUSED)
def test_a_table_is_refused_in_one_line(name: str, tmp_path: Path) -> None:
    data, words = REFUSED[name]
    write(tmp_path / "own.csv", data)
    with pytest.raises(InputError, match=words) as caught:
        read_any(tmp_path / "own.csv")
    assert "own.csv" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_names_are_kept_and_shown(tmp_path: Path) -> None:
    (tmp_path / "own.csv").write_text(
        HEAD + "a.jpg,ann,lobby,train\nb.jpg,bob,gate,train\nc.jpg,ann,gate,query\n"
    )
    table = read_any(tmp_path / "own.csv")
    assert table.people_names == {1: "ann", 2: "bob"}
    assert table.camera_names == {1: "gate", 2: "lobby"}
    text = check(table, pictures=False).text()
    assert "camera 2 (lobby): 1 train" in text
    assert "1 people are in training and test alike (1 (ann))" in text


def test_labels_in_parquet(tmp_path: Path) -> None:
    arrow = pytest.importorskip("pyarrow")
    parquet = pytest.importorskip("pyarrow.parquet")
    columns = {"path": list("abcde"), "camera": [1] * 5}
    for labels, meant in (
        (arrow.array([7.0, -1.0, 0.0, 9.0, None]), [7, -1, 0, 9, -1]),
        (arrow.array([7.0, -1.0, 0.0, 9.0, float("nan")]), [7, -1, 0, 9, -1]),
        (arrow.array(["7", "-1", "0", "9", ""]), [7, -1, 0, 9, -1]),
        (arrow.array(["b", "-1", "0", "a", None]).dictionary_encode(), [2, -1, 0, 1, -1]),
    ):
        parquet.write_table(arrow.table({**columns, "identity": labels}), tmp_path / "own.parquet")
        table = read_any(tmp_path / "own.parquet")
        assert table.identity.tolist() == meant
        assert "1 rows have no identity" in said(table)
    large = arrow.array([2.0**60] * 5)
    parquet.write_table(arrow.table({**columns, "identity": large}), tmp_path / "own.parquet")
    with pytest.raises(InputError, match=r"row 1 has the identity .* does not hold exactly"):
        read_any(tmp_path / "own.parquet")


def test_paths_in_parquet(tmp_path: Path) -> None:
    arrow = pytest.importorskip("pyarrow")
    parquet = pytest.importorskip("pyarrow.parquet")
    columns = {"path": arrow.array([b"a.jpg"]), "identity": [1], "camera": [1]}
    parquet.write_table(arrow.table(columns), tmp_path / "own.parquet")
    assert read_any(tmp_path / "own.parquet").path.tolist() == ["a.jpg"]
    twice = arrow.table([["a"], ["b"], [1], [1]], names=["path", "path", "identity", "camera"])
    parquet.write_table(twice, tmp_path / "own.parquet")
    with pytest.raises(InputError, match="cannot read the table"):
        read_any(tmp_path / "own.parquet")


def test_moments_in_parquet(tmp_path: Path) -> None:
    arrow = pytest.importorskip("pyarrow")
    parquet = pytest.importorskip("pyarrow.parquet")
    for unit, factor in (("s", 1), ("ms", 1000), ("us", 10**6), ("ns", 10**9)):
        moments = arrow.array(np.array([1767312000]) * factor).cast(
            arrow.timestamp(unit, "Asia/Shanghai")
        )
        columns = {"path": ["a"], "identity": [1], "camera": [1], "time": moments}
        parquet.write_table(arrow.table(columns), tmp_path / "own.parquet")
        assert read_any(tmp_path / "own.parquet").time.tolist() == [1767312000000]


@pytest.mark.parametrize("name", ["own.xlsx", "own.zip", "own.txt", "own.json"])
def test_other_files_are_named(name: str, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(b"x")
    with pytest.raises(InputError, match=r"neither a folder nor a \.csv"):
        read_any(tmp_path / name)
