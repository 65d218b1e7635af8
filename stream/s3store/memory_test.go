package s3store_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/pgmove/pgmove/stream"
	"github.com/pgmove/pgmove/stream/s3store"
)

// zeros yields n zero bytes without holding them.
type zeros struct {
	n    int64
	hint int64
}

func (z *zeros) Read(p []byte) (int, error) {
	if z.n == 0 {
		return 0, io.EOF
	}
	n := min(int64(len(p)), z.n)
	clear(p[:n])
	z.n -= n
	return int(n), nil
}

func (z *zeros) SizeHint() int64 { return z.hint }

// TestMemory: many large objects at the same time, with parts of several sizes, stay within the memory that they were
// given, buffers in store included, and all get through.
func TestMemory(t *testing.T) {
	const memory, puts = 64 << 20, 40
	s, f := openFake(t, func(o *s3store.Options) { o.PartSize, o.Memory = 0, memory })
	f.counts = true
	f.set(func(r *http.Request) *http.Response {
		if operation(r) == "part" {
			time.Sleep(time.Millisecond) // so that parts are on their way at the same time
		}
		return nil
	})
	runtime.GC()
	var before runtime.MemStats
	runtime.ReadMemStats(&before)
	// What the parts take is held against the limit below, to the byte. This is against a store that forgets to ask: 40 objects with three
	// parts each would be 700 MiB. Between the two is what was let go of and not collected yet, the more the slower the machine.
	const allowed = 5 * memory
	var most uint64
	done := make(chan struct{})
	var watch sync.WaitGroup
	watch.Go(func() {
		for {
			select {
			case <-done:
				return
			case <-time.After(20 * time.Millisecond):
			}
			// What lies about uncollected is no matter of this package: the command sets a limit that sees to it.
			runtime.GC()
			var now runtime.MemStats
			runtime.ReadMemStats(&now)
			most = max(most, now.HeapAlloc)
		}
	})
	var group sync.WaitGroup
	for i := range puts {
		group.Go(func() {
			r := &zeros{n: 22 << 20}
			if i%5 == 0 {
				r.hint = 60 << 30 // parts of 10 MiB
			}
			if err := s.Put(t.Context(), fmt.Sprint(i), r); err != nil {
				t.Error(err)
			}
		})
	}
	group.Wait()
	close(done)
	watch.Wait()
	if f.puts != puts {
		t.Errorf("%d objects", f.puts)
	}
	held, limit := s.Held()
	if held > limit || held < limit/2 || limit > memory {
		t.Errorf("%d bytes of parts, %d allowed", held, limit)
	}
	if grown := int64(most) - int64(before.HeapAlloc); grown > allowed {
		t.Errorf("the heap grew by %d MiB, want %d at most", grown>>20, allowed>>20)
	} else {
		t.Logf("%d MiB of parts at most, of %d; the heap grew by %d MiB", held>>20, limit>>20, grown>>20)
	}
}

// TestMemoryBound: where the memory is for two parts, one is filled while one is on its way, all objects get through, and a
// caller may give up waiting.
func TestMemoryBound(t *testing.T) {
	s, f := openFake(t, func(o *s3store.Options) { o.Memory, o.Uploads = 12<<20, 1 })
	var mu sync.Mutex
	now, most := 0, 0
	f.set(func(r *http.Request) *http.Response {
		if operation(r) == "part" {
			mu.Lock()
			now++
			most = max(most, now)
			mu.Unlock()
			time.Sleep(5 * time.Millisecond)
			mu.Lock()
			now--
			mu.Unlock()
		}
		return nil
	})
	var group sync.WaitGroup
	for i := range 6 {
		group.Go(func() {
			if err := s.Put(t.Context(), fmt.Sprint(i), strings.NewReader(large)); err != nil {
				t.Error(err)
			}
		})
	}
	group.Wait()
	if most != 1 {
		t.Errorf("%d parts on their way at a time, want 1", most)
	}
	// One that doesn't go on holds all memory.
	ctx, cancel := context.WithCancel(t.Context())
	ends := make(chan error)
	pipe, feed := io.Pipe()
	defer feed.Close()
	go func() { ends <- s.Put(ctx, "held", pipe) }()
	if _, err := feed.Write(make([]byte, 2<<20)); err != nil {
		t.Fatal(err)
	}
	context.AfterFunc(ctx, func() { feed.CloseWithError(errors.New("over")) })
	short, stop := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer stop()
	if err := s.Put(short, "waits", strings.NewReader(large)); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("a Put without memory: %v", err)
	}
	if err := s.Put(t.Context(), "small", strings.NewReader(large[:1000])); err != nil {
		t.Errorf("a small one: %v", err)
	}
	cancel()
	if err := <-ends; err == nil {
		t.Error("a Put without an end succeeded")
	}
	if err := s.Put(t.Context(), "after", strings.NewReader(large)); err != nil {
		t.Error(err)
	}
}

