package pgtarget

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/pgmove/pgmove/internal/pgsession"
	"github.com/pgmove/pgmove/stream"
)

// laterError marks a chunk that may load once other tables are complete.
type laterError struct{ error }

func (laterError) Later() bool     { return true }
func (e laterError) Unwrap() error { return e.error }

// CopyFrom loads a chunk and writes its ledger row in one transaction.
func (t *Target) CopyFrom(ctx context.Context, e *stream.Entry, c stream.Chunk, rows stream.Rows) error {
	if t.waits(e.ID) {
		return laterError{errNotYet}
	}
	err := t.with(ctx, func(s *pgsession.Session) error {
		begin := "BEGIN; " + ownPath
		if t.opts.DisableTriggers {
			begin += noTriggers
		}
		t.needMu.Lock()
		if t.need[e.ID] {
			begin += setPath(t.path(), true)
		}
		t.needMu.Unlock()
		src := stream.Lend(rows)
		var taken int64
		var err error
		if c.Format == stream.FormatBlobs {
			taken, err = loadBlobs(ctx, s, begin, src)
		} else {
			taken, err = load(ctx, s, begin, e, c, t.freezes(e, c), src)
		}
		ended := src.TakeBack()
		if err != nil {
			if ended != nil {
				return ended // why the rows ended is the cause, not what the server says of that
			}
			return err
		}
		rec, err := rows.Verify(taken)
		if err != nil {
			return err
		}
		return fenced(t.commit(ctx, s, c.Part(), t.take([]string{fmt.Sprintf("(%d, %d, %d::bigint, %s)", c.Table, c.N, rec.Digest.Rows,
			pgsession.Literal(rec.Digest.String()))})+"; COMMIT"))
	})
	if err == nil {
		t.arrived(e.ID)
		return nil
	}
	code := pgsession.Code(err)
	err = t.explainChunk(e, c, err)
	switch {
	case needsPath(code) && t.source.SearchPath != "":
		t.needMu.Lock()
		first := !t.need[e.ID]
		t.need[e.ID] = true
		t.needMu.Unlock()
		if first {
			t.warn(fmt.Sprintf("the rows of %s need the source's search_path and are loaded under it", e.Name()))
		}
		return laterError{err}
	case code == "23514", code == "23503", code == "P0001", code == "P0002", code == "21000":
		// A CHECK may read other tables, an extension's table refer to another: they
		// need not be there yet.
		return laterError{err}
	}
	return err
}

func (t *Target) explainChunk(e *stream.Entry, c stream.Chunk, err error) error {
	var pe *pgconn.PgError
	if !errors.As(err, &pe) || stream.KindOf(err) != stream.Failed {
		return pgsession.Explain(err, e.Name())
	}
	f := pgsession.Explain(err, fmt.Sprintf("rows of %s (chunk %d of %d)", e.Name(), c.N+1, c.Of))
	var sf *stream.Failure
	if errors.As(f, &sf) && sf.Hint == "" {
		sf.Hint = "its statement: " + stream.Text(strings.TrimSpace(string(e.CopyStmt))).Display()
	}
	return f
}

// freezeFrom is the size of tables, in bytes on the source's disk, from which their rows are frozen as they come: below it
// the new files that TRUNCATE makes cost more than is gained.
const freezeFrom = 4 << 20

// freezes says whether a chunk's rows may come to the target frozen: visible to all, so that nobody has to touch its pages
// again, neither the index builds nor a later VACUUM. The server allows it to who truncates the table in
// the same transaction, so the chunk must be all that the table gets, and the table this run's own.
func (t *Target) freezes(e *stream.Entry, c stream.Chunk) bool {
	if !t.source.Selection.Has(stream.PreData) || c.Of != 1 || e.Table.Bytes < freezeFrom || e.Table.Root != 0 || e.Table.Filter != "" || len(e.Dependencies) == 0 {
		return false
	}
	table := t.byID[e.Dependencies[0]]
	return table != nil && table.Desc == "TABLE" && table.Tag == e.Tag && table.Namespace == e.Namespace
}

// load sends the statement that opens the transaction and the rows in one go.
func load(ctx context.Context, s *pgsession.Session, begin string, e *stream.Entry, c stream.Chunk, freeze bool, r io.Reader) (int64, error) {
	var options []string
	if c.Format == stream.FormatBinary {
		options = append(options, "FORMAT binary")
	}
	if freeze {
		// ONLY: an heir's rows may be there already.
		begin += "TRUNCATE ONLY " + pgsession.Qualified(string(e.Namespace), string(e.Tag)) + "; "
		options = append(options, "FREEZE")
	}
	sql := begin + strings.TrimRight(string(e.CopyStmt), ";\n ")
	if len(options) > 0 {
		sql += " WITH (" + strings.Join(options, ", ") + ")"
	}
	tag, err := s.CopyFrom(ctx, r, sql)
	return tag.RowsAffected(), err
}

// loadBlobs writes the pieces of large objects, several megabytes of statements at a time.
// The objects themselves are there: pre-data made them.
func loadBlobs(ctx context.Context, s *pgsession.Session, begin string, r io.Reader) (int64, error) {
	const batchBytes, batchRows = 4 << 20, 500
	if err := s.Do(ctx, begin); err != nil {
		return 0, err
	}
	br := stream.NewBlobScanner(r)
	var n int64
	for done := false; !done; {
		batch := &pgconn.Batch{}
		bytes, rows := 0, 0
		for bytes < batchBytes && rows < batchRows {
			oid, off, piece, err := br.Next()
			if errors.Is(err, io.EOF) {
				done = true
				break
			}
			if err != nil {
				return n, err
			}
			n++
			if len(piece) == 0 {
				continue
			}
			var o [4]byte
			var at [8]byte
			binary.BigEndian.PutUint32(o[:], oid)
			binary.BigEndian.PutUint64(at[:], uint64(off))
			batch.ExecParams("SELECT pg_catalog.lo_put($1, $2, $3)", [][]byte{o[:], at[:], append([]byte(nil), piece...)},
				[]uint32{26, 20, 17}, []int16{1, 1, 1}, nil)
			bytes, rows = bytes+len(piece), rows+1
		}
		if rows == 0 {
			continue
		}
		if err := s.ExecBatch(ctx, batch).Close(); err != nil {
			return n, err
		}
	}
	return n, nil
}

func parseOID(s string) uint32 {
	n, err := strconv.ParseUint(s, 10, 32)
	if err != nil {
		return 0
	}
	return uint32(n)
}
