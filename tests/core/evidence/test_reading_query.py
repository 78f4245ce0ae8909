"""Text from users is harmless: what does more than read is refused before it runs, and nothing was written or read."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.errors import InputError
from core.evidence.graph import EvidenceGraph
from core.evidence.graph_database import GraphDatabase
from core.evidence.graph_schema import NODES, RELATIONS, rows_of
from core.evidence.reading_query import FUNCTIONS, OTHER_CLAUSES, READING_WORDS, reading_query
from tests.core.evidence.evidence_phantom import three_patients

SECRET = "a-secret-that-no-answer-may-hold"

READS = [
    "MATCH (o:Observation) RETURN count(*)",
    "match (o:Observation)-[:AT]->(v:Visit) where v.category = 'PR' return o.timepoint order by v.id , o.id desc",
    "OPTIONAL MATCH (a:Lesion)-[m:MERGED_INTO]->(b) RETURN a.lesion_id, coalesce(b.lesion_id, 'none') AS into",
    "MATCH (o:Observation)<-[:SEEN_AS]-(l:Lesion)<-[:HAS]-(p:Patient) RETURN p, collect(DISTINCT l.lesion_id)",
    "UNWIND [1, 2, 3] AS x WITH x WHERE x <> 2 RETURN sum(x) SKIP 0 LIMIT 3",
    "RETURN 'CREATE (x); DROP TABLE Patient; LOAD FROM \"/etc/passwd\"' AS only_text",
    'RETURN "it\'s; // no comment /* nor here */" AS text',
    "RETURN 'a quote \\' and a slash \\\\' AS text",
    'RETURN "a quote \\" and a slash \\\\" AS text',
    "MATCH (o:Observation) // DELETE o\nRETURN o.id /* SET o.id = '' */ LIMIT 1;",
    "MATCH (`create`:Observation) RETURN `create`.volume_mm3",
    "MATCH (o:Observation) WHERE EXISTS { MATCH (o)-[:BEFORE]->(:Event) } RETURN count(DISTINCT o.id)",
    "MATCH (o:Observation) WHERE NOT (o.volume_mm3 > 5 OR o.modality IN ['CT']) RETURN o",
    "MATCH (o:Observation) RETURN CASE WHEN o.later > 0 THEN 'known' ELSE 'not' END AS told, count(*)",
    "MATCH (o:Observation) WHERE o.response_after STARTS WITH 'P' AND o.percent_to_last IS NOT NULL RETURN o",
    "MATCH p = (a:Observation)-[:FOLLOWED_BY*1..5]->(b) RETURN length(p)",
    "MATCH (n) RETURN label(n), count(*) UNION ALL RETURN 'none', 0",
    "MATCH (o:Observation) WHERE any(x IN o.on_treatment WHERE x = 'chemotherapy') RETURN -1.5e3 + 2 * o.volume_mm3",
]

ATTACKS = [
    "",
    "   // only a comment",
    ";",
    "CREATE (:Patient {patient_id: 'x'})",
    "MATCH (p:Patient) SET p.dataset = 'x'",
    "MATCH (p:Patient) DETACH DELETE p",
    "MATCH (p:Patient) DELETE p RETURN 1",
    "MATCH (p:Patient) DELETE (p)",
    "MATCH (p:Patient) DELETE `p`",
    "MATCH (p:Patient) MERGE (:Patient {patient_id: 'x'})",
    "MERGE (:Patient {patient_id: 'x'})",
    "MATCH (p:Patient) /**/ sEt p.dataset = 'x' RETURN p",
    "MATCH (p:Patient) /* ' */ SET p.dataset = 'x' // '",
    "MATCH (p:Patient) RETURN '\\' // ' SET p.dataset = 'x'",
    "MATCH (p:Patient) RETURN '\\\\' SET p.dataset = '//'",
    "MATCH (p:Patient) RETURN 1; MATCH (p:Patient) DETACH DELETE p",
    "MATCH (p:Patient) RETURN 1;\n;DROP TABLE Patient",
    "DROP TABLE Patient",
    "ALTER TABLE Patient ADD x STRING",
    "LOAD FROM '{file}' (header=false) RETURN *",
    "MATCH (p:Patient) LOAD FROM '{file}' RETURN *",
    "UNWIND [1] AS x LOAD WITH HEADERS (a STRING) FROM '{file}' RETURN a",
    "RETURN 1 UNION ALL LOAD FROM '{file}' RETURN column0",
    "COPY Patient FROM '{file}'",
    "COPY (MATCH (p:Patient) RETURN p.*) TO '{out}'",
    "EXPORT DATABASE '{out}'",
    "IMPORT DATABASE '{out}'",
    "ATTACH '{out}' AS other (dbtype lbug)",
    "INSTALL httpfs",
    "LOAD EXTENSION httpfs",
    "CALL show_tables() RETURN *",
    "MATCH (p:Patient) CALL show_tables() YIELD name RETURN name",
    "CALL timeout=0",
    "CALL spill_to_disk=true",
    "CREATE MACRO f(x) AS x + 1",
    "CREATE SEQUENCE s",
    "COMMENT ON TABLE Patient IS 'x'",
    "BEGIN TRANSACTION",
    "COMMIT",
    "ROLLBACK",
    "CHECKPOINT",
    "EXPLAIN MATCH (n) RETURN n",
    "PROFILE MATCH (n) RETURN n",
    "PROJECT GRAPH g (Patient)",
    "USE GRAPH g",
    "RETURN read_csv_serial('{file}')",
    "RETURN read_parquet('{file}')",
    "RETURN `read_npy`('{file}')",
    "RETURN file_info()",
    "RETURN current_setting('home_directory')",
    "RETURN nextval('s')",
    "RETURN repeat('x', 1000000000)",
    "RETURN range(1, 1000000000)",
    "RETURN lpad('x', 1000000000, 'y')",
    "RETURN error('x')",
    "RETURN to_json($x)",
    "RETURN 'to_json($x)'",
    "RETURN 'To_JSON( $x )'",
    "MATCH (n) WHERE load_extension('x') RETURN n",
    "MATCH (n) RETURN n INTO '{out}'",
    "MATCH (p:Patient) FOREACH (x IN [1] | SET p.dataset = 'x')",
    "MATCH (p:Patient) REMOVE p.dataset",
    "MATCH (p:Patient) RETURN 'not closed",
    "MATCH (p:Patient) RETURN `not closed",
    "MATCH (p:Patient) RETURN 1 /* not closed",
    "MATCH (p:Patient)\u00a0SET p.dataset = 'x'",
    "MATCH (p:Patient) \uff33ET p.dataset = 'x'",
    "MATCH (p:Patient) \u017fET p.dataset = 'x'",
    "MATCH (p:Patient) S\\u0045T p.dataset = 'x'",
    "MATCH (p:Patient) RETURN '\\u0027 SET p.dataset = \\u0027'",
    "MATCH (p:Patient) RETURN 1\x00; DROP TABLE Patient",
    "RETURN " + "(" * 200 + "1" + ")" * 200,
    "MATCH " + "(a)-->" * 40 + "(b) RETURN count(*)",
    "MATCH " + "(a)--" * 10 + "(b) RETURN count(*)",
    "MATCH " + "(a)<-[]-" * 10 + "(b) RETURN count(*)",
    "MATCH " + ", ".join(f"(a{n})" for n in range(60)) + " RETURN 1",
    "RETURN " + "1+" * 3_000 + "1",
]


@pytest.fixture(scope="module")
def graph() -> EvidenceGraph:
    return EvidenceGraph.of(three_patients())


def everything(graph: EvidenceGraph) -> str:
    """All that the graph holds, and which tables it has."""
    held = [graph.ask(f"MATCH (n:{label}) RETURN n ORDER BY n.{next(iter(NODES[label]))}") for label in NODES]
    held += [graph.ask(f"MATCH (a)-[r:{kind}]->(b) RETURN a, r, b ORDER BY a.id, b.id") for kind in RELATIONS]
    return repr(held)


@pytest.mark.parametrize("text", READS)
def test_what_reads_is_answered(graph: EvidenceGraph, text: str) -> None:
    graph.ask(text)


def test_a_string_is_text_whatever_it_says(graph: EvidenceGraph) -> None:
    assert graph.ask(READS[5]).rows == (('CREATE (x); DROP TABLE Patient; LOAD FROM "/etc/passwd"',),)
    assert graph.ask(READS[6]).rows == (("it's; // no comment /* nor here */",),)
    assert graph.ask(READS[7]).rows == (("a quote ' and a slash \\",),)
    assert graph.ask(READS[8]).rows == (('a quote " and a slash \\',),)
    written = "'; DROP TABLE Patient; //"
    assert graph.ask("RETURN $x AS x", {"x": written}).rows == ((written,),)


@pytest.mark.parametrize("attack", ATTACKS)
def test_what_does_more_than_read_is_refused_before_it_runs(attack: str) -> None:
    with pytest.raises(InputError) as refused:
        reading_query(attack)
    assert str(refused.value).startswith("Expected")


def test_no_attack_writes_reads_or_leaves_a_file(
    graph: EvidenceGraph, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    secret, out = tmp_path / "secret.csv", tmp_path / "out"
    secret.write_text(SECRET + "\n")
    monkeypatch.chdir(tmp_path)
    before = everything(graph)
    for attack in ATTACKS:
        with pytest.raises(InputError) as refused:
            graph.ask(attack.replace("{file}", str(secret)).replace("{out}", str(out)), {"x": SECRET})
        assert SECRET not in str(refused.value)
    assert everything(graph) == before
    assert [path.name for path in tmp_path.iterdir()] == ["secret.csv"]


def test_a_write_that_came_through_would_be_refused_by_the_transaction(monkeypatch: pytest.MonkeyPatch) -> None:
    database = GraphDatabase(rows_of(three_patients()))
    monkeypatch.setattr("core.evidence.graph_database.reading_query", lambda text: text)
    for text in ("CREATE (:Patient {patient_id: 'x'})", "MATCH (p:Patient) DETACH DELETE p", "DROP TABLE HAS"):
        with pytest.raises(InputError, match="read-only"):
            database.ask(text, {}, 1)
    assert database.ask("MATCH (p:Patient)-[:HAS]->() RETURN count(*)", {}, 1).rows == ((6,),)


SHUT_IN = """
import json, sys
from core.errors import InputError
from core.evidence import graph_database, graph_process
database = graph_database.GraphDatabase(json.loads(sys.stdin.readline()))
graph_database.reading_query = lambda text: text
load = f"LOAD FROM '{sys.argv[1]}' (header=false) RETURN *"
print(len(database.ask(load, {}, 1).rows))
graph_process.shut_in()
for text in (load, f"COPY (MATCH (p:Patient) RETURN p.patient_id) TO '{sys.argv[2]}'", "INSTALL httpfs"):
    try:
        print(database.ask(text, {}, 1).rows)
    except InputError:
        print("refused")