// TestPartSizes: what parts are large, by the options and the reader's hint.
func TestPartSizes(t *testing.T) {
	const mib, gib = 1 << 20, 1 << 30
	for _, c := range []struct {
		memory, part    int64
		uploads         int
		hint, want      int64
		refused, advice string
	}{
		{uploads: 8, want: 5 * mib},
		{uploads: 4, want: 10 * mib},
		{uploads: 1, want: 16 * mib},
		{uploads: 64, want: 5 * mib},
		{uploads: 8, memory: 14 * mib, want: 5 * mib},
		{uploads: 8, memory: 512 * mib, want: 16 * mib},
		{uploads: 8, part: 8 * mib, want: 8 * mib},
		{uploads: 8, hint: 20 * gib, want: 5 * mib},
		{uploads: 8, hint: 40 * gib, want: 7 * mib},
		{uploads: 8, hint: 500 * gib, want: 60 * mib},
		{uploads: 8, hint: 600 * gib, refused: "larger than 10000 parts", advice: "165 MiB"},
		{uploads: 8, hint: 1 << 62, refused: "larger than"},
		{uploads: 8, hint: -5, want: 5 * mib},
	} {
		s, _ := openFake(t, func(o *s3store.Options) { o.PartSize, o.Memory, o.Uploads = c.part, c.memory, c.uploads })
		got, err := s.PartSize(c.hint)
		if c.refused == "" && (got != c.want || err != nil) {
			t.Errorf("%+v: %d, %v", c, got, err)
		}
		if c.refused != "" {
			var f *stream.Failure
			if !errors.As(err, &f) || f.Kind != stream.Usage || !strings.Contains(f.Msg, c.refused) || !strings.Contains(f.Hint, c.advice) {
				t.Errorf("%+v: %v %+v", c, err, f)
			}
			if err := s.Put(t.Context(), "k", &zeros{n: 2 * mib, hint: c.hint}); stream.KindOf(err) != stream.Usage || !strings.Contains(err.Error(), "s3://bucket/k") {
				t.Errorf("Put: %v", err)
			}
		}
	}
}

// TestTooManyParts: an object of more parts than S3 takes ends with a hint, and leaves nothing.
func TestTooManyParts(t *testing.T) {
	s, f := openFake(t)
	s.LimitParts(2)
	err := s.Put(t.Context(), "k", strings.NewReader(large))
	var failure *stream.Failure
	if !errors.As(err, &failure) || !strings.Contains(err.Error(), "larger than 2 parts of 5242880 bytes") || failure.Hint == "" {
		t.Errorf("Put: %v", err)
	}
	if len(f.objects) > 0 || len(f.parts) > 0 {
		t.Errorf("%d objects and %d uploads are left", len(f.objects), len(f.parts))
	}
	if err := s.Put(t.Context(), "k", strings.NewReader(large[:10<<20])); err != nil {
		t.Errorf("two parts: %v", err)
	}
}
