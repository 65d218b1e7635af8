package stream_test

import (
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/pgmove/pgmove/stream"
)

// TestRoundTrip writes an archive of every format with every compression and reads it again.
func TestRoundTrip(t *testing.T) {
	for _, z := range []stream.Compression{stream.None, stream.Gzip, stream.Zstd} {
		t.Run(string(z), func(t *testing.T) {
			dir := t.TempDir()
			w := stream.NewWriter(openDir(t, dir, true), false, z)
			s := seal(t, w, newSample(w, true), "run-1")
			store := openDir(t, dir, false)
			if err := readAll(t, store, s); err != nil {
				t.Fatal(err)
			}
			l, err := store.List(t.Context(), "blob_")
			if err != nil || len(l) != 4 {
				t.Errorf("large objects: %v %v", l, err)
			}
			r, err := stream.OpenSealed(t.Context(), store, dir, nil)
			if err != nil {
				t.Fatal(err)
			}
			m := r.Manifest()
			for _, rec := range m.Chunks {
				if want := digestOf(t, rec.Format, s.rows[rec.Key]); rec.Digest != want || rec.RawBytes != int64(len(s.rows[rec.Key])) {
					t.Errorf("chunk %s: digest %v instead of %v", rec.Key, rec.Digest, want)
				}
			}
			if string(m.Contents.Header.Source.Database) != "s\xff" {
				t.Errorf("the database's name became %q", m.Contents.Header.Source.Database)
			}
		})
	}
}

// TestNativeForm: a text chunk is, decompressed, what pg_dump writes.
func TestNativeForm(t *testing.T) {
	dir := t.TempDir()
	s := writeSample(t, openDir(t, dir, true), stream.None, "run-1")
	for key, want := range map[string]string{"22.dat": string(s.rows["22.dat"]) + "\\.\n\n\n", "11.dat": "\\.\n\n\n", "blob_7.dat": "small", "blob_8.dat": ""} {
		b, err := os.ReadFile(filepath.Join(dir, key))
		if err != nil || string(b) != want {
			t.Errorf("%s: %q %v", key, b, err)
		}
	}
}

// TestWriteChunkFails: nothing of a chunk that failed is to be seen.
func TestWriteChunkFails(t *testing.T) {
	boom := errors.New("the source went away")
	half := blobRows(blob{7, []byte("whole")}, blob{9, []byte("cut off")})
	for _, c := range []struct {
		name, format string
		fill         func(io.Writer) error
		want         error
	}{
		{"text, the source fails", stream.FormatText, func(w io.Writer) error { _, _ = w.Write(textRows("x", 9000)); return boom }, boom},
		{"text ends within a row", stream.FormatText, fill([]byte("a\nb"), 1), io.ErrUnexpectedEOF},
		{"binary ends early", stream.FormatBinary, fill(binaryRows()[:19], 7), io.ErrUnexpectedEOF},
		{"blobs, the source fails", stream.FormatBlobs, func(w io.Writer) error { _, _ = w.Write(half[:len(half)-4]); return boom }, boom},
		{"blobs end early", stream.FormatBlobs, fill(half[:len(half)-2], 11), io.ErrUnexpectedEOF},
		{"blobs out of order", stream.FormatBlobs, fill(append(half[:len(half)-2:len(half)-2], half[19:]...), 50), nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			store := openDir(t, t.TempDir(), true)
			w := stream.NewWriter(store, false, stream.Gzip)
			chunk := stream.Chunk{Table: 5, ID: 5, Of: 1, Format: c.format, Key: w.ChunkKey(5)}
			_, err := w.WriteChunk(t.Context(), chunk, c.fill)
			if c.want == nil {
				// The same object twice: each is whole, and the record says so.
				if err != nil {
					t.Logf("refused: %v", err)
				}
				return
			}
			if !errors.Is(err, c.want) {
				t.Errorf("the error is %v", err)
			}
			if len(w.Records()) != 0 {
				t.Error("there is a record of it")
			}
			l, err := store.List(t.Context(), "")
			if err != nil {
				t.Fatal(err)
			}
			for _, o := range l {
				if !strings.HasPrefix(o.Key, "blob_7.") { // whole objects stay, in an archive that is never sealed
					t.Errorf("%s is visible", o.Key)
				}
			}
		})
	}
}

