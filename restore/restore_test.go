package restore_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/pgmove/pgmove/restore"
	"github.com/pgmove/pgmove/stream"
	"github.com/pgmove/pgmove/stream/filestore"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// fake is a target that keeps a log.
type fake struct {
	mu   sync.Mutex
	log  []string
	exec func(e *stream.Entry) error
	copy func(c stream.Chunk, log []string) error
}

func (f *fake) note(format string, args ...any) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.log = append(f.log, fmt.Sprintf(format, args...))
}

func (f *fake) Prepare(context.Context, *stream.Header, []stream.Entry, []stream.Chunk) error {
	f.note("prepare")
	return nil
}

func (f *fake) Exec(_ context.Context, entries []*stream.Entry) error {
	for _, e := range entries {
		if f.exec != nil {
			if err := f.exec(e); err != nil {
				return err
			}
		}
	}
	for _, e := range entries {
		f.note("%s", e.Tag)
	}
	return nil
}

func (f *fake) CopyFrom(_ context.Context, _ *stream.Entry, c stream.Chunk, rows stream.Rows) error {
	f.mu.Lock()
	log := slices.Clone(f.log)
	f.mu.Unlock()
	if f.copy != nil {
		if err := f.copy(c, log); err != nil {
			f.note("try %s", c.Key)
			return err
		}
	}
	if _, err := io.Copy(io.Discard, rows); err != nil {
		return err
	}
	if _, err := rows.Verify(-1); err != nil {
		return err
	}
	f.note("load %s", c.Key)
	return nil
}

func (f *fake) Analyze(_ context.Context, tables []*stream.Entry) error {
	for _, e := range tables {
		f.note("analyze %s", e.Tag)
	}
	return nil
}

func (f *fake) Finish(context.Context) error { return nil }

// notYet is an error that a later try may not meet.
type notYet struct{}

func (notYet) Error() string { return "another table is missing" }
func (notYet) Later() bool   { return true }

