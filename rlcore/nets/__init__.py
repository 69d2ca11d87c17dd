"""Networks: modules without algorithm knowledge."""
