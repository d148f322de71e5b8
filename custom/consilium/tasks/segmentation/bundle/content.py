"""Configuration of the MONAI bundle of a segmentation."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import fields, is_dataclass
from typing import Any, Final

from consilium.errors import ConfigurationError
from consilium.tasks.bundling import BundleContent
from consilium.tasks.segmentation.bundle.scripts import SHIPPED, read_scripts
from consilium.tasks.segmentation.cases import SegmentationCases
from consilium.tasks.segmentation.networks import NETWORKS, MonaiNetwork
from consilium.tasks.segmentation.prediction import SegmentationPrediction
from consilium.tasks.segmentation.preparation.normalization import Normalization
from consilium.tasks.segmentation.regions import Region
from consilium.tasks.segmentation.segmentation_settings import SegmentationSettings

_PACKAGES: Final = ("nibabel", "scipy", "pytorch-ignite", "fire")


class SegmentationBundling:
    """A `Bundling` of regions of volumes: a label map on the voxels of the first image.

    Args:
        cases: How cases are named, and intensities read.
        regions: What is segmented, in the network's order.
        prediction: What values in label maps mean.
        modality: As MONAI names it, such as `MR`.
        titles: Names of the inputs for people, where they differ.
        references: Publications.
    """

    def __init__(
        self,
        cases: SegmentationCases,
        regions: Sequence[Region],
        prediction: SegmentationPrediction,
        *,
        modality: str = "n/a",
        titles: Mapping[str, str] | None = None,
        references: tuple[str, ...] = (),
    ) -> None:
        self._cases, self._regions, self._prediction = cases, tuple(regions), prediction
        self._modality, self._titles, self._references = modality, titles or {}, references

    def content(self, settings: SegmentationSettings) -> BundleContent:
        """Return the configuration for the network and voxel size that a model was trained with.

        Raises:
            ConfigurationError: MONAI has no such network, or images are normalized by other code than
                Consilium's.
        """
        inference = self._inference(settings)
        return BundleContent(
            inference=inference,
            evaluate=self._evaluate(inference),
            data_format=self._data_format(settings),
            scripts=read_scripts(),
            packages=_PACKAGES,
            usage=self._usage(settings),
            references=self._references,
        )

    @property
    def _convention(self) -> str | None:
        return next(iter(self._prediction.conventions), None)

    def _inference(self, settings: SegmentationSettings) -> dict[str, Any]:
        load = {
            "_target_": "LoadImaged",
            "keys": "image",
            "dtype": "$np.float64",  # as stored: rounding to float32 would change what is normalized
        }
        # A step of its own: readers that have an image already leave out `LoadImaged` and need this one.
        channel_first = {"_target_": "EnsureChannelFirstd", "keys": "image"}
        prepare = {
            "_target_": "scripts.transforms.PrepareVolumed",
            "keys": "image",
            "spacing_mm": list(settings.spacing_mm),
            "normalization": _describe_normalization(self._cases.normalization),
            "may_lack": settings.accepts_missing_inputs,
        }
        return {
            "imports": ["$import numpy as np", "$from scripts.cases import find_cases"],
            "bundle_root": ".",
            "dataset_dir": ".",
            "output_dir": "$@bundle_root + '/eval'",
            "image_endings": {name: list(words) for name, words in self._endings.items()},
            "datalist": "$find_cases(@dataset_dir, @image_endings)",
            "device": "$torch.device('cuda:0' if torch.cuda.is_available() else 'cpu')",
            "network_def": self._network(settings.network),
            "network": "$@network_def.to(@device)",
            "preprocessing": {"_target_": "Compose", "transforms": [load, channel_first, prepare]},
            "dataset": {"_target_": "Dataset", "data": "@datalist", "transform": "@preprocessing"},
            "dataloader": {
                "_target_": "DataLoader",
                "dataset": "@dataset",
                "batch_size": 1,
                "shuffle": False,
                "num_workers": 0,
            },
            "inferer": {
                "_target_": "scripts.transforms.AnatomyWindowInferer",
                "roi_size": list(settings.patch_voxels),
                "overlap": settings.window_overlap,
            },
            "postprocessing": {
                "_target_": "Compose",
                "transforms": [*self._to_file(), self._paint("pred"), self._save("pred")],
            },
            "handlers": [
                {
                    "_target_": "CheckpointLoader",
                    "load_path": "$@bundle_root + '/models/model.pt'",
                    "load_dict": {"model": "@network"},
                },
                {"_target_": "StatsHandler", "iteration_log": False},
            ],
            "evaluator": {
                "_target_": "SupervisedEvaluator",
                "device": "@device",
                "val_data_loader": "@dataloader",
                "network": "@network",
                "inferer": "@inferer",
                "postprocessing": "@postprocessing",
                "val_handlers": "@handlers",
            },
            "initialize": ["$monai.utils.set_determinism(seed=0)"],
            "run": ["$@evaluator.run()"],
        }

    def _evaluate(self, inference: Mapping[str, Any]) -> dict[str, Any]:
        load = {"_target_": "LoadImaged", "keys": "label", "ensure_channel_first": True}
        meaning = self._prediction.meaning(self._convention)
        split = {
            "_target_": "scripts.transforms.SplitLabelsd",
            "keys": "label",
            "values": "@label_values",
        }
        save = {
            "_target_": "MetricsSaver",
            "save_dir": "@output_dir",
            "metrics": "*",
            "metric_details": "*",
            "batch_transform": "$lambda batch: [one['image'].meta for one in batch]",
            "summary_ops": "*",
        }
        return {
            "label_values": [list(meaning[region.name]) for region in self._regions],
            "label_endings": list(self._cases.vocabulary.labels[0]),
            "datalist": "$find_cases(@dataset_dir, @image_endings, @label_endings)",
            "preprocessing": {
                "_target_": "Compose",
                "transforms": [*inference["preprocessing"]["transforms"], load, split],
            },
            "postprocessing": {
                "_target_": "Compose",
                "transforms": [
                    *self._to_file(),
                    {"_target_": "AsDiscreted", "keys": "pred", "threshold": 0.5},
                    {"_target_": "CopyItemsd", "keys": "pred", "names": "label_map", "times": 1},
                    self._paint("label_map"),
                    self._save("label_map"),
                ],
            },
            "key_metric": {
                "val_mean_dice": {
                    "_target_": "MeanDice",
                    "include_background": True,
                    "output_transform": "$monai.handlers.from_engine(['pred', 'label'])",
                }
            },
            "handlers": [*inference["handlers"], save],
            "evaluator": {**inference["evaluator"], "key_val_metric": "@key_metric"},
        }

    @property
    def _endings(self) -> Mapping[str, tuple[str, ...]]:
        return {name: self._cases.vocabulary.images[name] for name in self._cases.inputs}

    def _network(self, name: str) -> dict[str, Any]:
        network = NETWORKS.get(name)
        if not isinstance(network, MonaiNetwork):
            raise ConfigurationError(
                f"network {name!r} can't be bundled: it is none of MONAI's; those that are: "
                + ", ".join(one for one, known in NETWORKS.items() if isinstance(known, MonaiNetwork))
            )
        return network.definition(len(self._cases.inputs), len(self._regions))

    def _to_file(self) -> list[dict[str, Any]]:
        """Probabilities on the voxels of the file."""
        invert = {
            "_target_": "Invertd",
            "keys": "pred",
            "transform": "@preprocessing",
            "orig_keys": "image",
            "nearest_interp": False,
            "to_tensor": True,
        }
        return [{"_target_": "Activationsd", "keys": "pred", "sigmoid": True}, invert]

    def _paint(self, key: str) -> dict[str, Any]:
        order = self._prediction.painting(self._convention)
        return {
            "_target_": "scripts.transforms.PaintLabelsd",
            "keys": key,
            "order": [list(pair) for pair in order],
        }

    def _save(self, key: str) -> dict[str, Any]:
        return {
            "_target_": "scripts.transforms.SaveImageAsSourced",
            "keys": key,
            "output_dir": "@output_dir",
            "endings": list(next(iter(self._endings.values()))),
        }

    def _data_format(self, settings: SegmentationSettings) -> dict[str, Any]:
        common = {
            "type": "image",
            "modality": self._modality,
            "spatial_shape": list(settings.patch_voxels),
            "dtype": "float32",
            "is_patch_data": True,
        }
        magnitude = self._cases.normalization.zero_background
        inputs = {str(place): self._title(name) for place, name in enumerate(self._cases.inputs)}
        outputs = {str(place): region.title for place, region in enumerate(self._regions)}
        image = {
            **common,
            "format": "magnitude" if magnitude else "hounsfield",
            "num_channels": len(inputs),
            "value_range": [] if magnitude else [0, 1],
            "channel_def": inputs,
        }
        pred = {
            **common,
            "format": "classes",
            "num_channels": len(outputs),
            "value_range": [],
            "channel_def": outputs,
        }
        return {"inputs": {"image": image}, "outputs": {"pred": pred}}

    def _title(self, name: str) -> str:
        return self._titles.get(name, name)

    def _usage(self, settings: SegmentationSettings) -> str:
        images = [
            f"| {self._title(name)} | {', '.join(f'`_{word}`' for word in words)} |"
            for name, words in self._endings.items()
        ]
        meaning = self._prediction.meaning(self._convention)
        regions = [
            f"| {region.title} | {', '.join(map(str, meaning[region.name]))} |" for region in self._regions
        ]
        lacking = [
            "",
            "The model has learned to do without some images: in the place of one that a case lacks, put a",
            "file of zeros with the geometry of the others. `consilium predict` needs no such file.",
        ]
        return "\n".join(
            [
                "A case is one NIfTI file for each image, in one folder, named `<case><ending>.nii.gz`; all",
                "of them on the same voxels.",
                "",
                "| image | ending |",
                "|---|---|",
                *images,
                *(lacking if settings.accepts_missing_inputs else []),
                "",
                "`<case>_seg.nii.gz` has the voxels and the geometry of the first image:",
                "",
                "| region | values |",
                "|---|---|",
                *regions,
                "",
                "Labels for `configs/evaluate.json` have these values, too. State others region by region,",
                f'in this order: `--label_values "{[list(meaning[one.name]) for one in self._regions]}"`.',
            ]
        )


def _describe_normalization(normalization: Normalization) -> dict[str, Any]:
    kind = type(normalization)
    name = SHIPPED.get(kind.__module__)
    if name is None or not is_dataclass(normalization):
        raise ConfigurationError(
            f"models of this task can't be bundled: {kind.__qualname__} normalizes their images, which is no "
            "code of Consilium's; `consilium predict` uses the model as it is"
        )
    values = {one.name: getattr(normalization, one.name) for one in fields(normalization)}
    return {"_target_": f"scripts.{name}.{kind.__qualname__}", **values}
