package stream

import (
	"io"
	"sync"
	"testing"
)

// What observers are told of a chunk adds up to what passed of it, and to nothing where it isn't done.
func TestJob(t *testing.T) {
	t.Parallel()
	for _, done := range []bool{true, false} {
		var mu sync.Mutex
		var kinds []EventKind
		var bytes int64
		o := Observer(func(e Event) {
			mu.Lock()
			defer mu.Unlock()
			if e.Kind == EventRows {
				bytes += e.Bytes
			} else {
				kinds = append(kinds, e.Kind)
			}
			if e.Side != "dump" || e.Entry != 7 || e.Worker != 3 {
				t.Errorf("side %q, entry %d, worker %d", e.Side, e.Entry, e.Worker)
			}
		})
		ctx := WithWorker(t.Context(), 3)
		job := o.Begin(ctx, Event{Side: "dump", What: WorkChunk, Object: "public.t", Entry: 7})
		w := job.Writer(io.Discard)
		for range 5 {
			if _, err := w.Write(make([]byte, stepBytes-1)); err != nil {
				t.Fatal(err)
			}
		}
		want, ended := int64(0), []EventKind{EventBegin, EventEnd}
		if done {
			want, ended = 5*(stepBytes-1), []EventKind{EventBegin, EventChunk, EventEnd}
			job.Done(10, want)
		} else if bytes == 0 {
			t.Error("nothing was told while bytes passed")
		}
		job.End()
		job.End()
		if bytes != want {
			t.Errorf("done %v: %d bytes told, want %d", done, bytes, want)
		}
		if len(kinds) != len(ended) {
			t.Fatalf("done %v: kinds %v, want %v", done, kinds, ended)
		}
		for i := range ended {
			if kinds[i] != ended[i] {
				t.Errorf("done %v: kinds %v, want %v", done, kinds, ended)
			}
		}
	}
}

func TestWorkers(t *testing.T) {
	t.Parallel()
	w := NewWorkers(0)
	ctx, free := w.Take(t.Context())
	if n, _ := ctx.Value(workerKey{}).(int); n != 1 {
		t.Errorf("worker %d, want 1", n)
	}
	free()
	_, free = w.Take(t.Context())
	free()
}
