// Package sourcetest is what a source's snapshot promises, as tests: every implementation of
// dump.Snapshot passes Exercise.
//
// It imports dump, stream and the standard library, and belongs in tests alone. It knows no
// engine: the test that calls it says how to open a source and how to change it.
package sourcetest

import (
	"bytes"
	"context"
	"errors"
	"io"
	"testing"
	"time"

	"github.com/pgmove/pgmove/dump"
	"github.com/pgmove/pgmove/stream"
)

// Source is a database for the suite: some tables, the largest of 500 kB at least, one empty.
type Source struct {
	// Open opens the database for a dump that reads tables larger than splitSize, in bytes,
	// in several chunks. What it opens is closed with the test.
	Open func(t *testing.T, splitSize int64) dump.Snapshot
	// Change inserts, updates and deletes rows, and commits.
	Change func(t *testing.T)
}

// patience bounds what must not take long.
const patience = 20 * time.Second

// unsplit is a size that no table of the suite has.
const unsplit = 1 << 40

// Exercise runs the suite. Each test gets a source of its own.
func Exercise(t *testing.T, fresh func(t *testing.T) *Source) {
	t.Helper()
	for _, test := range []struct {
		name string
		run  func(*testing.T, *Source)
	}{
		{"Entries", entries},
		{"Splits", splits},
		{"Repeatable", repeatable},
		{"ChangesUnseen", changesUnseen},
		{"Released", released},
		{"Cancelled", cancelled},
		{"WriterFails", writerFails},
	} {
		t.Run(test.name, func(t *testing.T) { test.run(t, fresh(t)) })
	}
}

// read is a snapshot and its entries.
type read struct {
	dump.Snapshot
	entries []stream.Entry
}

