package agestore_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/rsa"
	"encoding/pem"
	"io"
	"runtime"
	"strings"
	"testing"

	"filippo.io/age"
	"golang.org/x/crypto/ssh"

	"github.com/pgmove/pgmove/stream"
	"github.com/pgmove/pgmove/stream/agestore"
)

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
