"""A path or a salt in a variable is in no file that git or dvc.lock keeps."""

from __future__ import annotations

import pytest

from cxr_vlp.pipelines.errors import ConfigError
from cxr_vlp.pipelines.files import environment, paths


def test_a_root_comes_from_the_variable_that_it_names(tmp_path, monkeypatch):
    folder = tmp_path / "Röntgen bilder"
    folder.mkdir()
    monkeypatch.setenv("LAB_ROOT", str(folder))
    assert paths.root("env:LAB_ROOT") == folder


@pytest.mark.parametrize("value", [None, ""])
def test_an_unset_variable_is_named_and_is_not_the_current_folder(monkeypatch, value):
    monkeypatch.delenv("LAB_ROOT", raising=False)
    if value is not None:
        monkeypatch.setenv("LAB_ROOT", value)
    with pytest.raises(ConfigError, match="the variable LAB_ROOT is not set"):
        paths.root("env:LAB_ROOT")


def test_an_address_with_a_password_in_the_variable_is_refused(monkeypatch):
    monkeypatch.setenv("LAB_ROOT", "s3://labs:hunter2@host/raw")
    with pytest.raises(ConfigError, match="give them in the environment") as raised:
        paths.root("env:LAB_ROOT")
    assert "hunter2" not in str(raised.value)


def test_other_values_stay_as_they_are(monkeypatch):
    monkeypatch.setenv("NAME", "found")
    assert environment.value("environment", "scan.salt") == "environment"
    assert environment.value("env:NAME", "scan.salt") == "found"
