"""Tunnels: what makes a listener on this machine reachable from outside, and what keeps it so.

One rule: a provider starts one tunnel and says what becomes of it; it never tries again by itself. Trying again,
waiting and recording are the supervisor's. Place in the flow: client --tunnel--> proxy engine --> upstream.
"""
