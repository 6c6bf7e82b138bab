"""Lists of ids in the forms people have them; a message names the line and never an id."""

from __future__ import annotations

import gzip
import json

import pytest

from cxr_vlp.pipelines.errors import ConfigError
from cxr_vlp.pipelines.files import id_lists
from cxr_vlp.pipelines.files.id_lists import ListedId

SECRET = "p1777SECRET"


def written(folder, name, text):
    path = folder / name
    data = text.encode("utf-8")
    path.write_bytes(gzip.compress(data) if name.endswith(".gz") else data)
    return path


def texts(path, column=""):
    return [listed.text for listed in id_lists.read(path, column)]


@pytest.mark.parametrize(
    ("name", "text", "column", "wanted"),
    [
        ("a.txt", "\ufeffp1\n\n# p9 has left the study\n p2 \r\n", "", ["p1", "p2"]),
        ("a.csv", "\ufeffid, Path\n1,a/b.jpg\n\n2,c.jpg\n", "path", ["a/b.jpg", "c.jpg"]),
        ("a.csv.gz", "Path\na\n", "Path", ["a"]),
        ("a.csv", '"Path","text"\nx,"of two\nlines"\ny,z\n', "Path", ["x", "y"]),
        ("a.TSV", "id\tPath\n1\ta,b\n", "Path", ["a,b"]),
        ("a.json", '["p1", 7]', "", ["p1", "7"]),
        ("coco.json", '{"info": {}, "images": [{"file_name": "a.jpg"}], "annotations": [{}]}',
         "file_name", ["a.jpg"]),
        ("a.json", '[{"img_id": "1_0.png", "x": 1}, {"img_id": "2_0.png"}]', "img_id",
         ["1_0.png", "2_0.png"]),
        ("a.json", '{"patient1_study1_view1_frontal": {"Edema": {}}}', "",
         ["patient1_study1_view1_frontal"]),
        ("keys.csv", "dataset,key\nnih,nih-1-0\n", "", ["nih-1-0"]),
        ("pairs.csv", "dataset,key,split,other_dataset,other_key\na,a-1-0,train,b,b-2-0\n", "",
         ["a-1-0", "b-2-0"]),
    ],
)  # fmt: skip
def test_the_forms_of_a_list(tmp_path, name, text, column, wanted):
    assert texts(written(tmp_path, name, text), column) == wanted


def test_a_gz_that_a_browser_unpacked_keeps_its_name(tmp_path):
    path = tmp_path / "a.csv.gz"
    path.write_text("Path\na\n")
    assert texts(path, "Path") == ["a"]


def test_a_sample_key_has_the_collection_beside_it(tmp_path):
    path = written(tmp_path, "p.csv", "dataset,key,other_dataset,other_key\na,a-1-0,b,b-2-0\n")
    assert list(id_lists.read(path)) == [
        ListedId("a-1-0", "line 2", is_key=True, dataset="a"),
        ListedId("b-2-0", "line 2", is_key=True, dataset="b"),
    ]


def test_the_place_of_a_row_is_its_line_after_a_cell_of_two_lines(tmp_path):
    path = written(tmp_path, "a.csv", f'Path,note\nx,"of two\nlines"\n,{SECRET}\n')
    with pytest.raises(ConfigError, match=r"a\.csv, line 4: no id"):
        texts(path, "Path")


@pytest.mark.parametrize(
    ("name", "text", "column", "said"),
    [
        ("a.csv", f"Path,x\n{SECRET},1\n,2\n", "Path", "line 3: no id in the column"),
        ("a.csv", f"Path\nnan\n{SECRET}\n", "Path", "line 2: no id"),
        ("a.csv", f"Path,x\n{SECRET}\n", "Path", "line 2: more or fewer fields"),
        ("a.csv", f"Path,x\n{SECRET},1\n", "Paht", "no column 'Paht'; its columns are path, x"),
        ("a.csv", f"Path,x\n{SECRET},1\n", "", "say which `column`"),
        ("a.csv", f"Path,path\n{SECRET},1\n", "path", "two columns 'path'"),
        ("a.csv", "", "path", "no column"),
        ("a.txt", SECRET, "path", "no columns"),
        ("a.json", f'["{SECRET}"', "", "line 1: no valid JSON"),
        ("a.json", f'"{SECRET}"', "", "no list and no object"),
        ("a.json", f'["{SECRET}", null]', "", "entry 2 has no id"),
        ("a.json", f'["{SECRET}", true]', "", "entry 2 has no id"),
        ("a.json", f'[{{"id": "{SECRET}"}}]', "", "entry 1 is an object"),
        ("a.json", f'[{{"id": "{SECRET}"}}, {{}}]', "id", "entry 2 has no id"),
        ("a.json", f'["{SECRET}"]', "id", "no list of objects"),
        ("a.xlsx", SECRET, "", "a list of ids is a file of"),
    ],
)  # fmt: skip
def test_a_list_that_cannot_be_read_stops_with_its_place(tmp_path, name, text, column, said):
    path = written(tmp_path, name, text)
    with pytest.raises(ConfigError) as caught:
        texts(path, column)
    assert said in str(caught.value)
    assert path.name in str(caught.value)
    assert SECRET not in str(caught.value)


def test_a_file_that_is_not_there_or_not_utf8_or_torn(tmp_path):
    with pytest.raises(ConfigError, match="no file at"):
        texts(tmp_path / "a.txt")
    (tmp_path / "b.txt").write_bytes(b"\xff\xfe1\0")
    with pytest.raises(ConfigError, match="not UTF-8"):
        texts(tmp_path / "b.txt")
    (tmp_path / "c.csv.gz").write_bytes(gzip.compress(b"Path\n" + b"a\n" * 999)[:-9])
    with pytest.raises(ConfigError, match="gzip file is broken"):
        texts(tmp_path / "c.csv.gz", "Path")


def test_a_long_json_is_read_in_its_order(tmp_path):
    ids = [f"p{number}" for number in range(2000)]
    assert texts(written(tmp_path, "a.json", json.dumps(ids))) == ids


def test_the_parts_of_a_coco_file_are_no_ids(tmp_path):
    path = written(tmp_path, "coco.json", '{"images": [], "annotations": [], "categories": []}')
    with pytest.raises(ConfigError, match="a COCO file: say which `column` of its images"):
        texts(path)
