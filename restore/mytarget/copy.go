package mytarget

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"

	"github.com/go-sql-driver/mysql"

	"github.com/pgmove/pgmove/internal/mysession"
	"github.com/pgmove/pgmove/stream"
)

// readers numbers the readers that are handed to the driver.
var readers atomic.Int64

// CopyFrom loads a chunk and writes its ledger row in one transaction. A table of an engine that
// has none keeps what was loaded, whatever goes wrong later.
func (t *Target) CopyFrom(ctx context.Context, e *stream.Entry, c stream.Chunk, rows stream.Rows) error {
	if c.Format != stream.FormatText && c.Format != stream.FormatForeign {
		return stream.Fail(stream.Integrity, "%s: rows in format %q are none of this engine", e.Name(), c.Format)
	}
	begun := false
	err := t.with(ctx, c.Part(), func(s *mysession.Session) error {
		src := stream.Lend(full{rows})
		var taken int64
		err := t.begin(ctx, s, e)
		if err != nil {
			return err
		}
		begun = true
		if e.CopyStmt != "" {
			taken, err = load(ctx, s, e, c.Of == 1 && t.source.Selection.Has(stream.PreData), src)
		} else {
			taken, err = insert(ctx, s, e, src)
		}
		if ended := src.TakeBack(); err != nil || ended != nil {
			if ended != nil {
				return ended // why the rows ended is the cause, not what the server says of that
			}
			return err
		}
		rec, err := rows.Verify(taken)
		if err != nil {
			return err
		}
		// The ledger's own table may still be empty, and is others' too: see load.
		if err := s.Do(ctx, "SET unique_checks = 1"); err != nil {
			return err
		}
		if err := t.take(ctx, s, c.Table, c.N, fmt.Sprintf("%d, %s", rec.Digest.Rows, mysession.Literal(rec.Digest.String()))); err != nil {
			return err
		}
		if err := t.commit(ctx, s, c.Part()); err != nil || e.CopyStmt != "" {
			return err
		}
		if pinAgain(ctx, s) != nil {
			s.End() // the chunk is there all the same
		}
		return nil
	})
	if err == nil {
		return nil
	}
	locked := mysession.Locked(err)
	err = passes(explainChunk(e, c, err))
	if begun && !t.transactional(e) {
		return final(err) // some of its rows may be there
	}
	if locked {
		return laterError{err} // what was in its way will end
	}
	return err
}

// passes makes an outage of what ends by itself: locks that were waited for in vain, a deadlock, a KILL.
func passes(err error) error {
	var f *stream.Failure
	if (mysession.Locked(err) || mysession.Code(err) == mysession.ErrInterrupted) && errors.As(err, &f) && f.Kind == stream.Failed {
		f.Kind, f.Hint = stream.Outage, ""
	}
	return err
}

// final is an error after which nothing is tried again by this process: some of a chunk's rows may be in a table that has no transactions.
func final(err error) error {
	if errors.Is(err, stream.ErrAgain) {
		err = &stream.Failure{Kind: stream.KindOf(err), Msg: err.Error()}
	}
	if stream.KindOf(err) != stream.Outage {
		return err
	}
	var f *stream.Failure
	if errors.As(err, &f) && f.Hint == "" {
		f.Hint = "run again with --resume: it empties the table, which has no transactions, and loads it again"
	}
	return stream.Last(err)
}

// laterError marks a chunk that may load once others have.
type laterError struct{ error }

func (laterError) Later() bool     { return true }
func (e laterError) Unwrap() error { return e.error }

// transactional reports whether a chunk of the data entry that fails leaves no rows behind.
func (t *Target) transactional(e *stream.Entry) bool {
	if t.engines != nil {
		return t.engines[string(e.Table.Name)] == "InnoDB"
	}
	for _, id := range e.Dependencies {
		if d := t.byID[id]; d != nil && d.Desc == "TABLE" && d.Tag == e.Table.Name {
			return d.AccessMethod == "InnoDB"
		}
	}
	return false
}

func explainChunk(e *stream.Entry, c stream.Chunk, err error) error {
	f := mysession.Explain(err, fmt.Sprintf("rows of %s (chunk %d of %d)", e.Name(), c.N+1, c.Of))
	var sf *stream.Failure
	if mysession.Code(err) != 0 && errors.As(f, &sf) && sf.Hint == "" {
		sf.Hint = "its statement: " + e.CopyStmt.Display()
	}
	return f
}

