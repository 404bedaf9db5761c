"""Result files of other tools as run folders of ours.

`detect` says whose a file is, one module per tool reads it into the values of `model`, `definitions` says what each
metric means there, and `writing` makes the folder. What a file holds is data: bounded, checked, never trusted.
"""
