package agestore_test

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"filippo.io/age"
	"go.uber.org/goleak"
	"golang.org/x/crypto/ssh"

	"github.com/pgmove/pgmove/stream"
	"github.com/pgmove/pgmove/stream/agestore"
	"github.com/pgmove/pgmove/stream/filestore"
	"github.com/pgmove/pgmove/stream/storetest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func identity(t testing.TB) *age.X25519Identity {
	t.Helper()
	id, err := age.GenerateX25519Identity()
	if err != nil {
		t.Fatal(err)
	}
	return id
}

func open(t testing.TB, id *age.X25519Identity) (*agestore.Store, string) {
	t.Helper()
	dir := t.TempDir()
	inner, err := filestore.Open(dir, true)
	if err != nil {
		t.Fatal(err)
	}
	return agestore.New(inner, []age.Recipient{id.Recipient()}, []age.Identity{id}), dir
}

// TestSuite: what every durable store promises holds through encryption.
func TestSuite(t *testing.T) {
	storetest.Exercise(t, func(t *testing.T) stream.Store {
		s, _ := open(t, identity(t))
		return s
	}, storetest.Keys(300), storetest.Wraps(len(agestore.Suffix)))
}

func put(t testing.TB, s stream.Store, key string, b []byte) {
	t.Helper()
	if err := s.Put(t.Context(), key, bytes.NewReader(b)); err != nil {
		t.Fatal(err)
	}
}

func get(s stream.Store, key string) ([]byte, error) {
	rc, err := s.Get(context.Background(), key, 0)
	if err != nil {
		return nil, err
	}
	b, err := io.ReadAll(rc)
	return b, errors.Join(err, rc.Close())
}

// TestPlainAge: an object is a file of the age format, and nothing of its content shows.
func TestPlainAge(t *testing.T) {
	id := identity(t)
	s, dir := open(t, id)
	secret := bytes.Repeat([]byte("customer 4711 "), 20_000)
	put(t, s, "12.dat", secret)
	b, err := os.ReadFile(filepath.Join(dir, "12.dat.age"))
	if err != nil {
		t.Fatal(err)
	}
	if bytes.Contains(b, []byte("customer")) {
		t.Error("the content shows")
	}
	r, err := age.Decrypt(bytes.NewReader(b), id)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := io.ReadAll(r); err != nil || !bytes.Equal(got, secret) {
		t.Errorf("age itself reads %d bytes, %v", len(got), err)
	}
}

// TestDamage: no change and no cut of an object passes, wherever it is.
func TestDamage(t *testing.T) {
	s, dir := open(t, identity(t))
	put(t, s, "a", bytes.Repeat([]byte("some rows\n"), 20))
	file := filepath.Join(dir, "a.age")
	whole, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	refused := func(what string, b []byte) {
		t.Helper()
		if err := os.WriteFile(file, b, 0o600); err != nil {
			t.Fatal(err)
		}
		_, err := get(s, "a")
		// A recipient that was changed is another's.
		if k := stream.KindOf(err); k != stream.Integrity && k != stream.Denied {
			t.Errorf("%s: kind %d, %v", what, k, err)
		}
	}
	for at := range whole {
		b := bytes.Clone(whole)
		b[at] ^= 1
		refused(fmt.Sprintf("byte %d flipped", at), b)
		refused(fmt.Sprintf("cut to %d bytes", at), whole[:at])
	}
	refused("one byte more", append(bytes.Clone(whole), 0))
	t.Logf("%d kinds of damage were refused", 2*len(whole)+1)
}

// TestCutAtABlock: age's blocks are whole files to the eye; the end of the object is still missed.
func TestCutAtABlock(t *testing.T) {
	s, dir := open(t, identity(t))
	put(t, s, "a", make([]byte, 200_000))
	file := filepath.Join(dir, "a.age")
	whole, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	for n := 1; n < 4; n++ {
		cut := len(whole) - (200_000 % (64 << 10)) - 16 - (n-1)*(64<<10+16)
		if err := os.WriteFile(file, whole[:cut], 0o600); err != nil {
			t.Fatal(err)
		}
		if b, err := get(s, "a"); stream.KindOf(err) != stream.Integrity {
			t.Errorf("cut to %d of %d bytes: %d bytes came out, %v", cut, len(whole), len(b), err)
		}
	}
}

