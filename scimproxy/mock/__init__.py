"""A recorded server played back: which answer a request gets, or a server of its own in the recorded dialect.

Place in the flow: a run's exchanges -> recorded.py or stateful.py -> intervening.py -> the engine's seam.
"""
