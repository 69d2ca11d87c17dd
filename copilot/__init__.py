"""Ask the corpus, get a cited answer; describe a run, get a validated plan. No Gradio, and no torch until used."""
