"""A form made from a config class: what a person types is text, what a config takes is a value, and back."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

from gui.parts import short
from rlcore.config import ConfigError, Setting

# Shown before "All settings", in this order, where an algorithm has them.
COMMON = ("num_envs", "learning_rate", "gamma", "cost_limit", "horizon", "batch_size", "epochs", "capacity",
          "learning_starts", "entropy_coef")
NOT_SET = "not set"                # what an optional number says while it is None

_COUNT = re.compile(r"([0-9][0-9_, ]*(?:\.[0-9]+)?(?:e[0-9]+)?)\s*([kKmM]?)")
_SCALE = {"": 1, "k": 1_000, "m": 1_000_000}

# Sends what the form holds a moment after the last key, and at once when a field is left.
SCRIPT = """
let waiting = null, sent = '';
const values = () => Object.fromEntries([...element.querySelectorAll('[data-setting]')].map(
  (field) => [field.dataset.setting, field.type === 'checkbox' ? String(field.checked) : field.value]));
const send = () => {
  clearTimeout(waiting);
  const now = JSON.stringify(values());
  if (now !== sent) { sent = now; trigger('edit', {values: values()}); }
};
element.addEventListener('input', () => { clearTimeout(waiting); waiting = setTimeout(send, 250); });
element.addEventListener('change', send);
window.copilot.settings = () => JSON.stringify(values());
"""


def text_of(value: Any) -> str:
    """A setting's value as a person would type it."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, list | tuple):
        return ", ".join(str(item) for item in value)
    return str(value)


def value_of(item: Setting, text: str) -> Any:
    """What a person typed as a plain value; `rlcore.config.build` checks type and range afterwards.

    Whole numbers may be written 100000, 100_000, 100,000 or 100k; an empty field is None.

    Raises:
        ConfigError: the text is not a number where one is needed.
    """
    text = text.strip()
    if item.kind == "bool":
        return text == "true"
    if not text:
        if item.default is not None:
            raise ConfigError(f"{item.name} is empty. Its usual value is {text_of(item.default)}.")
        return None
    if item.kind == "int":
        return _whole(item, text)
    if item.kind == "float":
        return _number(item, text)
    if item.kind == "ints":
        return [_whole(item, part) for part in re.split(r"[,\s]+", text.strip("()[], ")) if part]
    return text


def _whole(item: Setting, text: str) -> int:
    match = _COUNT.fullmatch(text)
    number = float(re.sub(r"[_, ]", "", match[1])) * _SCALE[match[2].lower()] if match else float("nan")
    if not number.is_integer():            # nor is what is too large for a float
        usual = text_of(item.default) or "1"
        raise ConfigError(f"{item.name} must be a whole number, not '{text}'. For example {usual}.")
    return int(number)


def _number(item: Setting, text: str) -> float:
    try:
        return float(text.replace("_", ""))
    except ValueError:
        usual = text_of(item.default) or "0.1"
        raise ConfigError(f"{item.name} must be a number, not '{text}'. For example {usual}.") from None


def span(item: Setting) -> str:
    """The allowed range in words: `0 to 1`, `at least 1`, or nothing."""
    low, high = item.low, item.high
    if low is not None and high is not None:
        return f"{short(low)} to {short(high)}"
    if low is not None:
        return f"at least {short(low)}"
    return f"at most {short(high)}" if high is not None else ""


def html(groups: Sequence[tuple[str, Sequence[Setting]]], texts: Mapping[str, str], usual: Mapping[str, str]) -> str:
    """The form: the first group open, the others folded under their title. A changed field says its usual value."""
    shown: list[str] = []
    for place, (title, items) in enumerate(groups):
        fields = "".join(_field(item, texts[item.name], usual[item.name]) for item in items)
        body = f'<div class="fields">{fields}</div>'
        changed = any(texts[item.name] != usual[item.name] for item in items)
        opened = "open" if changed else ""
        head = f"<summary>{escape(title)} <span>{len(items)}</span></summary>"
        shown.append(f'<details class="fold" {opened}>{head}{body}</details>' if place else body)
    return f'<form class="settings" onsubmit="return false" autocomplete="off">{"".join(shown)}</form>'


def _field(item: Setting, text: str, usual: str) -> str:
    allowed = f" ({span(item)})" if span(item) else ""
    label = f'<span class="field-name">{escape(item.name)}</span>'
    changed = "changed" if text != usual else ""
    reset = f'<span class="field-usual">usually {escape(usual or NOT_SET)}</span>' if changed else ""
    help_text = f"<small>{escape(item.help[:1].upper() + item.help[1:] + allowed)}</small>"
    return (f'<label class="field {escape(item.kind)} {changed}">{label}{reset}{_input(item, text)}{help_text}</label>')


def _input(item: Setting, text: str) -> str:
    name = f'data-setting="{escape(item.name)}" id="setting-{escape(item.name)}"'
    if item.kind == "bool":
        checked = "checked" if text == "true" else ""
        return f'<span class="switch"><input type="checkbox" {name} {checked}><i></i></span>'
    if item.kind == "choice":
        options = "".join(f'<option {"selected" if choice == text else ""}>{escape(choice)}</option>'
                          for choice in item.choices)
        return f'<select {name}>{options}</select>'
    mode = "numeric" if item.kind == "int" else "decimal" if item.kind == "float" else "text"
    unit = f'<span class="unit">{escape(item.unit)}</span>' if item.unit else ""
    hint = f'placeholder="{NOT_SET}"' if item.default is None else ""
    return (f'<span class="entry"><input type="text" inputmode="{mode}" spellcheck="false" value="{escape(text)}" '
            f"{hint} {name}>{unit}</span>")
