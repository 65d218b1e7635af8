// Package targettest is what a target promises, as tests: every implementation of
// restore.Target passes Exercise.
//
// It imports restore, stream and the standard library, and belongs in tests alone. It knows no
// engine: the test that calls it says how to open a target and how to look into it.
package targettest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"testing"
	"time"

	"github.com/pgmove/pgmove/restore"
	"github.com/pgmove/pgmove/stream"
)

// Target is an empty database for the suite, and an archive's words in its dialect.
type Target struct {
	// Open opens the database. What it opens is closed with the test, or by close before that.
	Open func(t *testing.T) (tgt restore.Target, closeIt func())
	// Resume opens it to go on with what an earlier process left there.
	Resume func(t *testing.T) (tgt restore.Target, closeIt func())
	// Header is an archive's header.
	Header stream.Header
	// Create creates a table, Other another one; Broken is an entry that the database refuses.
	Create, Other, Broken stream.Entry
	// Data loads rows into the table of Create. It has a Table, and a CopyStmt.
	Data stream.Entry
	// Row returns the i-th row, in the form in which Data takes rows.
	Row func(i int) []byte
	// Format is that form.
	Format string
	// Tables counts the tables of Create and Other that exist.
	Tables func(t *testing.T) int
	// Rows counts the rows of Create's table, which exists.
	Rows func(t *testing.T) int
	// Ledger counts the ledger's rows for entries and chunks, -1 where there is no ledger.
	Ledger func(t *testing.T) int
	// OneByOne says that the database commits each definition by itself: of a batch in which one fails, those before it
	// stay, with their ledger rows.
	OneByOne bool
	// TakeOver does to the ledger what another process does that takes the run over.
	TakeOver func(t *testing.T)
	// Occupy puts something of a user's into the database.
	Occupy func(t *testing.T)
}

// patience bounds what must not take long.
const patience = 20 * time.Second

// Exercise runs the suite. Each test gets a database of its own.
func Exercise(t *testing.T, fresh func(t *testing.T) *Target) {
	t.Helper()
	for _, test := range []struct {
		name string
		run  func(*testing.T, *Target)
	}{
		{"ExecIsAtomic", execIsAtomic},
		{"CopyIsAtomic", copyIsAtomic},
		{"CopyCancelled", copyCancelled},
		{"OnlyOnce", onlyOnce},
		{"Busy", busy},
		{"Unfinished", unfinished},
		{"Resumed", resumed},
		{"ResumedByAnother", resumedByAnother},
		{"NotEmpty", notEmpty},
		{"OtherEngine", otherEngine},
		{"Fenced", Fenced},
		{"Finish", finish},
	} {
		t.Run(test.name, func(t *testing.T) { test.run(t, fresh(t)) })
	}
}

func (g *Target) entries() []stream.Entry {
	return []stream.Entry{g.Create, g.Other, g.Broken, g.Data}
}

func (g *Target) prepare(t *testing.T) restore.Target {
	t.Helper()
	tgt, _ := g.Open(t)
	if err := tgt.Prepare(t.Context(), &g.Header, g.entries(), g.plan()); err != nil {
		t.Fatal(err)
	}
	return tgt
}

// state fails the test unless the target has so many tables and ledger rows.
func (g *Target) state(t *testing.T, when string, tables, ledger int) {
	t.Helper()
	if n := g.Tables(t); n != tables {
		t.Errorf("%s there are %d tables instead of %d", when, n, tables)
	}
	if n := g.Ledger(t); n != ledger {
		t.Errorf("%s the ledger has %d rows instead of %d", when, n, ledger)
	}
}

// loaded fails the test unless the table has so many rows.
func (g *Target) loaded(t *testing.T, when string, rows int) {
	t.Helper()
	if n := g.Rows(t); n != rows {
		t.Errorf("%s the table has %d rows instead of %d", when, n, rows)
	}
}

func (g *Target) plan() []stream.Chunk { return []stream.Chunk{g.chunk(0), g.chunk(1), g.chunk(2)} }

func (g *Target) chunk(n int) stream.Chunk {
	return stream.Chunk{Table: g.Data.ID, ID: g.Data.ID + 100 + stream.DumpID(n), N: n, Of: 3, Format: g.Format, Key: fmt.Sprintf("%d.dat", n)}
}

