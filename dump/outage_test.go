package dump_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/pgmove/pgmove/dump"
	"github.com/pgmove/pgmove/stream"
	"github.com/pgmove/pgmove/stream/filestore"
	"github.com/pgmove/pgmove/stream/pipestore"
)

// flaky is a snapshot of some tables whose reading fails a few times, in the middle.
type flaky struct {
	fails int
	err   error
	mu    sync.Mutex
	tried map[stream.DumpID]int
}

const tables = 6

func (f *flaky) Entries(context.Context) (stream.Header, []stream.Entry, error) {
	var entries []stream.Entry
	for i := stream.DumpID(1); i <= tables; i++ {
		entries = append(entries, stream.Entry{ID: i, Section: stream.Data, Desc: "TABLE DATA", Tag: stream.Text(fmt.Sprint("t", i)),
			Table: &stream.Table{Name: stream.Text(fmt.Sprint("t", i))}})
	}
	return stream.Header{Engine: "fake"}, entries, nil
}

func (f *flaky) Split(context.Context, *stream.Entry) ([]stream.Chunk, error) {
	return []stream.Chunk{{Format: stream.FormatText}}, nil
}

// rowsOf are a table's rows.
func rowsOf(e stream.DumpID) string { return strings.Repeat(fmt.Sprintf("row of %d\n", e), 50_000) }

func (f *flaky) CopyTo(_ context.Context, e *stream.Entry, _ stream.Chunk, w io.Writer) error {
	f.mu.Lock()
	if f.tried == nil {
		f.tried = map[stream.DumpID]int{}
	}
	f.tried[e.ID]++
	n := f.tried[e.ID]
	f.mu.Unlock()
	all := rowsOf(e.ID)
	if n > f.fails {
		_, err := io.WriteString(w, all)
		return err
	}
	if _, err := io.WriteString(w, all[:len(all)/n/2]); err != nil {
		return err
	}
	return f.err
}

func (f *flaky) Contents() ([]stream.SequenceValue, []stream.SchemaItem) { return nil, nil }
func (f *flaky) Release(context.Context) error                           { return nil }

var quick = stream.Retry{Tries: 6, First: time.Millisecond, Most: 2 * time.Millisecond}

// TestOutages: what an outage stopped is read again. Its reader never takes a part for the whole, and an archive has each chunk once.
func TestOutages(t *testing.T) {
	gone := stream.Fail(stream.Outage, "gone")
	for _, c := range []struct {
		name  string
		fails int
		err   error
		ok    bool
	}{{"passes", 3, gone, true}, {"stays", 9, gone, false}, {"can't be outlasted", 1, stream.Last(gone), false}, {"something else", 1, errors.New("no"), false}} {
		for _, live := range []bool{true, false} {
			t.Run(fmt.Sprint(c.name, " live=", live), func(t *testing.T) {
				ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
				defer cancel()
				snap := &flaky{fails: c.fails, err: c.err}
				var err error
				if live {
					err = handOver(ctx, t, snap)
				} else {
					err = keep(ctx, t, snap)
				}
				if ctx.Err() != nil {
					t.Fatal("it takes for ever")
				}
				if c.ok && err != nil || !c.ok && !errors.Is(err, c.err) {
					t.Errorf("%v", err)
				}
			})
		}
	}
}

// torn is a store that takes every object at the third try, and keeps what came at the second.
type torn struct {
	stream.Store
	mu    sync.Mutex
	tried map[string]int
}

func (s *torn) Put(ctx context.Context, key string, r io.Reader) error {
	s.mu.Lock()
	s.tried[key]++
	n := s.tried[key]
	s.mu.Unlock()
	switch chunk := strings.HasPrefix(key, "pgmove/chunks/") || strings.HasSuffix(key, ".zst"); {
	case !chunk || n > 2:
		return s.Store.Put(ctx, key, r)
	case n == 1:
		return stream.Fail(stream.Outage, "the store is gone")
	}
	if err := s.Store.Put(ctx, key, r); err != nil {
		return err
	}
	return stream.Fail(stream.Outage, "its answer is gone")
}

// TestStoreOutages: a chunk whose object or record could not be stored, or may have been, comes again and is listed once.
func TestStoreOutages(t *testing.T) {
	store, err := filestore.Open(t.TempDir(), true)
	if err != nil {
		t.Fatal(err)
	}
	if err := keepIn(t.Context(), t, &flaky{}, &torn{Store: store, tried: map[string]int{}}); err != nil {
		t.Error(err)
	}
}

func keep(ctx context.Context, t *testing.T, snap dump.Snapshot) error {
	store, err := filestore.Open(t.TempDir(), true)
	if err != nil {
		t.Fatal(err)
	}
	return keepIn(ctx, t, snap, store)
}

func keepIn(ctx context.Context, t *testing.T, snap dump.Snapshot, store stream.Store) error {
	if _, err := dump.Run(ctx, snap, stream.NewWriter(store, false, stream.Zstd), dump.Options{Jobs: 3, Run: "run", Retry: quick}); err != nil {
		return err
	}
	r, err := stream.OpenSealed(ctx, store, "here", nil)
	if err != nil {
		return err
	}
	if n := len(r.Manifest().Chunks); n != tables {
		t.Errorf("%d chunks", n)
	}
	v, err := stream.Verify(ctx, r, stream.VerifyOptions{Jobs: 2})
	if err != nil {
		return err
	}
	return v.Err()
}

// handOver has two readers take what a dump hands over. Now and then one gives a chunk back, as after an outage of its own.
func handOver(ctx context.Context, t *testing.T, snap dump.Snapshot) error {
	store := pipestore.New()
	g, ctx := errgroup.WithContext(ctx)
	var failed error
	g.Go(func() error {
		if _, failed = dump.Run(ctx, snap, stream.NewWriter(store, true, stream.None), dump.Options{Jobs: 3, Run: "run", Retry: quick}); failed != nil {
			store.CloseWithError(failed)
		}
		return failed
	})
	r := stream.Follow(store, "", store, nil)
	if _, err := r.Header(ctx); err != nil {
		return errors.Join(g.Wait(), err)
	}
	_, eerr := r.Entries(ctx)
	if _, err := r.Plan(ctx); err != nil || eerr != nil {
		return errors.Join(g.Wait(), err, eerr)
	}
	var mu sync.Mutex
	given := map[string]bool{}
	for range 2 {
		g.Go(func() error {
			for {
				c, err := r.Next(ctx)
				if errors.Is(err, io.EOF) {
					return nil
				}
				if err != nil {
					return err
				}
				rows, err := r.OpenChunk(ctx, c)
				if err != nil {
					return err
				}
				b, err := io.ReadAll(rows)
				if errors.Is(err, stream.ErrAgain) {
					rows.GiveBack(err, true)
					continue
				}
				if err != nil {
					rows.GiveBack(err, false)
					return err
				}
				mu.Lock()
				first := !given[c.Key]
				given[c.Key] = true
				mu.Unlock()
				if first {
					rows.GiveBack(stream.Fail(stream.Outage, "the target is gone"), true)
					continue
				}
				if string(b) != rowsOf(c.Table) {
					t.Errorf("%d bytes of chunk %s", len(b), c.Key)
				}
				if _, err := rows.Verify(-1); err != nil {
					return err
				}
				if err := rows.Close(); err != nil {
					return err
				}
			}
		})
	}
	if err := g.Wait(); failed == nil {
		return err
	}
	return failed
}
