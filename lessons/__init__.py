"""Lessons that run, and exercises that say what is wrong: `python -m lessons`.

NN_verb_object.py   the lessons, plain scripts in cells; story: headings, questions, numbers, figures
exercises/          one module each: the task, hints, the right lines, and a table of wrong ones
walks, cases        a right answer as text, its slips and mutants; the arguments that it is tried on
calls, explain      careful calls of the learner's functions; why a result is wrong
judge, child        the checks of an exercise, and the process that runs them on a learner's file
runner              starts that process and enforces the time limit
cli, work           the commands, and the files that they read and write
bugs/ lab/          the gallery of bugs; the variance laboratory and the benchmark
"""