// archive is three tables of which the first has two chunks, an index each, a view that comes last.
func archive(t *testing.T) *stream.Reader {
	t.Helper()
	r, err := openArchive(t, nil)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// openArchive writes the archive with a plan that was changed, and opens it.
func openArchive(t *testing.T, change func(entries []stream.Entry, plan []stream.Chunk) []stream.Chunk) (*stream.Reader, error) {
	t.Helper()
	store, err := filestore.Open(t.TempDir(), true)
	if err != nil {
		t.Fatal(err)
	}
	w := stream.NewWriter(store, false, stream.None)
	var entries []stream.Entry
	var plan []stream.Chunk
	for i := stream.DumpID(1); i <= 3; i++ {
		name := stream.Text(fmt.Sprintf("t%d", i))
		entries = append(entries, stream.Entry{ID: i, Section: stream.PreData, Desc: "TABLE", Namespace: "s", Tag: name},
			stream.Entry{ID: i + 10, Section: stream.Data, Desc: "TABLE DATA", Namespace: "s", Tag: name, Dependencies: []stream.DumpID{i},
				Table: &stream.Table{Namespace: "s", Name: name}},
			stream.Entry{ID: i + 20, Section: stream.PostData, Desc: "INDEX", Namespace: "s", Tag: "index of " + name, Dependencies: []stream.DumpID{i}, Locks: []stream.DumpID{i}, Share: true})
		plan = append(plan, stream.Chunk{Table: i + 10, ID: i + 10, Of: 1, Format: stream.FormatText, Key: w.ChunkKey(i + 10)})
	}
	plan[0].Of, plan[0].ID, plan[0].Key = 2, 31, w.ChunkKey(31)
	plan = append(plan, stream.Chunk{Table: 11, ID: 32, N: 1, Of: 2, Format: stream.FormatText, Key: w.ChunkKey(32)})
	entries = append(entries, stream.Entry{ID: 40, Section: stream.PostData, Desc: "MATERIALIZED VIEW DATA", Namespace: "s", Tag: "refresh", Pass: stream.RefreshPass})
	if change != nil {
		plan = change(entries, plan)
	}
	ctx := t.Context()
	h, err := w.Begin(ctx, stream.Header{Run: "run", Engine: "fake"}, entries, plan)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range plan {
		if _, err := w.WriteChunk(ctx, c, func(w io.Writer) error { _, err := io.WriteString(w, c.Key+"\n"); return err }); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Seal(ctx, nil, stream.NewContents(h, entries, w.Records())); err != nil {
		t.Fatal(err)
	}
	return stream.OpenSealed(ctx, store, "here", nil)
}

// run restores under a deadline: nothing may wait for ever.
func run(t *testing.T, r *stream.Reader, f *fake, o restore.Options) error {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	err := restore.Run(ctx, r, f, o)
	if ctx.Err() != nil {
		t.Fatalf("it takes for ever: %v", f.log)
	}
	return err
}

// before fails the test unless the log has all of list, in this order.
func (f *fake) before(t *testing.T, list ...string) {
	t.Helper()
	last := -1
	for _, s := range list {
		i := slices.Index(f.log, s)
		if i <= last {
			t.Errorf("%q is out of order, or missing: %q", s, f.log)
		}
		last = i
	}
}

func TestRunOrder(t *testing.T) {
	for _, jobs := range []int{0, 1, 4} {
		f := &fake{}
		if err := run(t, archive(t), f, restore.Options{Jobs: jobs}); err != nil {
			t.Fatal(err)
		}
		f.before(t, "prepare", "t1", "t2", "t3")
		f.before(t, "t3", "load 31.dat", "index of t1", "analyze t1", "refresh")
		f.before(t, "t3", "load 32.dat", "index of t1")
		f.before(t, "t3", "load 12.dat", "index of t2", "analyze t2", "refresh")
		if len(f.log) != 15 {
			t.Errorf("jobs %d: %d steps: %q", jobs, len(f.log), f.log)
		}
	}
}

// TestDeferredChunks: a chunk that can't be loaded yet comes again after all others, as often as
// that helps.
func TestDeferredChunks(t *testing.T) {
	for _, jobs := range []int{1, 3} {
		f := &fake{copy: func(c stream.Chunk, log []string) error {
			needs := map[string]string{"31.dat": "load 12.dat", "12.dat": "load 13.dat"}[c.Key]
			if needs != "" && !slices.Contains(log, needs) {
				return notYet{}
			}
			return nil
		}}
		if err := run(t, archive(t), f, restore.Options{Jobs: jobs}); err != nil {
			t.Fatal(err)
		}
		f.before(t, "load 13.dat", "load 12.dat", "load 31.dat", "index of t1")
		if jobs == 1 {
			f.before(t, "try 31.dat", "try 12.dat", "load 13.dat", "load 32.dat", "load 12.dat", "load 31.dat")
		}
	}
}

// TestHopelessChunk: a chunk that never loads ends the run, once nothing else helps.
func TestHopelessChunk(t *testing.T) {
	for _, jobs := range []int{1, 3} {
		f := &fake{copy: func(c stream.Chunk, _ []string) error {
			if c.Key == "31.dat" {
				return notYet{}
			}
			return nil
		}}
		if err := run(t, archive(t), f, restore.Options{Jobs: jobs}); !errors.Is(err, notYet{}) {
			t.Errorf("the run ends with %v", err)
		}
		f.before(t, "load 13.dat")
		f.before(t, "load 32.dat")
		if slices.Contains(f.log, "index of t1") {
			t.Error("an index was built on half a table")
		}
	}
}

// TestFailedEntry: the first one stops the run; with Continue all others are applied and it still fails.
func TestFailedEntry(t *testing.T) {
	broken := errors.New("no such collation")
	f := &fake{exec: func(e *stream.Entry) error {
		if e.Tag == "index of t2" {
			return broken
		}
		return nil
	}}
	if err := run(t, archive(t), f, restore.Options{Jobs: 2}); !errors.Is(err, broken) {
		t.Errorf("the run ends with %v", err)
	}
	if slices.Contains(f.log, "refresh") {
		t.Error("the run went on")
	}
	f.log = nil
	var warned []string
	o := restore.Options{Jobs: 1, Continue: true, Observe: func(e stream.Event) {
		if e.Kind == stream.EventWarning {
			warned = append(warned, e.Text)
		}
	}}
	if err := run(t, archive(t), f, o); err == nil || !strings.Contains(err.Error(), broken.Error()) || !strings.Contains(err.Error(), "1 entries failed") {
		t.Errorf("the run ends with %v", err)
	}
	f.before(t, "index of t1", "refresh")
	f.before(t, "index of t3", "refresh")
	if len(warned) != 1 {
		t.Errorf("warnings: %q", warned)
	}
}

// TestHostilePlans: an archive whose plan and entries disagree is refused, and never waited for.
func TestHostilePlans(t *testing.T) {
	for name, change := range map[string]func(entries []stream.Entry, plan []stream.Chunk) []stream.Chunk{
		"a table without chunks": func(_ []stream.Entry, plan []stream.Chunk) []stream.Chunk { return plan[1:3] },
		"chunks of no table": func(_ []stream.Entry, plan []stream.Chunk) []stream.Chunk {
			return append(plan, stream.Chunk{Table: 77, ID: 77, Of: 1, Format: stream.FormatText, Key: "77.dat"})
		},
		"indexes in a circle": func(entries []stream.Entry, plan []stream.Chunk) []stream.Chunk {
			entries[2].Dependencies = append(entries[2].Dependencies, 22)
			entries[5].Dependencies = append(entries[5].Dependencies, 21)
			return plan
		},
	} {
		t.Run(name, func(t *testing.T) {
			f := &fake{}
			r, err := openArchive(t, change)
			if err == nil {
				err = run(t, r, f, restore.Options{Jobs: 2})
			}
			if stream.KindOf(err) != stream.Integrity {
				t.Errorf("the run ends with %v", err)
			}
		})
	}
}
