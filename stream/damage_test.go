package stream_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/pgmove/pgmove/stream"
	"github.com/pgmove/pgmove/stream/watch"
)

// unread are objects that a restore of a sealed archive does not read: the chunks' records are
// in the manifest. Verify reads them.
func unread(key string) bool { return strings.HasPrefix(key, "pgmove/chunks/") }

// TestDamage does every kind of harm to every object of an archive: each is refused as
// Integrity, or what comes out is what went in.
func TestDamage(t *testing.T) {
	for _, z := range []stream.Compression{stream.None, stream.Gzip, stream.Zstd} {
		t.Run(string(z), func(t *testing.T) {
			dir := t.TempDir()
			store := openDir(t, dir, true)
			s := writeSample(t, store, z, "run-1")
			l, err := store.List(t.Context(), "")
			if err != nil {
				t.Fatal(err)
			}
			for i, o := range l {
				file := filepath.Join(dir, filepath.FromSlash(o.Key))
				whole := read(t, file)
				other := read(t, filepath.Join(dir, filepath.FromSlash(l[(i+1)%len(l)].Key)))
				for name, b := range harm(whole, other) {
					if b == nil {
						if err := os.Remove(file); err != nil {
							t.Fatal(err)
						}
					} else {
						write(t, file, b)
					}
					err := readAll(t, store, s) // where it is no error, s must come out
					if unread(o.Key) && err != nil {
						t.Errorf("%s, %s: %v, though it is not read", o.Key, name, err)
					}
					if !unread(o.Key) && stream.KindOf(err) != stream.Integrity {
						t.Errorf("%s, %s: kind %d, %v", o.Key, name, stream.KindOf(err), err)
					}
					mustBeDamaged(t, store, o.Key, name)
				}
				write(t, file, whole)
			}
			mustBeSound(t, store)
			write(t, filepath.Join(dir, "99.dat"), []byte("intruder\n"))
			write(t, filepath.Join(dir, "pgmove", "chunks", "99.json"), []byte("{}"))
			if err := readAll(t, store, s); err != nil {
				t.Errorf("an object that nothing names: %v", err)
			}
			mustBeDamaged(t, store, "99.dat", "an object that nothing names")
		})
	}
}

// harm returns damaged forms of an object; nil stands for its removal.
func harm(whole, other []byte) map[string][]byte {
	forms := map[string][]byte{"removed": nil, "one byte more": append(bytes.Clone(whole), 'x'), "swapped": other}
	for _, at := range []int{0, 1, len(whole) / 3, len(whole) / 2, len(whole) - 1} {
		if at < 0 || at >= len(whole) {
			continue
		}
		flipped := bytes.Clone(whole)
		flipped[at] ^= 1
		forms[fmt.Sprintf("byte %d flipped", at)] = flipped
	}
	if len(whole) > 0 {
		forms["emptied"] = []byte{}
		forms["cut in half"] = whole[:len(whole)/2]
		forms["last byte cut"] = whole[:len(whole)-1]
	}
	return forms
}

// mustBeDamaged fails unless Verify names the object, in words that fit what was done to it.
func mustBeDamaged(t *testing.T, store stream.Store, key, done string) {
	t.Helper()
	err := verify(t, store)
	gone := key == "pgmove/manifest.json" && done == "removed" // it can't be told by its name alone
	if stream.KindOf(err) != stream.Integrity || !gone && !strings.Contains(err.Error(), key) {
		t.Errorf("%s, %s: Verify says: kind %d, %v", key, done, stream.KindOf(err), err)
		return
	}
	words := map[string]string{"removed": "missing|no pgmove/manifest.json|not finished", "swapped": "belongs to|another run|not the one|JSON|is cut short|longer|SHA-256|more than",
		"emptied": "cut short", "cut in half": "cut short", "last byte cut": "cut short|spelled", "one byte more": "longer|spelled|JSON", "an object that nothing names": "does not belong"}[done]
	if words != "" && !slices.ContainsFunc(strings.Split(words, "|"), func(w string) bool { return strings.Contains(err.Error(), w) }) {
		t.Errorf("%s, %s: the words do not fit: %v", key, done, err)
	}
}

func mustBeSound(t *testing.T, store stream.Store) {
	t.Helper()
	if err := verify(t, store); err != nil {
		t.Errorf("a sound archive: %v", err)
	}
}

func verify(t *testing.T, store stream.Store) error {
	t.Helper()
	r, err := stream.OpenSealed(t.Context(), store, "here", nil)
	if err != nil {
		return err
	}
	v, err := stream.Verify(t.Context(), r, stream.VerifyOptions{Jobs: 2})
	if err != nil {
		return err
	}
	return v.Err()
}

