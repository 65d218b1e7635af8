package storetest

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"

	"github.com/pgmove/pgmove/stream"
)

// sizes are those of objects that fail: within one block, within one part of S3's, beyond it.
var sizes = []int{0, 10, 100_000, 2 << 20, 7 << 20, 20 << 20}

// steps calls before once the reader has yielded n bytes, and goes on unless it
// returns an error.
type steps struct {
	r      io.Reader
	n      int
	before func() error
	done   bool
}

func (s *steps) Read(p []byte) (int, error) {
	if s.n > 0 {
		n, err := s.r.Read(p[:min(len(p), s.n)])
		s.n -= n
		return n, err
	}
	if !s.done {
		s.done = true
		if err := s.before(); err != nil {
			return 0, err
		}
	}
	return s.r.Read(p)
}

// endless yields bytes for ever.
type endless struct{}

func (endless) Read(p []byte) (int, error) {
	clear(p)
	return len(p), nil
}

func (s *suite) invisible(t *testing.T, store stream.Store) {
	for _, size := range sizes {
		key := fmt.Sprint("x", size)
		body := blob(size)
		look := func() error {
			demandKeys(t, store, "")
			s.demandMissing(t, store, key)
			return nil
		}
		if err := store.Put(t.Context(), key, &steps{r: bytes.NewReader(body), n: size, before: look}); err != nil {
			t.Fatal(err)
		}
		demand(t, store, key, body)
		// A replacement isn't visible either before its end.
		look = func() error {
			demand(t, store, key, body)
			return nil
		}
		if err := store.Put(t.Context(), key, &steps{r: bytes.NewReader(blob(size + 1)), n: size, before: look}); err != nil {
			t.Fatal(err)
		}
		demand(t, store, key, blob(size+1))
		if err := store.Delete(t.Context(), key); err != nil {
			t.Fatal(err)
		}
	}
	s.demandClean(t, store)
}

func (s *suite) readerFails(t *testing.T, store stream.Store) {
	put(t, store, "old", []byte("old"))
	broken := errors.New("the snapshot is gone")
	for _, failure := range []error{broken, io.ErrUnexpectedEOF} {
		for _, size := range sizes {
			for _, key := range []string{"new", "old"} {
				r := &steps{r: bytes.NewReader(blob(size)), n: size, before: func() error { return failure }}
				if err := store.Put(t.Context(), key, r); !errors.Is(err, failure) {
					t.Errorf("Put of a reader that fails after %d bytes: %v, want an error that wraps %q", size, err, failure)
				}
				s.demandClean(t, store, "old")
			}
		}
	}
	demand(t, store, "old", []byte("old"))
	s.demandMissing(t, store, "new")
}

func (s *suite) cancelled(t *testing.T, store stream.Store) {
	put(t, store, "old", []byte("old"))
	for _, size := range sizes {
		for _, key := range []string{"new/x", "old"} {
			ctx, cancel := context.WithCancel(t.Context())
			r := &steps{r: endless{}, n: size, before: func() error { cancel(); return nil }}
			if err := store.Put(ctx, key, r); !errors.Is(err, context.Canceled) {
				t.Errorf("Put cancelled after %d bytes: %v, want an error that wraps %q", size, err, context.Canceled)
			}
			cancel()
			s.demandClean(t, store, "old")
		}
	}
	demand(t, store, "old", []byte("old"))

	// Cancelled at the reader's end, and before its beginning.
	ctx, cancel := context.WithCancel(t.Context())
	r := &steps{r: strings.NewReader("body"), n: 4, before: func() error { cancel(); return nil }}
	if err := store.Put(ctx, "new", r); !errors.Is(err, context.Canceled) {
		t.Errorf("Put cancelled at its end: %v", err)
	}
	if err := store.Put(ctx, "new", strings.NewReader("body")); !errors.Is(err, context.Canceled) {
		t.Errorf("Put cancelled before it began: %v", err)
	}
	s.demandClean(t, store, "old")
	if err := store.Delete(ctx, "old"); !errors.Is(err, context.Canceled) {
		t.Errorf("Delete with an ended ctx: %v", err)
	}
	if _, err := store.List(ctx, ""); !errors.Is(err, context.Canceled) {
		t.Errorf("List with an ended ctx: %v", err)
	}
	if _, err := store.Get(ctx, "old", 0); !errors.Is(err, context.Canceled) {
		t.Errorf("Get with an ended ctx: %v", err)
	}
}