try:
    open(sys.argv[1])
except OSError as error:
    print(error.strerror)
"""


def test_a_file_that_would_be_read_cannot_be_opened_where_the_graph_is_kept(tmp_path: Path) -> None:
    """Were `reading_query` not there: the file is read before the process is shut in, and not after."""
    secret, out = tmp_path / "secret.csv", tmp_path / "out.csv"
    secret.write_text(SECRET + "\n")
    done = subprocess.run(
        [sys.executable, "-c", SHUT_IN, str(secret), str(out)],
        input=json.dumps(rows_of(three_patients())) + "\n",
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    assert done.stdout.splitlines() == ["1", "refused", "refused", "refused", "Too many open files"]
    assert not out.exists()


def test_the_librarys_own_rewriting_of_parameters_is_never_reached(graph: EvidenceGraph) -> None:
    """ladybug 0.22.0 pastes a parameter into the text where a string says to_json($x); that would close the string."""
    with pytest.raises(InputError, match="to_json"):
        graph.ask("RETURN 'to_json($x)'", {"x": '"\\" MATCH (p:Patient) DETACH DELETE p //"'})


@pytest.mark.parametrize("wrong", [{"x": object()}, {"x": b"1"}, {"x": {"a": 1}}, {"x": [[1]]}])
def test_parameters_are_plain_values(graph: EvidenceGraph, wrong: dict[str, object]) -> None:
    with pytest.raises(InputError, match="plain values"):
        graph.ask("RETURN $x", wrong)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "wrong",
    [
        "MATCH (n:Nobody) RETURN n",
        "MATCH (p:Patient) RETURN p.name",
        "RETURN $missing",
        "MATCH (p:Patient RETURN p",
        "RETURN 1 / 0",
        "RETURN to_int64('many')",
        "MATCH (p:Patient) RETURN p.patient_id = '/srv/data/secret/file.csv' + 1 + date('x')",
        "MATCH (a)-[:FOLLOWED_BY*1..300]->(b) RETURN 1",
        "MATCH (p:Patient) WHERE RETURN",
    ],
)
def test_errors_of_the_database_are_told_without_a_path(graph: EvidenceGraph, wrong: str) -> None:
    with pytest.raises(InputError, match="Expected") as refused:
        graph.ask(wrong)
    assert "/srv" not in str(refused.value)
    assert "ladybug/" not in str(refused.value)


def test_every_word_is_of_one_list_alone() -> None:
    assert not OTHER_CLAUSES & (READING_WORDS | FUNCTIONS)


_SIGNS = [*"()[]{}-<=,.:|;*'\"`\\pn1é\u00a0\x00\n ", "->", "//", "/*", "*/", "$x"]
_PIECES = [
    *(
        "(p:Patient)",
        "p.dataset",
        "'x'",
        "{file}",
        "'{file}'",
        "read_csv_serial(",
        "show_tables()",
        "count(*)",
        "to_json($x)",
    ),
    *("TABLE", "FROM", "TO", "DATABASE", "RETURN p", "MATCH (p:Patient)", "SET p.dataset = 'x'", "DETACH DELETE p"),
    "LOAD FROM '{file}' RETURN *",
]
_WORDS = [*sorted(READING_WORDS | OTHER_CLAUSES), *_SIGNS, *_PIECES]


@settings(max_examples=300, deadline=None)
@given(
    st.sampled_from(["", "MATCH (p:Patient) ", "RETURN 1 ", "UNWIND [1] AS x ", "MATCH (p:Patient) RETURN '"]),
    st.lists(st.sampled_from(_WORDS), max_size=12),
    st.sampled_from([" ", ""]),
)
def test_whatever_is_written_nothing_changes_and_no_file_is_read(
    fuzzed: tuple[EvidenceGraph, Path, str], beginning: str, words: list[str], between: str
) -> None:
    graph, secret, before = fuzzed
    text = (beginning + between.join(words)).replace("{file}", str(secret))
    told, ran = "", False
    try:
        told, ran = repr(graph.ask(text, {"x": "1"})), True
    except InputError as error:
        told = str(error)
    assert SECRET not in told
    assert not ran or everything(graph) == before
    assert [path.name for path in secret.parent.iterdir()] == [secret.name]


@pytest.fixture(scope="module")
def fuzzed(graph: EvidenceGraph, tmp_path_factory: pytest.TempPathFactory) -> tuple[EvidenceGraph, Path, str]:
    """The graph, a file that nobody may read, and all that the graph holds."""
    secret = tmp_path_factory.mktemp("fuzzed") / "secret.csv"
    secret.write_text(SECRET + "\n")
    return graph, secret, everything(graph)
