"""What is remembered: the database, the mask files and their sidecars, and the audit."""

from store.recovery.rebuild import rebuild
from store.seen import SeenStore
from store.store import Store, open_store, open_to_look

__all__ = ["SeenStore", "Store", "open_store", "open_to_look", "rebuild"]
