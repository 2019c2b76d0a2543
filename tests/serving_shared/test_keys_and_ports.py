from pathlib import Path

import pytest

from hadis.errors import InvalidInput
from hadis_serving import keys, ports


def test_without_keys_everyone_is_admitted() -> None:
    assert keys.ApiKeys().admits(None)


@pytest.mark.parametrize(
    ("authorization", "want_admitted"),
    [
        ("Bearer correct-horse", True),
        ("bearer correct-horse", True),
        ("Bearer correct-hors", False),
        ("Bearer ", False),
        ("Basic correct-horse", False),
        ("Bearer \udcff", False),
        (None, False),
    ],
)
def test_a_key_opens_only_as_a_bearer_token(authorization: str | None, want_admitted: bool) -> None:
    api_keys = keys.ApiKeys(frozenset({"correct-horse"}))
    assert api_keys.admits(authorization) is want_admitted


def test_keys_come_from_the_file_and_the_variable(tmp_path: Path) -> None:
    file = tmp_path / "keys"
    file.write_text("# team a\nkey-of-team-a\n\n  # the next team\n  key-of-team-d  \n")
    api_keys = keys.read_keys(file, "key-of-team-b,key-of-team-c")
    for key in ("key-of-team-a", "key-of-team-b", "key-of-team-c", "key-of-team-d"):
        assert api_keys.admits(f"Bearer {key}")
    assert not api_keys.admits("Bearer # the next team")


def test_a_folder_holds_a_key_a_file_as_a_secret_is_mounted(tmp_path: Path) -> None:
    real = tmp_path / "..2030_01_01"
    real.mkdir()
    (real / "team-a").write_text("key-of-team-a")
    (real / "team-b").write_text("key-of-team-b\n")
    (tmp_path / "..data").symlink_to(real.name)
    for name in ("team-a", "team-b"):
        (tmp_path / name).symlink_to(Path("..data") / name)
    api_keys = keys.read_keys(tmp_path, None)
    assert api_keys.admits("Bearer key-of-team-a")
    assert api_keys.admits("Bearer key-of-team-b")
    assert not api_keys.admits("Bearer key-of-team-c")


def test_an_empty_folder_of_keys_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="holds no key"):
        keys.read_keys(tmp_path, None)


@pytest.mark.parametrize("content", ["", "# nothing\n"])
def test_a_keys_file_without_a_key_is_refused(tmp_path: Path, content: str) -> None:
    file = tmp_path / "keys"
    file.write_text(content)
    with pytest.raises(InvalidInput, match="holds no key"):
        keys.read_keys(file, None)


def test_short_keys_and_missing_files_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="shorter than 8"):
        keys.read_keys(None, "short")
    with pytest.raises(InvalidInput, match="--api-keys-file"):
        keys.read_keys(tmp_path / "absent", None)


@pytest.mark.parametrize(
    ("host", "insecure", "key", "want_refused"),
    [
        ("127.0.0.1", False, None, False),
        ("::1", False, None, False),
        ("localhost", False, None, False),
        ("0.0.0.0", False, None, True),
        ("0.0.0.0", True, None, False),
        ("0.0.0.0", False, "long-enough", False),
        ("my.host.example", False, None, True),
    ],
)
def test_only_loopback_is_served_without_keys(
    host: str, insecure: bool, key: str | None, want_refused: bool
) -> None:
    api_keys = keys.ApiKeys(frozenset({key} if key else ()))
    if want_refused:
        with pytest.raises(InvalidInput, match="--insecure"):
            keys.require_safe_binding(host, api_keys, insecure=insecure)
    else:
        keys.require_safe_binding(host, api_keys, insecure=insecure)


def test_a_taken_port_is_named_with_the_way_out() -> None:
    first = ports.bind("127.0.0.1", 0)
    try:
        with pytest.raises(InvalidInput, match=f"127.0.0.1:{ports.port_of(first)}.*--port"):
            ports.bind("127.0.0.1", ports.port_of(first))
    finally:
        first.close()


def test_a_port_out_of_range_is_refused() -> None:
    with pytest.raises(InvalidInput, match="65535"):
        ports.bind("127.0.0.1", 65536)
