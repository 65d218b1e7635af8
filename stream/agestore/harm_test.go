package agestore_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"testing"

	"filippo.io/age"

	"github.com/pgmove/pgmove/stream"
	"github.com/pgmove/pgmove/stream/agestore"
	"github.com/pgmove/pgmove/stream/storetest"
	"github.com/pgmove/pgmove/stream/watch"
)

// inMemory is a store whose readers and writers a test can break.
type inMemory struct {
	mu      sync.Mutex
	objects map[string][]byte
	// ends is what reads end with instead of io.EOF; it comes once, with the last bytes.
	ends error
	// discards has Put forget what it reads.
	discards bool
}

func (m *inMemory) Put(_ context.Context, key string, r io.Reader) error {
	if m.discards {
		_, err := io.CopyBuffer(struct{ io.Writer }{io.Discard}, r, make([]byte, 256<<10))
		return err
	}
	b, err := io.ReadAll(r)
	if err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.objects == nil {
		m.objects = map[string][]byte{}
	}
	m.objects[key] = b
	return nil
}

func (m *inMemory) Get(_ context.Context, key string, offset int64) (io.ReadCloser, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	b, ok := m.objects[key]
	if !ok {
		return nil, fmt.Errorf("%s: %w", key, stream.ErrNotExist)
	}
	b = b[min(offset, int64(len(b))):]
	if m.ends != nil {
		return io.NopCloser(&ending{b, m.ends}), nil
	}
	return io.NopCloser(bytes.NewReader(b)), nil
}

func (m *inMemory) List(context.Context, string) ([]stream.ObjectInfo, error) {
	return nil, errors.New("nothing here lists")
}

func (m *inMemory) Delete(_ context.Context, key string) error {
	delete(m.objects, key)
	return nil
}

// ending returns its error once, with the last bytes, and io.EOF from then on, as bad readers do.
type ending struct {
	left []byte
	err  error
}

func (e *ending) Read(p []byte) (int, error) {
	n := copy(p, e.left)
	e.left = e.left[n:]
	if len(e.left) > 0 {
		return n, nil
	}
	err := e.err
	e.err = io.EOF
	return n, err
}

// over is a store in memory with one identity over it.
func over(t testing.TB) (*agestore.Store, *inMemory) {
	t.Helper()
	id, m := identity(t), &inMemory{}
	return agestore.New(m, []age.Recipient{id.Recipient()}, []age.Identity{id}), m
}

// TestSuiteWatched: the suite holds for the arrangement of a run with an archive on the way.
func TestSuiteWatched(t *testing.T) {
	storetest.Exercise(t, func(t *testing.T) stream.Store {
		s, _ := open(t, identity(t))
		return watch.New(s)
	}, storetest.Keys(50), storetest.Large(3<<20), storetest.Awaits(), storetest.Wraps(len(agestore.Suffix)))
}

// sizes are those around age's blocks.
var sizes = []int{0, 1, 100, 64<<10 - 1, 64 << 10, 64<<10 + 1, 128 << 10, 200_000}

// TestReaderFails: whatever a source's error is and wherever it comes, also once and together with bytes, the
// store underneath never sees the end of the object.
func TestReaderFails(t *testing.T) {
	for _, failure := range []error{errors.New("the snapshot is gone"), io.ErrUnexpectedEOF, fmt.Errorf("wrapped: %w", io.EOF)} {
		for _, size := range sizes {
			s, m := over(t)
			if err := s.Put(t.Context(), "k", &ending{make([]byte, size), failure}); !errors.Is(err, failure) || m.objects["k.age"] != nil {
				t.Errorf("a reader that fails after %d bytes: %v, and %d bytes are stored; want %q", size, err, len(m.objects["k.age"]), failure)
			}
		}
	}
}

// TestInnerFails: an error of the store underneath comes through as it is, and never as a damaged object or as a
// clean end.
func TestInnerFails(t *testing.T) {
	for _, failure := range []error{stream.Fail(stream.Outage, "the server is gone"), io.ErrUnexpectedEOF} {
		for _, size := range sizes {
			s, m := over(t)
			put(t, s, "k", make([]byte, size))
			whole := m.objects["k.age"]
			m.ends = failure
			for _, n := range []int{0, 50, 300, len(whole) / 2, len(whole) - 1, len(whole)} {
				if m.objects["k.age"] = whole[:min(n, len(whole))]; n > len(whole) {
					continue
				}
				if b, err := get(s, "k"); !errors.Is(err, failure) {
					t.Errorf("%d bytes, of which %d of %d come: %d bytes, then %v; want %q", size, n, len(whole), len(b), err, failure)
				}
			}
		}
	}
}