func (s *suite) getCancelled(t *testing.T, store stream.Store) {
	put(t, store, "k", blob(20<<20))
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	r, err := store.Get(ctx, "k", 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadFull(r, make([]byte, 1000)); err != nil {
		t.Fatal(err)
	}
	cancel()
	if _, err := io.Copy(io.Discard, r); !errors.Is(err, context.Canceled) {
		t.Errorf("reading with an ended ctx: %v, want an error that wraps %q", err, context.Canceled)
	}
	if err := r.Close(); err != nil {
		t.Errorf("Close: %v", err)
	}
}

func (s *suite) hostileKeys(t *testing.T, store stream.Store) {
	put(t, store, "a/b", []byte("x"))
	for _, key := range []string{
		"", ".", "..", "/", "../x", "/x", "x/", "a//b", "a/../b", "a/./b", "a/..", "./a", "a/b/../../../c", "...",
		"a\nb", "a\x00b", "a b", "a~b", "a\\..\\b", "C:x", "é", "a\xffb", "a%2fb", strings.Repeat("x", 600),
	} {
		r := &steps{r: strings.NewReader("body"), before: func() error {
			t.Errorf("Put(%.20q) read the body", key)
			return nil
		}}
		if err := store.Put(t.Context(), key, r); err == nil {
			t.Errorf("Put(%.20q) succeeded", key)
		}
		if r, err := store.Get(t.Context(), key, 0); err == nil {
			_ = r.Close()
			t.Errorf("Get(%.20q) succeeded", key)
		} else if errors.Is(err, stream.ErrNotExist) {
			t.Errorf("Get(%.20q) looked for it", key)
		}
		if err := store.Delete(t.Context(), key); err == nil {
			t.Errorf("Delete(%.20q) succeeded", key)
		}
	}
	s.demandClean(t, store, "a/b")
	demand(t, store, "a/b", []byte("x"))
}

// each runs f for 0 to n-1 in several goroutines.
func each(n int, f func(i int)) {
	var group sync.WaitGroup
	next := make(chan int)
	for range 16 {
		group.Go(func() {
			for i := range next {
				f(i)
			}
		})
	}
	for i := range n {
		next <- i
	}
	close(next)
	group.Wait()
}

func (s *suite) manyKeys(t *testing.T, store stream.Store) {
	key := func(i int) string { return fmt.Sprintf("many/%d/%05d", i%3, i) }
	each(s.keys, func(i int) {
		if err := store.Put(t.Context(), key(i), strings.NewReader("x")); err != nil {
			t.Error(err)
		}
	})
	found, err := store.List(t.Context(), "many/")
	if err != nil {
		t.Fatal(err)
	}
	if len(found) != s.keys {
		t.Errorf("%d objects are listed, want %d", len(found), s.keys)
	}
	for i := 1; i < len(found); i++ {
		if found[i-1].Key >= found[i].Key {
			t.Errorf("%s is listed before %s", found[i-1].Key, found[i].Key)
		}
	}
}

func (s *suite) concurrent(t *testing.T, store stream.Store) {
	each(64, func(i int) {
		key, body := fmt.Sprintf("c/%d/%d", i%4, i), blob(i*10_007)
		if err := store.Put(t.Context(), key, bytes.NewReader(body)); err != nil {
			t.Error(err)
			return
		}
		r, err := store.Get(t.Context(), key, int64(i))
		if err != nil {
			t.Error(err)
			return
		}
		got, err := io.ReadAll(r)
		if err := errors.Join(err, r.Close()); err != nil {
			t.Error(err)
		}
		if !bytes.Equal(got, body[min(i, len(body)):]) {
			t.Errorf("%s came back changed", key)
		}
		if _, err := store.List(t.Context(), "c/"); err != nil {
			t.Error(err)
		}
		if i%2 == 0 {
			if err := store.Delete(t.Context(), key); err != nil {
				t.Error(err)
			}
		}
	})
	found, err := store.List(t.Context(), "")
	if err != nil || len(found) != 32 {
		t.Errorf("%d objects are left (%v), want 32", len(found), err)
	}
}

func (s *suite) concurrentReplace(t *testing.T, store stream.Store) {
	put(t, store, "same", blob(1))
	each(64, func(i int) {
		if i%2 == 0 {
			if err := store.Put(t.Context(), "same", bytes.NewReader(blob(1+i*1000))); err != nil {
				t.Error(err)
			}
			return
		}
		r, err := store.Get(t.Context(), "same", 0)
		if err != nil {
			t.Error(err)
			return
		}
		got, err := io.ReadAll(r)
		if err := errors.Join(err, r.Close()); err != nil {
			t.Error(err)
		} else if !bytes.Equal(got, blob(len(got))) {
			t.Error("a reader got a mixture of two objects")
		}
	})
	s.demandClean(t, store, "same")
}

func (s *suite) largeObject(t *testing.T, store stream.Store) {
	sum := func(r io.Reader) [32]byte {
		h := sha256.New()
		if _, err := io.Copy(h, r); err != nil {
			t.Fatal(err)
		}
		return [32]byte(h.Sum(nil))
	}
	body := func() io.Reader { return io.LimitReader(rand.NewChaCha8([32]byte{7}), s.large) }
	if err := store.Put(t.Context(), "large", body()); err != nil {
		t.Fatal(err)
	}
	for _, at := range []int64{0, s.large / 2, s.large - 1} {
		want := body()
		if _, err := io.CopyN(io.Discard, want, at); err != nil {
			t.Fatal(err)
		}
		r, err := store.Get(t.Context(), "large", at)
		if err != nil {
			t.Fatal(err)
		}
		if sum(r) != sum(want) {
			t.Errorf("from offset %d it came back changed", at)
		}
		if err := r.Close(); err != nil {
			t.Error(err)
		}
	}
	s.demandClean(t, store, "large")
}
