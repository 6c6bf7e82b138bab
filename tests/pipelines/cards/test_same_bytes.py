"""A table that comes from the cache is written with the bytes of the one that was just made."""

from __future__ import annotations

from cxr_vlp.pipelines.cards import sample_table


def test_a_table_from_the_cache_has_the_same_bytes_as_a_new_one(built, tmp_path):
    folder = built / "shards" / "openi"
    for name in ("new", "cached"):
        table = sample_table.of_set(folder, tmp_path / "state")
        sample_table.write(table, tmp_path / name)
    assert (tmp_path / "new").read_bytes() == (tmp_path / "cached").read_bytes()
