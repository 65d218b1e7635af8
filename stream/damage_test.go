package stream_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/pgmove/pgmove/stream"
)

// unread are objects that a restore of a sealed archive does not read: the index is for
// the database's own tools, the chunks' records are in the manifest.
func unread(key string) bool {
	return key == "toc.dat" || strings.HasPrefix(key, "pgmove/chunks/")
}

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
					if !unread(o.Key) && stream.KindOf(err) != stream.Integrity && !(err == nil && bytes.Equal(bytes.TrimSpace(b), bytes.TrimSpace(whole))) {
						t.Errorf("%s, %s: kind %d, %v", o.Key, name, stream.KindOf(err), err)
					}
				}
				write(t, file, whole)
			}
			write(t, filepath.Join(dir, "99.dat"), []byte("intruder\n"))
			write(t, filepath.Join(dir, "pgmove", "chunks", "99.json"), []byte("{}"))
			if err := readAll(t, store, s); err != nil {
				t.Errorf("an object that nothing names: %v", err)
			}
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

// TestManifestByteByByte flips each byte of a manifest: where it is still taken for one, it says
// the same of the rows.
func TestManifestByteByByte(t *testing.T) {
	store := &memory{}
	writeSample(t, store, stream.None, "run-1")
	whole := store.objects["pgmove/manifest.json"]
	taken := 0
	for at := range whole {
		b := bytes.Clone(whole)
		b[at] ^= 1
		store.objects["pgmove/manifest.json"] = b
		switch err := readAll(t, store, nil); {
		case err == nil:
			taken++
			if !sameRows(t, whole, b) {
				t.Errorf("byte %d flipped (%.30q): it says otherwise of the rows, and was taken", at, whole[max(0, at-15):])
			}
		case stream.KindOf(err) != stream.Integrity:
			t.Errorf("byte %d flipped: kind %d, %v", at, stream.KindOf(err), err)
		}
	}
	t.Logf("%d of %d flips make no difference to a restore", taken, len(whole))
}

// sameRows reports whether two manifests agree on each chunk's rows and objects.
func sameRows(t *testing.T, a, b []byte) bool {
	var ma, mb stream.Manifest
	if json.Unmarshal(a, &ma) != nil || json.Unmarshal(b, &mb) != nil {
		t.Fatal("not a manifest")
	}
	for i := range ma.Chunks {
		// RawBytes is for the report alone.
		if ma.Chunks[i].Chunk != mb.Chunks[i].Chunk || ma.Chunks[i].Digest != mb.Chunks[i].Digest || fmt.Sprint(ma.Chunks[i].Objects) != fmt.Sprint(mb.Chunks[i].Objects) {
			return false
		}
	}
	return true
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
	if err := w.Seal(t.Context(), nil, &stream.Contents{Header: h}); err != nil {
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
		"pg_dump's":      {"toc.dat", "pg_dump"},
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
	objects map[string][]byte
	strict  *testing.T // fails when a key is asked for that CheckKey refuses
}

func (m *memory) Put(_ context.Context, key string, r io.Reader) error {
	b, err := io.ReadAll(r)
	if err != nil {
		return err
	}
	if m.objects == nil {
		m.objects = map[string][]byte{}
	}
	m.objects[key] = b
	return nil
}

func (m *memory) Get(_ context.Context, key string, offset int64) (io.ReadCloser, error) {
	if err := stream.CheckKey(key); err != nil && m.strict != nil {
		m.strict.Errorf("a hostile key was asked for: %q", key)
	}
	b, ok := m.objects[key]
	if !ok {
		return nil, fmt.Errorf("%s: %w", key, stream.ErrNotExist)
	}
	return io.NopCloser(bytes.NewReader(b[offset:])), nil
}

func (m *memory) List(_ context.Context, prefix string) (l []stream.ObjectInfo, _ error) {
	for k, b := range m.objects {
		if strings.HasPrefix(k, prefix) {
			l = append(l, stream.ObjectInfo{Key: k, Size: int64(len(b))})
		}
	}
	return l, nil
}

func (m *memory) Delete(_ context.Context, key string) error {
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