// TestMetadataByteByByte flips each bit of each byte of the metadata and the index: none is taken.
func TestMetadataByteByByte(t *testing.T) {
	for _, key := range []string{"pgmove/manifest.json", "pgmove/header.json", "pgmove/entries.json", "pgmove/plan.json", "toc.dat"} {
		store := &memory{}
		writeSample(t, store, stream.None, "run-1")
		whole := store.objects[key]
		for at := range whole {
			for bit := range 8 {
				b := bytes.Clone(whole)
				b[at] ^= 1 << bit
				store.put(key, b)
				if err := readAll(t, store, nil); stream.KindOf(err) != stream.Integrity {
					t.Errorf("%s, bit %d of byte %d flipped (%.30q): kind %d, %v", key, bit, at, whole[max(0, at-15):], stream.KindOf(err), err)
				}
			}
		}
		t.Logf("%s: %d flips, all refused", key, 8*len(whole))
	}
}

// TestMAC: with a key nothing passes that doesn't bear it, and nothing that was moved or forged by
// somebody who has not got it.
func TestMAC(t *testing.T) {
	key, other := stream.MACKey("a secret of both sides"), stream.MACKey("another secret of some")
	store := &memory{}
	w := stream.NewWriter(store, false, stream.None)
	w.Authenticate(key)
	s := seal(t, w, newSample(w, false), "run-1")
	open := func(store stream.Store, k stream.MACKey) error {
		_, err := stream.OpenSealed(t.Context(), store, "here", k)
		return err
	}
	if err := open(store, key); err != nil {
		t.Error(err)
	}
	if err := open(store, nil); err != nil {
		t.Errorf("who has no key takes the archive as it is: %v", err)
	}
	if err := open(store, other); stream.KindOf(err) != stream.Integrity || !strings.Contains(err.Error(), "authentication code is wrong") {
		t.Errorf("another key: %v", err)
	}
	plain := &memory{}
	writeSample(t, plain, stream.None, "run-1")
	if err := open(plain, key); stream.KindOf(err) != stream.Integrity || !strings.Contains(err.Error(), "no authentication code") {
		t.Errorf("an archive without codes: %v", err)
	}
	// Of the same run, with the right key, but under another name.
	store.put("pgmove/plan.json", store.objects["pgmove/entries.json"])
	r := stream.Follow(watch.New(store), "here", nil, key)
	if _, err := r.Header(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := r.Entries(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := r.Plan(t.Context()); stream.KindOf(err) != stream.Integrity || !strings.Contains(err.Error(), "authentication code is wrong") {
		t.Errorf("entries in the place of the plan: %v", err)
	}
	if (stream.MACKey("short")).Valid() == nil || key.Valid() != nil {
		t.Error("a key is valid from 16 bytes on")
	}
	_ = s
}

// TestBomb: rows that unpack to more than was written down go no further than that.
func TestBomb(t *testing.T) {
	for _, z := range []stream.Compression{stream.Gzip, stream.Zstd} {
		store := &memory{}
		w := stream.NewWriter(store, false, z)
		s := &sample{rows: map[string][]byte{}}
		s.entries = []stream.Entry{{ID: 10, Section: stream.Data, Desc: "TABLE DATA", Tag: "t", Table: &stream.Table{Name: "t"}}}
		c := stream.Chunk{Table: 10, ID: 10, Of: 1, Format: stream.FormatText, Key: w.ChunkKey(10)}
		s.chunks, s.rows[c.Key] = []stream.Chunk{c}, bytes.Repeat([]byte("x\n"), 1000)
		seal(t, w, s, "run-1")
		// As long as the true one, or shorter, and unpacks to a thousand times as much.
		forged := &memory{}
		fw := stream.NewWriter(forged, false, z)
		fs := *s
		fs.rows = map[string][]byte{c.Key: bytes.Repeat([]byte("x\n"), 1_000_000)}
		seal(t, fw, &fs, "run-1")
		store.put(c.Key, forged.objects[c.Key])
		r, err := stream.OpenSealed(t.Context(), store, "here", nil)
		if err != nil {
			t.Fatal(err)
		}
		if err := begin(t.Context(), r); err != nil {
			t.Fatal(err)
		}
		cr, err := r.OpenChunk(t.Context(), c)
		if err != nil {
			t.Fatal(err)
		}
		n, err := io.Copy(io.Discard, cr)
		cr.GiveBack(err, false)
		if stream.KindOf(err) != stream.Integrity || n > 2000 {
			t.Errorf("%s: %d bytes came out of a bomb: %v", z, n, err)
		}
	}
}

// TestOfAnotherRun puts objects of another archive of the same contents into one.
func TestOfAnotherRun(t *testing.T) {
	a, b := t.TempDir(), t.TempDir()
	s := writeSample(t, openDir(t, a, true), stream.None, "run-1")
	writeSample(t, openDir(t, b, true), stream.None, "run-2")
	for _, key := range []string{"header", "entries", "plan", "manifest"} {
		file := filepath.Join(a, "pgmove", key+".json")
		whole := read(t, file)
		write(t, file, read(t, filepath.Join(b, "pgmove", key+".json")))
		if err := readAll(t, openDir(t, a, false), s); stream.KindOf(err) != stream.Integrity {
			t.Errorf("%s of another run: %v", key, err)
		}
		write(t, file, whole)
	}
}

// TestPlanAndManifestDisagree: both are whole, and the plan has other chunks. A restore that
// believed it would wait for ever, or leave rows out.
func TestPlanAndManifestDisagree(t *testing.T) {
	store := &memory{}
	w := stream.NewWriter(store, false, stream.None)
	s := newSample(w, false)
	plan := append([]stream.Chunk(nil), s.chunks...)
	plan[1].Table = 11
	h, err := w.Begin(t.Context(), stream.Header{Run: "run-1"}, s.entries, plan)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range s.chunks {
		if _, err := w.WriteChunk(t.Context(), c, fill(s.rows[c.Key], 100)); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Seal(t.Context(), nil, stream.NewContents(h, s.entries, w.Records())); err != nil {
		t.Fatal(err)
	}
	if err := readAll(t, store, nil); stream.KindOf(err) != stream.Integrity {
		t.Errorf("a plan that the manifest contradicts: %v", err)
	}
}

func TestNotAnArchive(t *testing.T) {
	for name, c := range map[string]struct{ key, want string }{
		"nothing":        {"", "nothing is there"},
		"something":      {"readme.txt", "no pgmove/manifest.json"},
		"unfinished":     {"pgmove/header.json", "not finished"},
		"begun":          {"pgmove/heartbeat.json", "not finished"},
		"empty manifest": {"pgmove/manifest.json", "manifest"},
	} {
		store := &memory{}
		if c.key != "" {
			_ = store.Put(t.Context(), c.key, strings.NewReader(""))
		}
		if err := readAll(t, store, nil); stream.KindOf(err) != stream.Integrity || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// FuzzManifest reads archives with a hostile manifest: none makes the reader panic or hang, ask
// for a key that is none, or take rows that are not those of the digest.
func FuzzManifest(f *testing.F) {
	base := &memory{}
	writeSample(f, base, stream.None, "run-1")
	whole := base.objects["pgmove/manifest.json"]
	f.Add(whole)
	for _, r := range [][2]string{{`"format":1`, `"format":2`}, {"22.dat", "../22.dat"}, {"22.dat", "21.dat"}, {`"size":`, `"size":-`},
		{`"chunks":[`, `"chunks":[{},`}, {"blob_7", "blob_x"}, {`"format":"blobs"`, `"format":"text"`}, {"header.json", "plan.json"}, {`"objects":[{`, `"objects":[],"x":[{`}} {
		f.Add(bytes.Replace(whole, []byte(r[0]), []byte(r[1]), 1))
		f.Add(bytes.ReplaceAll(whole, []byte(r[0]), []byte(r[1])))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		store := &memory{objects: map[string][]byte{}, strict: t}
		for k, v := range base.objects {
			store.objects[k] = v
		}
		store.objects["pgmove/manifest.json"] = b
		if err := readAll(t, store, nil); err != nil && stream.KindOf(err) != stream.Integrity {
			t.Errorf("kind %d: %v", stream.KindOf(err), err)
		}
	})
}

// memory is a store in memory.
type memory struct {
	mu      sync.Mutex
	objects map[string][]byte
	strict  *testing.T // fails when a key is asked for that CheckKey refuses
}

func (m *memory) Put(_ context.Context, key string, r io.Reader) error {
	b, err := io.ReadAll(r)
	if err != nil {
		return err
	}
	m.put(key, b)
	return nil
}

func (m *memory) put(key string, b []byte) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.objects == nil {
		m.objects = map[string][]byte{}
	}
	m.objects[key] = b
}

func (m *memory) get(key string) []byte {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.objects[key]
}

func (m *memory) Get(_ context.Context, key string, offset int64) (io.ReadCloser, error) {
	if err := stream.CheckKey(key); err != nil && m.strict != nil {
		m.strict.Errorf("a hostile key was asked for: %q", key)
	}
	m.mu.Lock()
	b, ok := m.objects[key]
	m.mu.Unlock()
	if !ok {
		return nil, fmt.Errorf("%s: %w", key, stream.ErrNotExist)
	}
	return io.NopCloser(bytes.NewReader(b[offset:])), nil
}

func (m *memory) List(_ context.Context, prefix string) (l []stream.ObjectInfo, _ error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for k, b := range m.objects {
		if strings.HasPrefix(k, prefix) {
			l = append(l, stream.ObjectInfo{Key: k, Size: int64(len(b))})
		}
	}
	return l, nil
}

func (m *memory) Delete(_ context.Context, key string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.objects, key)
	return nil
}

func read(t *testing.T, file string) []byte {
	t.Helper()
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func write(t *testing.T, file string, b []byte) {
	t.Helper()
	// The objects of a store are replaced, not written to: they may be read-only.
	if err := os.Remove(file); err != nil && !os.IsNotExist(err) {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, b, 0o600); err != nil {
		t.Fatal(err)
	}
}
