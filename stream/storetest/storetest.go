// Package storetest is what a durable Store promises, as tests: every implementation of
// stream.Store that keeps objects beyond the process passes Exercise.
//
// It imports stream and the standard library, and belongs in tests alone.
package storetest

import (
	"bytes"
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/pgmove/pgmove/stream"
)

// Option adapts the suite to a store.
type Option func(*suite)

// Keys sets how many keys the listing test makes, 1100 by default: more than one page of S3's.
func Keys(n int) Option { return func(s *suite) { s.keys = n } }

// Large sets the size, in bytes, of the large object, 40 MiB by default.
func Large(bytes int64) Option { return func(s *suite) { s.large = bytes } }

// Awaits says that Get of a key that is not there waits for it (package watch).
func Awaits() Option { return func(s *suite) { s.awaits = true } }

// Wraps says that the store keeps objects in another form: List tells the sizes of that, and keys may be
// suffix bytes shorter than stream.CheckKey allows.
func Wraps(suffix int) Option { return func(s *suite) { s.wraps = suffix } }

// Residue says how to find what the store holds that List doesn't show: temporary files, parts of
// uploads. The suite demands that there is none after every failed Put.
func Residue(find func(t *testing.T, store stream.Store) []string) Option {
	return func(s *suite) { s.residue = find }
}

// suite is one run of the suite.
type suite struct {
	open    func(t *testing.T) stream.Store
	keys    int
	large   int64
	awaits  bool
	wraps   int
	residue func(t *testing.T, store stream.Store) []string
}

// Exercise runs the suite. Each test opens a store of its own, which must be empty.
func Exercise(t *testing.T, open func(t *testing.T) stream.Store, options ...Option) {
	t.Helper()
	s := &suite{open: open, keys: 1100, large: 40 << 20}
	for _, o := range options {
		o(s)
	}
	for _, test := range []struct {
		name string
		run  func(*testing.T, stream.Store)
	}{
		{"PutGet", s.putGet},
		{"Replace", s.replace},
		{"Offsets", s.offsets},
		{"Missing", s.missing},
		{"Invisible", s.invisible},
		{"ReaderFails", s.readerFails},
		{"Cancelled", s.cancelled},
		{"GetCancelled", s.getCancelled},
		{"List", s.list},
		{"ManyKeys", s.manyKeys},
		{"Delete", s.delete},
		{"HostileKeys", s.hostileKeys},
		{"Concurrent", s.concurrent},
		{"ConcurrentReplace", s.concurrentReplace},
		{"LargeObject", s.largeObject},
	} {
		t.Run(test.name, func(t *testing.T) { test.run(t, open(t)) })
	}
}

// blob returns n random bytes, the same for the same n.
func blob(n int) []byte {
	b := make([]byte, n)
	r := rand.NewChaCha8([32]byte{1: byte(n), 2: byte(n >> 8), 3: byte(n >> 16)})
	_, _ = r.Read(b)
	return b
}

func put(t *testing.T, s stream.Store, key string, body []byte) {
	t.Helper()
	// A plain Reader: stores must not need more than one.
	if err := s.Put(t.Context(), key, struct{ io.Reader }{bytes.NewReader(body)}); err != nil {
		t.Fatalf("Put(%q): %v", key, err)
	}
}

func get(t *testing.T, s stream.Store, key string, offset int64) []byte {
	t.Helper()
	r, err := s.Get(t.Context(), key, offset)
	if err != nil {
		t.Fatalf("Get(%q, %d): %v", key, offset, err)
	}
	b, err := io.ReadAll(r)
	if err := errors.Join(err, r.Close()); err != nil {
		t.Fatalf("Get(%q, %d): reading: %v", key, offset, err)
	}
	return b
}

func demand(t *testing.T, s stream.Store, key string, want []byte) {
	t.Helper()
	if got := get(t, s, key, 0); !bytes.Equal(got, want) {
		t.Fatalf("%s holds %d bytes %.40q, want %d bytes %.40q", key, len(got), got, len(want), want)
	}
}

// demandMissing demands that key holds nothing.
func (s *suite) demandMissing(t *testing.T, store stream.Store, key string) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	want := stream.ErrNotExist
	if s.awaits {
		cancel()
		want = context.Canceled
	}
	r, err := store.Get(ctx, key, 0)
	if err == nil {
		_ = r.Close()
	}
	if !errors.Is(err, want) {
		t.Errorf("Get(%q): error %v, want one that wraps %q", key, err, want)
	}
}

func demandKeys(t *testing.T, s stream.Store, prefix string, want ...string) {
	t.Helper()
	found, err := s.List(t.Context(), prefix)
	if err != nil {
		t.Fatalf("List(%q): %v", prefix, err)
	}
	var got []string
	for _, o := range found {
		got = append(got, o.Key)
	}
	if !slices.Equal(got, want) {
		t.Errorf("List(%q) = %q, want %q", prefix, got, want)
	}
}

// demandClean demands that the store holds these keys and no rest of anything else.
func (s *suite) demandClean(t *testing.T, store stream.Store, keys ...string) {
	t.Helper()
	demandKeys(t, store, "", keys...)
	if s.residue == nil {
		return
	}
	if rest := s.residue(t, store); len(rest) > 0 {
		t.Errorf("left behind: %q", rest)
	}
}