// TestCancelledAtTheEnd: what is decrypted already is not handed out once the context has ended.
func TestCancelledAtTheEnd(t *testing.T) {
	s, _ := over(t)
	put(t, s, "k", make([]byte, 1000))
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	rc, err := s.Get(ctx, "k", 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadFull(rc, make([]byte, 500)); err != nil {
		t.Fatal(err)
	}
	cancel()
	if n, err := rc.Read(make([]byte, 1000)); n != 0 || !errors.Is(err, context.Canceled) {
		t.Errorf("reading went on with %d bytes, %v", n, err)
	}
}

// TestEveryBit flips every bit of a small object, and one of every byte for the kinds of recipients that are slow.
func TestEveryBit(t *testing.T) {
	for name, c := range keys(t) {
		t.Run(name, func(t *testing.T) {
			m := &inMemory{}
			s := agestore.New(m, c.recipients, c.identities)
			put(t, s, "k", []byte("row\n"))
			whole := m.objects["k.age"]
			for at := range whole {
				for bit := range 8 {
					if name != "age" && bit != at%8 {
						continue
					}
					bad := bytes.Clone(m.objects["k.age"])
					bad[at] ^= 1 << bit
					o := agestore.New(&inMemory{objects: map[string][]byte{"k.age": bad}}, nil, c.identities)
					b, err := get(o, "k")
					if k := stream.KindOf(err); k != stream.Integrity && k != stream.Denied || len(b) > 0 || !strings.Contains(err.Error(), "k.age") {
						t.Fatalf("byte %d of %d, bit %d: %q, kind %d: %v", at, len(whole), bit, b, k, err)
					}
				}
			}
		})
	}
}

// TestRearranged: blocks left out, doubled, exchanged or taken from another object are noticed.
func TestRearranged(t *testing.T) {
	const sealed = 64<<10 + 16
	s, m := over(t)
	body := make([]byte, 3*64<<10)
	_, _ = rand.Read(body)
	put(t, s, "k", body)
	put(t, s, "other", body)
	whole, other := m.objects["k.age"], m.objects["other.age"]
	head := len(whole) - 3*sealed
	block := func(b []byte, i int) []byte { return b[head+i*sealed : head+(i+1)*sealed] }
	for name, blocks := range map[string][][]byte{
		"none":                    {},
		"the first missing":       {block(whole, 1), block(whole, 2)},
		"the middle one missing":  {block(whole, 0), block(whole, 2)},
		"the last missing":        {block(whole, 0), block(whole, 1)},
		"two exchanged":           {block(whole, 1), block(whole, 0), block(whole, 2)},
		"one twice":               {block(whole, 0), block(whole, 0), block(whole, 1), block(whole, 2)},
		"the last twice":          {block(whole, 0), block(whole, 1), block(whole, 2), block(whole, 2)},
		"one of another object":   {block(whole, 0), block(other, 1), block(whole, 2)},
		"all of another object":   {block(other, 0), block(other, 1), block(other, 2)},
		"another object appended": {block(whole, 0), block(whole, 1), block(whole, 2), other},
	} {
		m.objects["k.age"] = slices.Concat(append([][]byte{whole[:head]}, blocks...)...)
		if b, err := get(s, "k"); stream.KindOf(err) != stream.Integrity || !bytes.HasPrefix(body, b) {
			t.Errorf("%s: %d bytes, then %v", name, len(b), err)
		}
	}
}

// TestSwapped: age can't tell two whole objects from each other. The archive's manifest can.
func TestSwapped(t *testing.T) {
	s, m := over(t)
	w := stream.NewWriter(s, false, stream.None)
	entries := []stream.Entry{{ID: 10, Section: stream.Data, Desc: "TABLE DATA", Tag: "t", Table: &stream.Table{Namespace: "public", Name: "t", Rows: -1}}}
	var plan []stream.Chunk
	for i := range stream.DumpID(2) {
		plan = append(plan, stream.Chunk{Table: 10, ID: 21 + i, N: int(i), Of: 2, Format: stream.FormatText, Key: w.ChunkKey(21 + i)})
	}
	const run = "0f0f0f0f-0000-4000-8000-000000000000"
	h, err := w.Begin(t.Context(), stream.Header{Run: run, Engine: "postgresql"}, entries, plan)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range plan {
		if _, err := w.WriteChunk(t.Context(), c, func(w io.Writer) error { _, err := fmt.Fprintf(w, "row of %d\n", c.ID); return err }); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Seal(t.Context(), []stream.NamedObject{{Key: "toc.dat", Data: []byte("an index")}}, stream.NewContents(h, entries, w.Records())); err != nil {
		t.Fatal(err)
	}
	verify := func() error {
		r, err := stream.OpenSealed(t.Context(), lister{s, m}, "here", nil)
		if err != nil {
			return err
		}
		v, err := stream.Verify(t.Context(), r, stream.VerifyOptions{Jobs: 1})
		if err != nil {
			return err
		}
		return v.Err()
	}
	if err := verify(); err != nil {
		t.Fatal(err)
	}
	m.objects["21.dat.age"], m.objects["22.dat.age"] = m.objects["22.dat.age"], m.objects["21.dat.age"]
	if b, err := get(s, "21.dat"); err != nil || !strings.HasPrefix(string(b), "row of 22") {
		t.Errorf("age tells them apart: %q %v", b, err)
	}
	if err := verify(); stream.KindOf(err) != stream.Integrity || !strings.Contains(err.Error(), "21.dat") {
		t.Errorf("the manifest does not tell them apart: %v", err)
	}
}

// lister gives the store in memory a List.
type lister struct {
	stream.Store
	m *inMemory
}

func (l lister) List(context.Context, string) ([]stream.ObjectInfo, error) {
	var all []stream.ObjectInfo
	for key, b := range l.m.objects {
		all = append(all, stream.ObjectInfo{Key: strings.TrimSuffix(key, agestore.Suffix), Size: int64(len(b))})
	}
	return all, nil
}

// TestQuiet: a message never repeats what an object holds, however it is damaged.
func TestQuiet(t *testing.T) {
	s, m := over(t)
	for name, b := range map[string]string{
		"plain":           "secret",
		"plain line":      "secret\n",
		"a header's line": "age-encryption.org/v1\n" + strings.Repeat("secret ", 1000) + "\n",
		"a stanza's line": "age-encryption.org/v1\n-> X25519 " + strings.Repeat("secret", 1000) + "\nsecret\n---",
		"the last line":   "age-encryption.org/v1\n-> X25519 a\nsecret\n--- secret\n",
	} {
		m.objects = map[string][]byte{"k.age": []byte(b)}
		if _, err := get(s, "k"); err == nil || strings.Contains(err.Error(), "secret") || len(err.Error()) > 200 {
			t.Errorf("%s: %.300v", name, err)
		}
	}
}
