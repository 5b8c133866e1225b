"""The commands of the command line, a module each; parts of a long one are named after it.

What all of them share: `arguments`, what they are given; `work`, what they do; `output`, what they show.
"""
