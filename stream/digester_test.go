package stream_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/zeebo/xxh3"

	"github.com/pgmove/pgmove/stream"
)

// TestDigesterSplits: where the writes' bounds lie makes no difference.
func TestDigesterSplits(t *testing.T) {
	long := bytes.Repeat([]byte("y"), 700)
	for _, c := range []struct {
		name, format string
		rows         []byte
	}{
		{"text", stream.FormatText, []byte("a\tb\n\n\\N\nlonger row\\n\n" + strings.Repeat("z", 40) + "\n")},
		{"binary", stream.FormatBinary, binaryRows([][]byte{[]byte("a"), nil, {}}, nil, [][]byte{[]byte("bcd")}, [][]byte{nil})},
	} {
		t.Run(c.name, func(t *testing.T) {
			want := digestOf(t, c.format, c.rows)
			for i := 0; i <= len(c.rows); i++ {
				for j := i; j <= len(c.rows); j++ {
					d := stream.NewDigester(c.format)
					for _, p := range [][]byte{c.rows[:i], c.rows[i:j], c.rows[j:]} {
						if n, err := d.Write(p); err != nil || n != len(p) {
							t.Fatalf("split at %d and %d: %d %v", i, j, n, err)
						}
					}
					if err := d.Close(); err != nil || d.Digest() != want || d.Bytes() != int64(len(c.rows)) {
						t.Fatalf("split at %d and %d: %v, %v instead of %v", i, j, err, d.Digest(), want)
					}
				}
			}
		})
	}
	rows := binaryRows([][]byte{long, nil}, [][]byte{long[:1], long})
	want := digestOf(t, stream.FormatBinary, rows)
	for size := 1; size < 64; size++ {
		d := stream.NewDigester(stream.FormatBinary)
		if err := fill(rows, size)(d); err != nil || d.Close() != nil || d.Digest() != want {
			t.Fatalf("%d bytes at a time: %v, %v instead of %v", size, err, d.Digest(), want)
		}
	}
}

// TestDigestIsWhatFormatSays computes a digest by FORMAT.md's words and not by the package.
func TestDigestIsWhatFormatSays(t *testing.T) {
	var want stream.Digest
	for _, row := range []string{"1\tone", "", "2\ttwo"} {
		h := xxh3.Hash128([]byte(row))
		lo := want.Sum[0] + h.Lo
		if want.Sum[1] += h.Hi; lo < h.Lo {
			want.Sum[1]++
		}
		want.Sum[0] = lo
		want.Rows++
	}
	for _, order := range []string{"1\tone\n\n2\ttwo\n", "2\ttwo\n1\tone\n\n"} {
		if got := digestOf(t, stream.FormatText, []byte(order)); got != want {
			t.Errorf("%q: %v instead of %v", order, got, want)
		}
	}
	h := xxh3.Hash128([]byte("\x00\x01\x00\x00\x00\x01a"))
	if got := digestOf(t, stream.FormatBinary, binaryRows([][]byte{[]byte("a")})); got != (stream.Digest{Rows: 1, Sum: [2]uint64{h.Lo, h.Hi}}) {
		t.Errorf("binary: %v", got)
	}
}

func TestDigestTellsRowsApart(t *testing.T) {
	base := digestOf(t, stream.FormatText, []byte("a\nb\nb\n"))
	for _, other := range []string{"a\nb\n", "a\nb\nb\nb\n", "a\na\nb\n", "ab\nb\n\n", "a\nb\nB\n", "\n\n\n"} {
		if digestOf(t, stream.FormatText, []byte(other)) == base {
			t.Errorf("%q has the digest of other rows", other)
		}
	}
}

func TestDigestAdds(t *testing.T) {
	rows := textRows("r", 200)
	lines := bytes.SplitAfter(rows, []byte("\n"))
	want := digestOf(t, stream.FormatText, rows)
	rnd := rand.New(rand.NewPCG(1, 2))
	for range 50 {
		var parts [4][]byte
		for _, i := range rnd.Perm(len(lines)) {
			k := rnd.IntN(len(parts))
			parts[k] = append(parts[k], lines[i]...)
		}
		var sum stream.Digest
		for _, p := range parts {
			sum.Add(digestOf(t, stream.FormatText, p))
		}
		if sum != want {
			t.Fatalf("the parts add up to %v instead of %v", sum, want)
		}
	}
}

