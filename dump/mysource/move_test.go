package mysource_test

import (
	"testing"

	"github.com/pgmove/pgmove/dump/mysource"
	"github.com/pgmove/pgmove/internal/testbed"
)

// TestMove: what a source hands out makes the same database on another server, by the oracle.
func TestMove(t *testing.T) {
	from, to := testbed.SharedMariaDB(t, 0), testbed.SharedMariaDB(t, 1)
	db := testbed.MariaDatabase(t, "", from, to)
	testbed.MariaFixture(t, from, db)
	s := open(t, from.URL(db), mysource.Options{Jobs: 2})
	_, entries := entriesOf(t, s)
	move(t, s, entries, newTarget(t, to, db))
	d, err := testbed.MariaDifference(t.Context(), from, db, to, db)
	if err != nil {
		t.Fatal(err)
	}
	if d != "" {
		t.Errorf("source and target differ:\n%s", d)
	}
}
