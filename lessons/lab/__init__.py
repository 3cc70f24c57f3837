"""The laboratory: the variance of gradient estimators, and the run time of training.

moments     exact mean, variance and fourth moment of every estimator of one gradient
costs       known costs: measured beside exact
encoders    the ELBO of a trained VAE: variance at the encoder's outputs and at its weights
courses     what that variance does to training
variance    python -m lessons variance: one of these three
contenders  the training step here and in other libraries, and products, each in its own process
watched     the parts of our step
bench       python -m lessons bench: rounds, medians, ratios and floors
chapter     how the step became fast: each change, predicted and measured
reproduce   python -m lessons reproduce: a published table, trained anew
show        one way to print a number, a table and a chart and to write files
"""
