"""Attributions, patterns and estimates of what a language model says; the oracle is Captum's own, uncached."""

from __future__ import annotations

import copy
import itertools
import pickle
import warnings
from html import escape
from typing import Any

import numpy as np
import pytest
import torch

pytest.importorskip("transformers")
if not hasattr(pytest.importorskip("captum.attr"), "ImageMaskInput"):
    pytest.skip("this Captum is older than its own ImageMaskInput and remote models", allow_module_level=True)

from captum.attr import (
    FeatureAblation,
    ImageMaskInput,
    KernelShap,
    LLMAttribution,
    RemoteLLMAttribution,
    RemoteLLMProvider,
    ShapleyValues,
    TextTemplateInput,
    TextTokenInput,
)
from language_models import WORDS, PlantedAnswers, tiny, word_tokenizer
from matplotlib import pyplot

from captum_andor import AndOrInteractions, LogicalModel
from captum_andor.llm import AndOrLLMAttribution, ContextInput, MaskedTokenInput
from captum_andor.visualization import sources_html

TEXT = "{} the {} {} e {} {}"
VALUES = ["a", "b", "c", "d", "who"]


@pytest.fixture
def model() -> Any:
    return tiny("llama")


@pytest.fixture
def tokenizer() -> Any:
    return word_tokenizer()


def planted(**options: Any) -> tuple[AndOrLLMAttribution, ContextInput]:
    inp = ContextInput(["a", "b", "c", "d", "e"], "won", template="{context} {query}", separator=" ")
    return AndOrLLMAttribution(AndOrInteractions(PlantedAnswers()), word_tokenizer(), **options), inp


