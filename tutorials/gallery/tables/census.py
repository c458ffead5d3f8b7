r"""
A table: who earns more than 50 000 dollars?
============================================

Twelve answers of the US census of 1994 are twelve players. Which of them does a network use together?
"""

# %%
# The census and a network
# ------------------------
# 45 222 people, from shapiq's copy of the adult census. Categories become one column a value; all columns of one answer
# are *one* player, which :func:`captum_andor.games.masks.column_groups` writes as a feature mask. For a table of your
# own, replace ``load_adult_census`` and the groups.
import torch
from shapiq.datasets import load_adult_census
from torch import nn

from captum_andor import AndOrInteractions
from captum_andor.explain import common_patterns
from captum_andor.games.masks import column_groups

answers, rich = load_adult_census()
rich = torch.tensor(rich.to_numpy()).long()
answers = answers.drop(columns=["fnlwgt", "education"])  # a weight of the survey; education stays as years
columns, groups = [], {}
for name in answers:
    values = torch.tensor(answers[name].to_numpy(), dtype=torch.float32)
    numeric = name in ("age", "capital-gain", "capital-loss", "hours-per-week", "education-num")
    new = values[:, None] if numeric else nn.functional.one_hot(values.long()).float()
    new = (new - new.mean(0)) / new.std(0).clamp(min=1e-3) if numeric else new
    start = sum(c.shape[1] for c in columns)
    groups[name], columns = list(range(start, start + new.shape[1])), [*columns, new]
x = torch.cat(columns, dim=1)
mask, players = column_groups(groups, x.shape[1])
print(
    f"{len(x)} people, {len(players)} answers in {x.shape[1]} columns; "
    f"{rich.float().mean():.0%} earn more than 50 000 dollars"
)

order = torch.randperm(len(x), generator=torch.Generator().manual_seed(0))
train, test = order[:30000], order[30000:]
torch.manual_seed(0)
model = nn.Sequential(nn.Linear(x.shape[1], 48), nn.ReLU(), nn.Linear(48, 48), nn.ReLU(), nn.Linear(48, 2))
optimizer = torch.optim.Adam(model.parameters(), lr=2e-3, weight_decay=1e-4)
for _ in range(4):
    for rows in train[torch.randperm(len(train))].split(256):
        loss = nn.functional.cross_entropy(model(x[rows]), rich[rows])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
model.eval()
with torch.no_grad():
    print(f"test accuracy {(model(x[test]).argmax(1) == rich[test]).float().mean():.1%}")

# %%
# One person
# ----------
# An absent answer takes the mean of all people, for a category the share of its values. With twelve players all 4 096
# coalitions are quick, so the R² is exact. Who is a case on the border? (Categories are numbers in this copy of the
# data.)
baseline = x[train].mean(0, keepdim=True)
with torch.no_grad():
    log_odds = model(x[test]).diff(dim=1)[:, 0]
unsure = int((log_odds - 0.3).abs().argmin())
person = x[test][unsure : unsure + 1]
print(answers.iloc[int(test[unsure])].to_string())

method = AndOrInteractions(model, score="log_odds", class_names=["up to 50K", "above 50K"])
patterns = method.logical_model(
    person, baselines=baseline, target=1, feature_mask=mask, player_names=players, budget=4096
)
print(patterns)

# %%
# From the average person to this one, pattern by pattern:
patterns[0].plot("waterfall", use_pyplot=True)

# %%
# The same as a graph: answers at the bottom, a gate for each pattern, the log-odds on top.
patterns[0].plot("graph", use_pyplot=True)

# %%
# Many people
# -----------
# Two hundred people at once are one call, again with all 4 096 coalitions: the network is small, and exact values are
# quicker to search than an estimate is to fit. Which patterns come back?
many = x[test][:200]
all_patterns = method.logical_model(
    many, baselines=baseline, target=1, feature_mask=mask, player_names=players, budget=4096
)
print(f"R² of ten patterns over masked answers: median {float(all_patterns.r2.median()):.3f}")
found = common_patterns(all_patterns).drop(columns=["players", "spread"])
print(found.head(6).round(2).to_string(index=False))
# sphinx_gallery_start_ignore
# The next paragraph names what came out; the docs are not built where it does not.
named = {"capital-gain", "sex", "age", "marital-status", "occupation"}
assert {name for (name,) in found["names"].head(6)} == named
# sphinx_gallery_end_ignore

# %%
# Most of the log-odds of a network like this is carried by single answers: capital gain (most people have none, which
# speaks against), sex, age, marriage, for or against, occupation. The pairs among the patterns:
print(found[found["order"] == 2].head(6).round(2).to_string(index=False))
# sphinx_gallery_start_ignore
pairs = found[found["order"] == 2]
assert pairs["share"].max() < 0.105
assert set(pairs[pairs["names"] == ("hours-per-week", "marital-status")]["kind"]) == {"and", "or"}
# sphinx_gallery_end_ignore

# %%
# No pair comes back in more than a tenth of the people, and a pair may be of either kind: hours of work and marriage
# count for some people more together than the sum of both (AND), for others less, since one of them has a part of the
# effect already (OR). An attribution splits such an effect between the two answers and does not say which it is. For
# this person the network itself says, answer by answer, each alone and all together, in the mean over contexts:
for rule in patterns[0].rules()[:6]:
    print(rule)

# %%
# A point is one person's pattern; to the right it raises the log-odds of a high income.
all_patterns.plot("beeswarm", use_pyplot=True)
