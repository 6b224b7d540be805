"""The inspector: pages, a JSON API and a stream of events about one database, on a loopback port of its own.

One rule: it reads the store and nothing else, so it shows the same beside a recording, after it, and of a copied
file; nothing in it stands between a client and the server. It runs in a process of its own (child.py), so that a
page that is looked at costs a recording no more than any other program on the machine.

 browser -> door.py (may it come in?) -> server.py -> pages.py (HTML) | api.py (JSON) | stream.py (events)
                                                         +--> readers.py (threads) -> store.Reader
"""
