"""Lessons that run, and exercises that say what is wrong: `python -m lessons`.

NN_verb_object.py   the lessons, plain scripts in cells
story               what a lesson is told with: numbers beside their exact values, figures
exercises/          one module each: hints, checks, and the wrong answers that they must reject
"""