func (s *suite) putGet(t *testing.T, store stream.Store) {
	for key, body := range map[string][]byte{
		"empty":   {},
		"one":     {0},
		"a/b/c.d": []byte("nested\n"),
		"A-_.+9":  blob(100_000),
		"odd":     blob(1<<20 + 1),
		strings.Repeat("k/", 255-s.wraps/2) + "k": []byte("the longest"),
	} {
		put(t, store, key, body)
		demand(t, store, key, body)
		found, err := store.List(t.Context(), key)
		if s.wraps > 0 && len(found) == 1 {
			found[0].Size = int64(len(body))
		}
		if err != nil || len(found) != 1 || found[0] != (stream.ObjectInfo{Key: key, Size: int64(len(body))}) {
			t.Errorf("List(%q) = %v, %v, want one object of %d bytes", key, found, err, len(body))
		}
	}
}

func (s *suite) replace(t *testing.T, store stream.Store) {
	put(t, store, "a/x", blob(50_000))
	put(t, store, "a/x", []byte("short"))
	demand(t, store, "a/x", []byte("short"))
	put(t, store, "a/x", nil)
	demand(t, store, "a/x", nil)
	s.demandClean(t, store, "a/x")

	// A reader that began before a replacement gets one of the two bodies or an error,
	// never a mixture that ends like a whole.
	old, young := bytes.Repeat([]byte("o"), 1<<20), bytes.Repeat([]byte("y"), 1<<20)
	put(t, store, "m", old)
	r, err := store.Get(t.Context(), "m", 0)
	if err != nil {
		t.Fatal(err)
	}
	head := make([]byte, 1000)
	if _, err := io.ReadFull(r, head); err != nil {
		t.Fatal(err)
	}
	put(t, store, "m", young)
	rest, err := io.ReadAll(r)
	if all := append(head, rest...); err == nil && !bytes.Equal(all, old) && !bytes.Equal(all, young) {
		t.Error("a reader got a mixture of the old object and the new")
	}
	_ = r.Close()
}

func (s *suite) offsets(t *testing.T, store stream.Store) {
	body := blob(70_000)
	put(t, store, "k", body)
	put(t, store, "empty", nil)
	for _, at := range []int64{0, 1, 35_000, 69_999, 70_000, 70_001, 1 << 40} {
		want := body[min(at, int64(len(body))):]
		if got := get(t, store, "k", at); !bytes.Equal(got, want) {
			t.Errorf("from offset %d: %d bytes, want %d", at, len(got), len(want))
		}
	}
	for _, at := range []int64{0, 1} {
		if got := get(t, store, "empty", at); len(got) != 0 {
			t.Errorf("from offset %d of nothing: %d bytes", at, len(got))
		}
	}
	if r, err := store.Get(t.Context(), "k", -1); err == nil {
		_ = r.Close()
		t.Error("Get takes a negative offset")
	}
	// Closing early is no error and harms nobody.
	r, err := store.Get(t.Context(), "k", 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := r.Read(make([]byte, 10)); err != nil {
		t.Error(err)
	}
	if err := r.Close(); err != nil {
		t.Errorf("Close before the end: %v", err)
	}
	demand(t, store, "k", body)
}

func (s *suite) missing(t *testing.T, store stream.Store) {
	s.demandMissing(t, store, "nothing")
	s.demandMissing(t, store, "no/thing")
	put(t, store, "a/b", []byte("x"))
	s.demandMissing(t, store, "a")
	s.demandMissing(t, store, "a/b/c")
	demandKeys(t, store, "b")
	demandKeys(t, store, "a/b/")
}

func (s *suite) list(t *testing.T, store stream.Store) {
	demandKeys(t, store, "")
	keys := []string{"a", "a-b", "b/1", "b/10", "b/2", "b/c/d", "bb", "pgmove/header", "toc.dat", "z"}
	for _, i := range rand.Perm(len(keys)) {
		put(t, store, keys[i], []byte(keys[i]))
	}
	demandKeys(t, store, "", keys...)
	demandKeys(t, store, "a", "a", "a-b")
	demandKeys(t, store, "b", "b/1", "b/10", "b/2", "b/c/d", "bb")
	demandKeys(t, store, "b/", "b/1", "b/10", "b/2", "b/c/d")
	demandKeys(t, store, "b/1", "b/1", "b/10")
	demandKeys(t, store, "b/c", "b/c/d")
	demandKeys(t, store, "toc.dat", "toc.dat")
	demandKeys(t, store, "y")
	for _, prefix := range []string{"/", "../", "b//", "a\nb", strings.Repeat("x", 600)} {
		if found, err := store.List(t.Context(), prefix); err == nil {
			t.Errorf("List(%.20q) = %v, want an error: no key begins so", prefix, found)
		}
	}
}

func (s *suite) delete(t *testing.T, store stream.Store) {
	put(t, store, "a/b", []byte("x"))
	put(t, store, "a/c", []byte("y"))
	for range 2 {
		if err := store.Delete(t.Context(), "a/b"); err != nil {
			t.Fatalf("Delete: %v", err)
		}
		s.demandMissing(t, store, "a/b")
	}
	for _, key := range []string{"never", "a", "a/c/d"} {
		if err := store.Delete(t.Context(), key); err != nil {
			t.Errorf("Delete(%q): %v", key, err)
		}
	}
	s.demandClean(t, store, "a/c")
	demand(t, store, "a/c", []byte("y"))
	put(t, store, "a/b", []byte("again"))
	demand(t, store, "a/b", []byte("again"))
}
