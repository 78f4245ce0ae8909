"""The viewer's pure modules, run in Chromium without a server: hand-computed answers on small grids."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from scipy import ndimage

pytestmark = pytest.mark.browser
STATIC = Path(__file__).resolve().parents[2] / "pages/ui/viewer/static"
HOST = "http://viewer.test/"


@pytest.fixture
def run(page):
    """run("lib/grid.js", "m.inPlane(axis)", axis=1) -> the value of an expression in which m is the module."""

    def serve(route):
        name = route.request.url.removeprefix(HOST)
        if name and not (STATIC / name).is_file():
            route.fulfill(status=404, body='{"error": "there is no server"}')
            return
        body = (STATIC / name).read_text(encoding="utf-8") if name else "<!doctype html><title>modules</title>"
        route.fulfill(body=body, content_type="text/javascript" if name else "text/html")

    page.route(f"{HOST}**", serve)
    page.goto(HOST)

    def evaluate(module, expression, **values):
        names = ", ".join(values)
        return page.evaluate(
            f"async ({{ {names} }}) => {{ const m = await import('{HOST}{module}'); return await ({expression}); }}",
            values,
        )

    return evaluate


def visited(run, call, **values):
    return set(run("edit/shapes.js", f"(() => {{ const seen = []; m.{call}; return seen; }})()", **values))


def numbers(mask):
    """Voxel numbers of a boolean (I, J, K) array, i fastest."""
    return set(np.flatnonzero(mask.ravel(order="F")).tolist())


SHAPE, SPACING = (12, 10, 8), (1.0, 2.0, 3.0)
GRID = {"shape": list(SHAPE), "spacing": list(SPACING)}


def ball(centre, radius_mm, axis=None):
    at = np.stack(np.meshgrid(*[np.arange(n) for n in SHAPE], indexing="ij"), -1)
    off = (at - centre) * SPACING
    inside = np.ones(SHAPE, bool)
    if axis is not None:
        inside = at[..., axis] == round(centre[axis])
        off[..., axis] = 0
    return inside & ((off**2).sum(-1) <= radius_mm**2 + 1e-9)


@pytest.mark.parametrize(
    ("centre", "radius", "axis"),
    [
        ((5, 5, 4), 4.0, None),
        ((5.3, 4.6, 3.2), 5.0, None),
        ((5.3, 4.6, 3.2), 4.0, 2),
        ((2, 5, 4), 6.0, 0),
        ((0, 0, 0), 3.5, 1),
    ],
)
def test_a_ball_or_disc_holds_the_voxels_whose_centres_are_near_enough(run, centre, radius, axis):
    call = "visitBall(grid, centre, radius, axis, (p) => seen.push(p))"
    assert visited(run, call, grid=GRID, centre=centre, radius=radius, axis=axis) == numbers(ball(centre, radius, axis))


def test_the_smallest_brush_still_sets_the_voxel_it_is_on(run):
    found = visited(run, "visitBall(grid, [4.4, 4.4, 4.4], 0.1, null, (p) => seen.push(p))", grid=GRID)
    assert found == {4 + 12 * (4 + 10 * 4)}


def test_a_stroke_leaves_no_gap_and_goes_no_further_than_its_radius(run):
    call = "visitStroke(grid, [1, 1, 4], [10, 8, 4], 2.5, 2, (p) => seen.push(p))"
    found = visited(run, call, grid=GRID)
    i, j = np.meshgrid(np.arange(12), np.arange(10), indexing="ij")
    a, b = np.array([1, 2.0]), np.array([10, 16.0])  # mm
    points = np.stack([i, 2.0 * j], -1)
    t = np.clip((points - a) @ (b - a) / ((b - a) @ (b - a)), 0, 1)
    distance = np.linalg.norm(points - (a + t[..., None] * (b - a)), axis=-1)
    slices = {p % 12 + 12 * (p // 12 % 10) for p in found}
    assert {p // 120 for p in found} == {4}
    assert slices >= numbers(distance < 2.2)
    assert slices <= numbers(distance <= 2.5)


def test_a_polygon_holds_the_centres_inside_it_by_even_and_odd(run):
    square = [[1.5, 1.5, 3], [6.5, 1.5, 3], [6.5, 5.5, 3], [1.5, 5.5, 3]]
    want = np.zeros(SHAPE, bool)
    want[2:7, 2:6, 3] = True
    assert visited(run, "visitPolygon(grid, points, 2, (p) => seen.push(p))", grid=GRID, points=square) == numbers(want)
    twice = square + square  # gone round twice: outside again
    assert visited(run, "visitPolygon(grid, points, 2, (p) => seen.push(p))", grid=GRID, points=twice) == set()
    line = square[:2]
    assert visited(run, "visitPolygon(grid, points, 2, (p) => seen.push(p))", grid=GRID, points=line) == set()


def test_signed_distances_are_those_of_an_exact_transform(run):
    rng = np.random.default_rng(3)
    mask = ndimage.binary_opening(rng.random((14, 11)) > 0.4)
    got = run(
        "edit/between.js",
        "[...m.signedDistance({n, m: rows, mask}, [1.5, 0.7])]",
        n=14,
        rows=11,
        mask=mask.ravel(order="F").astype(int).tolist(),
    )
    inside = ndimage.distance_transform_edt(mask, sampling=(1.5, 0.7))
    outside = ndimage.distance_transform_edt(~mask, sampling=(1.5, 0.7))
    want = np.where(mask, inside - 0.35, 0.35 - outside)
    np.testing.assert_allclose(np.reshape(got, mask.shape, order="F"), want, atol=1e-9)


#: A label map in which L1 is a ring around a hole, L2 a block beside it, and L1 has a second piece far away.
LABELS = np.zeros((12, 10, 8), np.uint8)
LABELS[1:6, 1:6, 3] = 1
LABELS[3, 3, 3] = 0
LABELS[6:8, 1:6, 3] = 2
LABELS[10, 8, 6] = 1


@pytest.fixture
def edit(run):
    """edit("e.polygon(...)") -> (value, labels after it, changes told); e is an editor of LABELS."""

    def evaluate(script, labels=LABELS):
        value, after, changes = run(
            "edit/edit.js",
            """(() => { const array = Uint8Array.from(labels), changes = [];
                 const e = new m.LabelEditor(shape, [1, 2, 3], array, (c) => changes.push([c.what, c.slices]));
                 const value = (() => { SCRIPT })();
                 return [value ?? null, [...array], changes]; })()""".replace("SCRIPT", script),
            labels=labels.ravel(order="F").tolist(),
            shape=list(labels.shape),
        )
        return value, np.reshape(after, labels.shape, order="F").astype(np.uint8), changes

    return evaluate


def test_a_brush_never_paints_over_a_neighbour_and_an_eraser_takes_its_own_lesion_alone(edit):
    _, after, changes = edit("e.begin('brush L1', 1); e.stroke([4, 3, 3], [8, 3, 3], 2, 2); return e.commit();")
    assert (after[LABELS == 2] == 2).all()
    assert after[3, 3, 3] == 1
    assert after[8, 3, 3] == 1
    assert changes == [["brush L1", [3]]]
    _, after, _ = edit("e.begin('erase L2', 2); e.stroke([4, 3, 3], [8, 3, 3], 2, 2, {on: false}); return e.commit();")
    assert (after[LABELS == 1] == 1).all()
    assert (after == 2).sum() < (LABELS == 2).sum()


def test_a_ball_changes_the_slices_it_reaches_and_they_are_told(edit):
    _, after, changes = edit(
        "e.begin('b', 3); e.stroke([9, 4, 4], [9, 4, 4], 3.1, 2, {ball: true}); return e.commit();"
    )
    assert changes == [["b", [3, 4, 5]]]
    assert (after[9, 4, 3:6] == 3).all()
    assert (after[9, 4] == 3).sum() == 3


def test_only_voxels_within_the_limits_are_added(edit):
    script = "e.begin('b', 1); e.stroke([3, 8, 5], [3, 8, 5], 3, 2, {allow: (p) => p % 12 > 3}); return e.commit();"
    _, after, _ = edit(script)
    added = np.argwhere((after == 1) & (LABELS == 0))
    assert len(added)
    assert (added[:, 0] > 3).all()


def test_holes_are_filled_and_what_is_open_is_not(edit):
    done, after, changes = edit("return e.fillHoles(1, 2);")
    assert done
    assert after[3, 3, 3] == 1
    assert (after != LABELS).sum() == 1
    assert changes == [["fill holes of lesion 1", [3]]]
    opened = LABELS.copy()
    opened[3, 1:3, 3] = 0
    done, after, _ = edit("return e.fillHoles(1, 2);", opened)
    assert not done
    assert (after == opened).all()


def test_a_piece_is_kept_alone_or_removed(edit):
    far = 10 + 12 * (8 + 10 * 6)
    _, after, _ = edit(f"return e.piece({far}, true);")
    assert np.argwhere(after == 1).tolist() == [[10, 8, 6]]
    assert (after == 2).sum() == (LABELS == 2).sum()
    _, after, _ = edit(f"return e.piece({far}, false);")
    assert (after == np.where(np.arange(8) == 6, 0, LABELS)).all()


def test_slices_between_drawn_ones_are_interpolated_as_a_cone_narrows(edit):
    script = """e.begin('p', 4); e.stroke([5, 5, 1], [5, 5, 1], 4, 2); e.commit();
                e.begin('p', 4); e.stroke([7, 5, 5], [7, 5, 5], 2, 2); e.commit();
                return e.interpolate(4, 2);"""
    count, after, changes = edit(script, np.zeros((12, 10, 8), np.uint8))
    assert count == 3
    areas = (after == 4).sum(axis=(0, 1))
    assert areas[1] > areas[2] >= areas[3] >= areas[4] >= areas[5] > 0
    assert after[6, 5, 3] == 4, "centres are joined by a straight line"
    assert (areas[[0, 6, 7]] == 0).all()
    assert changes[-1] == ["interpolate lesion 4", [2, 3, 4]]
    count, _, _ = edit("e.begin('p', 4); e.stroke([5, 5, 1], [5, 5, 1], 4, 2); e.commit(); return e.interpolate(4, 2);")
    assert count == 0


def test_seventy_steps_are_undone_and_done_again_one_by_one_in_words(edit):
    draw = """for (let n = 0; n < 70; n++) { e.begin(`step ${n}`, 5); e.set(n, true); e.commit(); }
              const said = [];"""
    said, after, changes = edit(
        draw + "for (let n = 0; n < 70; n++) said.push(e.undo()); said.push(e.undo()); return said;"
    )
    assert said == [f"step {n}" for n in reversed(range(70))] + [None]
    assert (after == LABELS).all()
    assert changes[-1] == ["undo step 0", [0]]
    said, after, _ = edit(
        draw
        + """for (let n = 0; n < 70; n++) e.undo();
                                    for (let n = 0; n < 71; n++) said.push(e.redo()); return said;"""
    )
    assert said == [f"step {n}" for n in range(70)] + [None]
    assert (
        after.ravel(order="F")[:70] == np.where(LABELS.ravel(order="F")[:70] == 0, 5, LABELS.ravel(order="F")[:70])
    ).all()


def test_a_new_step_forgets_what_was_undone_and_a_step_without_effect_is_none(edit):
    value, _, changes = edit("""e.begin('a', 5); e.set(0, true); e.commit(); e.undo();
                                e.begin('b', 5); e.set(1, true); e.commit();
                                e.begin('none', 5); e.set(1, true); const none = e.commit();
                                return [e.redo(), e.undoes, none];""")
    assert value == [None, "b", False]
    assert [what for what, _ in changes] == ["a", "undo a", "b"]


def test_a_models_answer_spares_what_was_set_by_hand(edit):
    keep = """e.begin('hand', 1); e.set(0, true); e.set(13 + 120 * 3, false); e.commit();
              const voxels = new Map([[0, false], [5, true], [13 + 120 * 3, true], [6 + 12 + 120 * 3, true]]);
              return e.keep('answer', 1, voxels, SPARING);"""
    _, after, _ = edit(keep.replace("SPARING", "true"))
    flat = after.ravel(order="F")
    assert (flat[0], flat[5], flat[13 + 360], flat[18 + 360]) == (1, 1, 0, 2), "L2 is never overwritten"
    _, after, _ = edit(keep.replace("SPARING", "false"))
    flat = after.ravel(order="F")
    assert (flat[0], flat[13 + 360]) == (0, 1)


def test_another_side_that_is_taken_can_be_undone(edit):
    value, after, _ = edit("""const other = new Uint8Array(e.array.length); other[7] = 9;
                              e.replace('taking theirs', other); const taken = [...e.array].reduce((a, b) => a + b, 0);
                              e.undo(); return taken;""")
    assert value == 9
    assert (after == LABELS).all()


def test_answers_on_another_grid_are_laid_on_the_reference_by_the_nearest_voxel(run):
    # The scan's voxels are 2 x 2 x 3 times the reference's, its axes k, i, j of it, and it begins at (1, 1, 1) mm.
    reference = {"shape": [12, 12, 12], "affine": [1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1]}
    affine = np.array([[0, 2.0, 0, 1], [0, 0, 3.0, 1], [2.0, 0, 0, 1], [0, 0, 0, 1]])
    scan = {"shape": [6, 6, 4], "affine": affine.ravel().tolist()}
    said = {"origin": [1, 2], "shape": [2, 1], "mask": "Aw=="}  # both bits set
    found, axis = run(
        "prompt/slice_answers.js",
        """(() => { const map = new m.SliceMap(scan, reference);
        return [map.voxels(2, 1, m.unpack(said)), [0, 1, 2].map((a) => map.axisAlong(a))]; })()""",
        scan=scan,
        reference=reference,
        said=said,
    )
    assert axis == [1, 2, 0]
    at = np.stack(np.meshgrid(*[np.arange(12)] * 3, indexing="ij"), -1).reshape(-1, 3)
    index = (np.c_[at, np.ones(len(at))] @ np.linalg.inv(affine).T)[:, :3]
    near = np.floor(index + 0.5).astype(int)  # halves up, as JavaScript rounds
    hit = (near[:, 2] == 1) & np.isin(near[:, 0], [1, 2]) & (near[:, 1] == 2)
    want = {int(i + 12 * (j + 12 * k)) for i, j, k in at[hit]}
    assert set(found) == want
    assert want


@pytest.mark.parametrize("seed", range(6))
def test_the_server_explains_just_the_voxels_that_the_viewer_takes_of_an_answer(run, seed):
    """On scans that lie straight, turned, flipped and obliquely to the reference, with voxels of other sizes."""
    from core.lesions.mask_bits import pack
    from core.review.model_answers import Answer
    from core.review.provenance import explain
    from core.types import Grid

    rng = np.random.default_rng(seed)
    reference = Grid((14, 12, 10), np.diag([1.0, 1.5, 2.0, 1.0]))
    turn = [np.eye(3)[rng.permutation(3)] * rng.choice([-1, 1], 3), np.linalg.qr(rng.normal(size=(3, 3)))[0]][seed % 2]
    affine = np.eye(4)
    affine[:3, :3] = turn * rng.choice([1.0, 1.5, 2.0, 3.0], 3)  # round numbers, so that voxels lie between two
    affine[:3, 3] = reference.to_mm(np.array([[7, 6, 5]]))[0] - affine[:3, :3] @ [5, 5, 4]
    scan, axis, k = Grid((11, 10, 9), affine), int(rng.integers(3)), 4
    mask = rng.random([n for a, n in enumerate(scan.shape) if a != axis]) < 0.6
    packed = pack(mask)
    grids = {
        name: {"shape": list(g.shape), "affine": g.affine.ravel().tolist()}
        for name, g in (("scan", scan), ("reference", reference))
    }
    found = run(
        "prompt/slice_answers.js",
        "new m.SliceMap(scan, reference).voxels(axis, k, m.unpack(said))",
        **grids,
        axis=axis,
        k=k,
        said=packed,
    )
    after = np.zeros(reference.shape, np.uint8)
    after[np.unravel_index(found, reference.shape, order="F")] = 1
    answer = Answer.model_validate(
        {
            **packed,
            "answer_id": "0" * 32,
            "scan_sha256": "a" * 64,
            "scan": "CT",
            "axis": axis,
            "slice": k,
            "lesion": 1,
            "prompts": [],
            "model_id": "m",
            "checkpoint_sha256": "c",
        }
    )
    made = explain(None, after, reference, [answer], {"a" * 64: scan})
    assert found
    assert (made.method, made.by_hand, made.answered) == ("medsam", 0, len(found))
    assert explain(None, after, reference, [], {}).method == "manual"


def test_bits_packed_here_are_read_back(run):
    value = run(
        "prompt/slice_answers.js",
        """(() => { const test = (a, b) => (a * 7 + b * 3) % 5 === 0 && a > 1 && b < 8;
        const packed = m.pack([13, 11], test), read = m.unpack(packed); let wrong = 0;
        for (let b = 0; b < 11; b++) for (let a = 0; a < 13; a++) if (m.hasBit(read, a, b) !== test(a, b)) wrong++;
        return [wrong, m.pack([5, 5], () => false)]; })()""",
    )
    assert value == [0, {"origin": [0, 0], "shape": [0, 0], "mask": ""}]


def test_a_long_sentence_is_broken_into_lines_that_fit(run):
    def lines(text, most):
        return run("lib/words.js", "m.linesOf(text, (t) => t.length, most)", text=text, most=most)

    assert lines("the file of version 1 is missing", 12) == ["the file of", "version 1 is", "missing"]
    assert lines("short", 12) == ["short"]
    assert lines("unbelievably-long-word then", 10) == ["unbelievably-long-word", "then"]
    assert lines("", 10) == []


#: A stand-in for the page around the drawing tools: an empty 12 x 10 x 8 map, a pane on slice 3 of the axial planes,
#: and the five tools by name.
TOOLS = """
  const {LabelEditor} = await import('http://viewer.test/edit/edit.js'), AXES = {axial: 2, coronal: 1, sagittal: 0};
  const shape = [12, 10, 8], array = new Uint8Array(960), said = [], scan = {sha256: 's', shape,
    affine: [1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1]};
  const editor = new LabelEditor(shape, [1, 1, 1], array, () => {});
  const options = {radiusMm: 1, ball: false, limit: false, low: null, high: null};
  const viewer = {say: (text) => said.push(text), planeOf: (_, name) => ({axis: AXES[name]})};
  const session = {viewer, editor, options, label: 1, lesionName: 'L1', refusal: () => ''};
  const there = new Uint8Array(9).fill(1), data = new Int16Array(960).fill(7);
  const pane = {planeName: 'axial', slice: 3, ratio: 1, frame: {master: scan}, series: {reference: scan},
    volume: {scan, data, there, slope: 1, intercept: 0}, place: () => ({x: 0, y: 0, sx: 9, sy: 9}),
    get plane() { return {axis: AXES[this.planeName], toPixel: (at) => at}; }, labelsChanged() {}, draw() {}};
  const tools = Object.fromEntries(m.penTools(session).map((tool) => [tool.name, tool]));
  const event = {shiftKey: false, detail: 1};
  const at = (...index) => ({index, voxel: index, screen: [9 * index[0], 9 * index[1]]});
  const set = () => [...array].flatMap((label, p) => label ? [p] : []);
