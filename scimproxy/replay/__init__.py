"""What to send when a recorded run is sent again: ids, names and versions exchanged by their SCIM role.

Place in the flow: a run's exchanges -> replayer.py -> replay_run (which sends) -> answers -> replayer.py.
"""
