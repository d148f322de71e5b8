import io
import stat
import zipfile
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from consilium.errors import ConfigurationError
from consilium.guard.archive import MAX_BYTES, MAX_ENTRIES, read_archive

FILES = {"config/": b"", "config/config_fed_client.json": b"{}", ".__nvfl_sig.json": b"x" * 1000}


def pack(entries, compression=zipfile.ZIP_DEFLATED):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", compression) as zipped:
        for name, content in entries:
            zipped.writestr(name, content)
    return buffer.getvalue()


def refusal(archive):
    with pytest.raises(ConfigurationError) as caught:
        read_archive(archive)
    return str(caught.value)


@pytest.mark.parametrize("compression", [zipfile.ZIP_DEFLATED, zipfile.ZIP_STORED])
def test_what_flare_packs_comes_back(tmp_path, compression):
    archive = pack(FILES.items(), compression)
    assert read_archive(archive) == FILES
    (tmp_path / "upload").write_bytes(archive)
    assert read_archive(tmp_path / "upload") == FILES


@pytest.mark.parametrize(
    "name",
    ["/etc/passwd", "../x", "a/../../x", "a/./b", "./a", "a//b", "C:/x", "a\\..\\b", "~/x", "a b", "a\nb",
     "a\x1bb", "\u202ea", "caf\u00e9", "a*"],
)  # fmt: skip
def test_a_name_that_leads_elsewhere_or_misleads_is_rejected(name):
    assert "has a name" in refusal(pack([(name, b"")]))


def test_a_name_that_ends_for_zip_readers_where_others_read_on_is_rejected():
    archive = pack([("config/a.jsonXpy", b"")]).replace(b"a.jsonXpy", b"a.json\x00py")
    assert "has a name" in refusal(archive)


@pytest.mark.parametrize("twice", [["a", "a"], ["a", "a/"], ["a/", "a"]])
@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_two_entries_of_one_name_are_rejected(twice):
    assert "is there twice" in refusal(pack([(name, b"") for name in twice]))


@pytest.mark.parametrize("kind", [stat.S_IFLNK, stat.S_IFCHR, stat.S_IFIFO, stat.S_IFDIR])
def test_links_and_other_special_files_are_rejected(kind):
    entry = zipfile.ZipInfo("config/link")
    entry.external_attr = (kind | 0o777) << 16
    assert "is not a plain file" in refusal(pack([(entry, b"/etc/passwd")]))


def test_other_compressions_and_encryption_are_rejected():
    assert "packed in a way" in refusal(pack([("a", b"x")], zipfile.ZIP_BZIP2))
    archive = bytearray(pack([("a", b"x")], zipfile.ZIP_STORED))
    archive[archive.index(b"PK\x01\x02") + 8] |= 1
    assert "packed in a way" in refusal(bytes(archive))


def test_too_much_is_rejected_before_it_is_unpacked():
    assert f"at most {MAX_BYTES} are allowed" in refusal(bytes(MAX_BYTES + 1))
    bomb = pack([("a", bytes(50 * MAX_BYTES))])
    assert len(bomb) < MAX_BYTES
    assert "unpacks to" in refusal(bomb)
    assert "unpacks to" in refusal(pack([(str(index), b"") for index in range(MAX_ENTRIES + 1)]))
    small = pack([("a", bytes(50 * MAX_BYTES))])
    size = (50 * MAX_BYTES).to_bytes(4, "little")
    lie = small.replace(size, (10).to_bytes(4, "little"))
    assert len(lie) == len(small)
    assert "unpacks to more" in refusal(lie) or "can't be read" in refusal(lie)


@given(st.binary(max_size=400))
def test_any_bytes_are_rejected_with_a_reason(content):
    assert "its archive can't be read" in refusal(content)


@given(st.data())
def test_an_archive_with_any_byte_changed_is_read_or_rejected(data):
    archive = bytearray(pack(FILES.items()))
    for _ in range(data.draw(st.integers(1, 3))):
        archive[data.draw(st.integers(0, len(archive) - 1))] = data.draw(st.integers(0, 255))
    with suppress(ConfigurationError):
        assert sum(map(len, read_archive(bytes(archive)).values())) <= MAX_BYTES
