"""Attacks on this copy of TwinReview, from outside: files, the command line and a dashboard on this machine's loopback.

`make attack` tries every door once and prints which held. It talks to nothing but what it started itself, and ends by
itself: every wait and every request has a limit. docs/threat-model.md says what the doors are for.
"""