func open(t *testing.T, s *Source, splitSize int64) *read {
	t.Helper()
	snap := s.Open(t, splitSize)
	_, entries, err := snap.Entries(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return &read{snap, entries}
}

// tables are the data entries that load rows.
func (r *read) tables(t *testing.T) []*stream.Entry {
	t.Helper()
	var out []*stream.Entry
	for i := range r.entries {
		if r.entries[i].Table != nil {
			out = append(out, &r.entries[i])
		}
	}
	if len(out) == 0 {
		t.Fatal("the source has no rows")
	}
	return out
}

// split returns an entry's chunks, numbered as dump does.
func (r *read) split(t *testing.T, e *stream.Entry) []stream.Chunk {
	t.Helper()
	cs, err := r.Split(t.Context(), e)
	if err != nil {
		t.Fatal(err)
	}
	if len(cs) == 0 {
		t.Fatalf("%s has no chunk", e.Name())
	}
	for n := range cs {
		cs[n].Table, cs[n].ID, cs[n].N, cs[n].Of = e.ID, e.ID, n, len(cs)
	}
	return cs
}

// digest reads a chunk.
func (r *read) digest(ctx context.Context, e *stream.Entry, c stream.Chunk) (stream.Digest, error) {
	d := stream.NewDigester(c.Format)
	if err := r.CopyTo(ctx, e, c, d); err != nil {
		return stream.Digest{}, err
	}
	return d.Digest(), d.Close()
}

// digests reads all tables. It returns their digests by name, and how many chunks there were.
func (r *read) digests(t *testing.T) (map[string]stream.Digest, int) {
	t.Helper()
	out, chunks := map[string]stream.Digest{}, 0
	for _, e := range r.tables(t) {
		var sum stream.Digest
		for _, c := range r.split(t, e) {
			d, err := r.digest(t.Context(), e, c)
			if err != nil {
				t.Fatalf("%s, chunk %d: %v", e.Name(), c.N, err)
			}
			sum.Add(d)
			chunks++
		}
		out[e.Name()] = sum
	}
	return out, chunks
}

func compare(t *testing.T, what string, got, want map[string]stream.Digest) {
	t.Helper()
	if len(got) != len(want) {
		t.Errorf("%s: %d tables instead of %d", what, len(got), len(want))
	}
	for name, d := range want {
		if got[name] != d {
			t.Errorf("%s: %s has the digest %v instead of %v", what, name, got[name], d)
		}
	}
}

// entries: IDs are unique, sections valid, and what data entries depend on is there.
func entries(t *testing.T, s *Source) {
	r := open(t, s, unsplit)
	ids := map[stream.DumpID]bool{}
	for i := range r.entries {
		e := &r.entries[i]
		if e.ID <= 0 || ids[e.ID] {
			t.Errorf("%s: the ID %d is not its own", e.Name(), e.ID)
		}
		ids[e.ID] = true
		if e.Section < stream.PreData || e.Section > stream.PostData {
			t.Errorf("%s is in %v", e.Name(), e.Section)
		}
		if e.Table != nil && e.Section != stream.Data {
			t.Errorf("%s has rows and is in %v", e.Name(), e.Section)
		}
	}
	for _, e := range r.tables(t) {
		if len(e.Dependencies) == 0 {
			t.Errorf("the rows of %s depend on no table", e.Name())
		}
		for _, d := range e.Dependencies {
			if !ids[d] {
				t.Errorf("the rows of %s depend on %d, which is no entry", e.Name(), d)
			}
		}
	}
}

// splits: however a table is cut, each row is in one chunk.
func splits(t *testing.T, s *Source) {
	want, whole := open(t, s, unsplit).digests(t)
	empty := false
	for _, d := range want {
		empty = empty || d == stream.Digest{}
	}
	if !empty {
		t.Error("the source has no empty table")
	}
	for _, size := range []int64{200 << 10, 64 << 10, 8 << 10, 1} {
		got, chunks := open(t, s, size).digests(t)
		if chunks <= whole {
			t.Errorf("split at %d bytes there are %d chunks, of %d tables", size, chunks, whole)
		}
		compare(t, "split", got, want)
	}
}

// repeatable: a chunk read again is the same chunk.
func repeatable(t *testing.T, s *Source) {
	r := open(t, s, 64<<10)
	for _, e := range r.tables(t) {
		for _, c := range r.split(t, e) {
			first, err := r.digest(t.Context(), e, c)
			if err != nil {
				t.Fatal(err)
			}
			again, err := r.digest(t.Context(), e, c)
			if err != nil || again != first {
				t.Errorf("%s, chunk %d, is %v and then %v (%v)", e.Name(), c.N, first, again, err)
			}
		}
	}
}

// changesUnseen: the snapshot stays what it was.
func changesUnseen(t *testing.T, s *Source) {
	r := open(t, s, 64<<10)
	s.Change(t) // before anything was read or split
	first, _ := r.digests(t)
	s.Change(t)
	again, _ := r.digests(t)
	compare(t, "after changes", again, first)
	if err := r.Release(t.Context()); err != nil {
		t.Error(err)
	}
	now, _ := open(t, s, 64<<10).digests(t)
	same := true
	for name, d := range first {
		same = same && now[name] == d
	}
	if same {
		t.Error("a new snapshot doesn't see the changes either")
	}
}

// released: nothing is read without the snapshot.
func released(t *testing.T, s *Source) {
	r := open(t, s, unsplit)
	e := r.tables(t)[0]
	c := r.split(t, e)[0]
	if err := r.Release(t.Context()); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	if _, err := r.digest(ctx, e, c); err == nil || ctx.Err() != nil {
		t.Errorf("a chunk of a snapshot that was released: %v", err)
	}
}

// largest returns the chunk with the most bytes.
func (r *read) largest(t *testing.T) (*stream.Entry, stream.Chunk) {
	t.Helper()
	var entry *stream.Entry
	var chunk stream.Chunk
	for _, e := range r.tables(t) {
		if c := r.split(t, e)[0]; entry == nil || c.Bytes > chunk.Bytes {
			entry, chunk = e, c
		}
	}
	return entry, chunk
}

// cancelled: a cancelled read ends soon, with an error, and does no harm to the next.
func cancelled(t *testing.T, s *Source) {
	r := open(t, s, unsplit)
	e, c := r.largest(t)
	want, err := r.digest(t.Context(), e, c)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	done := make(chan error, 1)
	go func() {
		done <- r.CopyTo(ctx, e, c, writerFunc(func(p []byte) (int, error) { cancel(); return len(p), nil }))
	}()
	select {
	case err := <-done:
		if err == nil {
			t.Error("a cancelled read succeeded")
		}
	case <-time.After(patience):
		t.Fatal("a cancelled read goes on")
	}
	if got, err := r.digest(t.Context(), e, c); err != nil || got != want {
		t.Errorf("after a cancelled read: %v instead of %v (%v)", got, want, err)
	}
}

// writerFails: the writer's error is what comes back, and does no harm to the next read.
func writerFails(t *testing.T, s *Source) {
	r := open(t, s, unsplit)
	e, c := r.largest(t)
	want, err := r.digest(t.Context(), e, c)
	if err != nil {
		t.Fatal(err)
	}
	full := errors.New("the disk is full")
	left := 10_000
	err = r.CopyTo(t.Context(), e, c, writerFunc(func(p []byte) (int, error) {
		if left -= len(p); left < 0 {
			return 0, full
		}
		return len(p), nil
	}))
	if !errors.Is(err, full) {
		t.Errorf("the writer failed, and CopyTo returns %v", err)
	}
	var b bytes.Buffer
	if err := r.CopyTo(t.Context(), e, c, io.MultiWriter(&b)); err != nil {
		t.Fatal(err)
	}
	d := stream.NewDigester(c.Format)
	if _, err := d.Write(b.Bytes()); err != nil || d.Digest() != want {
		t.Errorf("after a failed read: %v instead of %v (%v)", d.Digest(), want, err)
	}
}

type writerFunc func([]byte) (int, error)

func (f writerFunc) Write(p []byte) (int, error) { return f(p) }
