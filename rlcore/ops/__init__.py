"""Pure formulas: tensors in, tensors out."""
