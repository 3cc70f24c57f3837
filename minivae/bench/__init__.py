"""Race the training step against other libraries, in one interleaved run: `python -m minivae bench`.

opponents   the same training step in torch and in jax
measures    what one process of the benchmark measures
children    a process for each contender, started, stopped and woken
machine     what the machine is, and what a step asks of it at least
race        rounds, medians and ratios
table       the result as text
chart       the result as a picture
"""
