package agestore_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/rsa"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"

	"filippo.io/age"
	"golang.org/x/crypto/ssh"

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

// TestEveryBit flips every bit of small objects, for each kind of recipient.
func TestEveryBit(t *testing.T) {
	for name, c := range keys(t) {
		t.Run(name, func(t *testing.T) {
			m := &inMemory{}
			s := agestore.New(m, c.recipients, c.identities)
			put(t, s, "k", []byte("row\n"))
			whole := m.objects["k.age"]
			if testing.Short() && len(whole) > 1000 {
				whole = whole[:400]
			}
			for at := range whole {
				for bit := range 8 {
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

// keyPair is a kind of recipient and who can decrypt for it.
type keyPair struct {
	recipients []age.Recipient
	identities []age.Identity
}

// keys are all kinds of recipients there are, by way of their texts.
func keys(t testing.TB) map[string]keyPair {
	t.Helper()
	all := map[string]keyPair{}
	add := func(name, public, secret string) {
		r, err := agestore.ParseRecipients([]string{public})
		if err != nil {
			t.Fatal(err)
		}
		ids, _, err := agestore.ReadIdentities(secretFile(t, secret))
		if err != nil {
			t.Fatal(err)
		}
		all[name] = keyPair{r, ids}
	}
	id := identity(t)
	add("age", id.Recipient().String(), id.String())
	pq, err := age.GenerateHybridIdentity()
	if err != nil {
		t.Fatal(err)
	}
	add("post-quantum", pq.Recipient().String(), pq.String())
	public, secret := ed25519Key(t, "")
	add("ssh-ed25519", public, secret)
	long, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	pub, err := ssh.NewPublicKey(&long.PublicKey)
	if err != nil {
		t.Fatal(err)
	}
	block, err := ssh.MarshalPrivateKey(long, "")
	if err != nil {
		t.Fatal(err)
	}
	add("ssh-rsa", string(ssh.MarshalAuthorizedKey(pub)), string(pem.EncodeToMemory(block)))
	return all
}

// TestKinds: each kind of recipient reads its own objects and nobody else's, at every size that is special.
func TestKinds(t *testing.T) {
	all := keys(t)
	for name, c := range all {
		m := &inMemory{}
		s := agestore.New(m, c.recipients, c.identities)
		for _, size := range sizes {
			body := make([]byte, size)
			_, _ = rand.Read(body)
			put(t, s, "k", body)
			if b, err := get(s, "k"); err != nil || !bytes.Equal(b, body) {
				t.Errorf("%s: %d bytes came back as %d, %v", name, size, len(b), err)
			}
			r, err := age.Decrypt(bytes.NewReader(m.objects["k.age"]), c.identities...)
			if err != nil {
				t.Fatal(err)
			}
			if b, err := io.ReadAll(r); err != nil || !bytes.Equal(b, body) {
				t.Errorf("%s: %d bytes are %d to age, %v", name, size, len(b), err)
			}
		}
		for other, o := range all {
			_, err := get(agestore.New(m, nil, o.identities), "k")
			if want := map[bool]stream.Kind{true: stream.Failed, false: stream.Denied}[name == other]; stream.KindOf(err) != want {
				t.Errorf("%s read by %s: %v", name, other, err)
			}
		}
	}
}

// TestMemory: an object of any size passes through a few blocks.
func TestMemory(t *testing.T) {
	id, m := identity(t), &inMemory{discards: true}
	s := agestore.New(m, []age.Recipient{id.Recipient()}, []age.Identity{id})
	const size = 256 << 20
	peak := measure(t, func(look func()) {
		if err := s.Put(t.Context(), "k", &zeros{left: size, look: look}); err != nil {
			t.Fatal(err)
		}
	})
	if peak > 2<<20 {
		t.Errorf("Put of %d MiB took %d KiB", size>>20, peak>>10)
	}
	large := &endless{id: id, size: size}
	peak = measure(t, func(look func()) {
		large.look = look
		rc, err := agestore.New(large, nil, []age.Identity{id}).Get(t.Context(), "k", 0)
		if err != nil {
			t.Fatal(err)
		}
		defer rc.Close()
		if n, err := io.Copy(io.Discard, rc); n != size || err != nil {
			t.Errorf("Get: %d bytes, %v", n, err)
		}
	})
	if peak > 4<<20 {
		t.Errorf("Get of %d MiB took %d KiB", size>>20, peak>>10)
	}
}

// measure returns by how much live memory, in bytes, grew at most while f ran, at the moments when
// it looked.
func measure(t *testing.T, f func(look func())) int64 {
	t.Helper()
	live := func() int64 {
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return int64(m.HeapAlloc)
	}
	before, peak := live(), int64(0)
	f(func() { peak = max(peak, live()-before) })
	return peak
}

// zeros yields left zero bytes, and looks every 32 MiB.
type zeros struct {
	left, seen int64
	look       func()
}

func (z *zeros) Read(p []byte) (int, error) {
	if z.left == 0 {
		return 0, io.EOF
	}
	n := int(min(int64(len(p)), z.left))
	clear(p[:n])
	z.left -= int64(n)
	if z.seen += int64(n); z.seen >= 32<<20 {
		z.seen = 0
		z.look()
	}
	return n, nil
}

// endless is a store with one encrypted object that is made while it is read.
type endless struct {
	inMemory
	id   *age.X25519Identity
	size int64
	look func()
}

func (e *endless) Get(context.Context, string, int64) (io.ReadCloser, error) {
	r, err := age.EncryptReader(&zeros{left: e.size, look: e.look}, e.id.Recipient())
	return io.NopCloser(r), err
}

// The store in memory shows what encryption alone costs.
func BenchmarkPut(b *testing.B) {
	s := agestore.New(&inMemory{discards: true}, []age.Recipient{identity(b).Recipient()}, nil)
	rows := make([]byte, 32<<20)
	b.SetBytes(int64(len(rows)))
	b.ReportAllocs()
	for b.Loop() {
		put(b, s, "a", rows)
	}
}

func BenchmarkGet(b *testing.B) {
	s, _ := over(b)
	put(b, s, "a", make([]byte, 32<<20))
	b.SetBytes(32 << 20)
	b.ReportAllocs()
	buf := make([]byte, 256<<10)
	for b.Loop() {
		rc, err := s.Get(b.Context(), "a", 0)
		if err != nil {
			b.Fatal(err)
		}
		if _, err := io.CopyBuffer(struct{ io.Writer }{io.Discard}, rc, buf); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkSmall(b *testing.B) {
	s, _ := over(b)
	for b.Loop() {
		put(b, s, "a", []byte("a record of a chunk"))
		if _, err := get(s, "a"); err != nil {
			b.Fatal(err)
		}
	}
}

// TestMatch: who reads again what he writes learns beforehand that he can't.
func TestMatch(t *testing.T) {
	a, b := identity(t), identity(t)
	both := []age.Recipient{a.Recipient(), b.Recipient()}
	if err := agestore.Match(both, []age.Identity{b}); err != nil {
		t.Error(err)
	}
	for _, err := range []error{agestore.Match(both, []age.Identity{identity(t)}), agestore.Match(both, nil), agestore.Match(nil, []age.Identity{a})} {
		if stream.KindOf(err) != stream.Usage {
			t.Errorf("kind %d: %v", stream.KindOf(err), err)
		}
	}
}

// TestHints: a reader has a hint underneath if, and only if, the caller's has one, and it is never too small.
func TestHints(t *testing.T) {
	for _, size := range sizes {
		s, m := over(t)
		put(t, s, "k", make([]byte, size))
		h := &hints{Store: m}
		if err := agestore.New(h, []age.Recipient{identity(t).Recipient()}, nil).Put(t.Context(), "k", sized{bytes.NewReader(make([]byte, size))}); err != nil {
			t.Fatal(err)
		}
		if need := int64(len(m.objects["k.age"])); size > 0 && (h.got < need || h.got > need+need/100+1000) || size == 0 && h.got != 0 {
			t.Errorf("for %d bytes, %d encrypted, the hint is %d", size, need, h.got)
		}
	}
	if err := agestore.New(unhinted{t}, []age.Recipient{identity(t).Recipient()}, nil).Put(t.Context(), "k", strings.NewReader("")); err != nil {
		t.Error(err)
	}
}

type sized struct{ *bytes.Reader }

func (s sized) SizeHint() int64 { return s.Size() }

// unhinted demands readers without a hint.
type unhinted struct{ t *testing.T }

func (u unhinted) Put(_ context.Context, _ string, r io.Reader) error {
	if _, ok := r.(interface{ SizeHint() int64 }); ok {
		u.t.Error("there is a hint that nobody gave")
	}
	return nil
}
func (u unhinted) Get(context.Context, string, int64) (io.ReadCloser, error) { return nil, nil }
func (u unhinted) List(context.Context, string) ([]stream.ObjectInfo, error) { return nil, nil }
func (u unhinted) Delete(context.Context, string) error                      { return nil }
