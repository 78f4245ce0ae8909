"""Drafts as files: every edit is kept or refused whole, in order, and none of it is a version until it is saved."""

from __future__ import annotations

import gzip
import json
import struct
import threading

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from core.errors import InputError, StoreError
from store import Store, open_store
from store.files.drafts import StaleDraft, pack_edit, read_edit
from store.recovery.rebuild import rebuild
from tests.store_phantom import DAY1, SHAPE, add_mask, add_scan

BOX = {
    "type": "box",
    "axis": 2,
    "slice": 5,
    "coords": [0.0, 0.0, 5.0, 5.0],
    "positive": True,
    "scan": "CT",
    "lesion": 7,
    "kept": False,
}


@pytest.fixture
def draft(store: Store):
    """A draft of v1, which has three voxels of lesion 1 on slice 2."""
    add_scan(store)
    add_mask(store, 3)
    return store.drafts.begin("P1", DAY1, 1, "demo")


def plane(value):
    return np.full(SHAPE[:2], value, np.uint8)


def test_a_draft_begins_as_its_version_and_follows_every_edit(store: Store, draft):
    before = store.masks.load(store.masks.version("P1", DAY1, 1)).array
    drawn = store.drafts.labels(draft)
    assert (drawn.labels.array == before).all()
    assert (drawn.revision, drawn.prompts, drawn.answers, drawn.left_out) == (0, [], [], [])
    one = plane(0)
    one[3, 4] = 7
    assert store.drafts.edit(draft.draft_id, 0, pack_edit({5: one}, [BOX], "brush L7")) == 1
    assert store.drafts.edit(draft.draft_id, 1, pack_edit({}, None, "nothing")) == 2
    drawn = store.drafts.labels(draft)
    assert drawn.labels.array[3, 4, 5] == 7
    assert (drawn.labels.array[:, :, 2] == before[:, :, 2]).all()
    assert (drawn.revision, drawn.prompts) == (2, [BOX])


def test_it_is_the_persons_own_one_of_that_version(store: Store, draft):
    store.people.add("other", by="demo")
    assert store.drafts.begin("P1", DAY1, 1, "demo").draft_id == draft.draft_id
    assert store.drafts.begin("P1", DAY1, 1, "other").draft_id != draft.draft_id
    assert store.drafts.begin("P1", DAY1, None, "demo").draft_id != draft.draft_id
    assert {d.person for d in store.drafts.of("P1", DAY1, "demo")} == {"demo"}
    assert store.drafts.of("P2") == []
    with pytest.raises(StoreError, match="no mask version 9"):
        store.drafts.begin("P1", DAY1, 9, "demo")


def test_a_change_on_an_old_revision_is_refused_and_nothing_of_it_is_written(store: Store, draft):
    store.drafts.edit(draft.draft_id, 0, pack_edit({1: plane(1)}, None, "a"))
    with pytest.raises(StaleDraft, match="on top of revision 1") as caught:
        store.drafts.edit(draft.draft_id, 0, pack_edit({1: plane(2)}, None, "b"))
    assert caught.value.revision == 1
    assert (store.drafts.labels(draft).labels.array[:, :, 1] == 1).all()
    assert not list((store.root / "incoming").iterdir())