func TestStrangers(t *testing.T) {
	s, dir := open(t, identity(t))
	put(t, s, "pgmove/header.json", []byte("{}"))
	inner, err := filestore.Open(dir, false)
	if err != nil {
		t.Fatal(err)
	}
	if yes, err := agestore.Encrypted(t.Context(), inner); err != nil || !yes {
		t.Errorf("it is encrypted: %t %v", yes, err)
	}
	if _, err := get(agestore.New(inner, nil, []age.Identity{identity(t)}), "pgmove/header.json"); stream.KindOf(err) != stream.Denied {
		t.Errorf("another identity: %v", err)
	}
	if _, err := get(agestore.New(inner, nil, nil), "pgmove/header.json"); stream.KindOf(err) != stream.Usage {
		t.Errorf("no identity: %v", err)
	}
	if err := agestore.New(inner, nil, nil).Put(t.Context(), "x", strings.NewReader("")); stream.KindOf(err) != stream.Usage {
		t.Errorf("no recipient: %v", err)
	}
	empty, err := filestore.Open(t.TempDir(), true)
	if err != nil {
		t.Fatal(err)
	}
	if yes, err := agestore.Encrypted(t.Context(), empty); err != nil || yes {
		t.Errorf("nothing is there: %t %v", yes, err)
	}
	// What lies beside is no object.
	put(t, inner, "readme.txt", []byte("hello"))
	if l, err := s.List(t.Context(), ""); err != nil || len(l) != 1 || l[0].Key != "pgmove/header.json" {
		t.Errorf("%v %v", l, err)
	}
}

type hinted struct{ io.Reader }

func (hinted) SizeHint() int64 { return 1000 }

type hints struct {
	stream.Store
	got int64
}

func (h *hints) Put(ctx context.Context, key string, r io.Reader) error {
	h.got = r.(interface{ SizeHint() int64 }).SizeHint()
	return h.Store.Put(ctx, key, r)
}

func TestSizeHint(t *testing.T) {
	inner, err := filestore.Open(t.TempDir(), true)
	if err != nil {
		t.Fatal(err)
	}
	h := &hints{Store: inner}
	s := agestore.New(h, []age.Recipient{identity(t).Recipient()}, nil)
	if err := s.Put(t.Context(), "a", hinted{strings.NewReader("x")}); err != nil || h.got < 1000 {
		t.Errorf("the hint is %d, %v", h.got, err)
	}
}

func TestKeys(t *testing.T) {
	id := identity(t)
	dir := t.TempDir()
	write := func(name, text string) string {
		file := filepath.Join(dir, name)
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return file
	}
	pub, priv, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	sshPub, err := ssh.NewPublicKey(pub)
	if err != nil {
		t.Fatal(err)
	}
	block, err := ssh.MarshalPrivateKey(priv, "")
	if err != nil {
		t.Fatal(err)
	}
	locked, err := ssh.MarshalPrivateKeyWithPassphrase(priv, "", []byte("a passphrase"))
	if err != nil {
		t.Fatal(err)
	}
	sshFile := write("id_ed25519", string(pem.EncodeToMemory(block)))
	list := write("list", "# ours\n"+id.Recipient().String()+"\n\n"+string(ssh.MarshalAuthorizedKey(sshPub)))
	rs, err := agestore.ParseRecipients([]string{id.Recipient().String(), string(ssh.MarshalAuthorizedKey(sshPub)), list, "@" + list})
	if err != nil || len(rs) != 6 {
		t.Fatalf("%d recipients of 6: %v", len(rs), err)
	}
	for _, file := range []string{sshFile, write("key.txt", "# created\n"+id.String()+"\n")} {
		ids, warning, err := agestore.ReadIdentities(file)
		if err != nil || len(ids) != 1 || warning != "" {
			t.Fatalf("%s: %d identities, %q, %v", file, len(ids), warning, err)
		}
		inner, err := filestore.Open(t.TempDir(), true)
		if err != nil {
			t.Fatal(err)
		}
		s := agestore.New(inner, rs, ids)
		put(t, s, "a", []byte("for all of them"))
		if b, err := get(s, "a"); err != nil || string(b) != "for all of them" {
			t.Errorf("%s: %q %v", file, b, err)
		}
	}
	open := write("open", id.String())
	if err := os.Chmod(open, 0o644); err != nil {
		t.Fatal(err)
	}
	if _, warning, err := agestore.ReadIdentities(open); err != nil || !strings.Contains(warning, "chmod 600") {
		t.Errorf("a file that all may read: %q, %v", warning, err)
	}
	for name, text := range map[string]string{"nothing": "", "words": "hello", "half": id.String()[:30], "locked": string(pem.EncodeToMemory(locked)),
		"encrypted": "age-encryption.org/v1\n-> scrypt"} {
		_, _, err := agestore.ReadIdentities(write(name, text))
		if stream.KindOf(err) != stream.Usage || strings.Contains(err.Error(), "SECRET-KEY-1") {
			t.Errorf("%s: %v", name, err)
		}
	}
	for _, bad := range []string{"age1nonsense", "ssh-ed25519 AAAA", filepath.Join(dir, "gone"), write("empty", "# nobody\n"), write("bad", "hello\n"), id.String()} {
		_, err := agestore.ParseRecipients([]string{bad})
		if stream.KindOf(err) != stream.Usage || strings.Contains(err.Error(), id.String()) {
			t.Errorf("%.20s: %v", bad, err)
		}
	}
}

