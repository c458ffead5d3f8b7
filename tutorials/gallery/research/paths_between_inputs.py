r"""
Paths between inputs: does a sample sit with its class?
=======================================================

Between two images of one class that a network has understood, the straight line stays low in loss. From an image that
it has learnt by heart a hill lies between, and a small bypass leads round it.
"""

# %%
# A network that has learnt some labels by heart
# ----------------------------------------------
# A tenth of the labels is wrong; the network is trained until it knows them, too.
import torch

from captum_andor._utils.statistics import auc
from captum_andor.studies import (
    attack_beside_references,
    barrier,
    connect,
    connectivity_score,
    detect,
    visualize_class,
)
from tutorials.datasets.digits import digits, small_cnn, trained

images, true_labels = digits(train=True)
generator = torch.Generator().manual_seed(0)
wrong = torch.rand(len(images), generator=generator) < 0.1
labels = torch.where(wrong, (true_labels + torch.randint(1, 10, wrong.shape, generator=generator)) % 10, true_labels)
model = trained(images, labels, epochs=60)
with torch.no_grad():
    print(
        f"{(model(images).argmax(1) == labels)[wrong].float().mean():.0%} of {int(wrong.sum())} wrong labels are learnt"
    )

# %%
# Lines
# -----
# Thirty digits with the right label and thirty with a wrong one; the other end of each line is a digit of the same
# label that the network is sure of.
right_ones, wrong_ones = ((wrong == state).nonzero()[:30, 0] for state in (False, True))
with torch.no_grad():
    losses = torch.nn.functional.cross_entropy(model(images), labels, reduction="none")
usual = torch.where(wrong, torch.inf, losses)
sure = torch.stack([torch.where(labels == c, usual, torch.inf).argmin() for c in range(10)])
for name, rows in (("right labels", right_ones), ("wrong labels", wrong_ones)):
    lines = barrier(model, images[rows], images[sure[labels[rows]]], labels[rows])
    print(name)
    print(lines.to_dataframe().describe().loc[["mean", "50%", "max"]].round(2))
lines.plot(title="from wrongly labelled digits to digits of that label")

# %%
# Bypasses
# --------
# The worst point of a line is moved to where the loss is low, in the hyperplane across the line, and as little as
# possible; then both halves are treated alike. ``change`` is how far, as a share of the range of all pixels.
paths = connect(model, images[wrong_ones], images[sure[labels[wrong_ones]]], labels[wrong_ones], steps=150, lr=0.02)
print(paths.to_dataframe().describe().loc[["mean", "50%", "max"]].round(3))

# %%
worst = int((paths.straight.maximum - paths.maximum).argmax())
paths.plot(worst)

# %%
# Upper row: the straight mixture of the two digits. Lower row: the path of low loss.
paths.plot_strip(worst)
# sphinx_gallery_start_ignore
# The next paragraph says what came out; the docs are not built where it does not.
assert float(paths.gap.max()) < 0.5 < float(paths.straight.gap.max())
# sphinx_gallery_end_ignore

# %%
# So even what was learnt by heart is connected: a low path is no sign of understanding. The *height of the straight
# barrier* is one:
table = connectivity_score(model, (images[:400], labels[:400]), (images, labels), n_references=3, n_points=25)
for column in ("barrier", "gap", "loss"):
    print(f"wrong labels by {column}: AUC {auc(table[column], wrong[:400].numpy()):.3f}")
# sphinx_gallery_start_ignore
assert auc(table["barrier"], wrong[:400].numpy()) > auc(table["loss"], wrong[:400].numpy())
# sphinx_gallery_end_ignore

# %%
# An untrained network
# --------------------
# It, too, connects the inputs that *it* is sure of, here made by gradient steps from noise. They span a far wider range
# than digits, so that a change may be larger before ``closeness`` holds it back.
torch.manual_seed(0)
untrained = small_cnn().eval()
made = visualize_class(untrained, torch.rand(8, 1, 8, 8, generator=generator), target=3, steps=400, lr=0.2)
found = connect(untrained, made[:4], made[4:], 3, steps=200, lr=0.5, closeness=1e-3)
print(found.to_dataframe().round(3).to_string(index=False))
# sphinx_gallery_start_ignore
assert float((found.maximum / found.straight.maximum).max()) < 0.5
areas_by_attack = []
# sphinx_gallery_end_ignore

# %%
# Adversarial images
# ------------------
# Targeted attacks on digits that were held out. The detector looks at the barrier from an image to digits of the class
# that the network takes it for; the second attack knows that, and lowers the barrier, too.
x, y = (part[:80] for part in digits(train=False))
target = (y + 1) % 10
references = images[~wrong], labels[~wrong]
for name, weight in (("plain attack", 0.0), ("attack that lowers the barrier", 5.0)):
    attacked = attack_beside_references(model, x, target, images[sure[target]], radius=0.2, steps=20, weight=weight)
    success = model(attacked).argmax(1) == target
    by = {
        c: detect(model, x, attacked[success], references, c, n_references=3, n_points=25) for c in ("barrier", "loss")
    }
    areas = ", ".join(f"AUC by {column} {found.auc:.2f}" for column, found in by.items())
    print(f"{name}: success {success.double().mean():.0%}; {areas}")
    # sphinx_gallery_start_ignore
    areas_by_attack.append((by["barrier"].auc, by["loss"].auc))
    # sphinx_gallery_end_ignore
# sphinx_gallery_start_ignore
(barrier_plain, loss_plain), (barrier_knowing, _) = areas_by_attack
assert 1 - loss_plain >= barrier_plain > 0.5 > barrier_knowing, areas_by_attack
# sphinx_gallery_end_ignore

# %%
# An AUC below .5 says that attacked images have *less* of the measure than clean ones. Read the lines together: what
# the barrier sees, the loss of the image alone sees as well or better, with its sign turned, and an attack that knows
# of the detector passes. A barrier is evidence about a sample, no defence.
#
# An ImageNet network
# -------------------
# EfficientNet-Lite0, four pairs of crops of one photo that it takes for one class: at most one bypass, forty steps.
from tutorials.datasets.photos import crops, efficientnet_lite0

network = efficientnet_lite0()
x, photo = crops(6)
with torch.no_grad():
    taken_for = network(x).argmax(1)
pairs = [(i, j) for i in range(len(x)) for j in range(i) if photo[i] == photo[j] and taken_for[i] == taken_for[j]][:4]
a, b = (torch.tensor(side) for side in zip(*pairs, strict=True))
settings = {"steps": 40, "lr": 0.02, "max_depth": 1, "n_points": 15}
found = connect(network, x[a], x[b], taken_for[a], **settings)
print(found.to_dataframe().round(3).to_string(index=False))
found.plot_strip(int(found.straight.gap.argmax()))

# %%
# ``benchmarks/witnesses.py`` prints the tables of :doc:`/witnesses`.
