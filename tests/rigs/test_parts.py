"""A part that is missing is never overlooked."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.rigs.parts import need

ENDS = (pytest.skip.Exception, pytest.fail.Exception)  # both, as a skip that is not expected would hide the failure


@pytest.fixture(autouse=True)
def a_machine_with_nothing(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    for name in ("CHATNB_CHROMIUM", "CHATNB_TEST_COCKROACHDB_URL", "CI"):
        monkeypatch.delenv(name, raising=False)


def test_a_missing_part_skips_and_says_what_to_install() -> None:
    with pytest.raises(ENDS, match="apt-get install chromium") as end:
        need("chromium")
    assert end.type is pytest.skip.Exception


def test_a_missing_part_fails_in_ci(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CI", "true")
    with pytest.raises(ENDS, match="apt-get install chromium") as end:
        need("chromium")
    assert end.type is pytest.fail.Exception


def test_a_part_that_no_package_brings_skips_in_ci_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CI", "true")
    with pytest.raises(ENDS, match="CHATNB_TEST_COCKROACHDB_URL") as end:
        need("cockroachdb")
    assert end.type is pytest.skip.Exception


def test_a_part_that_is_there_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    chrome = tmp_path / "my-chrome"
    chrome.touch(mode=0o755)
    monkeypatch.setenv("CHATNB_CHROMIUM", str(chrome))
    assert need("chromium") == str(chrome)
