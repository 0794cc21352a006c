"""Values of parameters are part of the texts that outlive their statement."""

import datetime as dt

import tsdb


def test_values_are_written_into_views_and_computed_columns() -> None:
    with tsdb.connect() as con:
        con.execute("CREATE TABLE q (id INT); INSERT INTO q VALUES (1), (2)")
        moment = dt.datetime(2024, 1, 1, tzinfo=dt.UTC)
        con.execute("CREATE VIEW v AS SELECT id, ? AS s, ? AS t FROM q WHERE id = ?", ["it's?", moment, 1])
        assert con.execute("SELECT * FROM v").fetchall() == [(1, "it's?", moment)]
        ((text,),) = con.execute("SHOW CREATE VIEW v").fetchall()
        con.execute("DROP VIEW v")
        con.execute(text)
        assert con.execute("SELECT * FROM v").fetchall() == [(1, "it's?", moment)]
        con.execute("ALTER VIEW v AS SELECT id FROM q WHERE id = :a", {"a": 2})
        assert con.execute("SELECT * FROM v").fetchall() == [(2,)]
        con.execute("CREATE TABLE c (id INT, x AS id + ?, y AS id + ?)", [5, -6])
        con.execute("INSERT INTO c VALUES (1)")
        assert con.execute("SELECT * FROM c").fetchall() == [(1, 6, -5)]