func TestDigesterIncomplete(t *testing.T) {
	whole := binaryRows([][]byte{[]byte("abc"), nil}, [][]byte{[]byte("d")})
	for i := range len(whole) {
		d := stream.NewDigester(stream.FormatBinary)
		if _, err := d.Write(whole[:i]); err != nil {
			t.Fatalf("%d bytes: %v", i, err)
		}
		if err := d.Close(); !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Errorf("%d bytes of %d: %v", i, len(whole), err)
		}
	}
	for _, s := range []string{"a", "a\nb", "\n\nc"} {
		d := stream.NewDigester(stream.FormatText)
		_, _ = io.WriteString(d, s)
		if err := d.Close(); !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Errorf("%q: %v", s, err)
		}
	}
	if err := stream.NewDigester(stream.FormatText).Close(); err != nil {
		t.Errorf("no rows at all: %v", err)
	}
}

func TestDigesterHostile(t *testing.T) {
	good := binaryRows()
	start := good[:len(good)-2]
	with := func(b ...byte) []byte { return append(bytes.Clone(start), b...) }
	for name, in := range map[string][]byte{
		"no signature":        []byte(strings.Repeat("x", 19)),
		"text":                []byte("a row of text that is long enough\n"),
		"field count -2":      with(0xff, 0xfe),
		"field length -2":     with(0, 1, 0xff, 0xff, 0xff, 0xfe),
		"least field length":  with(0, 1, 0x80, 0, 0, 0),
		"bytes after the end": append(bytes.Clone(good), 0),
		"rows after the end":  append(bytes.Clone(good), 0, 1, 0, 0, 0, 0),
	} {
		d := stream.NewDigester(stream.FormatBinary)
		if _, err := d.Write(in); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
	// Lengths beyond all data are not believed, nor is room made for them.
	for name, in := range map[string][]byte{
		"field of 2 GB":     with(0, 1, 0x7f, 0xff, 0xff, 0xff, 1, 2, 3),
		"32767 fields":      with(0x7f, 0xff),
		"extension of 4 GB": append(append([]byte(nil), good[:15]...), 0xff, 0xff, 0xff, 0xff, 1),
	} {
		d := stream.NewDigester(stream.FormatBinary)
		if _, err := d.Write(in); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if err := d.Close(); !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestHeaderExtension: it belongs to no row.
func TestHeaderExtension(t *testing.T) {
	good := binaryRows([][]byte{[]byte("a")})
	in := append(bytes.Clone(good[:15]), 0, 0, 0, 3, 'e', 'x', 't')
	in = append(in, good[19:]...)
	if got, want := digestOf(t, stream.FormatBinary, in), digestOf(t, stream.FormatBinary, good); got != want {
		t.Errorf("%v instead of %v", got, want)
	}
}

// FuzzBinaryDigester compares, for any input, one write with many, and what was counted
// with a parser of its own.
func FuzzBinaryDigester(f *testing.F) {
	f.Add(binaryRows(), uint8(1))
	f.Add(binaryRows([][]byte{[]byte("abc"), nil, {}}, nil, [][]byte{[]byte("d")}), uint8(3))
	f.Add(blobRows(blob{7, []byte("piece")}, blob{8, nil}), uint8(5))
	f.Fuzz(func(t *testing.T, in []byte, size uint8) {
		one, many := stream.NewDigester(stream.FormatBinary), stream.NewDigester(stream.FormatBinary)
		_, err1 := one.Write(in)
		err2 := fill(in, int(size%37)+1)(many)
		if err1 == nil && err2 == nil {
			err1, err2 = one.Close(), many.Close()
		}
		if (err1 == nil) != (err2 == nil) {
			t.Fatalf("one write: %v, many: %v", err1, err2)
		}
		if err1 != nil {
			return
		}
		if one.Digest() != many.Digest() {
			t.Fatalf("one write: %v, many: %v", one.Digest(), many.Digest())
		}
		if want := parseBinary(t, in); one.Digest() != want {
			t.Fatalf("%v instead of %v", one.Digest(), want)
		}
	})
}

// parseBinary digests a well-formed stream the simple way.
func parseBinary(t *testing.T, b []byte) (d stream.Digest) {
	b = b[19+int(binary.BigEndian.Uint32(b[15:])):]
	for {
		n := int(int16(binary.BigEndian.Uint16(b)))
		if n < 0 {
			if len(b) != 2 {
				t.Fatalf("%d bytes follow the end", len(b)-2)
			}
			return d
		}
		at := 2
		for range n {
			at += 4 + max(0, int(int32(binary.BigEndian.Uint32(b[at:]))))
		}
		d.AddRow(b[:at])
		b = b[at:]
	}
}
