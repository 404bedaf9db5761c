"""Who is there, how to reach it, is it well: candidates, identities and health of services. Measures nothing.

Only this room knows where services are looked for; importing the package loads nothing.
"""
