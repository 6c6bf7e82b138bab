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
