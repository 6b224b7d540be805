"""Runscope's test format, run here: reading it, judging answers, and everything pure around that.

One rule: what Runscope does is written down once, here, with its source; where nothing is known about it, the
docstring says INFERRED and what we chose. The way through the rooms::

    file -> runscope.parse -> model.Suite -> templates.substitute -> (a runner sends) -> evaluate.extract, evaluate
                                                      ^ jsonpath, xpath read the answer's body

Failed is not errored: failed is the answer's fault, errored means that the assertion itself cannot be judged.
"""
