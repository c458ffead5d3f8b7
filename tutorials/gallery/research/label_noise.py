r"""
Wrong labels: what these scores find, and what loss finds better
================================================================

A tenth of the labels is made wrong, a network is trained until it knows them by heart, and every score tries to find
them. Loss after a few epochs wins; the page shows by how much, and what is left to the others.
"""

# %%
# Data with known mistakes
# ------------------------
import numpy as np
import torch
from torch import nn

from captum_andor import ConfusingSampleAnalyzer
from captum_andor.games.masks import image_grid
from tutorials.datasets.digits import digits, small_cnn

images, true_labels = digits(train=True)
generator = torch.Generator().manual_seed(0)
wrong = torch.rand(len(images), generator=generator) < 0.1
labels = torch.where(wrong, (true_labels + torch.randint(1, 10, wrong.shape, generator=generator)) % 10, true_labels)
print(f"{int(wrong.sum())} of {len(labels)} labels are wrong")

# %%
# Train until the wrong labels are learnt, too, and keep the loss of the fourth epoch: what a training loop can log for
# nothing.
torch.manual_seed(0)
model = small_cnn()
optimizer = torch.optim.Adam(model.parameters(), lr=3e-3)
for epoch in range(1, 81):
    for rows in torch.randperm(len(images)).split(32):
        loss = nn.functional.cross_entropy(model(images[rows]), labels[rows])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    if epoch == 4:
        with torch.no_grad():
            early = nn.functional.cross_entropy(model(images), labels, reduction="none").numpy()
    if epoch == 60:
        optimizer.param_groups[0]["lr"] = 3e-4
model.eval()
with torch.no_grad():
    learnt = (model(images).argmax(1) == labels)[wrong].float().mean()
print(f"{learnt:.0%} of the wrong labels are learnt by heart")

# %%
# All scores side by side
# -----------------------
# AUC: how often a wrong label ranks above a right one. P@k: share of wrong ones among the first k. ``added``: what a
# score adds to loss, margin and activity, cross-validated, with a 95 % interval.
analyzer = ConfusingSampleAnalyzer(baselines=[0, images.mean(0)], feature_mask=image_grid(8, 8, 3, 3), scores="all")
report = analyzer.add_model("net", model).evaluate((images, labels))
table = report.label_noise(wrong.numpy(), columns={"loss after 4 epochs": early})
shown = ["score", "auc", "precision_at_k", "added", "added_low", "added_high"]
print(table[shown].round(3).to_string(index=False))

# %%
# So, for wrong labels, log the early loss. The scores are for a network that is already trained, when its history is
# gone: which of its decisions would not survive a covered patch.
k = int(wrong.sum())
first = report.rank("net").head(k)["sample"].to_list()
by_loss = np.argsort(-early)[:k]
found = {"masked_margin": int(wrong[first].sum()), "early loss": int(wrong[by_loss].sum())}
print(f"wrong labels among the first {k}: {found}")
# sphinx_gallery_start_ignore
assert found["early loss"] > found["masked_margin"]  # as the text says
# sphinx_gallery_end_ignore
report.plot_gallery("net", use_pyplot=True)