def test_equal_to_captum_at_five_players(model, tokenizer) -> None:
    inp = TextTemplateInput(TEXT, VALUES)
    ours = AndOrLLMAttribution(AndOrInteractions(model), tokenizer).attribute(inp, "yes no g")
    captums = LLMAttribution(ShapleyValues(model), tokenizer).attribute(inp, "yes no g", use_cached_outputs=False)
    torch.testing.assert_close(ours.seq_attr, captums.seq_attr, atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(ours.token_attr, captums.token_attr, atol=1e-4, rtol=1e-4)
    assert (ours.input_tokens, ours.output_tokens) == (captums.input_tokens, captums.output_tokens)
    fig, _ = ours.plot_token_attr()
    assert fig is not None and ours.plot_seq_attr() is not None
    pyplot.close("all")


@pytest.mark.parametrize("method", [FeatureAblation, ShapleyValues])
@pytest.mark.parametrize("attr_target", ["log_prob", "prob"])
def test_captums_methods_give_the_same_as_in_captum(model, tokenizer, method, attr_target) -> None:
    for inp in (TextTemplateInput("{} {} {} who", ["a", "b", "c"]), TextTokenInput("a b c who", tokenizer, 1, [2])):
        ours = AndOrLLMAttribution(method(model), tokenizer, attr_target).attribute(inp, "yes no")
        captums = LLMAttribution(method(model), tokenizer, attr_target).attribute(
            inp, "yes no", use_cached_outputs=False
        )
        torch.testing.assert_close(ours.seq_attr, captums.seq_attr, atol=1e-4, rtol=1e-4)
        torch.testing.assert_close(ours.token_attr, captums.token_attr, atol=1e-4, rtol=1e-4)


def test_methods_without_tokens(model, tokenizer) -> None:
    inp = TextTemplateInput("{} {} {} who", ["a", "b", "c"])
    results = []
    for kind, options in ((AndOrLLMAttribution, {}), (LLMAttribution, {"use_cached_outputs": False})):
        torch.manual_seed(0)
        results.append(kind(KernelShap(model), tokenizer).attribute(inp, "yes no", n_samples=60, **options))
    assert results[0].token_attr is None
    torch.testing.assert_close(results[0].seq_attr, results[1].seq_attr, atol=1e-4, rtol=1e-4)


def log_odds(coalition: tuple[int, ...]) -> float:
    """Of "yes" in the planted model, by hand."""
    a, b, c, d, _ = coalition
    logits = torch.zeros(len(WORDS), dtype=torch.float64)
    logits[11], logits[12] = 3.0 * (a or b), 2.0 * (c and d)
    p = logits.softmax(0)[11]
    return float(torch.log(p / (1 - p)))


def test_patterns_of_a_planted_answer() -> None:
    method, inp = planted(attr_target="log_odds")
    exact = LogicalModel.from_values(
        [log_odds(tuple(c >> i & 1 for i in range(5))) for c in range(32)], player_names=inp.values
    )
    found = method.logical_model(inp, "yes")
    assert found.shape == (1,) and found.is_exact and found.player_names == ("d1", "d2", "d3", "d4", "d5")
    assert [(p.kind, p.names) for p in found.top(2)] == [("or", ("d1", "d2")), ("and", ("d3", "d4"))]
    torch.testing.assert_close(found.values[0], exact.values, atol=1e-5, rtol=1e-5)
    rules = found.rules()
    assert rules[0].startswith("any one of d1, d2: +3") and rules[1].startswith("d3 and d4 only together: −0.3")
    assert rules[-1].startswith("left over: ")
    sets = found.minimal_sources(missing_share=0.02)
    assert set(sets["names"]) == {("d1",), ("d2",)} and sets["kept"].all()
    for players, v in zip(sets["players"], sets["v"], strict=True):
        assert v == pytest.approx(log_odds(tuple(int(i in players) for i in range(5))), abs=1e-5)


@pytest.mark.parametrize("attr_target", ["log_prob", "prob", "log_odds"])
def test_the_whole_target_and_its_tokens_from_the_same_passes(attr_target) -> None:
    method, inp = planted(attr_target=attr_target)
    both = method.interactions(inp, "yes no", outputs="both")
    passes = len(method._last.answers)
    tokens = method.interactions(inp, "yes no", outputs="tokens")
    whole = method.interactions(inp, "yes no")
    assert len(method._last.answers) == passes == 32
    assert (both.shape, tokens.shape, whole.shape) == ((3,), (2,), (1,))
    assert torch.equal(both.values, torch.cat([whole.values, tokens.values]))
    p = {"log_prob": lambda v: v.exp(), "prob": lambda v: v, "log_odds": lambda v: v.sigmoid()}[attr_target]
    torch.testing.assert_close(p(whole.values[0]), p(tokens.values).prod(0), atol=1e-9, rtol=1e-6)
    assert both.to_dataframe()["output"].isin(["yes no", "yes", "no"]).all()
    assert "'yes no': " in repr(both) and both[1].output_names == ("yes",)
    assert both.output_names == ("yes no", "yes", "no") and tokens.output_names == ("yes", "no")


@pytest.mark.parametrize("attr_target", ["log_prob", "prob", "log_odds"])
def test_a_span_of_the_answer_is_one_output(attr_target) -> None:
    """Its tokens given what stands before them: log-probabilities add up; named by its text; no further passes."""
    method, inp = planted(attr_target=attr_target)
    tokens = method.interactions(inp, "yes no", outputs="tokens")
    asked = len(method._last.answers)
    last = method.interactions(inp, "yes no", outputs=(1, 2))
    assert last.shape == (1,) and len(method._last.answers) == asked
    assert torch.allclose(last.values[0], tokens.values[1])
    both = method.estimate(inp, "yes no", outputs=(0, 2), budget=16)
    assert torch.allclose(both.values[0], method.estimate(inp, "yes no", budget=16).values[0])
    words = method.logical_model(inp, "yes no", outputs="no")
    assert words.output_names == ("no",) and torch.allclose(words.values[0], tokens.values[1])
    with pytest.raises(ValueError, match="that is there once; got 'yes', which is there 2 times"):
        method.interactions(inp, "yes yes", outputs="yes")
    for bad in ((1, 1), (0, 3), "maybe", "", 2, ("a", "b")):
        with pytest.raises(ValueError, match="outputs must be"):
            method.interactions(inp, "yes no", outputs=bad)


def test_results_keep_the_names_of_their_outputs(tmp_path) -> None:
    method, inp = planted()
    for result in (
        method.logical_model(inp, "yes no", outputs="tokens"),
        method.estimate(inp, "yes no", outputs="tokens", budget=16),
        method.interactions(inp, "yes no", outputs="tokens"),
    ):
        result.save(tmp_path / "result.npz")
        again = type(result).load(tmp_path / "result.npz")
        assert again.axes == result.axes and again.player_names == result.player_names
        assert set(again.to_dataframe()["output"]) <= {"yes", "no"}
        assert copy.deepcopy(result[0]).axes.output_labels() == ["yes"]
    model = method.logical_model(inp, "yes no")
    assert pickle.loads(pickle.dumps(model)).evaluate is None and model.evaluate is not None


def test_a_budget_of_many_sources() -> None:
    sources = ["a", "b", *["e f"] * 22]
    inp = ContextInput(sources, "won", template="{context} {query}", separator=" ")
    method = AndOrLLMAttribution(AndOrInteractions(PlantedAnswers()), word_tokenizer(), "log_odds")
    found = method.logical_model(inp, "yes", budget=96, max_patterns=3)
    assert found.n_evaluations == 96 and found.patterns[0].names == ("d1", "d2")
    estimate = method.estimate(inp, "yes", budget=96)
    assert estimate.n_players == 24 and estimate.r2 > 0.9
    attributions = method.attribute(inp, "yes", budget=96).seq_attr
    assert attributions.argsort(descending=True)[:2].sort().values.tolist() == [0, 1]


def test_answers_are_kept_until_the_model_or_the_target_changes(model, tokenizer) -> None:
    calls = []
    forward = model.forward
    model.forward = lambda *args, **kwargs: calls.append(1) or forward(*args, **kwargs)
    inp = TextTemplateInput(TEXT, VALUES)
    method = AndOrLLMAttribution(AndOrInteractions(model), tokenizer)
    first = method.interactions(inp, "yes no")
    count = len(calls)
    again = method.attribute(inp, "yes no")
    assert len(calls) == count + 1  # v(N), to see that nothing has changed
    torch.testing.assert_close(again.seq_attr.double(), first.shapley_values()[0], atol=1e-5, rtol=1e-5)
    with torch.no_grad():
        model.lm_head.weight.mul_(0.5)
    changed = method.attribute(inp, "yes no")
    assert len(calls) > count + 3 and not torch.allclose(changed.seq_attr, again.seq_attr, atol=1e-3)
    other = method.attribute(inp, "no")
    assert not torch.allclose(other.seq_attr, changed.seq_attr, atol=1e-3)


def test_ctrl_c_keeps_what_is_answered(tokenizer) -> None:
    class Interrupted(PlantedAnswers):
        rows = 0
        until = 200

        def forward(self, input_ids, attention_mask=None):
            Interrupted.rows += len(input_ids)
            if Interrupted.rows > Interrupted.until:
                Interrupted.until = 10**9
                raise KeyboardInterrupt
            return super().forward(input_ids, attention_mask)

    sources = ["a", "b", "c", "d", "e", "f", "g", "e e", "f f"]
    inp = ContextInput(sources, "won", template="{context} {query}", separator=" ")
    method = AndOrLLMAttribution(AndOrInteractions(Interrupted()), tokenizer, "log_odds", tokens_per_batch=60)
    with pytest.warns(UserWarning, match="interrupted after"):
        partial = method.logical_model(inp, "yes", budget=256, max_patterns=2)
    assert 100 < partial.n_evaluations < 256 and partial.patterns[0].names == ("d1", "d2")
    before = Interrupted.rows
    whole = method.logical_model(inp, "yes", budget=256, max_patterns=2)
    assert whole.n_evaluations == 256 and Interrupted.rows - before < 256 - partial.n_evaluations + 20


def test_a_target_that_the_model_writes(tokenizer) -> None:
    model = tiny("llama")
    inp = ContextInput(["a b", "c d"], "who", template="{context} {query}", separator=" ")
    method = AndOrLLMAttribution(AndOrInteractions(model), tokenizer)
    result = method.attribute(inp, gen_args={"max_new_tokens": 3, "do_sample": False})
    ids = torch.tensor([tokenizer(inp.to_model_input())["input_ids"]])
    written = []
    for _ in range(3):
        written.append(int(model(torch.cat([ids, torch.tensor([written]).long()], 1)).logits[0, -1].argmax()))
    assert list(method.target.ids) == written and result.token_attr.shape == (3, 2)
    lm = method.logical_model(inp, gen_args={"max_new_tokens": 3, "do_sample": False})
    assert lm.output_names == (method.target.text,)


@pytest.mark.parametrize("target", [[11, 12], torch.tensor([11, 12]), torch.tensor([[11, 12]]), np.array([11, 12])])
def test_targets_as_ids(target) -> None:
    method, inp = planted()
    torch.testing.assert_close(method.attribute(inp, target).seq_attr, method.attribute(inp, "yes no").seq_attr)


def test_tokens_that_are_left_out_of_the_target() -> None:
    method, inp = planted()
    result = method.attribute(inp, torch.tensor([2, 11]), skip_tokens=["<s>"])
    assert result.output_tokens == ["yes"]


def test_single_token_targets_have_a_row(model, tokenizer) -> None:
    result = AndOrLLMAttribution(AndOrInteractions(model), tokenizer).attribute(TextTemplateInput(TEXT, VALUES), "g")
    assert result.token_attr.shape == (1, 5) and torch.equal(result.token_attr[0], result.seq_attr)


def test_inspected_prompts() -> None:
    method, inp = planted()
    seen = []
    method.attribute(inp, "yes no", _inspect_forward=lambda prompt, response, p: seen.append((prompt, response, p)))
    assert len(seen) == 32 and all(response == "yes no" and len(p) == 3 for _, response, p in seen)
    assert all(p[0] == pytest.approx(p[1] * p[2], rel=1e-6) for _, _, p in seen)
    assert {prompt.count("won") for prompt, _, _ in seen} == {1}


def test_words_of_a_text_and_kinds_of_absence() -> None:
    model, tokenizer = PlantedAnswers(), word_tokenizer()
    method = AndOrLLMAttribution(AndOrInteractions(model), tokenizer, "log_odds")
    for absent in ("attention", "delete", "<unk>"):
        inp = MaskedTokenInput("a e b won", tokenizer, absent=absent, skip_tokens=["won"])
        found = method.logical_model(inp, "yes")
        assert (found.patterns[0].kind, found.patterns[0].names) == ("or", ("a", "b"))


def test_groups_of_a_template_are_named_by_their_members() -> None:
    method, _ = planted()
    inp = TextTemplateInput("{} {} {} won", ["a", "b", "c"], mask=[0, 1, 0])
    assert method.logical_model(inp, "yes").player_names == ("a … c", "b")
    result = method.attribute(inp, "yes")
    assert result.seq_attr.shape == (3,) and result.seq_attr[0] == result.seq_attr[2]


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda m, i: m.attribute("a b", "yes"), TypeError, "inp must be an interpretable input"),
        (lambda m, i: m.attribute(i, 5), TypeError, "target must be"),
        (lambda m, i: m.attribute(i, ""), ValueError, "target has no token"),
        (lambda m, i: m.attribute(i, torch.tensor([0.5])), TypeError, "target must be"),
        (lambda m, i: m.attribute(i, [-1]), ValueError, "ids that the model does not have"),
        (lambda m, i: m.attribute(i), ValueError, "target must be given"),
        (lambda m, i: m.attribute(i, "yes", gen_args={}), ValueError, "gen_args"),
        (lambda m, i: m.attribute(i, "yes", num_trials=0), ValueError, "num_trials"),
        (lambda m, i: m.logical_model(i, "yes", outputs="all"), ValueError, "outputs must be"),
        (lambda m, i: m.logical_model(i, "yes", max_pattern=3), TypeError, "max_pattern"),
        (lambda m, i: m.logical_model(i, "yes", player_names=["x"]), TypeError, "inp says what the players are"),
        (lambda m, i: m.attribute(i, "yes", budget=16, return_standard_error=True), ValueError, "estimate"),
    ],
)
def test_bad_calls(call, error, message) -> None:
    method, inp = planted()
    with pytest.raises(error, match=message):
        call(method, inp)


