"""The look: one theme, one style sheet, one script, all served from this machine."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import gradio as gr

_HERE = Path(__file__).parent
STYLE = _HERE / "style.css"
SCRIPT = _HERE / "app.js"

_TIDE = gr.themes.Color(
    name="tide", c50="#effcf9", c100="#d3f6ee", c200="#a8ecdf", c300="#72dccb", c400="#3cc4b2",
    c500="#1fa898", c600="#14877c", c700="#146c65", c800="#155652", c900="#164845", c950="#062a2a",
)
_STONE = gr.themes.Color(
    name="stone", c50="#f7f8f9", c100="#eff1f3", c200="#e1e5e9", c300="#cbd2d9", c400="#9aa5b1",
    c500="#6b7785", c600="#4d5864", c700="#38424d", c800="#232b34", c900="#171d24", c950="#10151a",
)


def theme() -> gr.themes.Base:
    """Calm teal on cool grey; fonts are the ones that Gradio bundles, so nothing is fetched."""
    return gr.themes.Base(
        primary_hue=_TIDE, secondary_hue=_TIDE, neutral_hue=_STONE,
        spacing_size=gr.themes.sizes.spacing_md, radius_size=gr.themes.sizes.radius_md,
        text_size=gr.themes.sizes.text_md,
        font=[gr.themes.LocalFont("IBM Plex Sans", weights=(400, 700)), "system-ui", "sans-serif"],
        font_mono=[gr.themes.LocalFont("IBM Plex Mono", weights=(400, 700)), "ui-monospace", "monospace"],
    ).set(
        body_background_fill="*neutral_50", body_background_fill_dark="*neutral_950",
        background_fill_primary="white", background_fill_primary_dark="*neutral_900",
        background_fill_secondary="*neutral_50", background_fill_secondary_dark="*neutral_950",
        body_text_color="*neutral_900", body_text_color_dark="*neutral_100",
        body_text_color_subdued="*neutral_500", body_text_color_subdued_dark="*neutral_400",
        border_color_primary="*neutral_200", border_color_primary_dark="*neutral_800",
        border_color_accent="*primary_600", border_color_accent_dark="*primary_400",
        color_accent="*primary_600", color_accent_soft="*primary_50", color_accent_soft_dark="*primary_950",
        link_text_color="*primary_700", link_text_color_dark="*primary_300",
        block_background_fill="white", block_background_fill_dark="*neutral_900",
        block_border_width="1px", block_border_color="*neutral_200", block_border_color_dark="*neutral_800",
        block_shadow="none", block_radius="10px", container_radius="10px",
        block_label_background_fill="transparent", block_label_background_fill_dark="transparent",
        block_label_border_width="0px", block_label_text_color="*neutral_500",
        block_title_text_weight="600", block_title_text_color="*neutral_700",
        block_title_text_color_dark="*neutral_300",
        input_background_fill="white", input_background_fill_dark="*neutral_950",
        input_border_color="*neutral_300", input_border_color_dark="*neutral_700",
        input_border_color_focus="*primary_500", input_border_color_focus_dark="*primary_400",
        input_radius="8px", input_shadow="none", input_shadow_focus="0 0 0 3px rgba(31,168,152,.18)",
        button_large_radius="8px", button_medium_radius="8px", button_small_radius="7px",
        button_large_text_weight="600", button_medium_text_weight="600", button_small_text_weight="600",
        button_primary_background_fill="*primary_700", button_primary_background_fill_hover="*primary_800",
        button_primary_background_fill_dark="*primary_400", button_primary_background_fill_hover_dark="*primary_300",
        button_primary_text_color="white", button_primary_text_color_dark="*neutral_950",
        button_secondary_background_fill="white", button_secondary_background_fill_hover="*neutral_100",
        button_secondary_background_fill_dark="*neutral_800",
        button_secondary_background_fill_hover_dark="*neutral_700",
        button_secondary_border_color="*neutral_300", button_secondary_border_color_dark="*neutral_700",
        button_secondary_text_color="*neutral_800", button_secondary_text_color_dark="*neutral_100",
        button_border_width="1px", button_transition="background-color .12s ease, border-color .12s ease",
        slider_color="*primary_600", slider_color_dark="*primary_400",
        checkbox_background_color_selected="*primary_700", checkbox_background_color_selected_dark="*primary_500",
        loader_color="*primary_600", loader_color_dark="*primary_400",
        code_background_fill="*neutral_100", code_background_fill_dark="*neutral_800",
    )


def head() -> str:
    """The page's own style and script, inline. Gradio's `css` would rewrite the rules, and lose some on the way."""
    return f"<style>{STYLE.read_text(encoding='utf-8')}</style><script>{SCRIPT.read_text(encoding='utf-8')}</script>"


# A click on a card of `parts.cards` becomes the event `pick` with the card's value.
PICK = """
element.addEventListener('click', (event) => {
  const card = event.target.closest('[data-pick]');
  if (card && !card.disabled) trigger('pick', {value: card.dataset.pick});
});
"""


def pane(value: str, elem_id: str, script: str = "", *, visible: bool = True) -> gr.HTML:
    """A piece of our own HTML, styled by style.css alone; `script` runs once, with `element` and `trigger`."""
    return gr.HTML(value, elem_id=elem_id, js_on_load=script or None, apply_default_css=False, visible=visible)


def turns(name: str) -> dict[str, Any]:
    """Options of a listener: those that share a name run one at a time, as they were asked for.

    Otherwise what was computed first may arrive last, and show again what is over, or undo it.
    """
    return {"concurrency_id": name, "concurrency_limit": 1, "show_progress": "hidden"}


def show() -> Any:
    """The update that shows a component."""
    return gr.update(visible=True)


def hide() -> Any:
    """The update that hides a component."""
    return gr.update(visible=False)
