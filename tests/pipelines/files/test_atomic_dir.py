"""What a run that failed leaves beside its output."""

from __future__ import annotations

import pytest

from cxr_vlp.pipelines.errors import DataError
from cxr_vlp.pipelines.files import atomic_dir


@pytest.mark.parametrize("resume", [False, True])
def test_only_a_run_that_can_be_continued_leaves_its_staging_folder(tmp_path, resume):
    output = tmp_path / "out"
    with (
        pytest.raises(DataError),
        atomic_dir.publishing(output, "owner", resume=resume) as staging,
    ):
        (staging / "part").write_text("half")
        raise DataError("damaged")
    assert atomic_dir.staging(output).exists() == resume
    assert not output.exists()


@pytest.mark.parametrize("left", [".out.staging", ".out.old"])
def test_what_a_killed_run_left_is_removed_unless_a_run_is_writing(tmp_path, left):
    (tmp_path / "out").mkdir()
    (tmp_path / left).mkdir()
    (tmp_path / left / "file").touch()
    with atomic_dir.lock(tmp_path / "out"):
        atomic_dir.remove_left(tmp_path / "out")
    assert (tmp_path / left / "file").exists()
    atomic_dir.remove_left(tmp_path / "out")
    assert {path.name for path in tmp_path.iterdir()} == {"out", ".out.lock"}
