package stream

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"time"
)

// binaryRows is COPY's binary form of rows; nil is NULL.
func binaryRows(rows ...[][]byte) []byte {
	b := append([]byte(copySignature), 0, 0, 0, 0, 0, 0, 0, 0)
	for _, r := range rows {
		b = binary.BigEndian.AppendUint16(b, uint16(len(r)))
		for _, f := range r {
			if f == nil {
				b = append(b, 255, 255, 255, 255)
				continue
			}
			b = append(binary.BigEndian.AppendUint32(b, uint32(len(f))), f...)
		}
	}
	return append(b, 255, 255)
}

// TestRowWriter splits rows wherever the writes end, into what the digest is of.
func TestRowWriter(t *testing.T) {
	rows := [][][]byte{{[]byte("1"), []byte("a"), nil}, {[]byte("2"), {}, []byte("\tb\\\n")}, {[]byte("3"), []byte(strings.Repeat("long", 40)), {}}}
	text := []byte("1\ta\t\\N\n2\t\t\\tb\\\\\\n\n3\t" + strings.Repeat("long", 40) + "\t\n")
	for format, in := range map[string][]byte{FormatText: text, FormatBinary: binaryRows(rows...)} {
		want := NewDigester(format)
		if _, err := want.Write(in); err != nil {
			t.Fatal(err)
		}
		for cut := range in {
			for _, step := range []int{1, 7, len(in)} {
				var sum Digest
				var got [][][]byte
				w := NewRowWriter(format, func(row []byte) error {
					sum.AddRow(row)
					fields, err := SplitRow(format, row, 3, nil)
					for i, f := range fields {
						if format == FormatText {
							f = UnescapeText(f)
						}
						if f != nil {
							fields[i] = append([]byte{}, f...)
						}
					}
					got = append(got, fields)
					return err
				})
				for p := in[cut:]; ; {
					if cut > 0 && len(p) == len(in)-cut {
						if _, err := w.Write(in[:cut]); err != nil {
							t.Fatal(err)
						}
					}
					n := min(step, len(p))
					if _, err := w.Write(p[:n]); err != nil {
						t.Fatal(err)
					}
					if p = p[n:]; len(p) == 0 {
						break
					}
				}
				if err := w.Close(); err != nil {
					t.Fatal(err)
				}
				if sum != want.Digest() || w.Digest() != sum || w.Bytes() != int64(len(in)) || fmt.Sprintf("%q", got) != fmt.Sprintf("%q", rows) {
					t.Fatalf("%s, cut at %d, by %d: %q", format, cut, step, got)
				}
				for i := range rows {
					for j := range rows[i] {
						if (rows[i][j] == nil) != (got[i][j] == nil) {
							t.Fatalf("%s: NULL and empty are mixed up in row %d", format, i)
						}
					}
				}
			}
		}
	}
}

// TestRowWriterRefuses: what isn't rows is an error, and so is half a row.
func TestRowWriterRefuses(t *testing.T) {
	none := func([]byte) error { return nil }
	w := NewRowWriter(FormatBinary, none)
	if _, err := w.Write([]byte("not a copy of anything at all")); err == nil {
		t.Error("no signature was taken")
	}
	w = NewRowWriter(FormatText, none)
	if _, err := w.Write([]byte("half")); err != nil || !errors.Is(w.Close(), io.ErrUnexpectedEOF) {
		t.Errorf("half a row: %v", err)
	}
	stop := errors.New("stop")
	w = NewRowWriter(FormatText, func([]byte) error { return stop })
	if _, err := w.Write([]byte("a\n")); !errors.Is(err, stop) {
		t.Errorf("%v", err)
	}
	for _, c := range []struct {
		format, row string
		columns     int
	}{{FormatText, "a\tb", 1}, {FormatText, "a", 2}, {FormatBinary, "\x00\x01\x00\x00\x00\x05ab", 1}, {FormatBinary, "\x00\x01", 1}, {FormatBinary, "", 0}} {
		if _, err := SplitRow(c.format, []byte(c.row), c.columns, nil); !errors.Is(err, errRow) {
			t.Errorf("%s %q: %v", c.format, c.row, err)
		}
	}
	if f, err := SplitRow(FormatText, nil, 0, nil); err != nil || len(f) != 0 {
		t.Errorf("a row without columns: %q, %v", f, err)
	}
}

// TestPace: what is passed on takes the time it should, and a wait ends with its context.
func TestPace(t *testing.T) {
	p := NewThrottle(1 << 20)
	var out bytes.Buffer
	w := p.Writer(t.Context(), &out)
	start := time.Now()
	for range 8 {
		if _, err := w.Write(make([]byte, 128<<10)); err != nil {
			t.Fatal(err)
		}
	}
	// A second's worth, half of which may be ahead of the clock.
	if took := time.Since(start); took < 450*time.Millisecond || out.Len() != 1<<20 {
		t.Errorf("%d bytes took %s", out.Len(), took)
	}
	ctx, cancel := context.WithCancelCause(t.Context())
	why := errors.New("enough")
	cancel(why)
	if err := NewThrottle(1).Take(ctx, 1<<20); !errors.Is(err, why) {
		t.Errorf("%v", err)
	}
	var none *Throttle
	if err := none.Take(ctx, 1<<30); err != nil || NewThrottle(0) != nil {
		t.Errorf("no bound bounds: %v", err)
	}
}

// FuzzRowWriter: whatever is written, and in whatever parts, RowWriter sees the rows that a Digester digests.
func FuzzRowWriter(f *testing.F) {
	for _, format := range []bool{false, true} {
		f.Add([]byte("a\tb\n\\N\t\\.\n\n"), 3, format)
		f.Add(binaryRows([][]byte{[]byte("a"), nil}, [][]byte{{}, []byte("b")}), 5, format)
		f.Add(append(binaryRows(), "more"...), 1, format)
	}
	f.Fuzz(func(t *testing.T, in []byte, step int, isBinary bool) {
		format := FormatText
		if isBinary {
			format = FormatBinary
		}
		step = max(step%64, 1)
		var sum Digest
		d := NewDigester(format)
		w := NewRowWriter(format, func(row []byte) error {
			sum.AddRow(row)
			for columns := range 3 {
				if fields, err := SplitRow(format, row, columns, nil); err == nil && len(fields) != columns {
					t.Fatalf("%d fields instead of %d", len(fields), columns)
				}
			}
			return nil
		})
		for p := in; len(p) > 0; p = p[min(step, len(p)):] {
			_, derr := d.Write(p[:min(step, len(p))])
			if _, err := w.Write(p[:min(step, len(p))]); (err == nil) != (derr == nil) {
				if err != nil && strings.Contains(err.Error(), "too long") {
					return
				}
				t.Fatalf("%v, and the digester: %v", err, derr)
			}
			if derr != nil {
				return
			}
		}
		if derr, err := d.Close(), w.Close(); (err == nil) != (derr == nil) || err == nil && (sum != d.Digest() || w.Digest() != sum) {
			t.Fatalf("%v, and the digester: %v; %s instead of %s", err, derr, sum, d.Digest())
		}
	})
}
