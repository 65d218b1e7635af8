package stream_test

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"github.com/pgmove/pgmove/stream"
	"github.com/pgmove/pgmove/stream/filestore"
)

func TestMain(m *testing.M) {
	stream.Hasten()
	goleak.VerifyTestMain(m)
}

// textRows are n lines as COPY sends them.
func textRows(name string, n int) []byte {
	var b bytes.Buffer
	for i := range n {
		fmt.Fprintf(&b, "%d\t%s\t%s\\n\t\\N\n", i, name, strings.Repeat("x", i*7%200))
	}
	return b.Bytes()
}

// binaryRows is COPY's binary format: nil is NULL.
func binaryRows(rows ...[][]byte) []byte {
	b := []byte("PGCOPY\n\xff\r\n\x00\x00\x00\x00\x00\x00\x00\x00\x00")
	for _, r := range rows {
		b = binary.BigEndian.AppendUint16(b, uint16(len(r)))
		for _, f := range r {
			if f == nil {
				b = binary.BigEndian.AppendUint32(b, 0xffffffff)
				continue
			}
			b = binary.BigEndian.AppendUint32(b, uint32(len(f)))
			b = append(b, f...)
		}
	}
	return append(b, 0xff, 0xff)
}

// blob is a large object of a test.
type blob struct {
	oid  uint32
	data []byte
}

// blobRows are the (oid, offset, piece) rows of large objects.
func blobRows(blobs ...blob) []byte {
	var rows [][][]byte
	for _, o := range blobs {
		for at := 0; at == 0 || at < len(o.data); at += stream.BlobPiece {
			piece := o.data[at:min(at+stream.BlobPiece, len(o.data))]
			if piece == nil {
				piece = []byte{}
			}
			rows = append(rows, [][]byte{binary.BigEndian.AppendUint32(nil, o.oid), binary.BigEndian.AppendUint64(nil, uint64(at)), piece})
		}
	}
	return binaryRows(rows...)
}

// digestOf digests rows in one write.
func digestOf(t testing.TB, format string, rows []byte) stream.Digest {
	t.Helper()
	d := stream.NewDigester(format)
	if _, err := d.Write(rows); err != nil {
		t.Fatal(err)
	}
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
	return d.Digest()
}

// sample is an archive's contents: entries, and the rows of each chunk in it.
type sample struct {
	entries []stream.Entry
	chunks  []stream.Chunk
	rows    map[string][]byte // by chunk key
}

// newSample makes contents with every format; those that are not large are a few kilobytes.
// Keys are those of w.
func newSample(w *stream.Writer, large bool) *sample {
	many, piece := 100, 100
	if large {
		many, piece = 3000, stream.BlobPiece
	}
	s := &sample{rows: map[string][]byte{}}
	entry := func(id stream.DumpID, name stream.Text, large bool) {
		s.entries = append(s.entries, stream.Entry{ID: id, Section: stream.Data, Desc: "TABLE DATA", Namespace: "public", Tag: name,
			Table: &stream.Table{Namespace: "public", Name: name, Rows: -1, LargeObjects: large}})
	}
	chunk := func(table, id stream.DumpID, n, of int, format string, rows []byte) {
		c := stream.Chunk{Table: table, ID: id, N: n, Of: of, Format: format, Key: w.ChunkKey(id)}
		s.chunks = append(s.chunks, c)
		s.rows[c.Key] = rows
	}
	entry(10, "split \xe4\xff", false)
	chunk(10, 21, 0, 2, stream.FormatText, textRows("first", many))
	chunk(10, 22, 1, 2, stream.FormatText, textRows("second", 10))
	entry(11, "empty", false)
	chunk(11, 11, 0, 1, stream.FormatText, nil)
	entry(12, "binary", false)
	chunk(12, 12, 0, 1, stream.FormatBinary, binaryRows([][]byte{[]byte("a"), nil}, [][]byte{{}, []byte("\n\\.\n")}))
	entry(13, "blobs", true)
	chunk(13, 13, 0, 1, stream.FormatBlobs, blobRows(blob{7, []byte("small")}, blob{8, nil},
		blob{9, bytes.Repeat([]byte("0123456789abcdef"), piece/16)}, blob{10, bytes.Repeat([]byte{0, 255}, piece)}))
	return s
}

// writeSample writes a sealed archive of a sample that is not large.
func writeSample(t testing.TB, store stream.Store, z stream.Compression, run string) *sample {
	t.Helper()
	w := stream.NewWriter(store, false, z)
	return seal(t, w, newSample(w, false), run)
}

func seal(t testing.TB, w *stream.Writer, s *sample, run string) *sample {
	t.Helper()
	ctx := t.Context()
	h, err := w.Begin(ctx, stream.Header{Run: run, Engine: "postgresql", Source: stream.Source{Database: "s\xff"}}, s.entries, s.chunks)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range s.chunks {
		if _, err := w.WriteChunk(ctx, c, fill(s.rows[c.Key], 1000)); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Seal(ctx, []stream.NamedObject{{Key: "toc.dat", Data: []byte("an index")}}, stream.NewContents(h, s.entries, w.Records())); err != nil {
		t.Fatal(err)
	}
	return s
}

// fill writes rows, size bytes at a time.
func fill(rows []byte, size int) func(io.Writer) error {
	return func(w io.Writer) error {
		for len(rows) > 0 {
			n := min(size, len(rows))
			if _, err := w.Write(rows[:n]); err != nil {
				return err
			}
			rows = rows[n:]
		}
		return nil
	}
}

// readAll reads a sealed archive as a restore does, and compares it with s if that isn't nil.
func readAll(t testing.TB, store stream.Store, s *sample) error {
	t.Helper()
	ctx := t.Context()
	r, err := stream.OpenSealed(ctx, store, "here", nil)
	if err != nil {
		return err
	}
	if _, err := r.Header(ctx); err != nil {
		return err
	}
	entries, err := r.Entries(ctx)
	if err != nil {
		return err
	}
	plan, err := r.Plan(ctx)
	if err != nil {
		return err
	}
	if s != nil && (len(entries) != len(s.entries) || len(plan) != len(s.chunks) || entries[0].Tag != s.entries[0].Tag) {
		t.Errorf("the archive has %d entries and %d chunks", len(entries), len(plan))
	}
	seen := 0
	for {
		c, err := r.Next(ctx)
		if err == io.EOF {
			break
		}
		if err != nil {
			return err
		}
		seen++
		cr, err := r.OpenChunk(ctx, c)
		if err != nil {
			return err
		}
		got, err := io.ReadAll(cr)
		if err == nil {
			_, err = cr.Verify(-1)
		}
		if err != nil {
			cr.GiveBack(err, false)
			return err
		}
		if err := cr.Close(); err != nil {
			return err
		}
		if s != nil && !bytes.Equal(got, s.rows[c.Key]) {
			t.Errorf("chunk %s: %d bytes came back changed (%d)", c.Key, len(s.rows[c.Key]), len(got))
		}
	}
	if s != nil && seen != len(s.chunks) {
		t.Errorf("%d chunks of %d were handed out", seen, len(s.chunks))
	}
	return nil
}

func openDir(t testing.TB, dir string, create bool) stream.Store {
	t.Helper()
	s, err := filestore.Open(dir, create)
	if err != nil {
		t.Fatal(err)
	}
	return s
}
