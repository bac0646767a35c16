"""Tables, JSON and XML: what is tolerated, and what each error says."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from surgzoo.datasets.annotation_files import AnnotationFileError, json_file, rows, text, xml_file
from surgzoo.datasets.layout import File


def file_of(tmp_path, data):
    path = tmp_path / "labels.txt"
    path.write_bytes(data if isinstance(data, bytes) else data.encode())
    return File("labels.txt", path)


@pytest.mark.parametrize(
    "data",
    ["a,ß\n1,2\n", "\ufeffa,ß\r\n1,2\r\n", "a,ß\r1,2", "a,ß\n1,2\n".encode("utf-16")],
    ids=["unix", "BOM and CRLF", "CR", "UTF-16"],
)
def test_encodings_and_line_ends(tmp_path, data):
    (row,) = rows(file_of(tmp_path, data), ["ß", "a"])
    assert (row.int("a"), row.float("ß"), row.line) == (1, 2.0, 2)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"\xff\xfea\x00\x01", "UTF-16 text"),
        (b"a,b\n\xe4,1", "is not UTF-8 text: byte 0xe4 at offset 4"),
        ("a,b".encode("utf-16-le"), "zero bytes"),
        (b"", "is empty; expected the columns a, b"),
        (b"a,c\n", "line 1: the header is a, c; expected a, b"),
        (b"a,b,a\n1,2,3", "a column is named twice"),
        (b"a,b\n1\n", r"line 2: 1 fields, not 2 \(a, b\): 1"),
        (b'a,b\n"1,2\n', "fields"),
        (b"a,b\n\n1,x\n", "line 3: b is 'x', not a number"),
        (b"a,b\n1,nan\n", "line 2: b is 'nan', not a number"),
    ],
)
def test_tables_name_the_line(tmp_path, data, message):
    with pytest.raises(AnnotationFileError, match=rf"labels\.txt.*{message}"):
        for row in rows(file_of(tmp_path, data), ["a", "b"]):
            row.float("b")


def test_numbers_of_a_row(tmp_path):
    (row,) = rows(file_of(tmp_path, "7.0 7.5\t1e2\n"), ["a", "b", "c"], header=False, delimiter=" ")
    assert (row.int("a"), row.float("b"), row.int("c")) == (7, 7.5, 100)
    with pytest.raises(AnnotationFileError, match=r"line 1: b is '7\.5', not a whole number"):
        row.int("b")


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(AnnotationFileError, match=r"gone\.txt: cannot be read"):
        text(File("gone.txt", tmp_path / "gone.txt"))


def test_json_paths_are_in_errors(tmp_path):
    node = json_file(file_of(tmp_path, '{"a": {"b": [1, "2", null, "x"]}, "n": null}'))
    assert [item.float() for item in node["a"]["b"].list()[:2]] == [1.0, 2.0]
    assert node.get("n", "a").path == "a" and node.get("n") is None and "n" in node
    for call, message in [
        (lambda: node["c"], "top level: the key 'c' is missing; it has a, n"),
        (lambda: node["a"]["b"].list()[3].float(), r"a\.b\[3\]: \"x\" is not a number"),
        (lambda: node["a"].list(), r"a: \{.*\} is not a list"),
        (lambda: node["a"]["b"]["c"], "a.b: .* is not an object"),
        (lambda: node["a"]["b"].floats(3), "a.b: 4 numbers, not 3"),
        (lambda: node["a"]["b"].list()[0].str(), r"a\.b\[0\]: 1 is not a text"),
    ]:
        with pytest.raises(AnnotationFileError, match=rf"labels\.txt, {message}"):
            call()


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ('{"a": 1, "a": 2}', "the key 'a' is given twice"),
        ('{"a": 1,\n "b"}', "line 2"),
        ("[" * 100_000, "nested too deep|line 1"),
        ("", "line 1"),
    ],
)
def test_json_that_is_refused(tmp_path, data, message):
    with pytest.raises(AnnotationFileError, match=message):
        json_file(file_of(tmp_path, data))


@pytest.mark.parametrize("value", [float("inf"), float("nan"), True, [1]])
def test_json_numbers_are_finite(tmp_path, value):
    node = json_file(file_of(tmp_path, json.dumps({"a": value})))
    with pytest.raises(AnnotationFileError, match="number"):
        node["a"].float()


def test_xml(tmp_path):
    root = xml_file(
        file_of(tmp_path, '\ufeff<?xml version="1.0" encoding="UTF-16"?>\n<a><b>1</b></a>')
    )
    assert root.find("b").text == "1"
    with pytest.raises(AnnotationFileError, match="whole XML"):
        xml_file(file_of(tmp_path, "<a><b>"))
    with pytest.raises(AnnotationFileError, match="document type"):
        xml_file(file_of(tmp_path, '<!DOCTYPE a [<!ENTITY x "y">]><a>&x;</a>'))


@given(st.binary(max_size=60))
def test_any_bytes_end_in_values_or_in_a_clear_error(tmp_path_factory, data):
    file = file_of(tmp_path_factory.mktemp("any"), data)
    for read in (lambda: list(rows(file, ["a"])), lambda: json_file(file), lambda: xml_file(file)):
        try:
            read()
        except AnnotationFileError as error:
            assert "labels.txt" in str(error)
