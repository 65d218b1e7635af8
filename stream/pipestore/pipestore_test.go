package pipestore_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/pgmove/pgmove/stream"
	"github.com/pgmove/pgmove/stream/blockpipe"
	"github.com/pgmove/pgmove/stream/pipestore"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var _ stream.Store = (*pipestore.Store)(nil)

var errBroken = errors.New("broken")

// offer puts in the background.
func offer(s *pipestore.Store, ctx context.Context, key string, r io.Reader) <-chan error {
	done := make(chan error, 1)
	go func() { done <- s.Put(ctx, key, r) }()
	return done
}

func take(t *testing.T, s *pipestore.Store, ctx context.Context, key string) *pipestore.Object {
	t.Helper()
	r, err := s.Get(ctx, key, 0)
	if err != nil {
		t.Fatalf("Get(%s): %v", key, err)
	}
	o, ok := r.(*pipestore.Object)
	if !ok {
		t.Fatalf("Get(%s) = %T, want an *Object", key, r)
	}
	return o
}

func demandWaiting(t *testing.T, done <-chan error) {
	t.Helper()
	synctest.Wait()
	select {
	case err := <-done:
		t.Fatalf("Put returned already: %v", err)
	default:
	}
}

func TestHandOver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := pipestore.New()
		body := strings.NewReader("some rows")
		done := offer(s, t.Context(), "1.dat", body)
		demandWaiting(t, done)
		o := take(t, s, t.Context(), "1.dat")
		if b, err := io.ReadAll(o); string(b) != "some rows" || err != nil {
			t.Errorf("read %q, %v", b, err)
		}
		if o.Source() != io.Reader(body) {
			t.Error("Source is not what was put")
		}
		demandWaiting(t, done) // read, but not acknowledged
		if err := o.Close(); err != nil {
			t.Errorf("Close: %v", err)
		}
		if err := <-done; err != nil {
			t.Errorf("Put: %v", err)
		}
		// Too late for anything else.
		o.Abandon(errBroken)
		if err := o.Close(); err != nil {
			t.Errorf("second Close: %v", err)
		}
		if _, err := o.Read(make([]byte, 1)); err != io.EOF {
			t.Errorf("Read after Close: %v", err)
		}
	})
}

// TestGetFirst: the getter may come before the object is offered, and gets each offer once.
func TestGetFirst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := pipestore.New()
		var got sync.Map
		var group sync.WaitGroup
		for range 2 {
			group.Go(func() {
				o := take(t, s, t.Context(), "k")
				b, _ := io.ReadAll(o)
				got.Store(string(b), true)
				_ = o.Close()
			})
		}
		synctest.Wait()
		for _, body := range []string{"first", "second"} {
			if err := s.Put(t.Context(), "k", strings.NewReader(body)); err != nil {
				t.Error(err)
			}
		}
		group.Wait()
		for _, body := range []string{"first", "second"} {
			if _, ok := got.Load(body); !ok {
				t.Errorf("%q did not arrive", body)
			}
		}
	})
}

// TestStreams: the getter reads while the writer is still writing.
func TestStreams(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := pipestore.New()
		r, w := io.Pipe()
		done := offer(s, t.Context(), "k", r)
		o := take(t, s, t.Context(), "k")
		for i := range 10 {
			want := fmt.Sprint("row ", i)
			go func() { _, _ = io.WriteString(w, want) }()
			b := make([]byte, len(want))
			if _, err := io.ReadFull(o, b); err != nil || string(b) != want {
				t.Errorf("read %q, %v, want %q", b, err, want)
			}
		}
		_ = w.Close()
		if n, err := o.Read(make([]byte, 1)); n != 0 || err != io.EOF {
			t.Errorf("Read = %d, %v", n, err)
		}
		if err := errors.Join(o.Close(), <-done); err != nil {
			t.Error(err)
		}
	})
}

func TestGetCancelled(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := pipestore.New()
		for _, key := range []string{"k", "pgmove/header"} {
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			if _, err := s.Get(ctx, key, 0); !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("Get(%s): %v", key, err)
			}
			cancel()
		}
	})
}