// execIsAtomic: entries and their ledger rows are there together, or not at all.
func execIsAtomic(t *testing.T, g *Target) {
	tgt := g.prepare(t)
	g.state(t, "at first", 0, 0)
	broken := [][]*stream.Entry{{&g.Broken}, {&g.Create, &g.Broken}, {&g.Create, &g.Broken, &g.Other}, {&g.Create, &g.Create}}
	if g.OneByOne {
		broken = broken[:1]
	}
	for _, batch := range broken {
		if err := tgt.Exec(t.Context(), batch); err == nil {
			t.Fatal("a broken entry was applied")
		}
		g.state(t, "after a broken batch", 0, 0)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := tgt.Exec(ctx, []*stream.Entry{&g.Create}); err == nil {
		t.Error("an entry was applied under a cancelled context")
	}
	g.state(t, "after a cancelled batch", 0, 0)
	if err := tgt.Exec(t.Context(), []*stream.Entry{&g.Create, &g.Other}); err != nil {
		t.Fatal(err)
	}
	if err := tgt.Exec(t.Context(), []*stream.Entry{&g.Broken}); err == nil {
		t.Error("a broken entry was applied")
	}
	g.state(t, "at the end", 2, 2)
	if err := tgt.Analyze(t.Context(), []*stream.Entry{&g.Create, &g.Other}); err != nil {
		t.Error(err)
	}
}

// rows are a chunk's rows for a target.
type rows struct {
	io.Reader
	verify func(taken int64) (*stream.Record, error)
	asked  int
}

func (r *rows) Verify(taken int64) (*stream.Record, error) {
	r.asked++
	return r.verify(taken)
}

// some returns n rows that verify; their digest is theirs.
func (g *Target) some(n int) *rows {
	var b bytes.Buffer
	for i := range n {
		b.Write(g.Row(i))
	}
	d := stream.NewDigester(g.Format)
	_, _ = d.Write(b.Bytes())
	return &rows{Reader: &b, verify: func(taken int64) (*stream.Record, error) {
		if taken >= 0 && taken != int64(n) {
			return nil, fmt.Errorf("the target took %d rows of %d", taken, n)
		}
		return &stream.Record{Digest: d.Digest(), RawBytes: d.Bytes()}, nil
	}}
}

// cut ends after n bytes with err.
func cut(r io.Reader, n int64, err error) io.Reader {
	return io.MultiReader(io.LimitReader(r, n), failing{err})
}

type failing struct{ err error }

func (f failing) Read([]byte) (int, error) { return 0, f.err }

// copyIsAtomic: a chunk and its ledger row are there together, or not at all.
func copyIsAtomic(t *testing.T, g *Target) {
	tgt := g.prepare(t)
	if err := tgt.Exec(t.Context(), []*stream.Entry{&g.Create}); err != nil {
		t.Fatal(err)
	}
	const many = 2000
	wrong := stream.Fail(stream.Integrity, "the digest is another one")
	unverified := g.some(many)
	unverified.verify = func(int64) (*stream.Record, error) { return nil, wrong }
	truncated := g.some(many)
	truncated.Reader = cut(truncated.Reader, 5000, io.ErrUnexpectedEOF)
	lost := stream.Fail(stream.Outage, "the source went away")
	outage := g.some(many)
	outage.Reader = cut(outage.Reader, 0, lost)
	garbage := g.some(many)
	garbage.Reader = io.MultiReader(garbage.Reader, bytes.NewReader([]byte("\x01 no row at all \\")))
	for _, c := range []struct {
		name string
		rows *rows
		want error // nil for any
	}{
		{"rows that don't verify", unverified, wrong},
		{"a truncated stream", truncated, io.ErrUnexpectedEOF},
		{"a stream that fails at once", outage, lost},
		{"rows that are no rows", garbage, nil},
	} {
		err := tgt.CopyFrom(t.Context(), &g.Data, g.chunk(0), c.rows)
		if err == nil || c.want != nil && !errors.Is(err, c.want) {
			t.Errorf("%s: CopyFrom returns %v", c.name, err)
		}
		if c.rows != unverified && c.rows.asked > 0 {
			t.Errorf("%s: were verified, though they never came to their end", c.name)
		}
		g.loaded(t, "after "+c.name, 0)
		g.state(t, "after "+c.name, 1, 1)
	}
	for n, count := range []int{many, 0, 1} {
		if err := tgt.CopyFrom(t.Context(), &g.Data, g.chunk(n), g.some(count)); err != nil {
			t.Fatalf("a chunk of %d rows: %v", count, err)
		}
	}
	g.loaded(t, "at the end", many+1)
	g.state(t, "at the end", 1, 4)
}

// copyCancelled: a cancelled load ends soon and leaves nothing.
func copyCancelled(t *testing.T, g *Target) {
	tgt := g.prepare(t)
	if err := tgt.Exec(t.Context(), []*stream.Entry{&g.Create}); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	endless := g.some(0)
	i := 0
	endless.Reader = readerFunc(func(p []byte) (int, error) {
		if i++; i == 50 {
			cancel()
		}
		if ctx.Err() != nil && i > 1000 {
			return 0, ctx.Err() // as a store's reader would, a little late
		}
		return copy(p, g.Row(i)), nil
	})
	done := make(chan error, 1)
	go func() { done <- tgt.CopyFrom(ctx, &g.Data, g.chunk(0), endless) }()
	select {
	case err := <-done:
		if err == nil {
			t.Error("a cancelled load succeeded")
		}
	case <-time.After(patience):
		t.Fatal("a cancelled load goes on")
	}
	g.loaded(t, "after a cancelled load", 0)
	g.state(t, "after a cancelled load", 1, 1)
	if err := tgt.CopyFrom(t.Context(), &g.Data, g.chunk(0), g.some(10)); err != nil {
		t.Errorf("a load after a cancelled one: %v", err)
	}
}

type readerFunc func([]byte) (int, error)

func (f readerFunc) Read(p []byte) (int, error) { return f(p) }

// onlyOnce: what the ledger has is never taken again.
func onlyOnce(t *testing.T, g *Target) {
	tgt := g.prepare(t)
	if err := tgt.Exec(t.Context(), []*stream.Entry{&g.Create}); err != nil {
		t.Fatal(err)
	}
	if err := tgt.Exec(t.Context(), []*stream.Entry{&g.Create}); err == nil {
		t.Error("an entry was applied twice")
	}
	if err := tgt.CopyFrom(t.Context(), &g.Data, g.chunk(0), g.some(10)); err != nil {
		t.Fatal(err)
	}
	if err := tgt.CopyFrom(t.Context(), &g.Data, g.chunk(0), g.some(10)); err == nil {
		t.Error("a chunk was taken twice")
	}
	g.loaded(t, "at the end", 10)
	g.state(t, "at the end", 1, 2)
}

func wantKind(t *testing.T, what string, err error, want stream.Kind) {
	t.Helper()
	if err == nil || stream.KindOf(err) != want {
		t.Errorf("%s: kind %d instead of %d: %v", what, stream.KindOf(err), want, err)
	}
}

// busy: a target takes one run at a time.
func busy(t *testing.T, g *Target) {
	first := g.prepare(t)
	second, _ := g.Open(t)
	wantKind(t, "a second run", second.Prepare(t.Context(), &g.Header, g.entries(), g.plan()), stream.Busy)
	if err := first.Exec(t.Context(), []*stream.Entry{&g.Create}); err != nil {
		t.Errorf("the first run: %v", err)
	}
	g.state(t, "at the end", 1, 1)
}

// unfinished: what a run left behind is no empty target.
func unfinished(t *testing.T, g *Target) {
	first, closeIt := g.Open(t)
	if err := first.Prepare(t.Context(), &g.Header, g.entries(), g.plan()); err != nil {
		t.Fatal(err)
	}
	closeIt()
	second, _ := g.Open(t)
	wantKind(t, "after an unfinished run", second.Prepare(t.Context(), &g.Header, g.entries(), g.plan()), stream.Preflight)
}

// resumed: a second process goes on with what the first left, and the first is fenced off.
func resumed(t *testing.T, g *Target) {
	tgt, closeIt := g.Resume(t) // with nothing to resume it begins
	if err := tgt.Prepare(t.Context(), &g.Header, g.entries(), g.plan()); err != nil {
		t.Fatal(err)
	}
	if err := tgt.Exec(t.Context(), []*stream.Entry{&g.Create}); err != nil {
		t.Fatal(err)
	}
	first := g.some(10)
	if err := tgt.CopyFrom(t.Context(), &g.Data, g.chunk(1), first); err != nil {
		t.Fatal(err)
	}
	second, _ := g.Resume(t)
	wantKind(t, "while the first process lives", second.Prepare(t.Context(), &g.Header, g.entries(), g.plan()), stream.Busy)
	closeIt()
	if err := second.Prepare(t.Context(), &g.Header, g.entries(), g.plan()); err != nil {
		t.Fatal(err)
	}
	rec, err := first.Verify(10)
	if err != nil {
		t.Fatal(err)
	}
	taken := second.(restore.Resumer).Taken()
	c := g.chunk(1)
	if len(taken.Entries) != 1 || !taken.Entries[g.Create.ID] || len(taken.Chunks) != 1 || taken.Chunks[c.Part()] != rec.Digest {
		t.Errorf("taken: %+v", taken)
	}
	if err := second.CopyFrom(t.Context(), &g.Data, g.chunk(0), g.some(5)); err != nil {
		t.Fatal(err)
	}
	g.loaded(t, "at the end", 15)
	g.state(t, "at the end", 1, 3)
	if err := second.Finish(t.Context()); err != nil {
		t.Fatal(err)
	}
}

// resumedByAnother: what another run left is refused, unless this one goes on from it: then what comes again is put back.
func resumedByAnother(t *testing.T, g *Target) {
	tgt, closeIt := g.Open(t)
	if err := tgt.Prepare(t.Context(), &g.Header, g.entries(), g.plan()); err != nil {
		t.Fatal(err)
	}
	if err := tgt.Exec(t.Context(), []*stream.Entry{&g.Create}); err != nil {
		t.Fatal(err)
	}
	if err := tgt.CopyFrom(t.Context(), &g.Data, g.chunk(1), g.some(10)); err != nil {
		t.Fatal(err)
	}
	closeIt()
	second, _ := g.Resume(t)
	h := g.Header
	h.Run = "another"
	wantKind(t, "another run", second.Prepare(t.Context(), &h, g.entries(), g.plan()), stream.NotResumable)
	g.loaded(t, "after the refusal", 10)
	g.state(t, "after the refusal", 1, 2)
	changed := g.entries()
	changed[1].Defn += " -- changed"
	wantKind(t, "another schema", second.Prepare(t.Context(), &g.Header, changed, g.plan()), stream.NotResumable)
	h.Resumes = []stream.Resumed{{Run: "older", Again: []stream.DumpID{77}}, {Run: g.Header.Run, Again: []stream.DumpID{g.Data.ID}}}
	if err := second.Prepare(t.Context(), &h, g.entries(), g.plan()); err != nil {
		t.Fatal(err)
	}
	g.loaded(t, "put back", 0)
	g.state(t, "put back", 1, 1)
	if err := second.CopyFrom(t.Context(), &g.Data, g.chunk(1), g.some(7)); err != nil {
		t.Fatal(err)
	}
	g.loaded(t, "at the end", 7)
}

// notEmpty: a target that holds anything is refused, and not touched.
func notEmpty(t *testing.T, g *Target) {
	g.Occupy(t)
	tgt, _ := g.Open(t)
	wantKind(t, "a target that is not empty", tgt.Prepare(t.Context(), &g.Header, g.entries(), g.plan()), stream.Preflight)
	g.state(t, "after the refusal", 0, -1)
}

// otherEngine: an archive of another engine is refused, and the target not touched.
func otherEngine(t *testing.T, g *Target) {
	tgt, _ := g.Open(t)
	h := g.Header
	h.Engine = "another"
	wantKind(t, "an archive of another engine", tgt.Prepare(t.Context(), &h, g.entries(), g.plan()), stream.Preflight)
	g.state(t, "after the refusal", 0, -1)
}

// Fenced is one part of Exercise: a process whose run was taken over changes nothing any more.
func Fenced(t *testing.T, g *Target) {
	tgt := g.prepare(t)
	if err := tgt.Exec(t.Context(), []*stream.Entry{&g.Create}); err != nil {
		t.Fatal(err)
	}
	g.TakeOver(t)
	wantKind(t, "an entry of the old process", tgt.Exec(t.Context(), []*stream.Entry{&g.Other}), stream.Busy)
	wantKind(t, "a chunk of the old process", tgt.CopyFrom(t.Context(), &g.Data, g.chunk(0), g.some(10)), stream.Busy)
	g.loaded(t, "at the end", 0)
	g.state(t, "at the end", 1, 1)
}

// finish: the ledger goes, what was moved stays.
func finish(t *testing.T, g *Target) {
	tgt := g.prepare(t)
	if err := tgt.Exec(t.Context(), []*stream.Entry{&g.Create, &g.Other}); err != nil {
		t.Fatal(err)
	}
	if err := tgt.CopyFrom(t.Context(), &g.Data, g.chunk(0), g.some(10)); err != nil {
		t.Fatal(err)
	}
	for range 2 { // once more does no harm
		if err := tgt.Finish(t.Context()); err != nil {
			t.Fatal(err)
		}
		g.state(t, "after Finish", 2, -1)
		g.loaded(t, "after Finish", 10)
	}
}
