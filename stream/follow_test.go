package stream_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/pgmove/pgmove/stream"
	"github.com/pgmove/pgmove/stream/pipestore"
	"github.com/pgmove/pgmove/stream/watch"
)

// following is a store that writer and reader share.
type following interface {
	stream.Store
	stream.Announcer
	CloseWithError(error)
}

// ways are the two ways from a writer to the reader that follows it.
func ways(t *testing.T, test func(t *testing.T, s following, live bool)) {
	t.Run("pipestore", func(t *testing.T) { test(t, pipestore.New(), true) })
	t.Run("watch", func(t *testing.T) { test(t, watch.New(openDir(t, t.TempDir(), true)), false) })
}

// writeAll writes an archive as dump does: a chunk given back is offered again, last.
func writeAll(ctx context.Context, w *stream.Writer, s *sample) error {
	h, err := w.Begin(ctx, stream.Header{Run: "run-1"}, s.entries, s.chunks)
	if err != nil {
		return err
	}
	queue := slices.Clone(s.chunks)
	for len(queue) > 0 {
		c := queue[0]
		queue = queue[1:]
		_, err := w.WriteChunk(ctx, c, fill(s.rows[c.Key], 777))
		if errors.Is(err, stream.ErrAbandoned) {
			queue = append(queue, c)
			continue
		}
		if err != nil {
			return err
		}
	}
	return w.Seal(ctx, nil, stream.NewContents(h, s.entries, w.Records()))
}

// begin reads what comes before the chunks.
func begin(ctx context.Context, r *stream.Reader) error {
	if _, err := r.Header(ctx); err != nil {
		return err
	}
	if _, err := r.Entries(ctx); err != nil {
		return err
	}
	_, err := r.Plan(ctx)
	return err
}

// TestFollow: what is written comes out at the reader that follows, the chunk that was given back
// included, after all others.
func TestFollow(t *testing.T) {
	ways(t, func(t *testing.T, store following, live bool) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		w := stream.NewWriter(store, live, stream.Zstd)
		s := newSample(w, true)
		written := make(chan error, 1)
		go func() { written <- writeAll(ctx, w, s) }()
		r := stream.Follow(store, "the archive", store, nil)
		if err := begin(ctx, r); err != nil {
			t.Fatal(err)
		}
		var order []string
		for {
			c, err := r.Next(ctx)
			if err == io.EOF {
				break
			}
			if err != nil {
				t.Fatal(err)
			}
			order = append(order, c.Key)
			cr, err := r.OpenChunk(ctx, c)
			if err != nil {
				t.Fatal(err)
			}
			if len(order) == 1 {
				_, _ = cr.Read(make([]byte, 100))
				cr.GiveBack(errors.New("not yet"), true)
				continue
			}
			got, err := io.ReadAll(cr)
			if err != nil {
				t.Fatal(err)
			}
			rec, err := cr.Verify(-1)
			if err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(got, s.rows[c.Key]) || rec.Digest != digestOf(t, c.Format, got) {
				t.Errorf("chunk %s came out changed", c.Key)
			}
			if err := cr.Close(); err != nil {
				t.Fatal(err)
			}
		}
		if err := <-written; err != nil {
			t.Fatal(err)
		}
		if n := len(s.chunks); len(order) != n+1 || order[0] != order[n] || slices.Contains(order[1:n], order[0]) {
			t.Errorf("the order is %v", order)
		}
		if n := len(w.Records()); n != len(s.chunks) {
			t.Errorf("%d records of %d", n, len(s.chunks))
		}
	})
}

// TestFollowBySeveral: each chunk goes to one of several readers, and all of them end.
func TestFollowBySeveral(t *testing.T) {
	ways(t, func(t *testing.T, store following, live bool) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		w := stream.NewWriter(store, live, stream.None)
		s := newSample(w, false)
		written := make(chan error, 1)
		go func() { written <- writeAll(ctx, w, s) }()
		r := stream.Follow(store, "the archive", store, nil)
		if err := begin(ctx, r); err != nil {
			t.Fatal(err)
		}
		var mu sync.Mutex
		taken, tries := map[string]int{}, map[string]int{}
		var wg sync.WaitGroup
		for range 4 {
			wg.Go(func() {
				for {
					c, err := r.Next(ctx)
					if err == io.EOF {
						return
					}
					if err != nil {
						t.Error(err)
						return
					}
					cr, err := r.OpenChunk(ctx, c)
					if err != nil {
						t.Error(err)
						return
					}
					mu.Lock()
					tries[c.Key]++
					first := tries[c.Key] == 1
					mu.Unlock()
					if first {
						cr.GiveBack(errors.New("not yet"), true)
						continue
					}
					if _, err := cr.Verify(-1); err != nil {
						t.Error(err)
					}
					if err := cr.Close(); err != nil {
						t.Error(err)
					}
					mu.Lock()
					taken[c.Key]++
					mu.Unlock()
				}
			})
		}
		wg.Wait()
		if err := <-written; err != nil {
			t.Fatal(err)
		}
		for _, c := range s.chunks {
			if taken[c.Key] != 1 {
				t.Errorf("chunk %s was taken %d times", c.Key, taken[c.Key])
			}
		}
	})
}

