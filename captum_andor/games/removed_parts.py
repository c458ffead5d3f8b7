"""Transformers that leave absent patches or tokens out: shorter sequences instead of grey pixels or mask tokens."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from captum_andor._utils.user_warnings import warn
from captum_andor.games.scores import picked_output


class RemovedPatches(nn.Module):
    """A vision transformer without the tokens of absent patches; the others keep their positions.

    A patch is absent where its pixels are NaN, so that ``baselines=torch.nan`` marks what is absent for
    :class:`captum_andor.AndOrInteractions`. Captum's own methods multiply baselines by 0, which NaN does not survive:
    there pass ``baselines=RemovedPatches.absent``, a number that marks a pixel just as well.

    Rows of equally many patches run together. Of torchvision, timm and transformers those models work whose tokens are
    added to learned positions and pooled by a class token or a mean: ViT, DeiT, DINOv2 and the like; not Swin.

    Args:
        vit (nn.Module): The model, from pictures ``(N, C, H, W)``, in evaluation mode.

    Attributes:
        absent (float): Marks an absent pixel where NaN cannot.

    Raises:
        TypeError: If the model is none of these.

    Examples::

        >>> from torchvision.models import VisionTransformer
        >>> from captum_andor import AndOrInteractions
        >>> from captum_andor.games.masks import image_grid
        >>> vit = VisionTransformer(32, 8, 1, 2, 16, 32, num_classes=3).eval()  # 4 x 4 patches of 8 pixels
        >>> method = AndOrInteractions(RemovedPatches(vit))
        >>> mask = image_grid(32, 32, 2, 2)
        >>> x = torch.rand(1, 3, 32, 32)
        >>> method.attribute(x, torch.nan, target=0, feature_mask=mask).shape
        torch.Size([1, 3, 32, 32])

    Source: Jain, Salman, Wong, Zhang, Vineet, Vemprala and Madry 2022 (missingness by dropping tokens).
    """

    absent: ClassVar[float] = -32768.0  # a power of 2: exact in every floating point format
    absent_in_words: ClassVar[str] = "left out of the sequence of patches"

    def __init__(self, vit: nn.Module) -> None:
        super().__init__()
        self._positioned, self.patch = _positioned_tokens(vit)
        self.vit = vit
        self._saw_nothing = False

    def forward(self, x: Tensor, *further: Any) -> Tensor:
        """The model's output on pictures ``(N, C, H, W)``.

        Raises:
            ValueError: If a patch is absent in part, or no patch is left and the model takes their mean.
        """
        absent = x.isnan() | (x == self.absent)
        present = self._present(x, absent)
        self._warn_of_products(x)
        filled = torch.where(absent, torch.zeros((), dtype=x.dtype, device=x.device), x)

        def answer(rows: Tensor, kept: Tensor) -> Any:
            with self._keeping(kept, present.shape[1]):
                return self.vit(filled[rows], *further)

        output = _by_count(present, answer)
        if not bool(present.any(1).all()) and bool(output.isnan().any()):
            raise ValueError(
                "no patch is left, and this model takes the mean over them: keep one, with a negative id in "
                "feature_mask, or use a model that is pooled by its class token."
            )
        return output

    def _warn_of_products(self, x: Tensor) -> None:
        """Warn of pictures that are NaN everywhere again and again, as a baseline of NaN times 0 makes them."""
        sees_nothing = bool(x.isnan().all())
        if sees_nothing and self._saw_nothing:
            warn(
                "RemovedPatches was given nothing but NaN twice. Captum's own methods multiply baselines by 0, which "
                "NaN does not survive: pass baselines=RemovedPatches.absent there."
            )
        self._saw_nothing = sees_nothing

    def _present(self, x: Tensor, absent: Tensor) -> Tensor:
        """Which patches have pixels, row by row: bool, shape ``(N, patches)``."""
        height, width = self.patch
        if x.ndim != 4 or x.shape[2] % height or x.shape[3] % width:
            raise ValueError(
                f"inputs must be pictures (N, C, H, W) of whole patches of {height} x {width}; got {tuple(x.shape)}."
            )
        rows, columns = x.shape[2] // height, x.shape[3] // width
        cut = absent.view(len(x), -1, rows, height, columns, width)
        patches = cut.permute(0, 2, 4, 1, 3, 5).flatten(3)
        every, some = patches.all(3), patches.any(3)
        if not torch.equal(every, some):
            picture, i, j = (some & ~every).nonzero()[0].tolist()
            raise ValueError(
                f"the patch in row {i}, column {j} of picture {picture} is absent in part: players must be made of "
                f"whole patches of {height} x {width} pixels, all channels, e.g. by games.masks.image_grid with "
                "numbers of rows and columns that divide theirs."
            )
        return every.flatten(1).logical_not()

    @contextmanager
    def _keeping(self, kept: Tensor, n_patches: int) -> Iterator[None]:
        """While the model runs, tokens of these patches ``(rows, k)`` alone go on, behind the class token."""

        def dropped(_module: nn.Module, _arguments: Any, tokens: Any) -> Any:
            if not isinstance(tokens, Tensor) or tokens.ndim != 3 or tokens.shape[1] < n_patches:
                raise TypeError(_unknown(self.vit))
            count = tokens.shape[1] - n_patches
            first = torch.arange(count, device=kept.device).expand(len(kept), -1)
            place = torch.cat([first, kept + count], 1).to(tokens.device)
            return tokens.gather(1, place[..., None].expand(-1, -1, tokens.shape[2]))

        handle = self._positioned.register_forward_hook(dropped)
        try:
            yield
        finally:
            handle.remove()


class RemovedTokens(nn.Module):
    """A text encoder without absent tokens; the others keep their positions.

    A token is absent where its id is -1, so that ``baselines=-1`` marks what is absent, for Captum's own methods, too.
    Rows of equally many tokens run together. An encoder that takes no ``position_ids`` gets whole sequences and a mask
    of attention: the same answers in more time.

    Args:
        encoder (nn.Module): Called with ``input_ids``, ``attention_mask`` and, if it takes them, ``position_ids``, by
            name; one of transformers for classification, or a module around one that returns a tensor.

    Attributes:
        absent (int): Marks an absent token: -1.

    Raises:
        TypeError: If the encoder is no module.

    Examples::

        >>> from captum_andor import AndOrInteractions
        >>> class Encoder(torch.nn.Module):
        ...     def forward(self, input_ids, attention_mask, position_ids):
        ...         return torch.stack([input_ids.sum(1), position_ids.sum(1)], 1).float()
        >>> encoder = Encoder()
        >>> tokens = torch.tensor([[2, 17, 23, 8, 3]])
        >>> mask = torch.tensor([[-1, 0, 1, 2, -1]])  # the first and the last token stay
        >>> AndOrInteractions(RemovedTokens(encoder)).attribute(tokens, -1, target=1, feature_mask=mask).shape
        torch.Size([1, 5])
    """

    absent: ClassVar[int] = -1
    absent_in_words: ClassVar[str] = "left out of the text"

    def __init__(self, encoder: nn.Module) -> None:
        super().__init__()
        if not isinstance(encoder, nn.Module):
            raise TypeError(f"encoder must be a module, e.g. one of transformers; got {type(encoder).__name__}.")
        self.encoder = encoder
        self._takes_positions = "position_ids" in inspect.signature(encoder.forward).parameters
        counting: list[Any] = [m for m in encoder.modules() if hasattr(m, "create_position_ids_from_input_ids")]
        self._first = int(counting[0].padding_idx) + 1 if counting else 0  # RoBERTa counts from behind the padding

    def forward(self, input_ids: Tensor, attention_mask: Tensor | None = None, **further: Any) -> Tensor:
        """The encoder's output on token ids ``(N, L)``; what the mask leaves out is absent, too.

        Raises:
            ValueError: If no token of a row is left.
        """
        present = input_ids != self.absent
        if attention_mask is not None:
            present = present & attention_mask.bool()
        if not bool(present.any(1).all()):
            raise ValueError("no token is left of a row: keep one, e.g. the first, by a negative id in feature_mask.")
        beside = {k: v for k, v in further.items() if isinstance(v, Tensor) and v.shape == input_ids.shape}
        others = {k: v for k, v in further.items() if k not in beside}
        if not self._takes_positions:
            filled = input_ids.where(present, torch.zeros_like(input_ids))
            returned = self.encoder(input_ids=filled, attention_mask=present.to(input_ids.dtype), **further)
            return _tensor_of(returned)

        def answer(rows: Tensor, kept: Tensor) -> Any:
            ids = input_ids[rows].gather(1, kept)
            own = {name: value[rows].gather(1, kept) for name, value in beside.items()}
            return self.encoder(
                input_ids=ids, attention_mask=torch.ones_like(ids), position_ids=kept + self._first, **own, **others
            )

        return _by_count(present, answer)


def _by_count(present: Tensor, answer: Callable[[Tensor, Tensor], Any]) -> Tensor:
    """Answers to rows ``(N, L)``, those with equally many parts at once: of the rows, and the parts that are left."""
    count = present.sum(1)
    found: dict[int, Tensor] = {}
    for size in sorted(set(count.tolist())):
        rows = (count == size).nonzero()[:, 0]
        kept = present[rows].nonzero()[:, 1].view(len(rows), size)
        output = _tensor_of(answer(rows, kept))
        if output.ndim == 0 or len(output) != len(rows):
            raise ValueError(
                f"the model must return a row for each input; got shape {tuple(output.shape)} for {len(rows)} rows."
            )
        found.update(zip(rows.tolist(), output, strict=True))
    return torch.stack([found[row] for row in range(len(present))])


def _tensor_of(returned: Any) -> Tensor:
    output = picked_output(returned, None)
    if not isinstance(output, Tensor):
        raise TypeError(f"the model must return a tensor or one with logits; got {type(returned).__name__}.")
    return output


def _positioned_tokens(vit: Any) -> tuple[nn.Module, tuple[int, int]]:
    """The module that returns tokens with their positions added, and the size of a patch in pixels."""
    if not isinstance(vit, nn.Module):
        raise TypeError(f"vit must be a vision transformer, a module; got {type(vit).__name__}.")
    model: Any = vit
    encoder, embed = getattr(model, "encoder", None), getattr(model, "patch_embed", None)
    if isinstance(getattr(model, "conv_proj", None), nn.Conv2d) and hasattr(encoder, "pos_embedding"):  # torchvision
        return model.encoder.dropout, _pair(model.conv_proj.kernel_size)
    if hasattr(embed, "proj") and getattr(vit, "pos_embed", None) is not None and hasattr(vit, "pos_drop"):  # timm
        is_relative = any("rel_pos" in name or "rope" in name for name, _ in vit.named_modules())
        if not is_relative:
            return model.pos_drop, _pair(model.patch_embed.proj.kernel_size)
    for module in vit.modules():  # transformers
        patches: Any = getattr(module, "patch_embeddings", None)
        if hasattr(patches, "projection") and isinstance(getattr(module, "position_embeddings", None), Tensor):
            return module, _pair(patches.projection.kernel_size)
    raise TypeError(_unknown(vit))


def _pair(size: Any) -> tuple[int, int]:
    return int(size[0]), int(size[1])


def _unknown(vit: nn.Module) -> str:
    return (
        f"{type(vit).__name__} is no vision transformer that RemovedPatches knows: one of torchvision, timm or "
        "transformers whose tokens get learned positions at the start, such as ViT, DeiT or DINOv2. For others pass a "
        "baseline, e.g. a blurred picture."
    )