def test_bad_methods(model, tokenizer) -> None:
    inp = TextTemplateInput(TEXT, VALUES)
    with pytest.raises(TypeError, match="attr_method must be one of"):
        AndOrLLMAttribution(model, tokenizer)
    with pytest.raises(ValueError, match="attr_target says what v is"):
        AndOrLLMAttribution(AndOrInteractions(model, score="log_odds"), tokenizer)
    with pytest.raises(TypeError, match="the language model itself"):
        AndOrLLMAttribution(AndOrInteractions(lambda x: x), tokenizer)
    with pytest.raises(ValueError, match="attr_target must be one of"):
        AndOrLLMAttribution(AndOrInteractions(model), tokenizer, "logits")
    with pytest.raises(TypeError, match="AndOrInteractions for logical_model"):
        AndOrLLMAttribution(FeatureAblation(model), tokenizer).logical_model(inp, "yes")


def test_too_many_prompts_and_no_tokenizer(model, tokenizer) -> None:
    inp = ContextInput(["a"] * 24, "who")
    method = AndOrLLMAttribution(AndOrInteractions(model), tokenizer)
    for call in (method.attribute, method.interactions):
        with pytest.raises(ValueError, match="inp has 24 players"):
            call(inp, "yes")
    with pytest.raises(TypeError, match="tokenizer must have encode"):
        AndOrLLMAttribution(AndOrInteractions(model), None)


