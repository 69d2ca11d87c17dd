"""A BERT sentence encoder read straight from its folder, without the libraries that take seconds to import.

Devlin et al. 2019, arXiv:1810.04805; the mean over tokens as in Reimers & Gurevych 2019, arXiv:1908.10084, §3.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import Tensor

_CONFIGS = "config.json", "sentence_bert_config.json", "1_Pooling/config.json"
_WEIGHTS, _TOKENS = "model.safetensors", "tokenizer.json"
_MODULES = ["", "1_Pooling"], ["", "1_Pooling", "2_Normalize"]


class Bert:
    """The encoder of a folder that `fits`. rounded: bfloat16 products, for CPUs that have them in hardware.

    What passes from layer to layer is float32, so that less is rounded than in a model that is bfloat16 throughout.
    """

    def __init__(self, folder: Path, rounded: bool):
        import torch
        from safetensors.torch import load_file
        from tokenizers import Tokenizer

        config, sentences, pooling = (json.loads((folder / name).read_text(encoding="utf-8")) for name in _CONFIGS)
        self.by_first = bool(pooling["pooling_mode_cls_token"])
        self.pad, self.eps = config.get("pad_token_id", 0), config["layer_norm_eps"]
        self.tokenizer = Tokenizer.from_file(str(folder / _TOKENS))
        self.tokenizer.no_padding()
        self.tokenizer.enable_truncation(min(sentences["max_seq_length"], config["max_position_embeddings"]))
        weights = {name.removeprefix("bert."): weight for name, weight in load_file(folder / _WEIGHTS).items()}
        dtype = torch.bfloat16 if rounded else torch.float32

        def parts(name: str) -> tuple[Tensor, Tensor]:
            return weights[f"{name}.weight"], weights[f"{name}.bias"]

        self.words, self.places, self.kinds = (
            weights[f"embeddings.{kind}_embeddings.weight"].to(dtype) for kind in ("word", "position", "token_type"))
        self.norm = parts("embeddings.LayerNorm")
        self.layers = [_layer(parts, f"encoder.layer.{place}", config["num_attention_heads"], self.eps, dtype)
                       for place in range(config["num_hidden_layers"])]

    @staticmethod
    def fits(folder: Path) -> bool:
        """Whether a sentence-transformers folder holds nothing but a BERT and the mean, or the first, of its tokens."""
        files = [folder / name for name in (*_CONFIGS, _WEIGHTS, _TOKENS)]
        if not all(file.is_file() for file in files):
            return False
        modules = json.loads((folder / "modules.json").read_text(encoding="utf-8"))
        config, sentences, pooling = (json.loads(file.read_text(encoding="utf-8")) for file in files[:3])
        modes = {name for name, value in pooling.items() if name.startswith("pooling_mode") and value}
        return (([one["path"] for one in modules] in _MODULES) and config.get("model_type") == "bert"
                and config.get("hidden_act") == "gelu" and "max_seq_length" in sentences
                and config.get("position_embedding_type", "absolute") == "absolute"
                and not sentences.get("do_lower_case")
                and (modes == {"pooling_mode_mean_tokens"} or modes == {"pooling_mode_cls_token"}))

    def lengths(self, texts: Sequence[str]) -> list[int]:
        """How many tokens of each text it reads."""
        return [len(one.ids) for one in self.tokenizer.encode_batch(list(texts))]

    def preprocess(self, texts: Sequence[str], prompt: str | None) -> tuple[Tensor, Tensor]:
        """Token numbers [N, T], and how many of them each text has [N]."""
        import torch

        read = [one.ids for one in self.tokenizer.encode_batch([(prompt or "") + text for text in texts])]
        lengths = torch.tensor([len(ids) for ids in read])
        longest = int(lengths.max())
        return torch.tensor([ids + [self.pad] * (longest - len(ids)) for ids in read]), lengths

    def __call__(self, features: tuple[Tensor, Tensor]) -> Tensor:
        """Vectors of any length. → [N, dim]"""
        import torch
        from torch.nn import functional

        ids, lengths = features
        x = (self.words[ids] + self.kinds[0] + self.places[:ids.shape[1]]).float()
        x = functional.layer_norm(x, x.shape[-1:], *self.norm, self.eps)
        real = torch.arange(ids.shape[1]) < lengths[:, None]
        mask = None if bool(real.all()) else real[:, None, None]           # [N, heads, from, to]
        for layer in self.layers:
            x = layer(x, mask)
        return x[:, 0] if self.by_first else (x * real[..., None]).sum(1) / lengths[:, None]


def _layer(parts: Callable[[str], tuple[Tensor, Tensor]], at: str, heads: int, eps: float,
           dtype: Any) -> Callable[[Tensor, Tensor | None], Tensor]:
    """One layer: a single product for queries, keys and values."""
    import torch
    from torch.nn import functional

    three = zip(*(parts(f"{at}.attention.self.{name}") for name in ("query", "key", "value")), strict=True)
    weight, bias = map(torch.cat, three)
    ask = _product(weight, bias, dtype)
    give, widen, narrow = (_product(*parts(f"{at}.{name}"), dtype) for name in (
        "attention.output.dense", "intermediate.dense", "output.dense"))
    first, second = parts(f"{at}.attention.output.LayerNorm"), parts(f"{at}.output.LayerNorm")
    width = len(first[0])

    def forward(x: Tensor, mask: Tensor | None) -> Tensor:
        split = ask(x, False).view(*x.shape[:2], 3, heads, -1)             # [N, tokens, 3, heads, dim]
        query, key, value = split.permute(2, 0, 3, 1, 4)
        read = functional.scaled_dot_product_attention(query, key, value, mask).transpose(1, 2).flatten(-2)
        x = functional.layer_norm(x + give(read, False), (width,), *first, eps)
        return functional.layer_norm(x + narrow(widen(x, True), False), (width,), *second, eps)

    return forward


def _product(weight: Tensor, bias: Tensor, dtype: Any) -> Callable[[Tensor, bool], Tensor]:
    """A linear layer, with GELU behind it if asked. Weights are packed once for all calls where oneDNN is.

    At every call it would pack them again, which for a single question takes longer than the products.
    """
    import torch
    from torch.nn import functional

    weight, bias = weight.to(dtype), bias.to(dtype)
    if not torch.backends.mkldnn.is_available():  # type: ignore[no-untyped-call]  # its gap
        return lambda x, gelu: functional.gelu(functional.linear(x.to(dtype), weight, bias)) if gelu else \
            functional.linear(x.to(dtype), weight, bias)
    packed = torch.ops.mkldnn._reorder_linear_weight(weight)
    then: dict[bool, tuple[str, list[float], str]] = {True: ("gelu", [], "none"), False: ("none", [], "")}
    return lambda x, gelu: torch.ops.mkldnn._linear_pointwise(x.to(dtype), packed, bias, *then[gelu])
