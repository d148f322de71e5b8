"""Runs a bundle as a reader of MONAI bundles does, where there is no Consilium.

Arguments: the bundle, a folder of cases, and where preprocessed voxels go.
"""

import sys
from pathlib import Path

sys.modules["consilium"] = None  # importing it is an error now

import numpy as np  # noqa: E402
import torch  # noqa: E402
from monai.bundle import ConfigParser  # noqa: E402
from monai.transforms import Compose  # noqa: E402

bundle, cases, out = (Path(one) for one in sys.argv[1:])
sys.path.insert(0, str(bundle))
parser = ConfigParser()
parser.read_config(bundle / "configs/inference.json")
parser.read_meta(bundle / "configs/metadata.json")
parser.update({"bundle_root": str(bundle), "dataset_dir": str(cases), "output_dir": str(out)})
network = parser.get_parsed_content("network_def").eval()
network.load_state_dict(torch.load(bundle / "models/model.pt", weights_only=True))
script = torch.jit.load(bundle / "models/model.ts").eval()
before, after = (parser.get_parsed_content(name) for name in ("preprocessing", "postprocessing"))
inferer = parser.get_parsed_content("inferer")
assert isinstance(before, Compose)
for case in parser.get_parsed_content("datalist"):
    with torch.inference_mode():
        data = before(dict(case))
        np.save(out / f"{Path(case['image'][0]).parent.name}.npy", data["image"].numpy())
        logits = inferer(data["image"][None], network)
        assert torch.allclose(logits, inferer(data["image"][None], script), atol=1e-4)
        after({**data, "pred": logits[0]})
