"""What is given to others: suites' results, a run as one page, personal values as pseudonyms, a bundle.

Place in the flow: store -> material.py -> personal.py -> page.py, bundle.py; a suite's result -> suites.py.
"""
