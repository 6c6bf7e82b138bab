"""The trainers' own dataset classes read what is exported for them.

They run from checkouts in $CXR_CLIENTS (folders cxr-clip, CheXzero, CARZero, MGCA, MedCLIP,
LLaVA-Rad), by $CXR_CLIENTS_PYTHON, which has h5py, nltk, albumentations and hydra-core. A tokenizer
that would be downloaded is replaced by one that counts words; nothing else of a class is.
"""

from __future__ import annotations

import ast
import json
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

pytestmark = pytest.mark.slow

TOKENIZER = """
import transformers, torch
class Words:
    model_max_length = 77
    def __call__(self, text, max_length=16, **_):
        ids = torch.zeros(1, max_length, dtype=torch.long)
        ids[0, : len(text.split()[:max_length])] = 1
        return {"input_ids": ids, "token_type_ids": ids * 0, "attention_mask": ids}
class From:
    @staticmethod
    def from_pretrained(*_, **__):
        return Words()
transformers.AutoTokenizer = transformers.BertTokenizer = From
"""


def link(target: Path, source: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    target.symlink_to(source)


def test_cxrclip_reads_both_kinds_and_the_test_file_through_its_hydra_configuration(
    exported, checkout
):
    made, place = exported("cxrclip"), checkout("cxr-clip", "datasets")
    link(place.root / "datasets/cxr_vlp", made)
    found = place.run(
        """
        import json, types, hydra
        package = types.ModuleType("cxrclip"); package.__path__ = ["cxrclip"]
        sys.modules["cxrclip"] = package
        data = types.ModuleType("cxrclip.data"); data.__path__ = ["cxrclip/data"]
        sys.modules["cxrclip.data"] = data
        import nltk.tokenize
        nltk.tokenize.sent_tokenize = lambda text, language: text.split(". ")
        from omegaconf import OmegaConf
        from cxrclip.data.datasets import load_dataset
        from hydra.core.config_search_path import ConfigSearchPath
        import os
        def composed(name, *chosen):
            with hydra.initialize_config_dir(os.path.abspath("configs"), version_base=None):
                path = os.path.abspath("datasets/cxr_vlp/configs")
                return hydra.compose(name, [f"hydra.searchpath=[file://{path}]", *chosen])
        train = composed(
            "train", "data_train=[cxr_vlp_labels,cxr_vlp_reports]",
            "data_valid=[cxr_vlp_labels,cxr_vlp_reports]",
        )
        test = composed("eval_clip", "data_test=[cxr_vlp_reports]", "+test.checkpoint=x")
        found = {}
        for config, split in ((train, "train"), (train, "valid"), (test, "test")):
            transforms = OmegaConf.to_container(config.transform) | {}
            for stage in transforms.values():
                for values in stage.values():
                    values.update(size=64) if "size" in values else None
                if "RandomResizedCrop" in stage:
                    stage["RandomResizedCrop"]["scale"] = [0.8, 1.0]
            for name, wanted in config[f"data_{split}"].items():
                own = {"transform_config": transforms, "loss_config": {}, "tokenizer": None}
                data = load_dataset(split=split, **own, **wanted)
                rows = [data[i] for i in range(len(data))]
                key = "images" if split == "test" else "image"
                found[f"{split} {name}"] = {
                    "rows": len(rows),
                    "shapes": sorted({tuple(row[key].shape) for row in rows}),
                    "empty": sum(not row["text"] for row in rows),
                    "texts": [row["text"] for row in rows],
                }
        print(json.dumps(found))
        """
    )
    expected = {"train cxr_vlp_labels", "train cxr_vlp_reports", "test cxr_vlp_reports"}
    assert found.keys() >= expected
    for name, part in found.items():
        split, kind = name.split(" cxr_vlp_")
        table = pd.read_csv(made / f"{kind}_{split}.csv")
        assert part["rows"] == len(table)
        assert part["shapes"] == [[3, 64, 64]]
        assert part["empty"] == 0
        if name == "train cxr_vlp_reports":
            allowed = map(ast.literal_eval, table["text"])
            assert all(text in texts for text, texts in zip(part["texts"], allowed, strict=True))


def test_chexzero_joins_images_and_impressions_of_the_same_sample(exported, checkout):
    made, place = exported("chexzero"), checkout("CheXzero")
    found = place.run(
        """
        import json, train, zero_shot, h5py, numpy as np
        out = sys.argv[1]
        data = train.CXRDataset(f"{out}/cxr.h5", f"{out}/mimic_impressions.csv", "impression")
        loader, _ = train.load_data(
            f"{out}/cxr.h5", f"{out}/mimic_impressions.csv", 4, "impression", pretrained=True
        )
        batch = next(iter(loader))
        keys = [key.decode() for key in h5py.File(f"{out}/cxr.h5")["key"]]
        tests = zero_shot.CXRTestDataset(f"{out}/test.h5")
        labels = ["Atelectasis", "Cardiomegaly", "Consolidation", "Edema", "Pleural Effusion"]
        true = zero_shot.make_true_labels(f"{out}/groundtruth.csv", labels)
        print(json.dumps({
            "rows": len(data), "images": len(data.img_dset), "keys": keys,
            "texts": [data[i]["txt"] for i in range(len(data))],
            "shape": list(batch["img"].shape), "tests": len(tests), "true": list(true.shape),
            "values": sorted(set(true.ravel().tolist())),
            "finite": bool(np.isfinite(batch["img"]).all()),
        }))
        """,
        made,
        stubs="clip model tqdm.notebook matplotlib.pyplot eval",
    )
    table = pd.read_csv(made / "mimic_impressions.csv")
    assert found["rows"] == found["images"] == len(table) > 5
    assert found["texts"] == table["impression"].tolist()
    assert found["keys"] == table["key"].tolist()
    assert found["shape"] == [4, 3, 224, 224]
    assert found["finite"]
    assert found["true"] == [found["tests"], 5]
    assert set(found["values"]) <= {0, 1}


def test_carzero_reads_every_row_and_makes_its_captions(exported, checkout, tmp_path):
    made, place = exported("carzero"), checkout("CARZero")
    link(place.root / "Dataset", copied(made, tmp_path))
    found = place.run(
        TOKENIZER
        + """
import json, types
package = types.ModuleType("CARZero"); package.__path__ = ["CARZero"]
sys.modules["CARZero"] = package
datasets = types.ModuleType("CARZero.datasets"); datasets.__path__ = ["CARZero/datasets"]
sys.modules["CARZero.datasets"] = datasets
from omegaconf import OmegaConf
from CARZero.datasets.pretraining_dataset import MultimodalPretrainingXHDataset as Data
from CARZero.datasets.pretraining_dataset import multimodal_collate_fn
from torchvision.transforms import ToTensor
config = OmegaConf.load("configs/mimic_pretrain_llm_dqn_wo_self_atten_mlp_gl.yaml")
assert config.data.dataset == "pretrain_xh"
found = {}
for split in ("train", "valid", "test"):
    data = Data(config, split, ToTensor())
    rows = [data[i] for i in range(len(data))]
    found[split] = len(data)
    shapes = {tuple(row[0].shape) for row in rows}
    batch = multimodal_collate_fn(rows[:2]) if len(rows) > 1 else {"imgs": rows[0][0][None]}
    assert shapes == {(3, 256, 256)}, shapes
    assert batch["imgs"].shape[1:] == (3, 256, 256)
    assert all(data.path2sent[path] for path in data.filenames)
    assert "" not in {s for path in data.filenames for s in data.path2sent[path]}
print(json.dumps(found))
"""
    )
    table = pd.read_csv(made / "MIMIC/mimic-cxr-label-LLM_report-xinhuo-chexpertformat.csv")
    assert found == table["Split"].value_counts().to_dict()


def test_carzero_scores_the_test_images_by_their_labels(exported, checkout, tmp_path):
    made, place = exported("carzero"), checkout("CARZero")
    link(place.root / "Dataset", copied(made, tmp_path))
    found = place.run(
        """
        import json, cv2
        import pandas as pd
        import inference
        images = pd.read_csv("Dataset/Chexpert/chexpert5_test_image.csv")
        texts = json.load(open("Dataset/Chexpert/chexpert5_test_text.json"))
        labels = pd.read_csv("Dataset/Chexpert/test_labels.csv")
        assert all(cv2.imread(path, 0) is not None for path in images["Path"])
        assert images["Path"].tolist() == labels["Path"].tolist()
        found = {"names": list(texts), "texts": list(texts.values()), "rows": len(labels)}
        print(json.dumps(found))
        """,
        stubs="CARZero sklearn.manifold",
    )
    assert found["names"] == [
        "Atelectasis", "Cardiomegaly", "Consolidation", "Edema", "Pleural Effusion"
    ]  # fmt: skip
    assert found["texts"][0] == ["There is atelectasis"]
    assert found["rows"] > 3


def test_mgca_reads_every_row_of_master_and_of_the_labels(exported, checkout, tmp_path):
    made, place = exported("mgca"), checkout("MGCA", "data", "mgca", "mgca/datasets")
    data = place.root.parent / "data"
    link(data / "raw/physionet.org/files/mimic-cxr-jpg/2.0.0", made)
    link(data / "CheXpert-v1.0", made)
    found = place.run(
        TOKENIZER
        + """
import json
from mgca.datasets.pretrain_dataset import MultimodalPretrainingDataset, multimodal_collate_fn
from mgca.datasets import classification_dataset as labelled
from torchvision.transforms import ToTensor
found = {}
for split in ("train", "valid", "test"):
    data = MultimodalPretrainingDataset(split, ToTensor())
    rows = [data[i] for i in range(len(data))]
    assert {tuple(row[0].shape) for row in rows} == {(3, 256, 256)}
    assert all(data.path2sent[row[3]] for row in rows)
    labels = labelled.CheXpertImageDataset(split, ToTensor(), data_pct=1)
    values = [labels[i][1].tolist() for i in range(len(labels))]
    found[split] = [len(data), len(labels), values]
print(json.dumps(found))
"""
    )
    master = pd.read_csv(made / "master.csv")
    tables = {"train": "train_split.csv", "valid": "valid_split.csv", "test": "valid.csv"}
    names = ["Atelectasis", "Cardiomegaly", "Consolidation", "Edema", "Pleural Effusion"]
    uncertain = dict(zip(names, (1, 0, 0, 1, 1), strict=True))
    for split, (rows, labels, values) in found.items():
        assert rows == (master["split"] == split).sum() > 0
        table = pd.read_csv(made / tables[split])
        assert labels == len(table)
        wanted = table[names].fillna(0)
        wanted = wanted.where(wanted != -1, pd.Series(uncertain), axis=1)
        assert values == wanted.to_numpy().tolist()


def test_medclip_draws_a_text_for_every_sample(exported, checkout):
    made, place = exported("medclip"), checkout("MedCLIP", "local_data")
    link(place.root / "local_data/cxr_vlp", made)
    (place.root / "local_data/sentence-label.csv").unlink()
    link(place.root / "local_data/sentence-label.csv", made / "sentence-label.csv")
    found = place.run(
        """
        import json, types, transformers
        # a class that later versions of transformers lack; the data sets do not use it
        transformers.CLIPFeatureExtractor = object
        import pandas as pd
        concat = pd.concat  # pandas 2 and later want its axis by name
        pd.concat = lambda parts, axis=0: concat(parts, axis=axis)
        package = types.ModuleType("medclip"); package.__path__ = ["medclip"]
        sys.modules["medclip"] = package
        from medclip import dataset, constants
        data = dataset.ImageTextContrastiveDataset(["cxr_vlp/train"])
        rows = [data[i] for i in range(len(data))]
        names = constants.CHEXPERT_COMPETITION_TASKS
        tests = dataset.ZeroShotImageDataset(["cxr_vlp/test"], names)
        labels = [tests[i][1].astype(int).values.tolist() for i in range(len(tests))]
        own = sum(1 for row, n in zip(rows, range(len(rows))) if len(data.df.iloc[n].report))
        known = sum(row[1] in data.sent_label_dict for row in rows)
        print(json.dumps({
            "rows": len(rows), "shapes": sorted({tuple(row[0].shape) for row in rows}),
            "short": sum(len(row[1].split()) < 5 for row in rows), "own": own, "known": known,
            "labels": [list(map(float, row[2])) for row in rows], "tests": labels,
            "unknown": [row[1] for row in rows if row[1] not in data.sent_label_dict],
            "names": data._labels_,
            "text_labels": sorted({float(v) for row in rows for v in row[3]}),
        }))
        """
    )
    table = pd.read_csv(made / "train-meta.csv")
    assert found["rows"] == len(table)
    assert found["shapes"] == [[1, 1, 224, 224]]
    assert found["short"] == 0
    assert 0 < found["own"] < len(table)  # reports, and samples that get a labelled sentence
    assert found["known"] > 0.9 * len(table), found["unknown"]
    assert found["labels"] == table[found["names"]].to_numpy(float).tolist()
    assert len(found["tests"]) == len(pd.read_csv(made / "test-meta.csv"))
    assert {0.0, 1.0} <= set(found["text_labels"]) <= {-1.0, 0.0, 1.0}


@pytest.mark.parametrize("loader", ["mimic_train_findings", "mimic_test_findings", "default"])
def test_llava_rad_takes_every_entry_and_asks_the_same_question(exported, checkout, loader):
    made, place = exported("llava"), checkout("LLaVA-Rad")
    split = "test" if "test" in loader else "train"
    found = place.run(
        """
        import json, types
        package = types.ModuleType("llava"); package.__path__ = ["llava"]
        sys.modules["llava"] = package
        from llava.utils import data_loaders
        from PIL import Image
        import os
        rows = data_loaders[sys.argv[2]](sys.argv[1])
        sizes = [Image.open(os.path.join(sys.argv[3], row["image"])).size for row in rows]
        print(json.dumps({"rows": rows, "sizes": sizes}))
        """,
        made / f"chat_{split}.json",
        loader,
        made / "images",
    )
    assert found["rows"] == json.loads((made / f"chat_{split}.json").read_text(encoding="utf-8"))
    assert all(min(size) > 100 for size in found["sizes"])


def test_xrv_mimic_dataset_reads_every_image_with_our_labels(exported):
    xrv = pytest.importorskip("torchxrayvision")
    made = exported("xrv")
    for split in ("train", "valid", "test"):
        data = xrv.datasets.MIMIC_Dataset(
            imgpath=str(made / "images"), csvpath=str(made / f"{split}.csv"),
            metacsvpath=str(made / f"{split}-metadata.csv"), views=["*"], unique_patients=False,
        )  # fmt: skip
        images = pd.read_csv(made / f"{split}-metadata.csv")
        labels = pd.read_csv(made / f"{split}.csv").set_index("study_id")
        assert len(data) == len(images)
        for index in range(len(data)):
            sample = data[index]
            assert sample["img"].shape[0] == 1
            assert -1024 <= sample["img"].min() < sample["img"].max() <= 1024
            row = labels.loc[data.csv.iloc[index]["study_id"]]
            for name, value in zip(data.pathologies, sample["lab"], strict=True):
                own = row[{"Effusion": "Pleural Effusion"}.get(name, name)]
                own = 0 if row["No Finding"] == 1 else own
                assert (np.isnan(value) and own != own) or own == -1 or value == own


def test_xrv_reads_png_images_under_the_suffix_that_its_class_adds(given):
    xrv = pytest.importorskip("torchxrayvision")
    out, _ = given("xrv", [{"labels": {"Edema": -1, "Pneumonia": 1}}], form="png")
    data = xrv.datasets.MIMIC_Dataset(
        str(out / "images"), str(out / "train.csv"), str(out / "train-metadata.csv")
    )
    assert data[0]["img"].shape == (1, 40, 30)
    labels = dict(zip(data.pathologies, data[0]["lab"], strict=True))
    assert labels["Pneumonia"] == 1
    assert np.isnan(labels["Edema"])


def copied(folder: Path, tmp_path: Path) -> Path:
    """Return a copy to which a class may add its caches."""
    return Path(shutil.copytree(folder, tmp_path / "copy"))