// begin begins a chunk's transaction. Rows of a table that has none stay whatever becomes of it: the run's row is locked first, so that a
// process that takes the run over waits until all of them are there, and no row comes after.
func (t *Target) begin(ctx context.Context, s *mysession.Session, e *stream.Entry) error {
	if err := s.Do(ctx, "START TRANSACTION"); err != nil || t.transactional(e) {
		return err
	}
	rows, err := s.Rows(ctx, fmt.Sprintf("SELECT 1 FROM %s WHERE run = %s AND epoch = %d LOCK IN SHARE MODE", runTable, mysession.Literal(t.run), t.epoch))
	if err == nil && len(rows) == 0 {
		err = fenced()
	}
	return err
}

// load loads the rows, and returns how many the server took. LOAD DATA LOCAL hides what goes wrong: it
// turns errors into warnings and leaves out rows.
//
// A chunk that is its table's only one may be loaded in bulk: MariaDB then locks the table whole, and keeps no record of
// each row for a rollback. That is for tables that the run made alone: what has unique indexes of its own must have them checked.
func load(ctx context.Context, s *mysession.Session, e *stream.Entry, bulk bool, src io.Reader) (int64, error) {
	name := fmt.Sprintf("pgmove%d", readers.Add(1))
	sql := mysession.LoadFrom(string(e.CopyStmt), "Reader::"+name)
	if sql == "" {
		return 0, stream.Fail(stream.Integrity, "%s: its statement is none that loads rows", e.Name())
	}
	checks := "1"
	if bulk {
		checks = "0"
	}
	if err := s.Do(ctx, "SET unique_checks = "+checks+", "+mysession.Zeros+" = 0, "+mysession.WideZeros+" = 0"); err != nil {
		return 0, err
	}
	mysql.RegisterReaderHandler(name, func() io.Reader { return src })
	defer mysql.DeregisterReaderHandler(name)
	n, err := s.Exec(ctx, sql)
	if err != nil {
		return 0, err
	}
	if !s.Version.MariaDB {
		return n, checkOracle(ctx, s, e)
	}
	row, err := s.Row(ctx, "SELECT @@warning_count, "+mysession.Zeros+" + "+mysession.WideZeros)
	if err != nil {
		return 0, err
	}
	if row[0] != row[1] {
		return 0, warned(ctx, s, e)
	}
	return n, nil
}

const warnDeprecated = "1287" // ER_WARN_DEPRECATED_SYNTAX

// checkOracle looks at a load's warnings on MySQL, where the next SELECT drops them, and where one comes with
// each use of a counter of zeros in the statement.
func checkOracle(ctx context.Context, s *mysession.Session, e *stream.Entry) error {
	rows, err := s.Rows(ctx, "SHOW WARNINGS")
	if err != nil {
		return err
	}
	count, err := s.Row(ctx, "SHOW COUNT(*) WARNINGS")
	if err != nil {
		return err
	}
	zeros, err := s.Row(ctx, "SELECT "+mysession.WideZeros)
	if err != nil {
		return err
	}
	n, err := strconv.Atoi(count[0])
	if err != nil {
		return err
	}
	harmless := 0
	rows = slices.DeleteFunc(rows, func(r []string) bool {
		if r[1] == warnDeprecated {
			harmless++
		}
		return r[1] == warnDeprecated
	})
	if strconv.Itoa(n-harmless) != zeros[0] {
		return warnings(e, rows[:min(len(rows), 3)])
	}
	return nil
}

// warned says what the server warned of.
func warned(ctx context.Context, s *mysession.Session, e *stream.Entry) error {
	rows, err := s.Rows(ctx, "SHOW WARNINGS LIMIT 3")
	if err != nil {
		return err
	}
	return warnings(e, rows)
}

func warnings(e *stream.Entry, rows [][]string) error {
	var said []string
	for _, r := range rows {
		said = append(said, stream.Text(r[2]).Display()+" (error "+r[1]+")")
	}
	return (&stream.Failure{Kind: stream.Failed, Object: e.Name(), Msg: "the server did not take the rows as they are: " + strings.Join(said, "; ")}).
		WithHint("its statement: %s", e.CopyStmt.Display())
}

// full fills the buffer: the driver makes a packet of each read.
type full struct{ r io.Reader }

func (f full) Read(p []byte) (n int, err error) {
	for n < len(p) && err == nil {
		var k int
		k, err = f.r.Read(p[n:])
		n += k
	}
	return n, err
}
