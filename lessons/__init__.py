"""Lessons that run, and exercises that say what is wrong: `python -m lessons`.

NN_verb_object.py   the lessons, plain scripts in cells
story               what a lesson is told with: numbers beside their exact values, figures
exercises/          one module each: the task, hints, checks
slips/              what goes wrong with each: wrong answers, and what else may have been computed
judging/            how an answer is held to a reference, and how the cause of an error is found
cli                 the commands; stubs, checking, child: what they are made of
"""