def test_progress_counts_prompts(capsys) -> None:
    method, inp = planted()
    method.logical_model(inp, "yes", budget=24, max_patterns=2, show_progress=True)
    assert "And Or LLM Attribution logical model: 100%" in capsys.readouterr().err
    method.interactions(inp, "yes", show_progress=True)
    assert "8/8" in capsys.readouterr().err  # what the first call has asked is not asked again


def test_a_picture_beside_the_prompt() -> None:
    from PIL import Image

    class Sees(PlantedAnswers):
        def forward(self, input_ids, attention_mask=None, pixel_values=None):
            output = super().forward(input_ids, attention_mask)
            output.logits[..., WORDS.index("yes")] += pixel_values[:, :2].amax((1, 2))[:, None]
            return output

    picture = Image.new("RGB", (4, 4), (255, 255, 255))
    mask = torch.arange(4)[:, None].expand(4, 4).clone()

    def processor(image):
        pixels = torch.tensor(np.array(image)[..., 0]).float()[None] / 255
        return {"input_ids": torch.tensor([[2, 14]]), "attention_mask": torch.ones(1, 2), "pixel_values": pixels}

    inp = ImageMaskInput(picture, mask, baseline=(0, 0, 0), processor_fn=processor)
    method = AndOrLLMAttribution(AndOrInteractions(Sees()), word_tokenizer(), "log_odds")
    found = method.logical_model(inp, "yes")
    assert found.player_names == tuple(f"image_feature_{i}" for i in range(4))
    assert (found.patterns[0].kind, found.patterns[0].players) == ("or", (0, 1)) and method.way == "one by one"


