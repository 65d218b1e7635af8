package stream

import (
	"bytes"
	"testing"
)

// TestDigestAllocates: nothing per row, wherever the writes end.
func TestDigestAllocates(t *testing.T) {
	text := bytes.Repeat([]byte("1\tsome words\t2024-03-04\n"), 1000)
	head := append([]byte(copySignature), make([]byte, 8)...)
	row := []byte{0, 2, 0, 0, 0, 4, 0, 0, 0, 1, 0xff, 0xff, 0xff, 0xff}
	binary := bytes.Repeat(row, 1000)
	for _, c := range []struct {
		format     string
		head, rows []byte
	}{{FormatText, nil, text}, {FormatBinary, head, binary}} {
		d := NewDigester(c.format)
		if _, err := d.Write(c.head); err != nil {
			t.Fatal(err)
		}
		n := testing.AllocsPerRun(20, func() {
			for at := 0; at < len(c.rows); {
				end := min(at+777, len(c.rows))
				if _, err := d.Write(c.rows[at:end]); err != nil {
					t.Fatal(err)
				}
				at = end
			}
		})
		if n > 0 {
			t.Errorf("%s: %.1f allocations for 1,000 rows", c.format, n)
		}
		if d.Digest().Rows != 21*1000 {
			t.Errorf("%s: %d rows", c.format, d.Digest().Rows)
		}
	}
}