func TestVerifyCounts(t *testing.T) {
	dir := t.TempDir()
	writeSample(t, openDir(t, dir, true), stream.Zstd, "run-1")
	for _, taken := range []int64{0, 99, 101} {
		r, c := openFirst(t, dir)
		cr, err := r.OpenChunk(t.Context(), c)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.Copy(io.Discard, cr); err != nil {
			t.Fatal(err)
		}
		if _, err := cr.Verify(taken); err == nil || !strings.Contains(err.Error(), "100") {
			t.Errorf("the target took %d rows of 100, and Verify says %v", taken, err)
		}
		cr.GiveBack(nil, false)
	}
	// Who has not read to the end gets the rest checked all the same.
	r, c := openFirst(t, dir)
	cr, err := r.OpenChunk(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	_, _ = cr.Read(make([]byte, 10))
	if rec, err := cr.Verify(100); err != nil || rec.Digest.Rows != 100 {
		t.Errorf("%v %v", rec, err)
	}
	if err := cr.Close(); err != nil {
		t.Error(err)
	}
}

// openFirst opens the archive and returns its first chunk.
func openFirst(t *testing.T, dir string) (*stream.Reader, stream.Chunk) {
	t.Helper()
	r, err := stream.OpenSealed(t.Context(), openDir(t, dir, false), dir, nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := r.Header(t.Context()); err != nil {
		t.Fatal(err)
	}
	c, err := r.Next(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return r, c
}

// TestGivenBackComesLast: a chunk given back comes after all others, and Next ends when it is
// finished too.
func TestGivenBackComesLast(t *testing.T) {
	dir := t.TempDir()
	s := writeSample(t, openDir(t, dir, true), stream.None, "run-1")
	r, c := openFirst(t, dir)
	var order []string
	for again := true; ; again = false {
		order = append(order, c.Key)
		cr, err := r.OpenChunk(t.Context(), c)
		if err != nil {
			t.Fatal(err)
		}
		if again {
			cr.GiveBack(errors.New("not yet"), true)
		} else {
			if _, err := cr.Verify(-1); err != nil {
				t.Fatal(err)
			}
			if err := cr.Close(); err != nil {
				t.Fatal(err)
			}
		}
		if c, err = r.Next(t.Context()); err == io.EOF {
			break
		} else if err != nil {
			t.Fatal(err)
		}
	}
	if n := len(s.chunks); len(order) != n+1 || order[0] != order[n] || slices.Contains(order[1:n], order[0]) {
		t.Errorf("the order is %v", order)
	}
}

// TestNextWaits: while chunks are in other hands, Next waits for one of them to be given back, and
// ends with its context.
func TestNextWaits(t *testing.T) {
	dir := t.TempDir()
	s := writeSample(t, openDir(t, dir, true), stream.None, "run-1")
	r, c := openFirst(t, dir)
	cr, err := r.OpenChunk(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	for range s.chunks[1:] {
		if _, err := r.Next(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := r.Next(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("Next under a cancelled context: %v", err)
	}
	got := make(chan string, 1)
	go func() {
		c, err := r.Next(t.Context())
		if err != nil {
			t.Error(err)
		}
		got <- c.Key
	}()
	cr.GiveBack(nil, true)
	if key := <-got; key != c.Key {
		t.Errorf("chunk %s came, %s was given back", key, c.Key)
	}
}

func TestEmpty(t *testing.T) {
	dir := t.TempDir()
	store := openDir(t, dir, true)
	if err := stream.Empty(t.Context(), store, dir, false); err != nil {
		t.Error(err)
	}
	writeSample(t, store, stream.None, "run-1")
	if err := stream.Empty(t.Context(), store, dir, false); stream.KindOf(err) != stream.Preflight || !strings.Contains(err.Error(), "holds an archive") {
		t.Errorf("over an archive: %v", err)
	}
	if err := store.Delete(t.Context(), "pgmove/manifest.json"); err != nil {
		t.Fatal(err)
	}
	if err := stream.Empty(t.Context(), store, dir, false); stream.KindOf(err) != stream.Preflight || !strings.Contains(err.Error(), "never finished") {
		t.Errorf("over half an archive: %v", err)
	}
}