def test_training_mode_is_named(tokenizer) -> None:
    model = tiny("gpt2").train()
    inp = TextTemplateInput(TEXT, VALUES)
    with pytest.raises(ValueError, match="training mode"):
        AndOrLLMAttribution(AndOrInteractions(model), tokenizer).attribute(inp, "yes")
    with pytest.warns(UserWarning, match="training mode"):
        AndOrLLMAttribution(FeatureAblation(model), tokenizer).attribute(inp, "yes")


def test_prompts_longer_than_the_window_and_empty_ones(model) -> None:
    long = ContextInput(["a " * 90, "b " * 60], "who", template="{context} {query}")
    with pytest.raises(ValueError, match="window is 128"):
        AndOrLLMAttribution(AndOrInteractions(model), word_tokenizer()).attribute(long, "yes")
    with pytest.raises(ValueError, match="empty prompt"):
        AndOrLLMAttribution(AndOrInteractions(model), word_tokenizer(begins=False)).attribute(
            TextTemplateInput("{} {}", ["a", "b"]), "yes"
        )


def test_a_tokenizer_without_padding(model) -> None:
    inp = TextTemplateInput(TEXT, VALUES)
    without = AndOrLLMAttribution(AndOrInteractions(model), word_tokenizer(pad=False)).attribute(inp, "yes no")
    padded = AndOrLLMAttribution(AndOrInteractions(model), word_tokenizer()).attribute(inp, "yes no")
    torch.testing.assert_close(without.seq_attr, padded.seq_attr)


def test_a_target_that_is_split_otherwise_when_joined(model) -> None:
    from tokenizers import Tokenizer, models
    from transformers import PreTrainedTokenizerFast

    raw = Tokenizer(models.BPE({"a": 0, "<unk>": 1, "b": 2, "ab": 3, " ": 4}, [("a", "b")], unk_token="<unk>"))
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=raw, unk_token="<unk>")
    method = AndOrLLMAttribution(AndOrInteractions(model), tokenizer)
    with pytest.warns(UserWarning, match="split otherwise"):
        method.attribute(TextTemplateInput("a{}{}a", ["a", "a"]), "b")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        method.attribute(TextTemplateInput("a{}{}a", ["a", "a"]), "a")


