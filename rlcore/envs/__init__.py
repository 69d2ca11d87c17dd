"""Vector environments: how they are made, what their actions mean, how their state is saved."""
