package restore_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/pgmove/pgmove/restore"
	"github.com/pgmove/pgmove/stream"
)

// staged is a target that applies indexes in two stages.
type staged struct{ *fake }

func (staged) Stages(e *stream.Entry) []*stream.Entry {
	if e.Desc != "INDEX" {
		return nil
	}
	first, last := *e, *e
	first.Early, first.Tag, last.Tag = true, "first of "+e.Tag, "last of "+e.Tag
	last.Share = false
	return []*stream.Entry{&first, &last}
}

// checker notes what it is asked to read.
type checker struct {
	*fake
	parts int
	err   error
}

func (c checker) Parts(*stream.Entry) int { return c.parts }
func (c checker) Check(_ context.Context, e *stream.Entry, format string, part, of int) error {
	c.note("check %s %s %d/%d", e.Tag, format, part, of)
	return c.err
}

// sized gives the tables of the archive a size.
func sized(t *testing.T, bytes int64) *stream.Reader {
	t.Helper()
	r, err := openArchive(t, func(entries []stream.Entry, plan []stream.Chunk) []stream.Chunk {
		for i := range entries {
			if entries[i].Table != nil {
				entries[i].Table.Bytes = bytes
			}
		}
		return plan
	})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func TestStages(t *testing.T) {
	f := &fake{}
	if err := restore.Run(t.Context(), sized(t, 1<<30), staged{f}, restore.Options{Jobs: 2}); err != nil {
		t.Fatal(err)
	}
	for i := 1; i <= 3; i++ {
		f.before(t, fmt.Sprintf("first of index of t%d", i), fmt.Sprintf("last of index of t%d", i), fmt.Sprintf("analyze t%d", i), "refresh")
	}
	f.before(t, "load 31.dat", "first of index of t1")
	f.before(t, "load 32.dat", "first of index of t1")

	f = &fake{}
	if err := restore.Run(t.Context(), sized(t, 1<<10), staged{f}, restore.Options{Jobs: 2}); err != nil {
		t.Fatal(err)
	}
	if log := strings.Join(f.log, ";"); strings.Contains(log, "first of") || !strings.Contains(log, "index of t3") {
		t.Errorf("entries of small tables: %s", log)
	}
}

// TestStageFails: of an entry whose first stage failed the last is not tried, and it counts as one.
func TestStageFails(t *testing.T) {
	f := &fake{exec: func(e *stream.Entry) error {
		if e.Early && strings.HasSuffix(string(e.Tag), "t2") {
			return errors.New("a duplicate key")
		}
		return nil
	}}
	err := restore.Run(t.Context(), sized(t, 1<<30), staged{f}, restore.Options{Jobs: 2, Continue: true})
	if err == nil || !strings.Contains(err.Error(), "1 entries failed") {
		t.Errorf("%v", err)
	}
	if slices.Contains(f.log, "last of index of t2") || !slices.Contains(f.log, "last of index of t1") {
		t.Error(f.log)
	}
}

// TestCheck: a table is read back in parts, after all its chunks, whatever else is still to load.
func TestCheck(t *testing.T) {
	f := &fake{}
	if err := restore.Run(t.Context(), sized(t, 1<<30), f, restore.Options{Jobs: 2, Check: checker{f, 3, nil}, NoAnalyze: true}); err != nil {
		t.Fatal(err)
	}
	for part := range 3 {
		f.before(t, "load 31.dat", fmt.Sprintf("check t1 text %d/3", part), "refresh")
		f.before(t, "load 32.dat", fmt.Sprintf("check t1 text %d/3", part))
		f.before(t, "load 13.dat", fmt.Sprintf("check t3 text %d/3", part), "refresh")
	}
	if slices.ContainsFunc(f.log, func(s string) bool { return strings.HasPrefix(s, "analyze") }) {
		t.Errorf("analyzed all the same: %v", f.log)
	}
	f = &fake{}
	why := errors.New("cancelled")
	if err := restore.Run(t.Context(), sized(t, 1<<30), f, restore.Options{Jobs: 2, Check: checker{f, 1, why}}); !errors.Is(err, why) {
		t.Errorf("%v", err)
	}
}
