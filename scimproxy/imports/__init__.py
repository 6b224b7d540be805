"""Files of other tools, read as a run: which format a file is in (formats.py), and a reader for each.

One rule: input is hostile; it is bounded, and refused with a sentence.
"""