// TestFollowFailure: a writer that fails within a chunk is an error for who follows, never an end.
func TestFollowFailure(t *testing.T) {
	ways(t, func(t *testing.T, store following, live bool) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		boom := errors.New("the source went away")
		w := stream.NewWriter(store, live, stream.None)
		s := newSample(w, false)
		failed := make(chan error, 1)
		go func() {
			_, err := w.Begin(ctx, stream.Header{Run: "run-1"}, s.entries, s.chunks)
			if err == nil {
				_, err = w.WriteChunk(ctx, s.chunks[0], func(dst io.Writer) error {
					_, _ = io.WriteString(dst, "whole\nhal")
					return boom
				})
			}
			store.CloseWithError(err)
			failed <- err
		}()
		r := stream.Follow(store, "the archive", store, nil)
		err := begin(ctx, r)
		var c stream.Chunk
		if err == nil {
			c, err = r.Next(ctx)
		}
		if err == nil {
			var cr *stream.ChunkReader
			if cr, err = r.OpenChunk(ctx, c); err == nil {
				_, err = io.Copy(io.Discard, cr)
				if err == nil {
					_, err = cr.Verify(-1)
				}
				cr.GiveBack(err, false)
			}
		}
		if err == nil || !strings.Contains(err.Error(), boom.Error()) {
			t.Errorf("who follows gets %v", err)
		}
		if err := <-failed; !errors.Is(err, boom) {
			t.Errorf("the writer gets %v", err)
		}
	})
}

// TestRefusedChunk: why a chunk was given back reaches its writer.
func TestRefusedChunk(t *testing.T) {
	store := pipestore.New()
	w := stream.NewWriter(store, true, stream.None)
	s := newSample(w, false)
	ctx := t.Context()
	if _, err := w.Begin(ctx, stream.Header{Run: "run-1"}, s.entries, s.chunks); err != nil {
		t.Fatal(err)
	}
	refused := errors.New("the target is full")
	done := make(chan error, 1)
	go func() {
		_, err := w.WriteChunk(ctx, s.chunks[0], fill(s.rows[s.chunks[0].Key], 10))
		done <- err
	}()
	r := stream.Follow(store, "the archive", store, nil)
	if err := begin(ctx, r); err != nil {
		t.Fatal(err)
	}
	c, err := r.Next(ctx)
	if err != nil {
		t.Fatal(err)
	}
	cr, err := r.OpenChunk(ctx, c)
	if err != nil {
		t.Fatal(err)
	}
	cr.GiveBack(refused, false)
	if err := <-done; !errors.Is(err, refused) {
		t.Errorf("the writer gets %v", err)
	}
}

// lastIsSlow is an Announcer that tells that nothing more comes before it tells of the last chunk.
type lastIsSlow struct {
	keys []string
	over chan struct{} // closed when it told that nothing more comes
	once sync.Once
}

func (a *lastIsSlow) Visible(ctx context.Context, i int) (string, error) {
	if i >= len(a.keys) {
		a.once.Do(func() { close(a.over) })
		return "", stream.ErrNoMore
	}
	if i == len(a.keys)-1 {
		select {
		case <-a.over:
			time.Sleep(20 * time.Millisecond) // for the other to draw its conclusion
		case <-ctx.Done():
			return "", context.Cause(ctx)
		}
	}
	return a.keys[i], nil
}

// TestLastChunkIsOnItsWay: who learns that nothing more will come waits for those who have yet to get the last chunk.
func TestLastChunkIsOnItsWay(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	store := watch.New(openDir(t, t.TempDir(), true))
	w := stream.NewWriter(store, false, stream.Zstd)
	s := newSample(w, false)
	if err := writeAll(ctx, w, s); err != nil {
		t.Fatal(err)
	}
	a := &lastIsSlow{over: make(chan struct{})}
	for i := range s.chunks {
		a.keys = append(a.keys, fmt.Sprintf("pgmove/chunks/%d.json", s.chunks[i].ID))
	}
	for _, lost := range []bool{false, true} {
		a.over, a.once = make(chan struct{}), sync.Once{}
		if lost {
			a.keys = a.keys[:len(a.keys)-1]
		}
		r := stream.Follow(store, "the archive", a, nil)
		if err := begin(ctx, r); err != nil {
			t.Fatal(err)
		}
		ended := make(chan error, 2)
		for range 2 {
			go func() {
				for {
					c, err := r.Next(ctx)
					if err == nil {
						var cr *stream.ChunkReader
						if cr, err = r.OpenChunk(ctx, c); err == nil {
							if _, err = io.Copy(io.Discard, cr); err == nil {
								if _, err = cr.Verify(-1); err == nil {
									err = cr.Close()
								}
							}
						}
					}
					if err != nil {
						ended <- err
						return
					}
				}
			}()
		}
		for range 2 {
			if err := <-ended; lost && stream.KindOf(err) != stream.Integrity || !lost && err != io.EOF {
				t.Errorf("lost %t: %v", lost, err)
			}
		}
	}
}
