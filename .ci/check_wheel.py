"""Run by ``make dist`` in an environment that holds nothing but the wheel: the first lines of README and docs."""

import importlib.metadata
import sys
from pathlib import Path

import torch

import captum_andor
from captum_andor import AndOrInteractions

installed = Path(captum_andor.__file__).resolve()
assert Path(sys.prefix).resolve() in installed.parents, f"{installed} is not the installed wheel"
assert (installed.parent / "py.typed").exists()
assert captum_andor.__version__ == importlib.metadata.version("captum_andor")

torch.manual_seed(0)
model = torch.nn.Sequential(
    torch.nn.Conv2d(1, 4, 3), torch.nn.ReLU(), torch.nn.Flatten(), torch.nn.Linear(144, 3)
).eval()
image, label = torch.rand(1, 1, 8, 8), 1
patches = (torch.arange(8)[:, None] // 3 * 3 + torch.arange(8)[None] // 3).view(1, 1, 8, 8)

method = AndOrInteractions(model, score="log_odds")
lm = method.logical_model(image, target=label, feature_mask=patches)
print(lm)
heat = lm.attributions()
assert heat.shape == image.shape and float(lm.r2) > 0.9
assert torch.allclose(lm.shapley_values().sum(), lm.values[0, -1] - lm.values[0, 0])
print(f"captum_andor {captum_andor.__version__} runs from its wheel")
