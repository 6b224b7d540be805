"""What differs between two exchanges or two runs, judged by what it means in SCIM.

Place in the flow: lists of `Seen` -> match.py -> differences.py for each pair -> runs.py -> report.py, html.py.
"""
