package pgsource_test

import (
	"testing"
	"time"

	"github.com/pgmove/pgmove/dump/pgsource"
	"github.com/pgmove/pgmove/internal/pgsession"
	"github.com/pgmove/pgmove/internal/testbed"
	"github.com/pgmove/pgmove/stream"
)

// view takes a snapshot and returns its facts.
func view(t *testing.T, url string) stream.Source {
	t.Helper()
	c, err := pgsession.Parse(url)
	if err != nil {
		t.Fatal(err)
	}
	s, err := pgsource.Open(t.Context(), c, pgsource.Options{NoSchema: true, Patience: 5 * time.Second})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	h, _, err := s.Entries(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return h.Source
}

// TestSameSnapshot: two snapshots count as one only where nothing was committed between, in one life of the server.
func TestSameSnapshot(t *testing.T) {
	p := testbed.OwnPostgres(t, testbed.PostgresOptions{Settings: map[string]string{"autovacuum": "off"}})
	db := testbed.Database(t, p)
	testbed.SQL(t, p, db, "CREATE TABLE t AS SELECT 1 AS x; CREATE ROLE plain LOGIN PASSWORD 'plain'; GRANT SELECT ON t TO plain;")
	same := func(when string, a, b stream.Source, want bool) {
		t.Helper()
		if a.SameSnapshot(&b) != want {
			t.Errorf("%s: the same is %t\n%+v\n%+v", when, !want, a, b)
		}
	}
	first := view(t, p.URL(db))
	same("nothing happened", first, view(t, p.URL(db)), true)
	testbed.SQL(t, p, db, "SELECT count(*) FROM t")
	testbed.SQL(t, p, db, "VACUUM t")
	testbed.SQL(t, p, db, "CHECKPOINT")
	same("nothing was committed", first, view(t, p.URL(db)), true)
	testbed.SQL(t, p, db, "BEGIN; UPDATE t SET x = 2; ROLLBACK")
	rolledBack := view(t, p.URL(db))
	same("a transaction was rolled back", first, rolledBack, false)
	testbed.SQL(t, p, db, "UPDATE t SET x = 2")
	updated := view(t, p.URL(db))
	same("a row was updated", rolledBack, updated, false)
	// Who can't see the checkpointer knows nothing of crashes.
	plain := view(t, p.URLAs("plain", "plain", db))
	same("a role without pg_read_all_stats", plain, plain, false)
	if err := p.Restart(t.Context(), testbed.Immediate); err != nil {
		t.Fatal(err)
	}
	crashed := view(t, p.URL(db))
	same("the server crashed", updated, crashed, false)
	crashed.View = updated.View
	same("the server crashed and gave the same numbers out again", updated, crashed, false)
	held := updated
	held.Held, held.Instance = true, ""
	same("one snapshot that was held", held, held, true)
}