def test_of_many_writers_of_one_revision_exactly_one_wins(store: Store, draft):
    won, lost = [], []

    def write(value):
        try:
            won.append((value, store.drafts.edit(draft.draft_id, 0, pack_edit({0: plane(value)}, None, "w"))))
        except StaleDraft:
            lost.append(value)

    threads = [threading.Thread(target=write, args=(value,)) for value in range(1, 9)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(won) == 1
    assert len(lost) == 7
    assert (store.drafts.labels(draft).labels.array[:, :, 0] == won[0][0]).all()


def bad_edits():
    good = pack_edit({1: plane(1)}, None, "x")
    header = json.dumps({"slices": [0], "what": ""}).encode()
    yield "not gzip", b"labels"
    yield "cut short", good[:-9]
    yield "a slice that is not there", pack_edit({SHAPE[2]: plane(1)}, None, "x")
    yield "a voxel too few", gzip.compress(struct.pack("<I", len(header)) + header + plane(1).tobytes()[:-1])
    yield "a voxel too many", gzip.compress(struct.pack("<I", len(header)) + header + plane(1).tobytes() + b"\0")
    yield "far more than a whole scan", gzip.compress(bytes(3_000_000))
    yield "no header", gzip.compress(b"\xff\xff\xff\xff")
    twice = json.dumps({"slices": [0, 0]}).encode()
    yield "a slice twice", gzip.compress(struct.pack("<I", len(twice)) + twice + 2 * plane(1).tobytes())
    yield (
        "prompts that are none",
        pack_edit({}, [], "x").replace(b"", b"")
        and gzip.compress(struct.pack("<I", 30) + b'{"slices": [], "prompts": [1]}'),
    )


@pytest.mark.parametrize(("what", "packed"), list(bad_edits()), ids=[what for what, _ in bad_edits()])
def test_what_is_no_edit_is_refused_and_leaves_the_draft(store: Store, draft, what, packed):
    with pytest.raises(InputError, match="Expected an edit of whole slices of 12 x 10 voxels"):
        store.drafts.edit(draft.draft_id, 0, packed)
    assert store.drafts.labels(draft).revision == 0


def test_a_damaged_edit_takes_nothing_else_away(store: Store, draft):
    for n in range(3):
        store.drafts.edit(draft.draft_id, n, pack_edit({n: plane(n + 1)}, None, "x"))
    file = store.root / "drafts" / draft.draft_id / "000002.edit"
    file.write_bytes(file.read_bytes()[:20])
    drawn = store.drafts.labels(draft)
    array = drawn.labels.array
    assert drawn.left_out == [2]
    assert (array[:, :, 0] == 1).all()
    assert (array[:, :, 1] == 0).all()
    assert (array[:, :, 2] == 3).all()
    assert store.drafts.edit(draft.draft_id, 3, pack_edit({1: plane(2)}, None, "again")) == 4


def test_drafts_outlive_the_program_and_neither_verify_nor_rebuild_mind_them(tmp_path):
    root = tmp_path / "data"
    with open_store(root) as store:
        add_scan(store)
        add_mask(store, 3)
        draft = store.drafts.begin("P1", DAY1, 1, "demo")
        store.drafts.edit(draft.draft_id, 0, pack_edit({4: plane(9)}, None, "x"))
        assert store.verify() == []
    rebuild(root)
    with open_store(root) as store:
        (again,) = store.drafts.of("P1", DAY1, "demo")
        assert (again.draft_id, again.revision, again.parent_version) == (draft.draft_id, 1, 1)
        assert (store.drafts.labels(again).labels.array[:, :, 4] == 9).all()
        assert store.verify() == []


def test_a_discarded_draft_is_gone_from_the_page_but_not_from_the_disk(store: Store, draft):
    store.drafts.edit(draft.draft_id, 0, pack_edit({4: plane(9)}, None, "x"))
    store.drafts.discard(draft.draft_id)
    assert store.drafts.of("P1") == []
    with pytest.raises(StoreError, match="saved or discarded meanwhile"):
        store.drafts.edit(draft.draft_id, 1, pack_edit({}, None, "x"))
    assert (store.root / "drafts/discarded" / draft.draft_id / "000001.edit").exists()


def test_a_saved_draft_is_closed_unless_it_was_changed_meanwhile(store: Store, draft):
    store.drafts.edit(draft.draft_id, 0, pack_edit({4: plane(9)}, None, "x"))
    assert not store.drafts.finish(draft.draft_id, 0)
    assert store.drafts.of("P1")
    assert store.drafts.finish(draft.draft_id, 1)
    assert store.drafts.of("P1") == []


@pytest.mark.parametrize("draft_id", ["", "../../audit.jsonl", "x" * 500, None])
def test_an_id_is_never_a_path(store: Store, draft_id):
    with pytest.raises(InputError, match="Expected a draft's id"):
        store.drafts.get(draft_id)


edits = st.lists(st.dictionaries(st.integers(0, SHAPE[2] - 1), st.integers(0, 255), max_size=3), min_size=1, max_size=6)


@given(edits=edits)
@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_edits_give_what_they_give_on_an_array(store: Store, edits):
    if not store.patients.all():
        add_scan(store)
        add_mask(store, 3)
    draft = store.drafts.begin("P1", DAY1, 1, "demo")
    want = store.masks.load(store.masks.version("P1", DAY1, 1)).array.copy()
    for n, edit in enumerate(edits):
        packed = pack_edit({k: plane(value) for k, value in edit.items()}, None, "x")
        assert read_edit(packed, SHAPE).slices.keys() == edit.keys()
        store.drafts.edit(draft.draft_id, n, packed)
        for k, value in edit.items():
            want[:, :, k] = value
    assert (store.drafts.labels(draft).labels.array == want).all()
    store.drafts.finish(draft.draft_id, len(edits))
