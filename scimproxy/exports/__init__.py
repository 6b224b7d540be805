"""Formats in which a run is *run again* elsewhere: hurl, pytest, locust, postman, runscope; and what they share.

One rule: what varies from server to server is decided once, in `variables.py`; a format only spells it. Pure.
Flow: exchanges -> variables.plan -> Plan -> one module per format -> export.FORMATS.
"""
