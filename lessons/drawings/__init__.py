"""Drawings of the lessons: functions that take arrays and return a figure, one module for each lesson."""