"""


def test_a_stroke_that_is_undone_while_it_is_drawn_ends_there(run):
    after = run(
        "edit/pens.js",
        f"(async () => {{ {TOOLS} tools.brush.down(at(5, 5, 3), pane, event); editor.undo();"
        " tools.brush.move(at(7, 5, 3), pane, event); tools.brush.up(at(7, 5, 3), pane, event);"
        " return [set(), editor.done.length]; })()",
    )
    assert after == [[], 0]


def test_a_polygon_is_closed_on_the_plane_it_was_begun_on(run):
    corners = ((2, 2), (6, 2), (6, 6), (2, 6))
    clicks = "".join(f"tools.polygon.down(at({x}, {y}, 3), pane, event);" for x, y in corners)
    found = run(
        "edit/pens.js",
        f"(async () => {{ {TOOLS} {clicks} pane.planeName = 'coronal'; tools.polygon.enter(event); return set(); }})()",
    )
    assert {p // 120 for p in found} == {3}
    assert len(found) >= 16


def test_a_limit_that_is_empty_limits_nothing_and_voxels_that_have_not_come_are_not_added(run):
    def painted(setting):
        return run(
            "edit/pens.js",
            f"(async () => {{ {TOOLS} Object.assign(options, {{limit: true, ball: true}}); data.fill(-7); {setting}"
            " tools.brush.down(at(5, 5, 3), pane, event); tools.brush.up(at(5, 5, 3), pane, event);"
            " return [...new Set(set().map((p) => Math.floor(p / 120)))]; })()",
        )

    assert painted("options.high = 0;") == [2, 3, 4]
    assert painted("options.low = -9; there[4] = 0;") == [2, 3]
    assert painted("options.low = 0;") == []


def test_the_answer_to_a_prompt_that_was_dropped_meanwhile_is_not_shown(run):
    left = run(
        "prompt/prompts.js",
        """(async () => {
          const scan = {sha256: 's', scan_id: 'CT', channel: 'CT', shape: [8, 8, 4],
            affine: [1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1]};
          const viewer = {auth: {api: '/api/', token: 't'}, say() {}, draw() {}, tools: new Map(), tool: ''};
          const session = {viewer, series: {scans: [scan], reference: scan}, label: 1, bar: {refresh() {}},
            promptsChanged() {}};
          const prompting = new m.Prompting(session);
          let answer; window.fetch = () => new Promise((resolve) => { answer = resolve; });
          const ask = () => prompting.add({type: 'box', scan: 'CT', axis: 2, slice: 1, coords: [1, 1, 3, 3]});
          const reply = () => answer(Response.json({origin: [1, 1], shape: [1, 1], mask: 'AQ==', answer_id: 'a',
            predicted_iou: 0.9, seconds: {}}));
          const kept = ask(); reply(); await kept; const seen = prompting.answers.size; prompting.drop();
          const dropped = ask(); prompting.drop(); reply(); await dropped;
          return [seen, prompting.answers.size, prompting.preview]; })()""",
    )
    assert left == [1, 0, None]


def test_a_draft_is_saved_only_when_every_edit_has_arrived(run):
    requests = run(
        "edit/draft.js",
        """(async () => {
          const read = {slice: () => new Uint8Array(4), prompts: () => [], answers: () => [], lesions: () => [],
            depth: 2, same: () => false};
          const draft = new m.Draft({api: '/api/', token: 't'}, {}, {draft_id: 'd', revision: 1}, read, () => {});
          const seen = []; let revision = 1, running = 0;
          window.fetch = async (url, {method, headers}) => {
            const name = `${method} ${headers['If-Match']}${running ? ' while another ran' : ''}`;
            running++; await new Promise((resolve) => setTimeout(resolve, 20)); running--; seen.push(name);
            return Response.json(method === 'PUT' ? {revision: ++revision} : {version: 2});
          };
          draft.changed({what: 'a', slices: [0]}); draft.flush();
          draft.changed({what: 'b', slices: [1]}); draft.flush();
          await draft.save(); return seen; })()""",
    )
    assert requests == ["PUT 1", "PUT 2", "POST 3"]


def test_a_timepoint_without_a_pet_is_shown_in_slices_beside_a_projection(run):
    planes = run(
        "view/viewer.js",
        """(async () => {
          const scan = (name, modality) => ({sha256: name, scan_id: name, channel: name, modality, unit: 'HU', slope: 1,
            shape: [4, 4, 4], affine: [1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1], intercept: 0, slab: 4,
            window: [0, 9]});
          const pane = (timepoint, scans) => ({title: timepoint, timepoint, simulated: null, scans, mask: null,
            reference: scans[0].sha256, shown: scans[0].sha256, against: null, lesions: [], offered: [],
            next_label: 1, measurements: []});
          const panes = [pane('a', [scan('CT1', 'CT'), scan('PT1', 'PET')]), pane('b', [scan('CT2', 'CT')])];
          const data = {api: '/api/', token: 't', mode: 'timepoints', edit: false, presets: {}, panes, link: null,
            prompts: [], draft: null, colours: ['#ffffff']};
          const root = document.createElement('div'), room = document.createElement('div');
          room.className = 'panes'; root.append(room); document.body.append(root);
          const viewer = new m.Viewer(root, data, () => {});
          viewer.panes[0].planeName = 'mip'; viewer.setLayout('one'); viewer.setLayout('two');
          const shown = viewer.panes.map((one) => [one.planeName, one.volume.scan.sha256]);
          viewer.close(); return shown; })()""",
    )
    assert planes == [["mip", "PT1"], ["axial", "CT2"]]


def test_a_picture_turned_within_its_plane_turns_about_the_place_that_stays(run):
    # Across the screen runs -x, down it -y: a quarter turn takes -x to -y, and leaves the centre and z alone.
    values = {"across": [-2, 0, 0], "down": [0, -3, 0], "angle": np.pi / 2, "centre": [10, 20, 5]}
    matrix = np.reshape(run("register/hands.js", "m.turned(across, down, angle, centre)", **values), (4, 4))
    assert matrix @ [10, 20, 5, 1] == pytest.approx([10, 20, 5, 1])
    assert matrix @ [9, 20, 7, 1] == pytest.approx([10, 19, 7, 1])
    assert matrix[:3, :3] @ matrix[:3, :3].T == pytest.approx(np.eye(3))


#: Label 1 is L2, in two pieces; nobody could tell what label 3 is; L1 may be drawn under 255.
PANE = {
    "timepoint": "2025-01-20",
    "lesions": [
        {"label": 1, "lesion_id": "L2", "colour": "#00f", "volume_mm3": 500, "rejected": False},
        {"label": 3, "lesion_id": "unlinked-3", "colour": "#777", "volume_mm3": 100, "rejected": False},
        {"label": 4, "lesion_id": "L2", "colour": "#00f", "volume_mm3": 700, "rejected": False},
    ],
    "offered": [{"label": 255, "lesion_id": "L1", "colour": "#f00", "timepoint": "2025-01-01"}],
    "next_label": 5,
}


def test_labels_are_called_by_the_lesion_that_they_are(run):
    names = run("lib/naming.js", "m.namedLabels(pane)", pane=PANE)
    assert names == [[1, "L2"], [3, "not linked (label 3)"], [4, "L2 (piece 2)"]]
    whole = run("lib/naming.js", "m.wholeLesions(pane).map((one) => [one.id, one.volume_mm3])", pane=PANE)
    assert whole == [["L2", 1200], ["unlinked-3", 100]]
    assert run("lib/naming.js", "['L2', 'L1', 'L9'].map((id) => m.labelOf(pane, id))", pane=PANE) == [4, 255, None]


def test_a_label_that_nobody_could_link_is_not_that_of_another_timepoint(run):
    keys = run(
        "lib/naming.js",
        "[pane, {...pane, timepoint: 'later'}].map((one) => [1, 3, 9].map((label) => m.lesionOf(one, label)))",
        pane=PANE,
    )
    assert keys[0][0] == keys[1][0] == "L2"
    assert len({*keys[0], *keys[1]}) == 5


def test_what_a_label_was_drawn_as_it_stays_and_the_others_are_offered_beside_it(run):
    pane = {**PANE, "lesions": [], "offered": [{"label": n, "lesion_id": f"L{n}", "timepoint": "a"} for n in (1, 2, 3)]}
    expression = "m.offeredBeside(pane, new Map(drawn)).map((one) => [one.label, one.lesion_id])"
    found = run("lib/naming.js", expression, pane=pane, drawn=[[2, None], [7, "L1"]])
    assert found == [[7, "L1"], [4, "L2"], [3, "L3"]]


def test_a_free_label_is_sought_from_the_first_on_and_there_may_be_none(run):
    expression = (
        "[m.freeLabel(new Set([5, 6]), 5), m.freeLabel(new Set(most), 5), m.freeLabel(new Set([...most, 4]), 5)]"
    )
    most = [n for n in range(1, 256) if n != 4]
    assert run("lib/naming.js", expression, most=most) == [7, 4, None]
