"""The command line's verbs, one module a group of them; `cli.py` makes one program of them.

Every verb goes through `commands.running.perform`: it opens the store as the verb's `Access` says, works out under
whose name, and answers. See `commands.verbs.verb` for how a verb is added.
"""
