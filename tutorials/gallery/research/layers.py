r"""
Low layers or high layers: which decide the confusing samples?
==============================================================

The claim of `Zhang et al. <https://arxiv.org/abs/2502.08625>`_ is that the random start of the low layers does. This is
the experiment in small: four low parts crossed with four high parts, and what share of the differences each decides.
"""

# %%
# Networks to train, and how
# --------------------------
import tempfile

import torch
from torch import nn

from captum_andor import ConfusingSampleAnalyzer
from captum_andor.games.masks import image_grid
from captum_andor.studies import FactorialStudy
from tutorials.datasets.digits import digits, small_cnn

images, labels = digits(train=True)
test = digits(train=False)


def make_model(seed):
    """An untrained network; torch's generator is seeded around this call."""
    return small_cnn()


def train(model, seed_order, frozen):
    """Train to an equal loss rather than for equally long: networks that fit differently are not compared."""
    optimizer = torch.optim.Adam(model.parameters(), lr=3e-3)
    for _ in range(30):
        model.train()
        for rows in torch.randperm(len(images)).split(64):
            loss = nn.functional.cross_entropy(model(images[rows]), labels[rows])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        with torch.no_grad():
            if nn.functional.cross_entropy(model(images), labels) < 0.05:
                break
    return model


# %%
# The study
# ---------
# Cell (i, j) of the grid starts from the initial weights of low part i and of high part j. Layers are named as in
# ``model.named_modules()``: "5" is the third convolution, the first module of the high part. Finished networks are kept
# in the folder; with a real folder, a study that was stopped goes on where it was.
folder = tempfile.TemporaryDirectory()
study = FactorialStudy(make_model, train, ["5"], folder.name, levels=4, grids=["initialisation"], perturbations=())
analyzer = ConfusingSampleAnalyzer(
    baselines=[0, images.mean(0)], feature_mask=image_grid(8, 8, 3, 3), scores=("net_order", "flip_rate")
)
result = study.run((images[:200], labels[:200]), analyzer, test)
print(result.shares().to_string(index=False, float_format=lambda x: f"{x:.2f}"))
folder.cleanup()

# %%
# Shares of what differs between these networks for a sample, with 95 % intervals over parts and samples:
result.plot()

# %%
# What a verdict says
# -------------------
# "Supported" needs a cut where the low part decides more than half, interval included; "not supported", that no cut
# does; everything else *cannot be judged*. Four levels make wide intervals; :doc:`/factorial` has the study with eight,
# 600 to 1 176 networks a setting, the grids of trained parts, and copies that tell what is instability, of which half
# is not asked.
print(result.verdict())
