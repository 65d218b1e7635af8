package mysource_test

import (
	"errors"
	"io"
	"testing"

	"github.com/go-sql-driver/mysql"

	"github.com/pgmove/pgmove/dump/mysource"
	"github.com/pgmove/pgmove/internal/testbed"
	"github.com/pgmove/pgmove/stream"
)

// TestWriterLost: that the rows' writer lost a connection of its own, to a target of the same kind, is no loss of the session that reads.
func TestWriterLost(t *testing.T) {
	m := testbed.SharedMariaDB(t, 0)
	db := testbed.MariaDatabase(t, "", m)
	testbed.MariaSQL(t, m, db, "CREATE TABLE a (id int PRIMARY KEY, v text); INSERT INTO a SELECT seq, REPEAT('x', 500) FROM seq_1_to_2000")
	s := open(t, m.URL(db), mysource.Options{Jobs: 1})
	_, entries := entriesOf(t, s)
	lost := errors.Join(stream.ErrAbandoned, (&stream.Failure{Kind: stream.Outage, Msg: "the connection was lost", Err: mysql.ErrInvalidConn}))
	for range 3 {
		err := s.CopyTo(t.Context(), dataOf(t, entries, "a"), stream.Chunk{Format: stream.FormatText}, writerFunc(func([]byte) (int, error) { return 0, lost }))
		if !errors.Is(err, stream.ErrAbandoned) {
			t.Fatalf("the writer's error became %v", err)
		}
	}
	if err := s.CopyTo(t.Context(), dataOf(t, entries, "a"), stream.Chunk{Format: stream.FormatText}, io.Discard); err != nil {
		t.Error(err)
	}
}
