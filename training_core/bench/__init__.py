"""``python -m training_core bench``: what this machine could give, what engine and learner make of it, where the time goes."""
