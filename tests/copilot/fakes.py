"""Stand-ins for the copilot's edges: an embedder without a model, a small corpus, a tiny GGUF model."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Generator, Sequence
from pathlib import Path

import numpy as np

from copilot.embed import Progress, Vectors
from copilot.llms.turns import ModelAnswerer, Turn

PAGES = {
    "papers/ppo.md": """---
title: "Proximal Policy Optimization Algorithms"
authors: ["John Schulman", "Filip Wolski"]
year: 2017
arxiv: "1707.06347"
aliases: ["PPO", "Proximal Policy Optimization"]
topics: ["policy gradient"]
on_off_policy: on-policy
action_spaces: ["discrete", "continuous"]
---
# PPO: clip the ratio

## Why does PPO clip the ratio?
PPO clips the probability ratio so that one update cannot move the policy far from the one that collected the data. \
Without the clip, several epochs on one batch would wreck the policy.

$$
L = \\min(\\rho A, \\operatorname{clip}(\\rho, 1-\\epsilon, 1+\\epsilon) A)
$$

where $\\rho$ is the ratio of probabilities.

## When to use PPO
Use PPO if environment steps are cheap. It needs little tuning.

## Sources for PPO
- J. Schulman et al. 2017. https://arxiv.org/abs/1707.06347
""",
    "papers/sac.md": """---
title: "Soft Actor-Critic"
year: 2018
arxiv: "1801.01290"
aliases: ["SAC", "Soft Actor-Critic"]
on_off_policy: off-policy
action_spaces: ["continuous"]
---
# SAC: maximise return and entropy

## What is the temperature in SAC?
SAC weighs entropy against reward by a temperature. A high temperature keeps the policy random; SAC can learn it.

## When to use SAC
Use SAC if environment steps are expensive. SAC replays every transition many times and needs continuous actions.
""",
    "faq/debugging.md": """---
title: "FAQ: debugging"
---
# FAQ: debugging

## Why are my losses NaN?
Losses become NaN when a gradient explodes or a log-probability is minus infinity. \
Clip the gradient norm and lower the learning rate.

1. Print the largest observation.
2. Clip the gradient norm at 0.5.

```python
# clip before the step
torch.nn.utils.clip_grad_norm_(parameters, 0.5)
```

Sources: practice.
""",
    "glossary.md": """---
title: "Glossary"
---
# Glossary

### Value function
*Chinese:* 价值函数, 值函数
*Also:* critic, V

The value function predicts the return that follows a state.

### Truncation
*Chinese:* 截断

Truncation ends an episode by the clock; the value of the next state is still bootstrapped.
""",
}


def write_corpus(root: Path, pages: dict[str, str] | None = None) -> Path:
    """A corpus folder with these pages."""
    for path, text in (PAGES if pages is None else pages).items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text(text, encoding="utf-8")
    return root


class WordEmbedder:
    """Every word stem has a direction of its own: texts with common words are near. Deterministic; counts its work."""

    dim = 256

    def __init__(self, identity: str = "words-1"):
        self.identity = identity
        self.encoded: list[str] = []

    def encode_documents(self, texts: Sequence[str], progress: Progress | None = None) -> Vectors:
        """[N, dim]."""
        self.encoded += texts
        if progress:
            progress(1.0, "done")
        return np.stack([self.encode_query(text) for text in texts])

    def encode_query(self, text: str) -> Vectors:
        """[dim]."""
        vector = np.full(self.dim, 1e-3, np.float32)
        for word in re.findall(r"[a-z]{3,}", text.lower()):
            seed = int.from_bytes(hashlib.sha256(f"{self.identity}{word[:6]}".encode()).digest()[:4], "big")
            vector += np.random.default_rng(seed).standard_normal(self.dim).astype(np.float32)
        return (vector / np.linalg.norm(vector)).astype(np.float32)


class Words(ModelAnswerer):
    """A model that counts words, says two of them, and keeps what it read."""

    read = ""

    def count(self, text: str) -> int:
        """Words."""
        return len(text.split())

    def _speak(self, text: str, turn: Turn) -> Generator[str]:
        del turn
        self.read = text
        yield from ("PPO ", "clips.")


def write_gguf(path: Path, width: int = 64, layers: int = 2, context: int = 4096) -> Path:
    """A llama with random weights and a byte tokenizer: it says nonsense, but it loads, streams and stops like one."""
    import gguf

    rng = np.random.default_rng(0)
    letters = [piece.encode() for piece in ("▁", *"abcdefghijklmnopqrstuvwxyz")]
    tokens = [b"<unk>", b"<s>", b"</s>", *(f"<0x{byte:02X}>".encode() for byte in range(256)), *letters]
    kinds = [gguf.TokenType.UNKNOWN, *[gguf.TokenType.CONTROL] * 2, *[gguf.TokenType.BYTE] * 256,
             *[gguf.TokenType.NORMAL] * len(letters)]
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_context_length(context)
    writer.add_embedding_length(width)
    writer.add_block_count(layers)
    writer.add_feed_forward_length(2 * width)
    writer.add_head_count(4)
    writer.add_head_count_kv(4)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_rope_dimension_count(width // 4)
    writer.add_file_type(gguf.LlamaFileType.ALL_F32)
    writer.add_tokenizer_model("llama")
    writer.add_token_list(tokens)
    writer.add_token_scores([0.0] * len(tokens))
    writer.add_token_types(kinds)
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(2)
    writer.add_unk_token_id(0)

    def add(name: str, *shape: int, silent: int = 0) -> None:
        weights = 3 * rng.standard_normal(shape) / np.sqrt(shape[-1]) if len(shape) > 1 else np.ones(shape)
        weights[:silent] = 0           # it says letters only, and never that it has ended
        writer.add_tensor(name, weights.astype(np.float32))

    add("token_embd.weight", len(tokens), width)
    for layer in range(layers):
        for name in ("attn_norm", "ffn_norm"):
            add(f"blk.{layer}.{name}.weight", width)
        for name in ("attn_q", "attn_k", "attn_v", "attn_output"):
            add(f"blk.{layer}.{name}.weight", width, width)
        add(f"blk.{layer}.ffn_gate.weight", 2 * width, width)
        add(f"blk.{layer}.ffn_up.weight", 2 * width, width)
        add(f"blk.{layer}.ffn_down.weight", width, 2 * width)
    add("output_norm.weight", width)
    add("output.weight", len(tokens), width, silent=len(tokens) - len(letters))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path
