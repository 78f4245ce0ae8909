"""What is remembered: the database, the mask files and their sidecars, and the audit."""

from store.rebuild import rebuild
from store.records import Store, open_store

__all__ = ["Store", "open_store", "rebuild"]