func TestCloseWithError(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := pipestore.New()
		if err := s.Put(t.Context(), "pgmove/header", strings.NewReader("x")); err != nil {
			t.Fatal(err)
		}
		untaken := offer(s, t.Context(), "untaken", strings.NewReader("x"))
		taken := offer(s, t.Context(), "taken", strings.NewReader("x"))
		o := take(t, s, t.Context(), "taken")
		waiting := make(chan error, 2)
		go func() { _, err := s.Get(t.Context(), "never", 0); waiting <- err }()
		go func() { _, err := s.Visible(t.Context(), 99); waiting <- err }()
		synctest.Wait()
		s.CloseWithError(errBroken)
		s.CloseWithError(errors.New("another"))
		for _, c := range []<-chan error{untaken, taken, waiting, waiting} {
			if err := <-c; !errors.Is(err, errBroken) {
				t.Errorf("a blocked call returned %v", err)
			}
		}
		_, read := o.Read(make([]byte, 1))
		_, got := s.Get(t.Context(), "pgmove/header", 0)
		_, list := s.List(t.Context(), "")
		for i, err := range []error{
			read, o.Close(), got, list, s.Delete(t.Context(), "pgmove/header"),
			s.Put(t.Context(), "k", strings.NewReader("x")), s.Put(t.Context(), "pgmove/k", strings.NewReader("x")),
		} {
			if !errors.Is(err, errBroken) {
				t.Errorf("call %d after CloseWithError: %v", i, err)
			}
		}
	})
}

func TestMetadata(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := pipestore.New()
		get := func(key string, offset int64) string {
			r, err := s.Get(t.Context(), key, offset)
			if err != nil {
				t.Error(err)
				return ""
			}
			b, err := io.ReadAll(r)
			if err := errors.Join(err, r.Close()); err != nil {
				t.Error(err)
			}
			return string(b)
		}
		got := make(chan string)
		go func() { got <- get("pgmove/plan", 0) }()
		synctest.Wait()
		if err := s.Put(t.Context(), "pgmove/plan", strings.NewReader("a plan")); err != nil {
			t.Fatal(err)
		}
		if b := <-got; b != "a plan" {
			t.Errorf("the waiting Get read %q", b)
		}
		for offset, want := range map[int64]string{0: "a plan", 2: "plan", 6: "", 7: "", 1 << 40: ""} {
			if b := get("pgmove/plan", offset); b != want {
				t.Errorf("from %d: %q, want %q", offset, b, want)
			}
		}
		if err := s.Put(t.Context(), "pgmove/plan", strings.NewReader("another")); err != nil {
			t.Fatal(err)
		}
		if err := s.Put(t.Context(), "pgmove/bad", &failing{"half", errBroken}); !errors.Is(err, errBroken) {
			t.Errorf("Put of a failing reader: %v", err)
		}
		if err := s.Put(t.Context(), "pgmove/header", strings.NewReader("")); err != nil {
			t.Fatal(err)
		}
		found, err := s.List(t.Context(), "pgmove/")
		want := []stream.ObjectInfo{{Key: "pgmove/header"}, {Key: "pgmove/plan", Size: 7}}
		if err != nil || fmt.Sprint(found) != fmt.Sprint(want) {
			t.Errorf("List = %v, %v, want %v", found, err, want)
		}
		if b := get("pgmove/plan", 0); b != "another" {
			t.Errorf("read %q", b)
		}
		for range 2 {
			if err := s.Delete(t.Context(), "pgmove/plan"); err != nil {
				t.Error(err)
			}
		}
		if found, err := s.List(t.Context(), ""); err != nil || len(found) != 1 {
			t.Errorf("List = %v, %v", found, err)
		}
	})
}

func TestVisible(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := pipestore.New()
		var keys []string
		var follower sync.WaitGroup
		follower.Go(func() {
			for i := range 4 {
				key, err := s.Visible(t.Context(), i)
				if err != nil {
					t.Error(err)
					return
				}
				keys = append(keys, key)
				if !strings.HasPrefix(key, pipestore.MetaPrefix) {
					o := take(t, s, t.Context(), key)
					_, _ = io.ReadAll(o)
					_ = o.Close()
				}
			}
		})
		for _, key := range []string{"pgmove/header", "1.dat", "2.dat", "1.dat"} {
			if err := s.Put(t.Context(), key, strings.NewReader("x")); err != nil {
				t.Error(err)
			}
		}
		follower.Wait()
		if got := strings.Join(keys, " "); got != "pgmove/header 1.dat 2.dat 1.dat" {
			t.Errorf("announced: %s", got)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := s.Visible(ctx, 4); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("Visible: %v", err)
		}
		if _, err := s.Visible(ctx, -1); err == nil {
			t.Error("Visible takes a negative number")
		}
	})
}

