"""What learners get wrong, exercise by exercise.

The listed wrong answers and what else they may have computed.
"""
