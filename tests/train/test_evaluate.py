"""The command: its files, what it refuses, and that its numbers can be made again."""

from __future__ import annotations

import csv
import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from sklearn.metrics import roc_auc_score

from cxr_vlp.train import evaluate, fit
from cxr_vlp.train.evaluation.models import ours
from cxr_vlp.train.evaluation.models.encoder_model import EncoderModel
from cxr_vlp.train.evaluation.zeroshot import again
from tests.train.conftest import FINDINGS, sample, write_shard, write_source

FILES = {
    "metrics.json", "summary.json", "labels.csv", "scores.parquet", "scores.csv", "roc.csv",
    "fairness.csv",
}  # fmt: skip


@pytest.fixture(scope="module")
def model(source, tiny_recipe, tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("model")
    with pytest.MonkeyPatch.context() as patched:
        patched.chdir(out)
        fit.main([str(tiny_recipe), "--shards", str(source), "--out", "model", "--limit", "2"])
    return out / "model"


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def run(model: Path, out: str, *shards: Path, more: tuple[str, ...] = ()) -> int:
    folders = [str(each) for each in shards]
    return evaluate.main(["--model", str(model), "--out", out, "--shards", *folders, *more])


def read(path: str) -> list[dict[str, str]]:
    with Path(path).open() as file:
        return list(csv.DictReader(file))


def metrics(out: str) -> dict[str, Any]:
    return json.loads(Path(out, "metrics.json").read_text())


def settings(text: str) -> None:
    Path("params.yaml").write_text(f"evaluate: {text}\n")


def unlabelled(tmp_path: Path, name: str = "bare") -> Path:
    """A collection whose samples name no label."""
    folder = write_source(tmp_path, name, {"test": (6,)})
    records = {f"{name}-s{i:04d}": sample(name, i, labels={}) for i in range(6)}
    write_shard(next(folder.glob("test/*.tar")), records)
    return folder


def test_a_perfect_scorer_has_1_in_every_collection_and_the_files_agree(
    model, source, tmp_path, monkeypatch
):
    other = write_source(
        tmp_path, "other", {"train": (2,), "validate": (16,), "test": (10,)}
    )  # fmt: skip
    monkeypatch.setattr(ours, "model", perfect_model)
    settings("{resamples: 50}")
    assert run(model, "out", source, other) == 0
    found = metrics("out")
    assert {path.name for path in Path("out").iterdir()} >= FILES - {"fairness.csv"}
    assert found["macro_auroc"] == found["macro_low"] == found["macro_high"] == 1.0
    assert set(found["collections"]) == {"mock", "other"}
    assert found["images"] == 34
    assert found["headline"]["mcc"]["value"] == 1.0  # by thresholds of the validation split
    rows = read("out/labels.csv")
    assert {row["collection"] for row in rows} == {"mock", "other", "pooled", "mean"}
    assert list(rows[0])[:8] == [
        "collection", "label", "positives", "negatives", "threshold", "auroc", "auroc_low",
        "auroc_high",
    ]  # fmt: skip
    assert {row["label"] for row in rows} >= {*FINDINGS, "No Finding", "macro"}
    assert len(read("out/scores.csv")) == 34
    assert len(Path("out/summary.json").read_text()) < 1500


KNOWN = (*FINDINGS, "No Finding")
PLACES = {"Cardiomegaly": (20, 20), "Pleural Effusion": (44, 8), "Pneumothorax": (4, 40)}


def perfect_model(folder: Path, whole=ours.model) -> EncoderModel:
    """A model with a head that sees the bright square that conftest draws for each finding."""
    made = whole(folder)
    made.labels = KNOWN
    made.label_scores = perfect
    return made


def perfect(images: torch.Tensor, names: Sequence[str]) -> torch.Tensor:
    """Look at the middle of each square; images (72 x 64) lie on a black square of side S."""
    size, rows = images.shape[-1], []
    for image in images[:, 0].float():
        found = [
            float(image[int((y + 9) * size / 72), int((x + 9 + 4) * size / 72)] > 160)
            for y, x in PLACES.values()
        ]
        rows.append([*found, 1 - max(found)])
    return torch.tensor(rows)[:, [KNOWN.index(name) for name in names]]


def test_the_numbers_are_those_of_sklearn_on_the_written_scores(model, source):
    settings("{resamples: 0}")
    assert run(model, "out", source) == 0
    found = metrics("out")["collections"]["mock"]["labels"]
    table = pq.read_table("out/scores.parquet").to_pydict()
    for name in FINDINGS:
        truth = table[f"truth:{name}"]
        scores = table[f"score:{name}"]
        assert found[name]["auroc"]["value"] == pytest.approx(
            roc_auc_score(truth, scores), abs=1e-12
        )
        written = [float(row[f"score:{name}"]) for row in read("out/scores.csv")]
        assert written == scores  # the text has every digit
    assert sorted(table["key"]) == table["key"]
    assert set(table["patient"]) <= {f"mock/p{i:04d}" for i in range(32, 45)}


def test_the_files_are_the_same_bytes_for_any_number_of_workers(model, source):
    assert run(model, "one", source) == 0
    assert run(model, "two", source, more=("--workers", "2")) == 0
    for path in Path("one").iterdir():
        assert path.read_bytes() == Path("two", path.name).read_bytes(), path.name
    assert 0.1 < metrics("one")["macro_auroc"] < 0.95


@pytest.mark.parametrize(
    "section",
    [
        "{resamples: 60}",
        "{resamples: 60, resample_by: image, unit: study, thresholds: {by: f1}, seed: 4}",
        "{resamples: 20, protocol: chexzero, uncertain: positive}",
        "{resamples: 20, protocol: carzero, min_positives: 2}",
        "{resamples: 20, protocol: offclip, thresholds: {by: half}}",
    ],
)
def test_every_number_can_be_made_again_from_the_files_alone(model, source, section, tmp_path):
    other = write_source(tmp_path, "other", {"validate": (12,), "test": (14,)})
    settings(section)
    assert run(model, "out", source, other) == 0
    found, made = metrics("out"), json.loads(json.dumps(again.numbers(Path("out"))))
    assert made["headline"] == found["headline"]
    assert made["headline"]["auroc"]["value"] is not None
    for name, part in {**made["collections"], "pooled": made["pooled"]}.items():
        stored = {**found["collections"], "pooled": found["pooled"]}[name]
        assert part == {key: stored[key] for key in part}


def test_metrics_json_holds_what_decides_a_number(model, source):
    settings("{resamples: 20, bank: pair, uncertain: positive}")
    assert run(model, "out", source, more=("--limit", "20")) == 0
    decided = metrics("out")["decided_by"]
    assert decided["changed_by_params"] == {"uncertain": "positive", "prompts": {"bank": "pair"}}
    assert decided["protocol"]["uncertain"] == "positive"
    assert len(decided["protocol_digest"]) == 64
    assert decided["prompts"]["labels"]["Pneumothorax"] == {
        "positive": ["pneumothorax"], "negative": ["no pneumothorax"],
    }  # fmt: skip
    assert decided["models"][0]["digest"] == ours.model(model).digest
    assert set(decided["shards"]["mock"]) == {"train", "validate", "test"}
    assert (decided["split"], decided["limit"]) == ("test", 20)
    assert decided["intervals"] == {"resamples": 20, "by": "patient", "seed": 0}


def test_two_models_are_an_ensemble_of_their_probabilities(model, source, tiny_recipe):
    asked = [str(tiny_recipe), "--shards", str(source), "--out", "second", "--seed", "5"]
    assert fit.main([*asked, "--limit", "1"]) == 0
    settings("{resamples: 0}")
    assert run(model, "a", source) == run(Path("second"), "b", source) == 0
    assert run(model, "both", source, more=("--model", "second")) == 0
    a, b, both = (
        np.array([float(row["score:Cardiomegaly"]) for row in read(f"{name}/scores.csv")])
        for name in ("a", "b", "both")
    )
    assert np.allclose((a + b) / 2, both, rtol=0, atol=1e-12)
    assert not np.array_equal(a, b)


def test_a_collection_without_labels_is_named_with_the_reason(model, source, tmp_path, capsys):
    settings("{resamples: 0}")
    assert run(model, "alone", source) == 0
    assert run(model, "out", source, unlabelled(tmp_path)) == 0
    printed = capsys.readouterr()
    found = metrics("out")
    assert found["dropped"] == {"bare": "its samples name no label"}
    assert "bare is not in the headline: its samples name no label" in printed.err
    assert "its samples name no label" in printed.out.replace("\n", " ")
    assert found["macro_auroc"] == metrics("alone")["macro_auroc"]


def test_without_validation_images_thresholded_measures_are_not_measured_and_it_is_said(
    model, source, tmp_path, capsys
):
    other = write_source(tmp_path, "other", {"test": (16,)})
    settings("{resamples: 0}")
    assert run(model, "out", source, other) == 0
    macro = metrics("out")["collections"]["other"]["macro"]
    assert macro["f1"]["value"] is None
    assert macro["auroc"]["value"] is not None
    said = capsys.readouterr().err
    assert "other: no image in the validation split, or none with scores, so no thresholds" in said
    assert "mock: no image" not in said


def test_views_limit_and_split(model, source):
    settings("{views: [frontal], resamples: 0, thresholds: {by: none}}")
    assert run(model, "out", source, more=("--split", "validate")) == 0
    assert len(read("out/scores.csv")) == 12
    assert metrics("out")["collections"]["mock"]["left_out"] == {"lateral": 4}
    assert run(model, "few", source, more=("--limit", "9")) == 0
    assert 1 <= len(read("few/scores.csv")) <= 9
    assert metrics("few")["macro_low"] is None


def test_thresholds_of_the_measured_split_are_refused(model, source, capsys):
    assert run(model, "out", source, more=("--split", "validate")) == 2
    assert "which is the split that is measured" in capsys.readouterr().err
    settings("{thresholds: {by: half}, resamples: 0}")
    assert run(model, "out", source, more=("--split", "validate")) == 0
    assert not Path("other").exists()


@pytest.mark.parametrize(
    ("params", "more", "message"),
    [
        ("{views: [oblique]}", (), "expected one of frontal, lateral, other, unknown"),
        ("{views: [unknown]}", (), "no image of the views unknown"),
        ("{bank: nobodys}", (), "nobodys"),
        ("{seeds: 1}", (), "unknown key 'seeds'"),
        ("{protocol: chexzro}", (), "did you mean chexzero"),
        ("{tasks: [zeroshots]}", (), "did you mean zeroshot"),
        ("{min_positives: 500}", (), "nothing can be measured"),
        ("{labels: [Hernia]}", (), "name none of the labels Hernia"),
        ("{protocol: chexzero, bank: frames}", (), "would not be used"),
        ("{}", ("--tasks", "probes"), "did you mean probe"),
        ("{}", ("--protocol", "s3://x/p.yaml"), "--protocol"),
        ("{}", ("--model", "nowhere"), "give the folder that cxr-vlp fit wrote"),
    ],
)
def test_bad_configuration_ends_with_2_and_writes_nothing(
    model, source, capsys, params, more, message
):
    settings(params)
    assert run(model, "out", source, more=more) == 2
    assert message in capsys.readouterr().err
    assert not Path("out").exists()


def test_a_split_that_is_not_there_ends_with_2(model, tmp_path, capsys):
    folder = write_source(tmp_path, "only", {"train": (2,)})
    assert run(model, "out", folder) == 2
    assert "no shards in the test split" in capsys.readouterr().err


def test_a_folder_of_something_else_is_refused_and_an_old_evaluation_replaced(
    model, source, capsys
):
    settings("{resamples: 0}")
    Path("out").mkdir()
    Path("out/auroc.csv").write_text("of version 0.7")
    assert run(model, "out", source) == 0
    assert not Path("out/auroc.csv").exists()
    Path("out/thesis.txt").write_text("mine")
    assert run(model, "out", source) == 2
    assert "thesis.txt, which no evaluation wrote" in capsys.readouterr().err
    assert Path("out/thesis.txt").read_text() == "mine"


def test_scores_of_another_program_are_measured_as_they_are_with_and_without_shards(model, source):
    settings("{resamples: 0}")
    assert run(model, "out", source) == 0
    asked = ["--scores", "out/scores.parquet"]
    assert evaluate.main([*asked, "--shards", str(source), "--out", "joined"]) == 0
    assert evaluate.main([*asked, "--out", "alone"]) == 0
    for name in FINDINGS:
        values = [
            metrics(out)["collections"]["mock"]["labels"][name]["auroc"]["value"]
            for out in ("out", "joined", "alone")
        ]
        assert values[0] == values[1] == values[2]
    assert evaluate.main(["--model", str(model), "--out", "none"]) == 2


def test_readers_stand_beside_the_model(model, source, capsys):
    settings("{resamples: 20}")
    lines = ["key,Cardiomegaly"]
    lines += [f"mock-s{i:04d},{i % 2}" for i in range(64, 88)]
    Path("r1.csv").write_text("\n".join(lines))
    assert run(model, "out", source, more=("--readers", "r1.csv")) == 0
    rows = [row for row in read("out/readers.csv") if row["label"] == "Cardiomegaly"]
    by_reader = {row["reader"]: row for row in rows}
    assert float(by_reader["r1"]["f1"]) == 1.0
    assert {"r1", "model", "mean reader", "model - mean reader"} == set(by_reader)
    assert all(math.isfinite(float(row["mcc_low"])) for row in rows)
    assert metrics("out")["readers"]["mock"]["labels"]["Cardiomegaly"]["left_out"] == 0


def test_a_model_that_was_trained_on_what_is_measured_is_named(model, source, capsys):
    settings("{resamples: 0}")
    assert run(model, "out", source, more=("--split", "train")) == 0
    assert "was trained on the train split of mock" in capsys.readouterr().err
    assert run(model, "out", source) == 0
    assert "was trained on" not in capsys.readouterr().err


TASKS = "zeroshot,retrieval,negation"


def listed(*numbers: int) -> tuple[str, str]:
    rows = [f"mock-s{n:04d},mock,p,s,Cardiomegaly" for n in numbers]
    Path("list.csv").write_text("\n".join(["key,dataset,patient,study,class", *rows]) + "\n")
    return "--set", "list.csv"


def test_a_set_with_images_that_are_not_measured_is_refused_by_every_task(model, source, capsys):
    for task in ("zeroshot", "retrieval", "grounding", "probe", "negation"):
        assert run(model, "out", source, more=("--tasks", task, *listed(64, 65, 3))) == 2
        said = capsys.readouterr().err
        assert "list: 1 of its 3 images are not in the test split" in said, task
        assert not Path("out").exists()


def test_a_set_is_measured_alone_with_shards_and_without(model, source, capsys):
    settings("{resamples: 0, protocol: ours}")
    numbers = range(64, 80)
    assert run(model, "out", source, more=("--tasks", TASKS, *listed(*numbers))) == 0
    keys = [f"mock-s{n:04d}" for n in numbers]
    assert [row["key"] for row in read("out/scores.csv")] == keys
    assert metrics("out")["tasks"]["retrieval"]["collections"]["mock"]["images"] == 16
    assert run(model, "all", source) == 0
    alone = ["--scores", "all/scores.csv", "--out", "alone"]
    assert evaluate.main([*alone, *listed(*numbers)]) == 0
    assert [row["key"] for row in read("alone/scores.csv")] == keys
    assert metrics("alone")["macro_auroc"] == metrics("out")["macro_auroc"]
    capsys.readouterr()
    assert evaluate.main([*alone, *listed(64, 3)]) == 2
    assert "list: 1 of its 2 images are not in" in capsys.readouterr().err


def part_of(found: dict[str, Any]) -> dict[str, Any]:
    """What does not depend on thresholds, with its order."""
    chosen = {"threshold", "f1", "mcc", "accuracy", "left_out"}
    if isinstance(found, dict):
        return {key: part_of(value) for key, value in found.items() if key not in chosen}
    return found


@pytest.mark.sampled(3)  # each ending and each section once
@pytest.mark.parametrize("ending", ["parquet", "csv"])
@pytest.mark.parametrize("section", ["{resamples: 30}", "{resamples: 30, protocol: carzero}"])
def test_our_own_scores_give_the_same_numbers_again_bit_for_bit(
    model, source, tmp_path, ending, section, capsys
):
    other = write_source(tmp_path, "other", {"validate": (12,), "test": (14,)})
    records = {}  # without No Finding, with two labels of its own, one uncertain on every image
    for n in range(24):
        labels = {"Zebra": n % 3 == 0, "Edema": -1, "Cardiomegaly": n % 2}
        labels = {name: int(value) for name, value in labels.items()}
        records[f"third-s{n:04d}"] = sample("third", n, split="test", labels=labels)
    write_shard(tmp_path / "third/test/third-test-00000.tar", records)
    (tmp_path / "third/test/sizes.json").write_text(json.dumps({"third-test-00000.tar": 24}))
    settings(section)
    folders = [str(source), str(other), str(tmp_path / "third")]
    assert evaluate.main(["--model", str(model), "--out", "out", "--shards", *folders]) == 0
    capsys.readouterr()
    asked = ["--scores", f"out/scores.{ending}"]
    assert evaluate.main([*asked, "--shards", *folders, "--out", "joined"]) == 0
    assert "rows of images that are not evaluated" not in capsys.readouterr().err
    assert evaluate.main([*asked, "--out", "alone"]) == 0
    first = metrics("out")
    for out in ("joined", "alone"):
        for key in ("headline", "headline_of", "collections", "pooled"):
            found, wanted = part_of(metrics(out)[key]), part_of(first[key])
            assert json.dumps(found) == json.dumps(wanted), (out, key)


def test_rows_in_another_order_change_nothing_and_a_key_twice_is_refused(model, source, capsys):
    settings("{resamples: 30}")
    assert run(model, "out", source) == 0
    head, *rows = Path("out/scores.csv").read_text().splitlines()
    Path("turned.csv").write_text("\n".join([head, *rows[::-1]]) + "\n")
    for name in ("out/scores.csv", "turned.csv"):
        assert evaluate.main(["--scores", name, "--out", f"of_{Path(name).stem}"]) == 0
    assert Path("of_scores/scores.csv").read_bytes() == Path("of_turned/scores.csv").read_bytes()
    assert Path("of_scores/labels.csv").read_bytes() == Path("of_turned/labels.csv").read_bytes()
    Path("twice.csv").write_text("\n".join([head, *rows, rows[3]]) + "\n")
    for more in ([], ["--shards", str(source)]):
        assert evaluate.main(["--scores", "twice.csv", "--out", "twice", *more]) == 65
        assert "line 26: the" in capsys.readouterr().err


def test_a_score_file_alone_has_the_protocol_of_each_collection(capsys):
    """Views, labels, unit and what is averaged, as with shards."""
    lines = ["key,collection,patient,study,view,score:Edema,truth:Edema,score:Hernia,truth:Hernia"]
    for n in range(12):
        view = "lateral" if n % 3 == 2 else "frontal"
        for name in ("nih", "chexpert"):
            true = n // 2 % 2  # of a study
            lines.append(f"{name}-{n},{name},p{n},s{n // 2},{view},0.{n},{true},0.{n},{true}")
    Path("file.csv").write_text("\n".join(lines) + "\n")
    settings("{resamples: 0, protocol: carzero, score: pair, thresholds: {by: none}}")
    assert evaluate.main(["--scores", "file.csv", "--out", "out"]) == 0
    found, said = metrics("out")["collections"], capsys.readouterr().err
    assert list(found["chexpert"]["labels"]) == ["Edema"]  # one of its five
    assert list(found["nih"]["labels"]) == ["Edema", "Hernia"]
    assert "Pleural Effusion" in found["chexpert"]["not_scored"]
    assert "chexpert: left out, because a score file or a head has no score of it" in said
    assert (found["nih"]["images"], found["nih"]["left_out"]) == (8, {"lateral": 4})
    settings("{resamples: 0, unit: study, views: []}")
    assert evaluate.main(["--scores", "file.csv", "--out", "studies"]) == 0
    assert metrics("studies")["collections"]["nih"]["images"] == 6
    settings("{resamples: 0, views: [other]}")
    assert evaluate.main(["--scores", "file.csv", "--out", "none"]) == 2
    assert "no image of the views other" in capsys.readouterr().err


@pytest.mark.parametrize("column", [True, False])
def test_a_score_file_without_a_column_of_views_says_that_all_images_are_measured(column, capsys):
    lines = [f"key,score:Edema,truth:Edema{',view' * column}"]
    lines += [f"{n},0.{n},{n % 2}{',frontal' * column}" for n in range(8)]
    Path("file.csv").write_text("\n".join(lines) + "\n")
    settings("{resamples: 0, resample_by: image, views: [frontal], thresholds: {by: none}}")
    assert evaluate.main(["--scores", "file.csv", "--out", "out"]) == 0
    assert ("has no column view" in capsys.readouterr().err) is not column


def test_a_score_file_of_another_split_is_refused(capsys):
    Path("file.csv").write_text(
        "key,split,score:Edema,truth:Edema\na,test,0.1,0\nb,validate,0.7,1\n"
    )
    assert evaluate.main(["--scores", "file.csv", "--out", "out"]) == 65
    assert "line 3: not of the split test" in capsys.readouterr().err


def test_a_label_without_scores_in_one_member_is_said_and_listed(model, source, capsys):
    settings("{resamples: 0}")
    assert run(model, "out", source) == 0
    rows = read("out/scores.csv")
    with Path("few.csv").open("w") as file:
        writer = csv.writer(file)
        writer.writerow(["key", "Cardiomegaly"])
        writer.writerows([row["key"], row["score:Cardiomegaly"]] for row in rows)
    capsys.readouterr()
    asked = ["--scores", "few.csv", "--shards", str(source), "--out", "few"]
    assert evaluate.main(asked) == 0
    assert "Pleural Effusion, Pneumothorax" in capsys.readouterr().err
    found = metrics("few")["collections"]["mock"]
    assert set(found["not_scored"]) == {"Pleural Effusion", "Pneumothorax", "No Finding"}


def test_part_of_the_validation_images_without_scores_is_an_error(model, source, capsys):
    """Else there would be no thresholds, and a reason that is not true."""
    settings("{resamples: 0}")
    assert run(model, "out", source) == 0
    settings("{resamples: 0, thresholds: {by: none}}")
    assert run(model, "val", source, more=("--split", "validate")) == 0
    settings("{resamples: 0}")
    rows = [*read("out/scores.csv"), *read("val/scores.csv")]
    for count, code in ((len(rows), 0), (len(rows) - 2, 65)):
        with Path("both.csv").open("w") as file:
            writer = csv.writer(file)
            writer.writerow(["key", *FINDINGS])
            writer.writerows(
                [[r["key"], *(r[f"score:{n}"] for n in FINDINGS)] for r in rows[:count]]
            )
        asked = ["--scores", "both.csv", "--shards", str(source), "--out", "joined"]
        assert evaluate.main(asked) == code
    assert "2 of 16 images have no row" in capsys.readouterr().err
    first, again_ = (metrics(o)["collections"]["mock"]["labels"] for o in ("out", "joined"))
    assert [first[n]["threshold"] for n in FINDINGS] == [again_[n]["threshold"] for n in FINDINGS]


def test_each_collection_has_the_thresholds_of_its_own_protocol(model, source, tmp_path, capsys):
    other = write_source(tmp_path, "other", {"validate": (12,), "test": (14,)})
    Path("own.yaml").write_text("base: ours\nof: {other: {thresholds: {by: half}}}\n")
    Path("turned.yaml").write_text(
        "base: ours\nthresholds: {by: half}\nof: {other: {thresholds: {by: mcc}}}\n"
    )
    settings("{resamples: 0}")
    for name, halves in (("own", "other"), ("turned", "mock")):
        more = ("--protocol", f"./{name}.yaml")
        assert run(model, name, source, other, more=more) == 0
        for collection, part in metrics(name)["collections"].items():
            cuts = {row["threshold"] for row in part["labels"].values()}
            assert (cuts == {0.5}) == (collection == halves)
        assert run(model, "no", source, other, more=(*more, "--split", "validate")) == 2
        assert "which is the split that is measured" in capsys.readouterr().err


def test_a_changed_protocol_is_said(model, source, capsys):
    settings("{resamples: 0, protocol: chexzero, min_positives: 2, views: [frontal]}")
    assert run(model, "out", source) == 0
    said = capsys.readouterr().err
    assert "params.yaml replaces of the protocol chexzero: min_positives" in said
    settings("{resamples: 0, min_positives: 2}")
    assert run(model, "out", source) == 0
    assert "replaces" not in capsys.readouterr().err


def test_labels_csv_has_the_mean_of_each_label_and_metrics_json_the_resamples(
    model, source, tmp_path
):
    other = write_source(tmp_path, "other", {"validate": (12,), "test": (14,)})
    settings("{resamples: 30}")
    assert run(model, "out", source, other) == 0
    rows = {(row["collection"], row["label"]): row for row in read("out/labels.csv")}
    assert len(rows) == len(read("out/labels.csv"))
    for label in (*FINDINGS, "No Finding (pair)"):
        mine = [rows[name, label] for name in ("mock", "other")]
        mean = sum(float(row["auroc"]) for row in mine) / 2
        assert float(rows["mean", label]["auroc"]) == pytest.approx(mean, abs=1e-15)
        positives = sum(int(row["positives"]) for row in mine)
        assert int(rows["mean", label]["positives"]) == positives
    found = metrics("out")
    assert 0 < found["headline"]["auroc"]["resamples"] <= 30
    pneumothorax = found["collections"]["other"]["labels"]["Pneumothorax"]["auroc"]
    assert 0 < pneumothorax["resamples"] <= 30


def test_a_collection_of_which_the_protocol_averages_nothing_says_what_it_has(tmp_path, capsys):
    rows = [("a", i, i % 2, i % 2) for i in range(8)] + [("b", i, "", i % 2) for i in range(8)]
    lines = ["key,collection,score:Edema,truth:Edema,score:Mass,truth:Mass"]
    lines += [f"{c}-s{i}-x,{c},{0.1 * i if c == 'a' else ''},{e},{0.1 * i},{m}"
              for c, i, e, m in rows]  # fmt: skip
    Path("mine.csv").write_text("\n".join(lines) + "\n")
    Path("own.yaml").write_text(
        "base: ours\nlabels: [Edema, Mass]\naverage: [Edema]\nthresholds: {by: none}\n"
    )
    settings("{resamples: 10}")
    words = ["--scores", "mine.csv", "--protocol", "./own.yaml", "--out", "out"]
    assert evaluate.main(words) == 0
    why = "what can be measured of it, Mass, is not averaged by the protocol"
    assert metrics("out")["dropped"] == {"b": why}
    assert f"b is not in the headline: {why}" in capsys.readouterr().err


@pytest.mark.parametrize(("protocol", "said"), [("carzero", True), ("chexzero", False)])
def test_a_protocol_that_has_no_list_for_a_collection_says_so(
    model, source, capsys, protocol, said
):
    settings("{resamples: 10}")
    assert run(model, "out", source, more=("--protocol", protocol)) == 0
    line = "mock: the protocol carzero has no list of labels for it"
    assert (line in capsys.readouterr().err) is said