// An object as a Store wrote it once, and who can read it. What is fuzzed must be the same in all
// processes that fuzz.
const (
	oldIdentity = "AGE-SECRET-KEY-1ND2PJJ6RKNP4JFRDQX09ZWMT8E2XGE2SY5QYAH3PKVV79C3REYQSY8JVCP"
	oldObject   = "YWdlLWVuY3J5cHRpb24ub3JnL3YxCi0+IFgyNTUxOSA4U3dlZURxRXVHMG5yaFZ1Nlp1SkttSmoyNGpScXFQbDAzKzFWUC9lN1JNCmtPaFRBV2tU" +
		"UUdlMnUzdXVKWnZlRGZtUE1MTVVHK1lLb1pXa2ZWY2taOU0KLS0tIDVOcndrRG40TEZ4elNzbVhkTUhPYTF6eVBSK1ZselpydHdkZ2tVb0h4Rm8KB/14" +
		"XXp/nNJEMt9Il7PFqcqtKJAmRjSnqZofweLAtyj0GonldjDtGikq"
	oldRows = "some rows\n"
)

// old returns the object and a function that reads another one in its place.
func old(t testing.TB) (whole []byte, read func(b []byte) ([]byte, error)) {
	t.Helper()
	id, err := age.ParseX25519Identity(oldIdentity)
	if err != nil {
		t.Fatal(err)
	}
	if whole, err = base64.StdEncoding.DecodeString(oldObject); err != nil {
		t.Fatal(err)
	}
	return whole, func(b []byte) ([]byte, error) {
		return get(agestore.New(&inMemory{objects: map[string][]byte{"a.age": b}}, nil, []age.Identity{id}), "a")
	}
}

// TestOldObject: what an earlier version wrote is still read.
func TestOldObject(t *testing.T) {
	whole, read := old(t)
	if b, err := read(whole); err != nil || string(b) != oldRows {
		t.Errorf("%q %v", b, err)
	}
}

func FuzzGet(f *testing.F) {
	whole, read := old(f)
	f.Add(whole)
	f.Add(whole[:len(whole)-1])
	f.Add(append(bytes.Clone(whole), whole...))
	f.Add(bytes.Replace(whole, []byte("\n---"), []byte("\n-> X25519 a\n\n---"), 1))
	f.Add([]byte("age-encryption.org/v1\n---"))
	f.Fuzz(func(t *testing.T, b []byte) {
		got, err := read(b)
		switch {
		case err == nil && !bytes.Equal(b, whole):
			t.Errorf("%d forged bytes were taken for %q", len(b), got)
		case err != nil && (bytes.Equal(b, whole) || stream.KindOf(err) != stream.Integrity && stream.KindOf(err) != stream.Denied):
			t.Errorf("%d bytes: kind %d: %v", len(b), stream.KindOf(err), err)
		}
	})
}