class Server(RemoteLLMProvider):
    """The planted model behind an address that fails now and then."""

    api_url = "none"

    def __init__(self, fails: int = 0, breaks_after: int = 10**9) -> None:
        self.model, self.tokenizer = PlantedAnswers(), word_tokenizer()
        self.fails, self.breaks_after, self.asked = fails, breaks_after, 0

    def generate(self, prompt: str, **options: Any) -> str:
        return "yes no"

    def get_logprobs(self, input_prompt: str, target_str: str, tokenizer: Any = None) -> list[float]:
        self.asked += 1
        if self.fails > 0:
            self.fails -= 1
            raise ConnectionError("try again")
        if self.asked > self.breaks_after:
            raise ConnectionError("gone")
        prompt = self.tokenizer(input_prompt)["input_ids"]
        target = self.tokenizer(target_str, add_special_tokens=False)["input_ids"]
        with torch.no_grad():
            p = self.model(torch.tensor([prompt + target])).logits[0].log_softmax(-1)
        return [float(p[len(prompt) - 1 + i, token]) for i, token in enumerate(target)]


def remote(server: Server, **options: Any) -> AndOrLLMAttribution:
    return AndOrLLMAttribution(
        AndOrInteractions(RemoteLLMAttribution.placeholder_model), word_tokenizer(), provider=server, **options
    )


def test_a_remote_model_gives_the_same(monkeypatch) -> None:
    monkeypatch.setattr("captum_andor.llm.remote._FIRST_WAIT", 0.0)
    local, inp = planted()
    server = Server(fails=3)
    method = remote(server)
    wanted, found = local.attribute(inp, "yes no"), method.attribute(inp)
    torch.testing.assert_close(found.seq_attr, wanted.seq_attr, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(found.token_attr, wanted.token_attr, atol=1e-5, rtol=1e-5)
    assert method.way == "remote" and server.asked == 32 + 3


def test_what_a_server_has_answered_is_kept_when_it_breaks(monkeypatch) -> None:
    monkeypatch.setattr("captum_andor.llm.remote._FIRST_WAIT", 0.0)
    _, inp = planted()
    server = Server(breaks_after=20)
    method = remote(server, retries=1, parallel_requests=2)
    with pytest.raises(RuntimeError, match="failed 2 times"):
        method.interactions(inp, "yes")
    server.breaks_after, server.asked = 10**9, 0
    method.interactions(inp, "yes")
    assert server.asked <= 32 - 18 + 1


def test_a_score_of_ones_own_for_an_encoder() -> None:
    from transformers import BertConfig, BertForSequenceClassification

    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=len(WORDS), hidden_size=16, num_hidden_layers=2, num_attention_heads=2, intermediate_size=24,
        num_labels=3, pad_token_id=0, initializer_range=0.5,
    )  # fmt: skip
    model, tokenizer = BertForSequenceClassification(config).eval(), word_tokenizer()
    inp = MaskedTokenInput("a b c d who", tokenizer, absent="delete")

    def score(model, batch, target):
        return model(**batch).logits[:, target]

    method = AndOrLLMAttribution(AndOrInteractions(model), tokenizer, score=score)
    one, several = method.interactions(inp, 1), method.interactions(inp, [0, 1], outputs="tokens")
    for code, subset in enumerate(itertools.product([0, 1], repeat=5)):
        bits = torch.tensor([subset[::-1]])
        with torch.no_grad():
            logits = model(**inp.to_model_input(bits)).logits[0].double()
        assert float(one.values[0, code]) == pytest.approx(float(logits[1]), abs=1e-4)
        torch.testing.assert_close(several.values[:, code], logits[:2], atol=1e-4, rtol=1e-4)
    assert method.way == "padded" and several.shape == (2,)
    with pytest.raises(ValueError, match="score must return"):
        AndOrLLMAttribution(AndOrInteractions(model), tokenizer, score=lambda m, b, t: torch.zeros(3)).attribute(inp, 0)