func TestRefusals(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := pipestore.New()
		ctx, cancel := context.WithCancel(t.Context())
		done := offer(s, ctx, "k", strings.NewReader("x"))
		synctest.Wait()
		if err := s.Put(t.Context(), "k", strings.NewReader("y")); err == nil {
			t.Error("a key can be on offer twice")
		}
		for _, offset := range []int64{-1, 1} {
			if _, err := s.Get(t.Context(), "k", offset); err == nil {
				t.Errorf("Get takes the offset %d", offset)
			}
		}
		if _, err := s.Get(t.Context(), "pgmove/k", -1); err == nil {
			t.Error("Get takes a negative offset")
		}
		for _, key := range []string{"", "../x", "pgmove/", "pgmove/../x", "a\nb"} {
			if err := s.Put(t.Context(), key, strings.NewReader("x")); err == nil {
				t.Errorf("Put(%q) succeeded", key)
			}
			if _, err := s.Get(t.Context(), key, 0); err == nil {
				t.Errorf("Get(%q) succeeded", key)
			}
			if err := s.Delete(t.Context(), key); err == nil {
				t.Errorf("Delete(%q) succeeded", key)
			}
		}
		cancel()
		if err := <-done; !errors.Is(err, context.Canceled) {
			t.Errorf("Put: %v", err)
		}
	})
}

// writerTo counts how its bytes left it.
type writerTo struct {
	*strings.Reader
	used bool
}

func (w *writerTo) WriteTo(to io.Writer) (int64, error) {
	w.used = true
	return w.Reader.WriteTo(to)
}

type failingWriter struct{}

func (failingWriter) Write([]byte) (int, error) { return 0, errBroken }

func TestWriteTo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := pipestore.New()
		source := &writerTo{Reader: strings.NewReader("some rows")}
		done := offer(s, t.Context(), "k", source)
		o := take(t, s, t.Context(), "k")
		var b bytes.Buffer
		if n, err := io.Copy(&b, o); n != 9 || err != nil || b.String() != "some rows" || !source.used {
			t.Errorf("Copy = %d, %v, %q; the source's own WriteTo was used: %v", n, err, b.String(), source.used)
		}
		if n, err := o.WriteTo(&b); n != 0 || err != nil {
			t.Errorf("WriteTo after the end = %d, %v", n, err)
		}
		if err := errors.Join(o.Close(), <-done); err != nil {
			t.Error(err)
		}

		// A target that fails is not the source's failure: the object can be given back.
		done = offer(s, t.Context(), "k", strings.NewReader("some rows"))
		o = take(t, s, t.Context(), "k")
		if _, err := o.WriteTo(failingWriter{}); err != errBroken {
			t.Errorf("WriteTo: %v", err)
		}
		demandWaiting(t, done)
		if _, err := o.Read(make([]byte, 1)); err != errBroken {
			t.Errorf("Read after a failed WriteTo: %v", err)
		}
		o.Abandon(errBroken)
		if err := <-done; !errors.Is(err, pipestore.ErrAbandoned) {
			t.Errorf("Put: %v", err)
		}
	})
}

// TestManyWorkers passes many objects between many writers and many readers, which give back
// every fifth.
func TestManyWorkers(t *testing.T) {
	s := pipestore.New()
	const objects, workers = 400, 8
	var writers, readers sync.WaitGroup
	jobs := make(chan int)
	for range workers {
		writers.Go(func() {
			for i := range jobs {
				key := fmt.Sprintf("%d.dat", i)
				for {
					r, w := blockpipe.New(2, 1000)
					go func() {
						for range 100 {
							if _, err := fmt.Fprintf(w, "row of %d\n", i); err != nil {
								return
							}
						}
						_ = w.Close()
					}()
					err := s.Put(t.Context(), key, r)
					if err == nil {
						break
					}
					if !errors.Is(err, pipestore.ErrAbandoned) {
						t.Error(err)
						return
					}
				}
			}
		})
	}
	var mu sync.Mutex
	next, taken := 0, map[string]int{}
	ctx, cancel := context.WithCancel(t.Context())
	for range workers {
		readers.Go(func() {
			for {
				mu.Lock()
				i := next
				next++
				mu.Unlock()
				key, err := s.Visible(ctx, i)
				if errors.Is(err, context.Canceled) {
					return
				}
				o := take(t, s, t.Context(), key)
				if i%5 == 0 {
					_, _ = o.Read(make([]byte, 10))
					o.Abandon(errBroken)
					continue
				}
				n, err := io.Copy(io.Discard, o)
				if err := errors.Join(err, o.Close()); err != nil {
					t.Error(err)
				}
				if want := int64(100 * len("row of \n"+strings.TrimSuffix(key, ".dat"))); n != want {
					t.Errorf("%s has %d bytes, want %d", key, n, want)
				}
				mu.Lock()
				taken[key]++
				mu.Unlock()
			}
		})
	}
	for i := range objects {
		jobs <- i
	}
	close(jobs)
	writers.Wait()
	cancel()
	readers.Wait()
	if len(taken) != objects {
		t.Errorf("%d objects were taken, want %d", len(taken), objects)
	}
	for key, n := range taken {
		if n != 1 {
			t.Errorf("%s was taken %d times", key, n)
		}
	}
}