def test_prints_say_the_unit_and_what_absent_means(model, tokenizer) -> None:
    for inp, absent in (
        (ContextInput(["a", "b", "c"], "won", template="{context} {query}", separator=" "), "left out of the prompt"),
        (TextTemplateInput(TEXT, VALUES), "left out of the text"),
        (MaskedTokenInput("a b c", tokenizer), "hidden from attention"),
        (MaskedTokenInput("a b c", tokenizer, absent="delete"), "left out, later tokens move up"),
        (MaskedTokenInput("a b c", tokenizer, absent="d"), "replaced by 'd'"),
    ):
        found = AndOrLLMAttribution(AndOrInteractions(model), tokenizer).logical_model(inp, "yes")
        assert f"absent: {absent}" in str(found) and f"absent: {absent}" in found.rules()
        assert "score with everything removed" in str(found) and " (nats of log-probability)" in str(found)


def test_an_answer_that_the_model_would_not_give_is_said_first(model, tokenizer) -> None:
    inp = ContextInput(["a", "b", "c", "d"], "won", template="{context} {query}", separator=" ")
    method = AndOrLLMAttribution(AndOrInteractions(model), tokenizer)
    prompt = torch.tensor([tokenizer("a b c d won")["input_ids"]])
    with torch.no_grad():
        model.lm_head.weight.mul_(2)  # surer of itself
        log_p = model(prompt).logits[0, -1].log_softmax(-1)
    for token in (int(log_p.argmax()), int(log_p.argmin())):
        gap = float(log_p.max() - log_p[token])
        found = method.logical_model(inp, [token])
        said = [line for line in found.rules() if "would not give this answer" in line]
        assert bool(said) == (gap >= np.log(100)), gap
        if said:
            assert found.rules()[0] == said[0] and said[0] in str(found)
            assert said[0] in str(method.estimate(inp, [token], budget=16))
            assert escape(said[0]) in sources_html(found, inp.sources)
            assert f"p = {float(log_p[token].exp()):.1g}" in said[0] and WORDS[int(log_p.argmax())] in said[0]
            assert f"{np.exp(gap):.2g} times as likely" in said[0]
    assert gap >= np.log(100)  # the other branch was seen


def test_an_answer_that_was_cut_is_said_first(model, tokenizer) -> None:
    inp = ContextInput(["a", "b", "c", "d"], "won", template="{context} {query}", separator=" ")
    method = AndOrLLMAttribution(AndOrInteractions(model), tokenizer)
    found = method.logical_model(inp, gen_args={"max_new_tokens": 2, "do_sample": False})
    assert found.rules()[0].startswith("The answer was cut after 2 tokens") and "was cut after 2 tokens" in str(found)
    assert not any("cut" in rule for rule in method.logical_model(inp, "yes").rules())


def test_answers_are_not_kept_when_the_input_changes_what_absent_means(model, tokenizer) -> None:
    inp = MaskedTokenInput("a b c d", tokenizer)
    method = AndOrLLMAttribution(AndOrInteractions(model), tokenizer)
    before = method.logical_model(inp, "yes").values
    inp.absent = "delete"
    again = method.logical_model(inp, "yes").values
    fresh = AndOrLLMAttribution(AndOrInteractions(model), tokenizer)
    torch.testing.assert_close(again, fresh.logical_model(inp, "yes").values, atol=1e-4, rtol=1e-4)
    assert not torch.allclose(again, before, atol=1e-3)


@pytest.mark.parametrize(
    ("token", "error", "message"),
    [
        ("no such token", ValueError, "skip_tokens holds 'no such token', which is no token"),
        (3.5, TypeError, "skip_tokens must hold tokens, by text or id; got 3.5"),
    ],
)
def test_tokens_to_skip_that_are_none(model, tokenizer, token: Any, error: type[Exception], message: str) -> None:
    inp = ContextInput(["a", "b"], "won", template="{context} {query}", separator=" ")
    with pytest.raises(error, match=message):
        AndOrLLMAttribution(AndOrInteractions(model), tokenizer).logical_model(inp, "yes no", skip_tokens=[token])


@pytest.mark.parametrize("target", [[3.0, 4.0], torch.tensor([3.0, 4.0]), [3, True]])
def test_numbers_that_are_no_ids_are_refused_after_ids_too(model, tokenizer, target: Any) -> None:
    inp = ContextInput(["a", "b"], "won", template="{context} {query}", separator=" ")
    method = AndOrLLMAttribution(AndOrInteractions(model), tokenizer)
    method.attribute(inp, [3, 4])
    with pytest.raises(TypeError, match=r"target must be a string(, token ids or None; got \[3| or token ids)"):
        method.attribute(inp, target)
